import { backoff } from "./backoff.js";
import { GotapiError } from "./errors.js";
import { type CallOptions, limit } from "./limit.js";

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
  inFlight: boolean;
  /** Has ever been on the way. */
  tried: boolean;
  promise: Promise<Answer>;
  resolve(answer: Answer): void;
  reject(error: GotapiError): void;
  /** The server's last refusal. */
  refusal: GotapiError | undefined;
  /** Ends the watch over timeout and signal. */
  unwatch(): void;
  /** Waits for the answer. */
  timer?: ReturnType<typeof setTimeout> | undefined;
}

function newItem<Answer>(uuid: string, text: string): Item<Answer> {
  const item = {
    uuid,
    text,
    inFlight: false,
    tried: false,
    refusal: undefined,
    unwatch() {},
  } as unknown as Item<Answer>;
  item.promise = new Promise((resolve, reject) => Object.assign(item, { resolve, reject }));
  return item;
}

/**
 * What the server has to answer: messages or queries. Items are sent in order, and again under the same uuid,
 * until the server has answered or finally refused them, or their time is up.
 */
export class Outbox<Answer = void> {
  readonly #owner: OutboxOwner;
  readonly #options: OutboxOptions;
  readonly #items = new Map<string, Item<Answer>>();
  #size = 0;
  #attempt = 0;
  #resting: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: OutboxOwner, options: OutboxOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  has(uuid: string): boolean {
    return this.#items.has(uuid);
  }

  /** The outcome of an item that the server may have got; undefined if it certainly has not. */
  outcome(uuid: string): Promise<Answer> | undefined {
    const item = this.#items.get(uuid);
    return item?.tried ? item.promise : undefined;
  }

  /** Takes an item; the promise resolves with the answer. Without a timeout it is tried for ever. */
  add(uuid: string, text: string, { timeout, signal }: CallOptions): Promise<Answer> {
    const item = newItem<Answer>(uuid, text);
    const { outboxSize = 1_000, outboxBytes = 4 << 20 } = this.#options;
    if (this.#items.size >= outboxSize || this.#size + text.length > outboxBytes) {
      this.#fail(item, new GotapiError("full", "the outbox is full", { uuid }));
    } else {
      this.#items.set(uuid, item);
      this.#size += text.length;
      item.unwatch = limit(() => this.#expired(item, signal), timeout, signal);
      this.pump();
    }
    return item.promise;
  }

  /** Sends what may be sent now. */
  pump(): void {
    if (this.#resting !== undefined) return;
    let room = this.#options.inFlight ?? 1;
    for (const item of this.#items.values()) {
      if (room-- <= 0) return;
      if (item.inFlight) continue;
      if (!this.#owner.send(item.text)) return;
      item.inFlight = item.tried = true;
      item.timer = setTimeout(() => this.#again(item), this.#options.ackTimeout ?? 7_000);
    }
  }

  /** The server has answered. Nothing happens when the item is not here. */
  answered(uuid: string, answer: Answer): void {
    const item = this.#take(uuid);
    if (!item) return;
    this.#rested();
    item.resolve(answer);
    this.pump();
  }

  /** The server refused the item, perhaps only for now. False when it is not here. */
  refused(uuid: string, error: GotapiError): boolean {
    const item = this.#items.get(uuid);
    if (!item) return false;
    item.refusal = error;
    if (this.#owner.isFinal(error.code)) this.give(error);
    else this.#again(item);
    return true;
  }

  /** Takes out the item that the error is about; its promise rejects. */
  give(error: GotapiError): void {
    const item = this.#take(error.uuid as string);
    if (!item) return;
    this.#fail(item, error);
    this.pump();
  }

  /** The connection is gone: all that was on the way has to be sent again. */
  disconnected(): void {
    this.#rested();
    for (const item of this.#items.values()) this.#land(item);
  }

  /** The server closed because a frame of this many bytes was too large: whose was it? */
  tooLarge(bytes: number): void {
    for (const { uuid, inFlight, text } of this.#items.values()) {
      if (inFlight && new TextEncoder().encode(text).length === bytes) {
        this.give(new GotapiError("refused", "too large", { code: 413, uuid }));
        return;
      }
    }
  }

  /** Gives up on everything. */
  close(): void {
    for (const item of [...this.#items.values()]) {
      this.#take(item.uuid);
      this.#fail(item, new GotapiError("closed", "closed", item));
    }
    this.#rested();
  }

  #expired(item: Item<Answer>, signal: CallOptions["signal"]): void {
    const { uuid, refusal } = item;
    const error = signal?.aborted
      ? new GotapiError("aborted", "aborted", { uuid, cause: signal.reason })
      : new GotapiError("timeout", refusal?.message ?? "no answer in time", {
          uuid,
          code: refusal?.code ?? 0,
        });
    this.give(error);
  }

  #fail(item: Item<Answer>, error: GotapiError): void {
    item.promise.catch(() => {}); // when nobody looks at it, Node must not end
    item.reject(error);
    this.#owner.failed?.(error);
  }

  #take(uuid: string): Item<Answer> | undefined {
    const item = this.#items.get(uuid);
    if (!item) return undefined;
    this.#items.delete(uuid);
    this.#size -= item.text.length;
    this.#land(item);
    item.unwatch();
    return item;
  }

  #land(item: Item<Answer>): void {
    item.inFlight = false;
    clearTimeout(item.timer);
  }

  /** Sends an item again after a pause; meanwhile nothing overtakes it. */
  #again(item: Item<Answer>): void {
    this.#land(item);
    this.#resting ??= setTimeout(
      () => {
        this.#resting = undefined;
        this.pump();
      },
      backoff(this.#attempt++),
    );
  }

  #rested(): void {
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#attempt = 0;
  }
}
