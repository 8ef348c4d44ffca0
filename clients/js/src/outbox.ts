import type { Effect, TimerOwner, Turn } from "./effects.js";
import { GotapiError, over } from "./errors.js";
import { time } from "./limit.js";
import { byteLength } from "./md5.js";
import type { SortedHash } from "./sorted-hash.js";

/** Bounds of the outbox; times in milliseconds. */
export interface OutboxOptions {
  /** Messages that may wait. When more are published, they fail at once. Default 1,000. */
  outboxSize?: number;
  /** Characters that may wait. Default 4,194,304. */
  outboxBytes?: number;
  /**
   * Messages on the way at once. Default 16. They are stored in order, unless the server has to refuse one for a
   * moment: those that were on the way behind it may come before it. With 1 the order is kept whatever happens.
   */
  inFlight?: number;
  /** How long to wait for an ack before sending again. The server itself gives up after 5 s. Default 7,000. */
  ackTimeout?: number;
}

/** Something that the server has to answer. */
interface Item {
  /** The call that waits for the answer. */
  id: number;
  uuid: string;
  text: string;
  /** On the way on this connection. */
  inFlight?: boolean;
  /** Has ever been on the way. */
  tried?: boolean;
  /** The server's last refusal. */
  refusal?: GotapiError;
  /** While it waits behind others: how many had been answered when its time began. */
  behind?: number;
}

/**
 * What the server has to answer: messages or queries. Items are sent in order, and again under the same uuid,
 * until the server has answered or finally refused them, or their time is up. Each item settles its call once.
 *
 * `isFinal` reports whether another try cannot change a refusal. Items that fail are marked in the `list`, if any,
 * and announced.
 */
export function newOutbox(
  turn: Turn,
  owner: TimerOwner,
  isFinal: (code: number) => boolean,
  options: OutboxOptions,
  list?: SortedHash,
) {
  const items = new Map<string, Item>();
  let size = 0;
  let attempt = 0;
  let resting = false;
  const { inFlight = 16 } = options;
  /** Items that may be on the way now: after a refusal one, until the oldest are answered. */
  let window = inFlight;
  /** Items answered so far. */
  let answers = 0;

  const cause = (...effect: Effect) => void turn.effects.push(effect);

  /** The item under a uuid. */
  function get(uuid: string): Readonly<Item> | undefined {
    return items.get(uuid);
  }

  function add(item: Item): void {
    const { outboxSize = 1_000, outboxBytes = 4 << 20 } = options;
    if (items.size >= outboxSize || size + item.text.length > outboxBytes) {
      fail(item, new GotapiError("full", undefined, 0, item.uuid));
      return;
    }
    items.set(item.uuid, item);
    size += item.text.length;
    pump();
    if (!item.tried) item.behind = answers;
  }

  /** Sends what may be sent now. */
  function pump(): void {
    if (resting || !turn.writable) return;
    let room = window;
    for (const item of items.values()) {
      if (room-- <= 0) return;
      if (item.inFlight) continue;
      item.inFlight = item.tried = true;
      if (item.behind !== undefined && item.behind !== answers) cause("extend", item.id);
      delete item.behind;
      cause("send", item.text);
      cause("wait", owner, item.uuid, time(options.ackTimeout, 7_000));
    }
  }

  /** The server has answered. Nothing happens when the item is not here. */
  function answered(uuid: string, value?: unknown): void {
    // What comes behind an item that is to be sent again must not widen the window.
    if (items.keys().next().value === uuid) window = Math.min(2 * window, inFlight);
    const item = take(uuid);
    if (!item) return;
    answers++;
    attempt = 0; // but a rest goes on: the server has asked for it
    cause("settle", item.id, value);
    pump();
  }

  /** The server refused the item, perhaps only for now, for `wait` ms. False when it is not here. */
  function refused(error: GotapiError, wait: unknown): boolean {
    const item = items.get(error.uuid as string);
    if (!item) return false;
    item.refusal = error;
    if (isFinal(error.code)) give(error);
    else again(item, time(wait as number));
    return true;
  }

  /** Takes out the item that the error is about. */
  function give(error: GotapiError): void {
    const item = take(error.uuid as string);
    if (!item) return;
    fail(item, error);
    pump();
  }

  /** The connection is gone: all that was on the way has to be sent again. */
  function disconnected(): void {
    rested();
    for (const item of items.values()) land(item);
  }

  /** The server closed because a frame of this many bytes was too large: whose was it? */
  function tooLarge(bytes: number): void {
    for (const { uuid, inFlight, text } of items.values()) {
      if (inFlight && byteLength(text) === bytes) {
        give(new GotapiError("refused", "too large", 413, uuid));
        return;
      }
    }
  }

  /**
   * The time of the call for an item is up or, if there is a signal, its caller has aborted it. The wait behind others
   * that get through does not count.
   */
  function expired(uuid: string, aborted?: { reason?: unknown } | false): void {
    const item = items.get(uuid);
    if (!item) return;
    if (aborted || item.behind === undefined || item.behind === answers)
      give(over(aborted, uuid, item.refusal));
    else {
      item.behind = answers;
      cause("extend", item.id);
    }
  }

  /** A timer has fired: the rest is over, or an answer has not come in time. */
  function fired(uuid: string): void {
    const item = items.get(uuid);
    if (item) again(item, 0);
    else if (!uuid) {
      resting = false;
      pump();
    }
  }

  /** Gives up on everything. */
  function close(): void {
    turn.writable = false;
    for (const uuid of [...items.keys()]) give(new GotapiError("closed", undefined, 0, uuid));
    rested();
  }

  function fail({ id, uuid }: Item, error: GotapiError): void {
    const body = list?.get(uuid);
    if (body?.sent === false) body.failure = error;
    if (list) cause("emit", "error", error);
    cause("settle", id, undefined, error);
  }

  function take(uuid: string): Item | undefined {
    const item = items.get(uuid);
    if (!item) return undefined;
    items.delete(uuid);
    size -= item.text.length;
    land(item);
    return item;
  }

  function land(item: Item): void {
    if (item.inFlight) cause("stop", owner, item.uuid);
    item.inFlight = false;
  }

  /** Sends an item again after a pause; meanwhile nothing overtakes it. */
  function again(item: Item, ms: number): void {
    land(item);
    window = 1;
    if (resting) return;
    resting = true;
    cause("wait", owner, "", ms, attempt++);
  }

  function rested(): void {
    if (resting) cause("stop", owner, "");
    resting = false;
    attempt = 0;
  }

  return { get, add, pump, answered, refused, give, disconnected, tooLarge, expired, fired, close };
}

/** What newOutbox makes. */
export type Outbox = ReturnType<typeof newOutbox>;
