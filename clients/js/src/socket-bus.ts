import { type BackoffOptions, backoff } from "./backoff.js";
import { MsgCodec } from "./codec.js";
import { Emitter } from "./emitter.js";
import { MessageCommand, MessageType } from "./enums.js";
import { asError, GotapiError } from "./errors.js";
import { request } from "./http.js";
import { time, within } from "./limit.js";
import { byteLength } from "./md5.js";
import type { Packet, RawData } from "./packet.js";
import {
  currentToken,
  type FetchLike,
  fetcher,
  type TokenProvider,
  type WebSocketConstructor,
  type WebSocketLike,
  webSocketConstructor,
} from "./platform.js";
import { UuidGenerator } from "./uuid.js";

/**
 * idle: not connected yet. connecting: on the way. open: connected. waiting: the connection is gone, the next try
 * comes after a pause. denied: the server refuses this client; connect() tries again. closed: close() was
 * called, or the runtime has no WebSocket.
 */
export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "denied" | "closed";

/** A change of the connection. */
export interface StateChange {
  state: ConnectionState;
  /** waiting: milliseconds until the next try. */
  retryIn?: number;
  /**
   * waiting: the WebSocket close code; 1006 when the connection broke or never came about. denied: the server's code,
   * 401 without a valid token, 403 without the right to join; the error event says why.
   */
  code?: number;
}

/** Settings of a connection; times in milliseconds. */
export interface SocketBusOptions {
  /** For servers that ask who is there. Sent as WebSocket subprotocol, see bearerProtocols. */
  token?: TokenProvider;
  /**
   * Pause between ping-pong commands, the first of which is sent at once. By default a server that answers them gets
   * the next one when nothing has come from it for 25,000, or for 3,000 after something was sent; others get one
   * every 3,000.
   */
  pingInterval?: number;
  /** How long a connection may take to come about. Default 10,000. */
  connectTimeout?: number;
  /** Pauses between tries to connect. */
  backoff?: BackoffOptions;
  /** Instead of the runtime's WebSocket. */
  WebSocket?: WebSocketConstructor;
  /** Instead of the runtime's fetch. */
  fetch?: FetchLike;
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
/** When nothing has come for so long, the connection is tried with a ping, milliseconds. */
const IDLE_MS = 25_000;
/** A connection that held this long was a good one: the next pause is short again. */
const STABLE_MS = 1_000;
/** Events of a browser that say something about the connection. */
const NEWS = ["online", "offline", "visibilitychange", "pageshow", "pagehide"];
/** What may wait in the WebSocket to be sent, bytes. When more waits, sendRaw returns false. */
const MAX_BUFFERED = 8 << 20;
/**
 * The subprotocols that carry a token, since browsers cannot set headers on a WebSocket: the server takes
 * "gotapi.v1" and reads the token, percent-encoded, from the other.
 */
export function bearerProtocols(token: string): string[] {
  return ["gotapi.v1", `gotapi.bearer.${encodeURIComponent(token).replace(/[()]/g, escape)}`];
}

/**
 * A WebSocket to one group that comes back by itself: with growing, jittered pauses after each failure, at once
 * when the browser is online again or the page is looked at again. It notices a dead peer by the missing answers to
 * its pings. When the server refuses this client, it says so and tries no more.
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
  /** The last try to connect failed. */
  #failed = false;
  #openedAt = 0;
  #heardAt = 0;
  /** HTTP requests to the server have come through. */
  #answersHttp = false;
  /** Something was sent, or waits to be sent, and nothing has come since. */
  #expecting = false;
  /** Pings since something came. */
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
    if (!["idle", "denied", "closed"].includes(this.state)) return;
    for (const name of NEWS) globalThis.addEventListener?.(name, this.#heed);
    this.#attempt = 0;
    this.#failed = false;
    this.#dial();
  }

  /** Disconnects for good; connect() starts anew. */
  close(): void {
    if (this.state !== "closed") this.#end({ state: "closed" });
  }

  /** An HTTP request to this URL was answered. @internal */
  answered(url: string): void {
    const host = (url: string) => url.split("/")[2];
    this.#answersHttp ||= host(url) === host(this.url);
  }

  /** Whether there is a connection that takes frames. @internal */
  get writable(): boolean {
    const socket = this.#socket;
    if (socket?.readyState !== OPEN) return false;
    const full = socket.bufferedAmount > MAX_BUFFERED;
    this.#expecting ||= full; // the answer to the next ping shows that there is room
    return !full;
  }

  /** Sends a high-level packet. False when there is no connection to take it. */
  send(packet: Packet): boolean {
    return this.sendRaw(MsgCodec.encode(packet));
  }

  /** Sends a low-level packet: text as text, bytes as binary. False when there is no connection to take it. */
  sendRaw(data: RawData): boolean {
    const { writable } = this;
    if (writable) {
      this.largest = Math.max(this.largest, byteLength(data));
      this.#expecting = true;
      this.#socket?.send(data);
    }
    return writable;
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
    const limit = time(this.options.connectTimeout, 10_000);
    this.#timer = setTimeout(() => failed(new GotapiError("timeout")), limit);
    this.#reach(round, limit).catch(failed);
  }

