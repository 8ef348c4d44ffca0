import { backoff } from "./backoff.js";
import { GotapiError } from "./errors.js";
import { type CallOptions, limit } from "./limit.js";
import { utf8 } from "./md5.js";

/** Bounds of the outbox; times in milliseconds. */
export interface OutboxOptions {
  /** Messages that may wait. When more are published, they fail at once. Default 1,000. */
  outboxSize?: number;
  /** Characters that may wait. Default 4,194,304. */
  outboxBytes?: number;
  /**
   * Messages on the way at once. With 1, the default, messages keep their order whatever happens. With more,
   * publishing is faster, but a message that the server had to refuse for a moment may be overtaken by the next.
   */
  inFlight?: number;
  /** How long to wait for an ack before sending again. The server itself gives up after 5 s. Default 7,000. */
  ackTimeout?: number;
}

/** What the outbox needs from its owner. */
export interface OutboxOwner {
  /** False when there is no connection. */
  send(text: string): boolean;
  /** Whether a refusal with this code cannot be changed by another try. */
  isFinal(code: number): boolean;
  /** The item has left the outbox without success, as far as is known. */
  failed?(error: GotapiError): void;
}

interface Item<Answer> {
  uuid: string;
  text: string;
  /** On the way on this connection. */
  inFlight?: boolean;
  /** Has ever been on the way. */
  tried?: boolean;
  promise: Promise<Answer>;
  resolve(answer: Answer): void;
  reject(error: GotapiError): void;
  /** The server's last refusal. */
  refusal?: GotapiError;
  /** Ends the watch over timeout and signal. */
  unwatch?(): void;
  /** Waits for the answer. */
  timer?: ReturnType<typeof setTimeout> | undefined;
}

/**
 * What the server has to answer: messages or queries. Items are sent in order, and again under the same uuid,
 * until the server has answered or finally refused them, or their time is up.
 */
export function newOutbox<Answer = void>(owner: OutboxOwner, options: OutboxOptions) {
  const items = new Map<string, Item<Answer>>();
  let size = 0;
  let attempt = 0;
  let resting: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  function has(uuid: string): boolean {
    return items.has(uuid);
  }

  /** The outcome of an item that the server may have got; undefined if it certainly has not. */
  function outcome(uuid: string): Promise<Answer> | undefined {
    const item = items.get(uuid);
    return item?.tried ? item.promise : undefined;
  }

  /** Takes an item; the promise resolves with the answer. Without a timeout it is tried for ever. */
  function add(uuid: string, text: string, { timeout, signal }: CallOptions): Promise<Answer> {
    const item = { uuid, text } as Item<Answer>;
    item.promise = new Promise((resolve, reject) => Object.assign(item, { resolve, reject }));
    const { outboxSize = 1_000, outboxBytes = 4 << 20 } = options;
    const full = items.size >= outboxSize || size + text.length > outboxBytes;
    if (closed || full) {
      fail(item, new GotapiError(closed ? "closed" : "full", undefined, 0, uuid));
    } else {
      items.set(uuid, item);
      size += text.length;
      item.unwatch = limit(() => expired(item, signal), timeout, signal);
      pump();
    }
    return item.promise;
  }

  /** Sends what may be sent now. */
  function pump(): void {
    if (resting !== undefined || closed) return;
    let room = options.inFlight ?? 1;
    for (const item of items.values()) {
      if (room-- <= 0) return;
      if (item.inFlight) continue;
      if (!owner.send(item.text)) return;
      item.inFlight = item.tried = true;
      item.timer = setTimeout(() => again(item), options.ackTimeout ?? 7_000);
    }
  }

  /** The server has answered. Nothing happens when the item is not here. */
  function answered(uuid: string, answer: Answer): void {
    const item = take(uuid);
    if (!item) return;
    attempt = 0; // but a rest goes on: the server has asked for it
    item.resolve(answer);
    pump();
  }

  /** The server refused the item, perhaps only for now, for `wait` ms. False when it is not here. */
  function refused(error: GotapiError, wait?: unknown): boolean {
    const item = items.get(error.uuid as string);
    if (!item) return false;
    item.refusal = error;
    if (owner.isFinal(error.code)) give(error);
    else again(item, wait);
    return true;
  }

  /** Takes out the item that the error is about; its promise rejects. */
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
      if (inFlight && utf8(text).length === bytes) {
        give(new GotapiError("refused", "too large", 413, uuid));
        return;
      }
    }
  }

  /** Gives up on everything. */
  function close(): void {
    closed = true;
    for (const uuid of [...items.keys()]) give(new GotapiError("closed", undefined, 0, uuid));
    rested();
  }

  function expired(item: Item<Answer>, signal: CallOptions["signal"]): void {
    const { uuid, refusal } = item;
    const error = signal?.aborted
      ? new GotapiError("aborted", undefined, 0, uuid, signal.reason)
      : new GotapiError("timeout", refusal?.message, refusal?.code, uuid);
    give(error);
  }

  function fail(item: Item<Answer>, error: GotapiError): void {
    item.promise.catch(() => {}); // when nobody looks at it, Node must not end
    item.reject(error);
    owner.failed?.(error);
  }

  function take(uuid: string): Item<Answer> | undefined {
    const item = items.get(uuid);
    if (!item) return undefined;
    items.delete(uuid);
    size -= item.text.length;
    land(item);
    item.unwatch?.();
    return item;
  }

  function land(item: Item<Answer>): void {
    item.inFlight = false;
    clearTimeout(item.timer);
  }

  /** Sends an item again after a pause; meanwhile nothing overtakes it. */
  function again(item: Item<Answer>, wait?: unknown): void {
    land(item);
    const end = () => {
      resting = undefined;
      pump();
    };
    resting ??= setTimeout(end, ~~(wait as number) + backoff(attempt++));
  }

  function rested(): void {
    clearTimeout(resting);
    resting = undefined;
    attempt = 0;
  }

  return { has, outcome, add, pump, answered, refused, give, disconnected, tooLarge, close };
}

/** What newOutbox makes. */
export type Outbox<Answer = void> = ReturnType<typeof newOutbox<Answer>>;
