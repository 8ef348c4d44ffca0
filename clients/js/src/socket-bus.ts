import { type BackoffOptions, backoff } from "./backoff.js";
import { MsgCodec } from "./codec.js";
import { Emitter } from "./emitter.js";
import { MessageCommand, MessageType } from "./enums.js";
import { asError, GotapiError } from "./errors.js";
import { utf8 } from "./md5.js";
import type { Packet, RawData } from "./packet.js";
import {
  currentToken,
  type TokenProvider,
  type WebSocketConstructor,
  type WebSocketLike,
  webSocketConstructor,
} from "./platform.js";
import { UuidGenerator } from "./uuid.js";

/**
 * idle: not connected yet. connecting: on the way. open: connected. waiting: the connection is gone, the next try
 * comes after a pause. closed: close() was called.
 */
export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** A change of the connection. */
export interface StateChange {
  state: ConnectionState;
  /** waiting: milliseconds until the next try. */
  retryIn?: number;
  /** waiting: the WebSocket close code; 1006 when the connection broke or never came about. */
  code?: number;
}

/** Settings of a connection; times in milliseconds. */
export interface SocketBusOptions {
  /** For servers that ask who is there. Sent as WebSocket subprotocol, see bearerProtocols. */
  token?: TokenProvider;
  /** Pause between ping-pong commands, the first of which is sent at once. Default 3,000. */
  pingInterval?: number;
  /** How long a connection may take to come about. Default 10,000. */
  connectTimeout?: number;
  /** Pauses between tries to connect. */
  backoff?: BackoffOptions;
  /** Instead of the runtime's WebSocket. */
  WebSocket?: WebSocketConstructor;
}

/** Events of a connection. */
export interface SocketBusEvents {
  state: StateChange;
  /** A high-level packet, and the text that it came as. */
  packet: { packet: Packet; text: string };
  /** A low-level packet. */
  raw: RawData;
  error: GotapiError;
}

const OPEN = 1;
/** Unanswered pings after which the connection counts as dead. */
const MAX_SILENCE = 3;
/** A connection that held this long was a good one: the next pause is short again. */
const STABLE_MS = 5_000;
/** What may wait in the WebSocket to be sent, bytes. When more waits, sendRaw returns false. */
const MAX_BUFFERED = 8 << 20;
/**
 * The subprotocols that carry a token, since browsers cannot set headers on a WebSocket: the server takes
 * "gotapi.v1" and reads the token, percent-encoded, from the other.
 */
export function bearerProtocols(token: string): string[] {
  const encoded = encodeURIComponent(token).replace(/[()]/g, (sign) => (sign === "(" ? "%28" : "%29"));
  return ["gotapi.v1", `gotapi.bearer.${encoded}`];
}

const byteLength = (data: RawData) => (typeof data === "string" ? utf8(data) : data).byteLength;

/**
 * A WebSocket to one group that comes back by itself: with growing, jittered pauses after each failure, at once
 * when the browser says that it is online again. It notices a dead peer by the missing answers to its pings.
 */
export class SocketBus extends Emitter<SocketBusEvents> {
  readonly url: string;
  readonly options: SocketBusOptions;
  state: ConnectionState = "idle";
  /** The uuid to resume after, asked for at each connection. @internal */
  resumeAfter?: () => string | undefined;
  /** Bytes of the largest frame sent on this connection: what close code 1009 is about. @internal */
  largest = 0;

  #socket: WebSocketLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  /** Numbers the tries to connect: what belongs to an earlier one is ignored. */
  #round = 0;
  #attempt = 0;
  #openedAt = 0;
  #silence = 0;
  /** Whether this server answers pings; only then their absence means anything. */
  #answers = false;

  /** Does not connect yet. `url` is ws:// or wss:// and the group's path. */
  constructor(url: string, options: SocketBusOptions = {}) {
    super();
    this.url = url;
    this.options = options;
  }

