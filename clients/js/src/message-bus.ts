import { backoff } from "./backoff.js";
import { MsgCodec, wireText } from "./codec.js";
import type { Effect, Effects, Input } from "./effects.js";
import { Emitter } from "./emitter.js";
import { type Direction, MessageCommand, MessageType } from "./enums.js";
import { asError, quiet } from "./errors.js";
import type { MessageBusEvents, MessageEvent } from "./events.js";
import { type HistoryPage, type HistoryRange, type QueryRange, readPage } from "./history.js";
import { type Http, type HttpOptions, newHttp } from "./http.js";
import { type CallOptions, limit, newSignal, time, within } from "./limit.js";
import type { OutboxOptions } from "./outbox.js";
import {
  type MessageBody,
  newBody,
  type Packet,
  PullArgument,
  QueryArgument,
  type RawData,
} from "./packet.js";
import type { AbortSignalLike } from "./platform.js";
import { reduce } from "./reducer.js";
import type { ConnectionState, SocketBus } from "./socket-bus.js";
import { SortedHash } from "./sorted-hash.js";
import { newState } from "./state.js";
import { UuidGenerator } from "./uuid.js";

/** Settings of a message bus; times in milliseconds. */
export interface MessageBusOptions extends OutboxOptions, HttpOptions {
  /** Begin after the message with this uuid, such as the lastUuid of an earlier run. */
  after?: string;
  /** Messages kept in the list; beyond it the oldest are let go. Default 10,000. */
  maxMessages?: number;
  /** Default for publish(), not counting the wait behind other messages that get through. Default 30,000. */
  publishTimeout?: number;
  /** Closes the bus. */
  signal?: AbortSignalLike;
}

/** Settings of publish(). */
export interface PublishOptions extends CallOptions {
  /** Instead of a new one. The same uuid is stored once, however often it is published. */
  uuid?: string;
}

/** Messages that pullHistory() reads on a bus that shows no history at its start. */
const PULL_SIZE = 100;
/** Default time of a call, milliseconds. */
const CALL_MS = 30_000;
/** How long one try to read a page that no call has asked for may take, milliseconds. */
const OWN_READ_MS = 10_000;

/** A call whose outcome is awaited. */
interface Call {
  promise: Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** When its time is up. */
  end: number;
  signal: AbortSignalLike | undefined;
  /** Watches over time and signal, from now on. */
  watch(): void;
  /** Ends the watch. */
  unwatch?: () => void;
}

/**
 * The messages of one group: those that were, those that come, and those that this client publishes.
 *
 * `all()` is in the order of the group's history, own messages that the server does not have yet at the end. Each
 * message is announced once. After a lost connection the bus goes on where it was.
 */
export class MessageBus extends Emitter<MessageBusEvents> {
  readonly direction: Direction;
  readonly socketBus: SocketBus;
  readonly historyUrl: string;
  readonly groupName: string;
  readonly historySize: number;
  readonly position: number;
  readonly options: MessageBusOptions;
  /** The messages; change it through the bus. */
  readonly sortedHash = new SortedHash();

  readonly #state: ReturnType<typeof newState>;
  readonly #http: Http;
  readonly #life = newSignal();
  readonly #endings: (() => void)[] = [];
  readonly #calls = new Map<number, Call>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Effects that wait for those before them. */
  #effects: Effect[] = [];
  #performing = false;
  /** The number of the last call. */
  #count = 0;
  #lastUuid: string | undefined;
  /** What ends the callback for an event. */
  readonly #callbacks: { [Name in keyof MessageBusEvents]?: () => void } = {};

  /**
   * Connects. When it is connected, it reads `historySize` messages of history, from `position` on (0: the
   * newest), through `historyUrl`, or over the socket when that is empty.
   */
  constructor(
    direction: Direction,
    socketBus: SocketBus,
    historyUrl: string,
    groupName: string,
    historySize = 0,
    position = 0,
    options: MessageBusOptions = {},
  ) {
    super();
    this.direction = direction;
    this.socketBus = socketBus;
    this.historyUrl = historyUrl;
    this.groupName = groupName;
    this.historySize = historySize;
    this.position = position;
    this.options = options;
    this.#lastUuid = options.after;
    this.#state = newState({ ...options, direction, historySize, position });
    this.#http = newHttp({ ...socketBus.options, ...options }, this.#life);
    socketBus.resumeAfter = () => this.#state.lastUuid;
    this.#endings.push(
      socketBus.on("state", (change) => {
        this.#step("state", change, socketBus.largest);
        this.emit("state", change);
      }),
      socketBus.on("packet", ({ packet, text }) => this.#step("packet", packet, text)),
      socketBus.on("error", (error) => this.#step("error", error)),
    );
    this.#endings.push(limit(() => this.close(), 0, options.signal));
    if (!this.#state.closed) socketBus.connect();
  }

  /** How the connection is. */
  get state(): ConnectionState {
    return this.socketBus.state;
  }

  /** The last message delivered or acked: the place to resume from. */
  get lastUuid(): string | undefined {
    return this.#lastUuid;
  }

  /** The messages in order. */
  all(): MessageBody[] {
    return this.sortedHash.all();
  }

  /** Called with each message that `on("message")` tells of. */
  setNewMessageCallback(callback: (body: MessageBody, uuid: string) => void): void {
    this.#setCallback("message", ({ body, uuid }) => callback(body, uuid));
  }

  /** Called when the server has stored an own message. */
  setServerAckCallback(callback: (uuid: string, index: number) => void): void {
    this.#setCallback("ack", ({ uuid, index }) => callback(uuid, index));
  }

  /** Called when a message was recalled, with the place where it was. */
  setRemoveCallback(callback: (uuid: string, index: number) => void): void {
    this.#setCallback("removed", ({ uuid, index, reason }) => {
      if (reason === "recalled") callback(uuid, index);
    });
  }

