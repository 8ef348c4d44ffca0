import { wireText } from "./codec.js";
import { Direction } from "./enums.js";
import { GotapiError } from "./errors.js";
import { type HistoryPage, type HistoryRange, readPage } from "./history.js";
import { type Http, type HttpOptions, newHttp } from "./http.js";
import type { CallOptions } from "./limit.js";
import { MessageBus, type MessageBusOptions } from "./message-bus.js";
import { newBody, type RawData } from "./packet.js";
import { SocketBus, type SocketBusOptions } from "./socket-bus.js";
import { UuidGenerator } from "./uuid.js";

/** Settings of a client. */
export interface ClientOptions extends HttpOptions {}

/** Settings of join(). */
export interface JoinOptions extends MessageBusOptions, SocketBusOptions {
  /** Default Customer. */
  direction?: Direction;
  /** Messages of history to read at the start. Default 50. */
  historySize?: number;
}

/**
 * The path of a group in a URL. Throws for what is no group name, and for names that no URL can hold: those with a
 * segment "." or "..", which URL parsers take away, and those that are not valid Unicode.
 */
export function groupPath(groupName: string): string {
  try {
    if (groupName[0] === "/" && !/\/\.\.?(\/|$)/.test(groupName)) {
      return groupName.split("/").map(encodeURIComponent).join("/");
    }
  } catch {}
  throw new GotapiError("invalid", "bad group name", 400);
}

/**
 * Publishes, reads and recalls over HTTP, without a connection. What may succeed later is tried again, under the
 * same uuid, until the time is up: a message is stored once.
 */
export class Client {
  readonly #base: string;
  readonly #http: Http;
  readonly #options: ClientOptions;

  /** `baseUrl` is http:// or https://, host and port, and a path if a proxy has put the server under one. */
  constructor(baseUrl: string, options: ClientOptions = {}) {
    this.#options = options;
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#http = newHttp(options);
  }

  /** Stores a message and sends it to all members. Resolves when it is stored. */
  async publish(
    groupName: string,
    data: unknown,
    options: CallOptions & { uuid?: string } = {},
  ): Promise<{ uuid: string; duplicate: boolean }> {
    const { uuid = UuidGenerator.generate() } = options;
    const answer = await this.#post(groupName, wireText(uuid, newBody(data)), options);
    return { uuid, duplicate: answer?.duplicate === true };
  }

  /** Sends a low-level packet to all members, once or, when answers get lost, more than once. */
  async publishRaw(groupName: string, packet: RawData, options: CallOptions = {}): Promise<void> {
    await this.#post(groupName, packet, options);
  }

  /** A part of a group's history. */
  async history(
    groupName: string,
    range: HistoryRange = {},
    options: CallOptions = {},
  ): Promise<HistoryPage> {
    return readPage(await this.#http.call(`${this.#base}/__/history/`, { groupName, ...range }, options));
  }

  /** Recalls a message, for everybody. */
  async cancel(groupName: string, uuid: string, options: CallOptions = {}): Promise<void> {
    await this.#http.call(`${this.#base}/__/cancel/`, { groupName, uuid }, options);
  }

  /** Becomes a member of a group. */
  join(groupName: string, options: JoinOptions = {}): MessageBus {
    const { direction = Direction.Customer, historySize = 50 } = options;
    const all = { ...this.#options, ...options };
    const socketBus = new SocketBus(this.#base.replace(/^http/, "ws") + groupPath(groupName), all);
    return new MessageBus(direction, socketBus, `${this.#base}/__/history/`, groupName, historySize, 0, all);
  }

  #post(groupName: string, packet: RawData, options: CallOptions) {
    return this.#http.post(this.#base + groupPath(groupName), packet, options);
  }
}