  /** Opens the WebSocket of a try. */
  async #reach(round: number, limit: number): Promise<void> {
    const token = await currentToken(this.options.token);
    if (this.#failed && round === this.#round) {
      await within(this.#knock(round, token), limit / 2).catch((thrown) => {
        // Where HTTP has never come through, a page's policy may be what stops it.
        if (this.#answersHttp) throw thrown;
      });
    }
    if (round !== this.#round) return;
    const Socket = this.options.WebSocket ?? webSocketConstructor();
    if (Socket) this.#listen(new Socket(this.#address(), token ? bearerProtocols(token) : []));
    else this.#giveUp({ state: "closed" }, new GotapiError("invalid", "no WebSocket"));
  }

  /**
   * Asks the server by HTTP whether another try makes sense: browsers do not tell why a WebSocket was refused, and
   * Firefox holds WebSockets to a host back, for up to a minute, after each one that failed.
   */
  async #knock(round: number, token: string | undefined): Promise<void> {
    const { fetch = fetcher() } = this.options;
    if (!fetch) return;
    const url = this.url.replace(/^ws/i, "http");
    const cache = "no-store";
    // Without a token a cookie may count, which other origins may not ask about.
    const asked = request(fetch, url, { cache, credentials: token ? "omit" : "include" }, token);
    // Any answer will do, also one that a page of another origin may not read.
    const answer = await asked.catch(() => request(fetch, url, { cache, mode: "no-cors" }));
    this.answered(url);
    const { status, json } = answer;
    const refused = [401, 403].includes(status) && json?.code === status;
    if (refused && round === this.#round) {
      this.#giveUp({ state: "denied", code: status }, new GotapiError("refused", String(json.msg), status));
    }
  }

  #address(): string {
    const after = this.resumeAfter?.();
    if (!after) return this.url;
    const url = this.url.replace(/([?&])after=[^&]*/, "$1"); // in the place of one that the url may have begun with
    return `${url}${url.includes("?") ? "&" : "?"}after=${encodeURIComponent(after)}`;
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
    this.#failed = false;
    this.#openedAt = this.#heardAt = Date.now();
    this.#silence = 0;
    this.largest = 0;
    this.#watch(); // the sooner a ping is answered, the sooner silence means something
    this.#change({ state: "open" });
  }

  /** Pings now, and looks for answers from now on. */
  #watch(): void {
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#beat(), time(this.options.pingInterval, 3_000));
    this.#ping();
  }

  #receive(data: RawData): void {
    this.#heardAt = Date.now();
    this.#expecting = false;
    this.#silence = 0;
    const packet = typeof data === "string" ? MsgCodec.decode(data) : undefined;
    if (packet?.command === MessageCommand.PINGPONG) this.#answers = true;
    if (packet) this.emit("packet", { packet, text: data as string });
    else this.emit("raw", data);
  }

  #beat(): void {
    const quiet = this.options.pingInterval || this.#expecting || Date.now() - this.#heardAt >= IDLE_MS;
    if (this.#answers && !quiet) return;
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

  /** News from the browser: try at once, or find out quickly whether the connection has survived. */
  #heed = ({ type, persisted }: { type: string; persisted?: boolean }): void => {
    if (type === "pagehide") {
      // The browser keeps the page for the way back. Until "pageshow" it is no member.
      if (persisted && this.state !== "waiting") this.#retry(1001);
    } else if (type === "visibilitychange" && globalThis.document?.hidden) {
      // Nobody looks at it.
    } else if (this.state === "open") {
      this.#silence = MAX_SILENCE - 1;
      this.#watch();
    } else if (this.state === "waiting" && type !== "offline") {
      clearTimeout(this.#timer);
      this.#attempt = 0;
      this.#dial();
    }
  };

  #lost(code: number, error?: GotapiError): void {
    const wasOpen = this.state === "open";
    const why = `${wasOpen ? "disconnected" : "cannot connect"}: ${code}`;
    this.#failed = !wasOpen;
    const round = this.#retry(code);
    if (round === this.#round) this.emit("error", error ?? new GotapiError("network", why, code));
  }

  /** Lets go of the connection, and tries again after a pause. Returns the number of the round. */
  #retry(code: number): number {
    if (this.state === "open" && Date.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    this.#drop();
    const round = this.#round;
    const retryIn = backoff(this.#attempt++, this.options.backoff);
    this.#timer = setTimeout(() => this.#dial(), retryIn);
    this.#change({ state: "waiting", retryIn, code });
    return round;
  }

  /** Another try would fail, too. */
  #giveUp(change: StateChange, error: GotapiError): void {
    this.#end(change);
    this.emit("error", error);
  }

  #end(change: StateChange): void {
    for (const name of NEWS) globalThis.removeEventListener?.(name, this.#heed);
    this.#drop();
    this.#change(change);
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