  /**
   * Puts a message into the list at once and sends it until the server has it or refuses it for good. Returns its
   * uuid. What goes wrong is told by the "error" event and the message's `failure`.
   */
  pushMessage(data: unknown): string {
    const uuid = UuidGenerator.generate();
    quiet(this.#post(uuid, data, {}));
    return uuid;
  }

  /**
   * Publishes a message as pushMessage does. Resolves when the server has stored it; rejects with a GotapiError
   * when it is refused, or not acked in time: then it is not sent again. With the uuid of an own message that has
   * failed, that message is sent once more, as the newest one.
   */
  publish(data: unknown, options: PublishOptions = {}): Promise<{ uuid: string }> {
    const {
      uuid = UuidGenerator.generate(),
      timeout = this.options.publishTimeout ?? CALL_MS,
      signal,
    } = options;
    return quiet(this.#post(uuid, data, { timeout, signal }));
  }

  /** Tells the others that this client has received the message. */
  confirm(uuid: string): void {
    this.#step("confirm", uuid);
  }

  /** Asks for history over the socket, without changing the list. */
  query(range: QueryRange = {}, { timeout = CALL_MS, signal }: CallOptions = {}): Promise<HistoryPage> {
    const { size, position, after, before } = range;
    const uuid = UuidGenerator.generate();
    const pullargs = new PullArgument(position, size);
    const packet: Packet = { type: MessageType.Command, command: MessageCommand.QUERY, uuid, pullargs };
    if (after || before) packet.queryArgs = new QueryArgument(after, before);
    const text = MsgCodec.encode(packet);
    return quiet(this.#call(uuid, { timeout, signal }, (id) => ["query", id, uuid, text]).then(readPage));
  }

  /** Reads history into the list. Resolves with the number of messages that are new there. */
  pullHistory(range: HistoryRange = {}, options: CallOptions = {}): Promise<number> {
    const {
      size = this.historySize || PULL_SIZE,
      before,
      position = before ? undefined : this.position,
    } = range;
    return this.#pull(options, (id) => ["pullHistory", id, { size, before, position }]);
  }

  /** Reads what stands before the oldest message of the list. Resolves with 0 when there is nothing more. */
  pullOlder(size = 50, options: CallOptions = {}): Promise<number> {
    return this.#pull(options, (id) => ["pullOlder", id, size]);
  }

  /** Recalls a message, for everybody. Resolves when it is gone. */
  cancelMessage(uuid: string, options: CallOptions = {}): Promise<void> {
    return quiet(this.#cancel(uuid, options));
  }

  /** Calls `listener` with every low-level packet. Returns what ends that. */
  onRaw(listener: (data: RawData) => void): () => void {
    return this.socketBus.onRaw(listener);
  }

  /** Disconnects for good. Messages that are not acked fail with reason "closed". */
  close(): void {
    if (this.#state.closed) return;
    this.#effects = this.#effects.filter(([name]) => name === "settle");
    this.#step("close");
    this.#perform(); // also when a listener closes the bus: afterwards nothing is told
    this.#life.abort();
    this.socketBus.close();
    for (const end of this.#endings) end();
  }

  #setCallback<Name extends keyof MessageBusEvents>(
    name: Name,
    callback: (event: MessageBusEvents[Name]) => void,
  ): void {
    this.#callbacks[name]?.();
    this.#callbacks[name] = this.on(name, callback);
  }

  // Calls

  #post(uuid: string, data: unknown, options: CallOptions): Promise<{ uuid: string }> {
    try {
      const body = newBody(data);
      const text = wireText(uuid, body);
      return this.#call(uuid, options, (id) => ["publish", id, uuid, body, text]).then(() => ({ uuid }));
    } catch (thrown) {
      const error = asError(thrown, "invalid");
      this.#step("error", error);
      return Promise.reject(error);
    }
  }

  async #cancel(uuid: string, { timeout, signal }: CallOptions): Promise<void> {
    const item = this.#state.messages.get(uuid);
    const { failure } = this.sortedHash.get(uuid) ?? {};
    // What was never sent, or refused, is not stored.
    if (item ? !item.tried : failure?.reason === "refused" || failure?.reason === "full") {
      return this.#step("recalled", uuid);
    }
    const left = timeout || this.options.timeout || CALL_MS;
    const end = Date.now() + left;
    // Whether a message on its way is stored shows when its ack or refusal is here.
    if (item) {
      const outcome = this.#calls.get(item.id)!.promise.catch(() => {});
      await within(outcome, left, signal);
    }
    const url = this.historyUrl.replace(/history(?=\/?(\?|$))/, "cancel");
    const options = { timeout: end - Date.now() || 1, signal };
    await this.#http.call(url, { groupName: this.groupName, uuid }, options).catch((error) => {
      if (!failure || error.code !== 404) throw error;
    });
    this.#step("recalled", uuid);
  }

  /** A call that reads history. Its requests know themselves when the time is up. */
  #pull({ timeout, signal }: CallOptions, input: (id: number) => Input): Promise<number> {
    const options = { timeout: timeout || this.options.timeout || CALL_MS, signal };
    return this.#call(undefined, options, input) as Promise<number>;
  }

