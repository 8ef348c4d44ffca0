import { type CatchUp, isStreamed, newCatchUp } from "./catch-up.js";
import { MsgCodec, wireText } from "./codec.js";
import { Emitter } from "./emitter.js";
import { Direction, MessageCommand, MessageType, SendStatus } from "./enums.js";
import { asError, GotapiError, isFinal, quiet } from "./errors.js";
import {
  type HistoryMessage,
  type HistoryPage,
  type HistoryRange,
  type QueryRange,
  readPage,
  type SizedRange,
} from "./history.js";
import { type Http, type HttpOptions, newHttp } from "./http.js";
import { type CallOptions, limit } from "./limit.js";
import { isNameless, namelessKey } from "./nameless.js";
import { newOutbox, type Outbox, type OutboxOptions } from "./outbox.js";
import {
  type MessageBody,
  newBody,
  type Packet,
  PullArgument,
  QueryArgument,
  type RawData,
} from "./packet.js";
import type { AbortSignalLike } from "./platform.js";
import type { ConnectionState, SocketBus, StateChange } from "./socket-bus.js";
import { SortedHash } from "./sorted-hash.js";
import { type Entry, newTimeline, type Place, type Timeline } from "./timeline.js";
import { UuidGenerator } from "./uuid.js";

/** Settings of a message bus; times in milliseconds. */
export interface MessageBusOptions extends OutboxOptions, HttpOptions {
  /** Begin after the message with this uuid, such as the lastUuid of an earlier run. */
  after?: string;
  /** Messages kept in the list; beyond it the oldest are let go. Default 10,000. */
  maxMessages?: number;
  /** Default for publish(). Default 30,000. */
  publishTimeout?: number;
  /** Closes the bus. */
  signal?: AbortSignalLike;
}

/** A message that is new in the list. */
export interface MessageEvent {
  uuid: string;
  body: MessageBody;
  /** Its place in the list. */
  index: number;
  /** live: it came through the socket. history: it was there before. local: this client has just published it. */
  source: "live" | "history" | "local";
}

/** Events of a message bus. */
export interface MessageBusEvents {
  state: StateChange;
  /** Somebody else's message, or an own one of an earlier run. */
  message: MessageEvent;
  /** An own message has been put into the list; it is on its way. */
  pending: MessageEvent;
  /** The server has stored an own message. */
  ack: { uuid: string; index: number };
  /** Another member has confirmed an own message. */
  receipt: { uuid: string; index: number };
  /** A message has changed its place: its order in the history became known. */
  moved: { uuid: string; index: number; from: number };
  /** A message is gone from the list: recalled, or let go because of maxMessages. */
  removed: { uuid: string; index: number; reason: "recalled" | "trimmed" };
  /** Messages were lost or are no longer retained: the list may have a hole after `after`. */
  gap: { after: string | undefined; message: string };
  error: GotapiError;
}

/** Settings of publish(). */
export interface PublishOptions extends CallOptions {
  /** Instead of a new one. The same uuid is stored once, however often it is published. */
  uuid?: string;
}

/** Recalls remembered, so that a page of history read before them does not bring their messages back. */
const MAX_RECALLS = 1_000;
/** Confirmations that may wait for a connection. When more are made, the oldest are dropped. */
const MAX_CONFIRMATIONS = 1_000;
/** Queries that may wait. */
const QUERY_LIMITS = { outboxSize: 100 };
/** Messages that pullHistory() reads on a bus that shows no history at its start. */
const PULL_SIZE = 100;
/** The largest page that is read when smaller ones were full of what is no use. */
const MAX_SIZE = 1_000;
/** Default time of a call, milliseconds. */
const CALL_MS = 30_000;