  /** Connects, and stays connected until close(). Does nothing when that is already so. */
  connect(): void {
    if (this.state !== "idle" && this.state !== "closed") return;
    globalThis.addEventListener?.("online", this.#wake);
    this.#attempt = 0;
    this.#dial();
  }

  /** Disconnects for good; connect() starts anew. */
  close(): void {
    if (this.state === "closed") return;
    globalThis.removeEventListener?.("online", this.#wake);
    this.#drop();
    this.#change({ state: "closed" });
  }

  /** Sends a high-level packet. False when there is no connection to take it. */
  send(packet: Packet): boolean {
    return this.sendRaw(MsgCodec.encode(packet));
  }

  /** Sends a low-level packet: text as text, bytes as binary. False when there is no connection to take it. */
  sendRaw(data: RawData): boolean {
    const socket = this.#socket;
    if (socket?.readyState !== OPEN || socket.bufferedAmount > MAX_BUFFERED) return false;
    this.largest = Math.max(this.largest, byteLength(data));
    socket.send(data);
    return true;
  }

  /** Calls `listener` with every low-level packet. Returns what ends that. */
  onRaw(listener: (data: RawData) => void): () => void {
    return this.on("raw", listener);
  }

  #dial(): void {
    const round = ++this.#round;
    const failed = (thrown: unknown) => {
      if (round === this.#round) this.#lost(1006, asError(thrown, "network"));
    };
    this.#change({ state: "connecting" });
    if (round !== this.#round) return; // a listener called close()
    const limit = this.options.connectTimeout ?? 10_000;
    this.#timer = setTimeout(() => failed(new GotapiError("timeout")), limit);
    currentToken(this.options.token)
      .then((token) => {
        if (round !== this.#round) return;
        const Socket = this.options.WebSocket ?? webSocketConstructor();
        const protocols = token ? [bearerProtocols(token)] : [];
        this.#listen(new Socket(this.#address(), ...protocols));
      })
      .catch(failed);
  }

  #address(): string {
    const after = this.resumeAfter?.();
    if (!after) return this.url;
    const url = new URL(this.url, globalThis.location?.href);
    url.searchParams.set("after", after); // in the place of one that the url may have begun with
    return url.href;
  }

  #listen(socket: WebSocketLike): void {
    const mine = () => this.#socket === socket;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => mine() && this.#opened();
    socket.onmessage = (event: { data: RawData }) => mine() && this.#receive(event.data);
    socket.onclose = (event: { code: number }) => mine() && this.#lost(event.code);
    socket.onerror = () => {}; // close follows; without a listener some implementations throw
  }

  #opened(): void {
    clearTimeout(this.#timer);
    this.#openedAt = Date.now();
    this.#silence = 0;
    this.largest = 0;
    this.#heartbeat = setInterval(() => this.#beat(), this.options.pingInterval ?? 3_000);
    this.#ping(); // the sooner it is answered, the sooner silence means something
    this.#change({ state: "open" });
  }

  #receive(data: RawData): void {
    this.#silence = 0;
    const packet = typeof data === "string" ? MsgCodec.decode(data) : undefined;
    if (packet?.command === MessageCommand.PINGPONG) this.#answers = true;
    if (packet) this.emit("packet", { packet, text: data as string });
    else this.emit("raw", data);
  }

  #beat(): void {
    if (this.#answers && this.#silence >= MAX_SILENCE) {
      this.#lost(1006, new GotapiError("network", "no answer to pings"));
    } else {
      this.#ping();
    }
  }

  #ping(): void {
    this.#silence++;
    const uuid = UuidGenerator.generate();
    this.send({ type: MessageType.Command, command: MessageCommand.PINGPONG, uuid });
  }

  /** The browser is online again: try at once, or find out quickly whether the connection survived. */
  #wake = (): void => {
    if (this.state === "waiting") {
      clearTimeout(this.#timer);
      this.#attempt = 0;
      this.#dial();
    } else if (this.state === "open") {
      this.#silence = MAX_SILENCE - 1;
      this.#ping();
    }
  };

  #lost(code: number, error?: GotapiError): void {
    const wasOpen = this.state === "open";
    if (wasOpen && Date.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    this.#drop();
    const round = this.#round;
    const retryIn = backoff(this.#attempt++, this.options.backoff);
    this.#timer = setTimeout(() => this.#dial(), retryIn);
    this.#change({ state: "waiting", retryIn, code });
    const why = `${wasOpen ? "disconnected" : "cannot connect"}: ${code}`;
    if (round === this.#round) this.emit("error", error ?? new GotapiError("network", why, code));
  }

  /** Lets go of the connection, or of the try to get one. */
  #drop(): void {
    this.#round++;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket && socket.readyState <= OPEN) socket.close(1000);
  }

  #change(change: StateChange): void {
    this.state = change.state;
    this.emit("state", change);
  }
}