  /** A call, for the message or query `uuid` if any. */
  #call(
    uuid: string | undefined,
    { timeout = 0, signal }: CallOptions,
    input: (id: number) => Input,
  ): Promise<unknown> {
    const id = ++this.#count;
    const expired = () => this.#step("expired", id, uuid, signal?.aborted && signal);
    const watch = () => {
      call.unwatch?.();
      call.unwatch = limit(expired, timeout, signal);
    };
    const call = { end: Date.now() + timeout, signal, watch } as Call;
    call.promise = quiet(new Promise((resolve, reject) => Object.assign(call, { resolve, reject })));
    this.#calls.set(id, call);
    this.#step(...input(id));
    if (this.#calls.has(id)) watch();
    return call.promise;
  }

  // Inputs and effects

  /** Takes an input. What a listener causes comes after what is being told. */
  #step(...input: Input): void {
    this.#effects = this.#effects.concat(reduce(this.#state, input, this.socketBus.writable));
    if (!this.#performing) this.#perform();
  }

  #perform(): void {
    this.#performing = true;
    try {
      for (let effect = this.#effects.shift(); effect; effect = this.#effects.shift()) {
        const [name, ...args] = effect;
        (this.#actions[name] as (...args: unknown[]) => void)(...args);
      }
    } finally {
      this.#performing = false; // a program's WebSocket may throw
    }
  }

  readonly #actions: Effects = {
    emit: (name, event) => {
      // The public list is always what the events have told.
      const { uuid, body, index } = event as MessageEvent;
      if (name === "message" || name === "pending") this.sortedHash.insert(uuid, body, index);
      if (name === "moved") this.sortedHash.move(uuid, index);
      if (name === "removed") this.sortedHash.remove(uuid);
      this.emit(name, event);
    },
    reach: (uuid) => {
      this.#lastUuid = uuid;
    },
    send: (text) => void this.socketBus.sendRaw(text),
    settle: (id, value, error) => {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      call?.unwatch?.();
      if (error) call?.reject(error);
      else call?.resolve(value);
    },
    extend: (id) => this.#calls.get(id)?.watch(),
    read: (id, range) => {
      const call = this.#calls.get(id);
      const timeout = call ? call.end - Date.now() || 1 : OWN_READ_MS;
      const options = { timeout, signal: call?.signal };
      const page = this.historyUrl
        ? this.#http.call(this.historyUrl, { groupName: this.groupName, ...range }, options).then(readPage)
        : this.query(range, options);
      page.then(
        (page) => {
          this.socketBus.answered(this.historyUrl);
          this.#step("page", id, page);
        },
        (thrown) => this.#step("unread", id, asError(thrown, "network")),
      );
    },
    wait: (owner, uuid, ms, attempt) => {
      const pause = attempt === undefined ? 0 : backoff(attempt);
      const fired = () => this.#step("timer", owner, uuid);
      this.#timers.set(owner + uuid, setTimeout(fired, time(ms + pause)));
    },
    stop: (owner, uuid) => {
      clearTimeout(this.#timers.get(owner + uuid));
      this.#timers.delete(owner + uuid);
    },
  };
}