function addBounded(set: Set<string>, uuid: string, bound: number): void {
  if (set.size >= bound) set.delete(set.values().next().value as string);
  set.add(uuid);
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

  readonly #outbox: Outbox;
  readonly #queries: Outbox<unknown>;
  readonly #timeline: Timeline;
  readonly #catchUp: CatchUp;
  readonly #http: Http;
  readonly #life = new AbortController();
  readonly #recalled = new Set<string>();
  readonly #confirmations = new Set<string>();
  readonly #endings: (() => void)[] = [];
  #maxMessages: number;
  #source: MessageEvent["source"] = "live";
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
    this.#maxMessages = options.maxMessages ?? 10_000;
    this.#http = newHttp({ ...socketBus.options, ...options }, this.#life.signal);
    const send = (text: string) => socketBus.sendRaw(text);
    this.#outbox = newOutbox({ send, isFinal, failed: (error) => this.#failed(error) }, options);
    this.#queries = newOutbox({ send, isFinal: (code) => code !== 429 && code < 500 }, QUERY_LIMITS);
    const error = (thrown: GotapiError) => this.emit("error", thrown);
    const recalled = (uuid: string) => this.#remove(uuid, "recalled");
    this.#timeline = newTimeline(this.sortedHash, {
      inserted: (entry, index) => this.#inserted(entry, index),
      moved: (uuid, index, from) => this.emit("moved", { uuid, index, from }),
      vanished: recalled,
      settled: (uuid) => this.#settled(uuid),
    });
    const catchUpOwner = {
      list: this.sortedHash,
      timeline: this.#timeline,
      isOpen: () => this.state === "open",
      read: (range: SizedRange, timeout: number) =>
        this.#readOn(range, { timeout }, (messages) => messages[0] && messages),
      merge: (messages: HistoryMessage[], place: Place) => this.#merge(messages, place),
      acked: (uuid: string) => this.#acked(uuid),
      recalled,
      gap: (after: string | undefined, message: string) => this.emit("gap", { after, message }),
      error,
    };
    this.#catchUp = newCatchUp(catchUpOwner, { size: historySize, position }, options.after);
    socketBus.resumeAfter = () => this.lastUuid;
    this.#endings.push(
      socketBus.on("state", (change) => this.#stateChanged(change)),
      socketBus.on("packet", (streamed) => {
        if (isStreamed(streamed.packet)) this.#catchUp.received(streamed);
        else this.#commanded(streamed.packet);
      }),
      socketBus.on("error", error),
      limit(() => this.close(), 0, options.signal),
    );
    if (!this.#life.signal.aborted) socketBus.connect();
  }

  /** How the connection is. */
  get state(): ConnectionState {
    return this.socketBus.state;
  }

  /** The last message delivered or acked: the place to resume from. */
  get lastUuid(): string | undefined {
    return this.#catchUp.lastUuid();
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
    addBounded(this.#confirmations, uuid, MAX_CONFIRMATIONS);
    this.#flush();
  }

  /** Asks for history over the socket, without changing the list. */
  query(range: QueryRange = {}, { timeout = CALL_MS, signal }: CallOptions = {}): Promise<HistoryPage> {
    const { size = 50, position = 0, after, before } = range;
    const uuid = UuidGenerator.generate();
    const packet: Packet = { type: MessageType.Command, command: MessageCommand.QUERY, uuid };
    packet.pullargs = new PullArgument(position, size);
    if (after || before) packet.queryArgs = new QueryArgument(after, before);
    return quiet(this.#queries.add(uuid, MsgCodec.encode(packet), { timeout, signal }).then(readPage));
  }

  /** Reads history into the list. Resolves with the number of messages that are new there. */
  pullHistory(range: HistoryRange = {}, options: CallOptions = {}): Promise<number> {
    const {
      size = this.historySize || PULL_SIZE,
      before,
      position = before ? undefined : this.position,
    } = range;
    const place = this.#timeline.place(position === 0, before);
    const page = this.#read({ size, before, position }, options);
    return quiet(page.then(({ messages }) => this.#merge(messages, place)));
  }

  /** Reads what stands before the oldest message of the list. Resolves with 0 when there is nothing more. */
  pullOlder(size = 50, options: CallOptions = {}): Promise<number> {
    const last = this.lastUuid ?? "";
    const known = this.sortedHash.uuids.find((uuid) => this.sortedHash.isStored(uuid) && !isNameless(uuid));
    const before = known ?? (this.#recalled.has(last) ? last : undefined);
    let place = this.#timeline.place(!before, before);
    const take = (messages: HistoryMessage[]) => {
      const grown = this.#merge(messages, place);
      place = this.#timeline.place(false);
      return grown;
    };
    return quiet(this.#readOn({ size, before }, options, take));
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
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#outbox.close();
    this.#queries.close();
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

  // Publishing

  async #post(uuid: string, data: unknown, options: CallOptions): Promise<{ uuid: string }> {
    try {
      await this.#enqueue(uuid, data, options);
      return { uuid };
    } catch (thrown) {
      // What JSON cannot hold has not been told to anybody yet.
      if (!(thrown instanceof GotapiError)) this.emit("error", asError(thrown, "invalid"));
      throw asError(thrown, "invalid");
    }
  }

  async #enqueue(uuid: string, data: unknown, options: CallOptions): Promise<void> {
    if (this.#life.signal.aborted) throw new GotapiError("closed");
    const known = this.sortedHash.get(uuid);
    if (known?.sent) return;
    const body = known ?? newBody(data);
    const text = wireText(uuid, body);
    if (!known) {
      Object.assign(body, { uuid, own: true });
      this.emit("pending", { uuid, body, index: this.sortedHash.push(uuid, body), source: "local" });
    } else if (body.failure) {
      body.failure = undefined;
      this.#timeline.move(uuid, this.sortedHash.size() - 1);
    } else throw new GotapiError("invalid", "being sent", 0, uuid);
    await this.#outbox.add(uuid, text, options);
  }

  #failed(error: GotapiError): void {
    const body = this.sortedHash.get(error.uuid as string);
    if (body?.sent === false) body.failure = error;
    this.emit("error", error);
  }

  async #cancel(uuid: string, options: CallOptions): Promise<void> {
    if (this.#outbox.has(uuid)) {
      // Whether a message on its way is stored shows when its ack or refusal is here.
      const outcome = this.#outbox.outcome(uuid);
      if (!outcome) return this.#withdraw(uuid);
      await outcome.catch(() => {});
    }
    const url = this.historyUrl.replace(/history(?=\/?(\?|$))/, "cancel");
    await this.#http.cancel(url, { groupName: this.groupName, uuid }, options);
    this.#remove(uuid, "recalled");
  }

  /** Takes back a message that has never been sent. */
  #withdraw(uuid: string): void {
    this.#outbox.give(new GotapiError("aborted", "recalled", 0, uuid));
    this.#remove(uuid, "recalled");
  }

  // The connection

  #stateChanged(change: StateChange): void {
    if (change.state === "open") {
      this.#flush();
      this.#catchUp.connected();
    } else if (change.state !== "connecting") {
      if (change.code === 1009) this.#outbox.tooLarge(this.socketBus.largest);
      this.#outbox.disconnected();
      this.#queries.disconnected();
      this.#catchUp.disconnected();
    }
    this.emit("state", change);
  }

  /** Sends what may be sent now. */
  #flush(): void {
    const command =
      this.direction === Direction.Customer ? MessageCommand.CUSTOMER_ACK : MessageCommand.WAITRESS_ACK;
    for (const uuid of this.#confirmations) {
      if (!this.socketBus.send({ type: MessageType.Command, command, uuid })) return;
      this.#confirmations.delete(uuid);
    }
    this.#queries.pump();
    this.#outbox.pump();
  }

  /** A command outside the order of the stream: an answer, or another member's receipt. */
  #commanded({ command, uuid: named, body }: Packet): void {
    const uuid = named ?? "";
    if (command === MessageCommand.QUERY) this.#queries.answered(uuid, body?.data);
    else if (command === MessageCommand.ERROR) this.#refused(uuid, body?.data ?? {});
    else this.#confirmed(uuid);
    // At the latest after the answer to a ping: the socket may have been full.
    this.#flush();
  }

  #confirmed(uuid: string): void {
    const body = this.sortedHash.get(uuid);
    if (!body?.own || body.status === SendStatus.PeerSideReceived) return;
    body.status = SendStatus.PeerSideReceived;
    this.emit("receipt", { uuid, index: this.sortedHash.indexOf(uuid) });
  }

  #refused(uuid: string, data: { code?: unknown; msg?: unknown; retryAfter?: unknown }): void {
    const error = new GotapiError("refused", String(data.msg), Number(data.code) || 0, uuid);
    if (this.#outbox.refused(error, data.retryAfter) || this.#queries.refused(error, data.retryAfter)) return;
    if (error.code === 410) this.#catchUp.gap(error.message);
    else this.emit("error", error);
  }

  #acked(uuid: string): void {
    const waiting = this.#outbox.has(uuid);
    this.#outbox.answered(uuid);
    if (waiting || this.sortedHash.get(uuid)?.sent === false) this.#catchUp.reached(uuid);
    this.#timeline.settle(uuid);
  }

  // The list

  #read(range: HistoryRange, options: CallOptions): Promise<HistoryPage> {
    if (!this.historyUrl) return this.query(range, options);
    return this.#http.history(this.historyUrl, { groupName: this.groupName, ...range }, options);
  }

  /**
   * Reads pages, each larger than the last, until `take` finds something in one, or nothing follows: a page may be
   * full of recalled messages, or of such as are here. Resolves with what `take` has found.
   */
  async #readOn<Found>(
    { size, position, before }: SizedRange,
    { timeout = this.options.timeout ?? CALL_MS, signal }: CallOptions,
    take: (messages: HistoryMessage[]) => Found,
  ): Promise<Found> {
    const end = Date.now() + timeout;
    for (;;) {
      const left = { timeout: end - Date.now() || 1, signal };
      const { messages, next } = await this.#read({ size, position, before }, left);
      const found = take(messages);
      // Nothing follows a page without next. It must go forward, or a server that answers oddly would be asked for ever.
      if (found || !(next! > (position ?? 0))) return found;
      size = Math.min(2 * size, MAX_SIZE);
      position = next;
      before = undefined;
    }
  }

  /** Puts a page, newest message first, into the list. Returns how much the list has grown. */
  #merge(messages: HistoryMessage[], place: Place): number {
    const part = new Map<string, Entry>();
    for (const { uuid: named, body, text } of [...messages].reverse()) {
      const uuid = named ?? namelessKey(text, (key) => part.has(key));
      if (!this.#recalled.has(uuid)) part.set(uuid, { uuid, body: { ...body, uuid } });
    }
    const before = this.sortedHash.size();
    this.#source = "history";
    if (this.#timeline.merge([...part.values()], place)) this.#catchUp.startsAfter(messages);
    this.#source = "live";
    this.#maxMessages = Math.max(this.#maxMessages, this.sortedHash.size());
    return this.sortedHash.size() - before;
  }

  #inserted({ uuid, body }: Entry, index: number): void {
    if (this.#source === "live") this.#recalled.delete(uuid);
    this.emit("message", { uuid, body, index, source: this.#source });
    this.#trim();
  }

  /** An own message is stored; it has its place. */
  #settled(uuid: string): void {
    this.#outbox.answered(uuid);
    const index = this.sortedHash.indexOf(uuid);
    this.emit("ack", { uuid, index });
  }

  #remove(uuid: string, reason: "recalled" | "trimmed"): void {
    if (reason === "recalled") {
      addBounded(this.#recalled, uuid, MAX_RECALLS);
      this.#outbox.answered(uuid); // what is recalled was stored
    }
    const index = this.#timeline.remove(uuid);
    if (index < 0) return;
    this.emit("removed", { uuid, index, reason });
  }

  #trim(): void {
    const oldest = this.sortedHash.uuids[0] as string;
    const full = this.#source === "live" && this.sortedHash.size() > this.#maxMessages;
    if (full && this.sortedHash.isStored(oldest)) this.#remove(oldest, "trimmed");
  }
}
