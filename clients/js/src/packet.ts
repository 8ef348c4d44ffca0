import { SendStatus, type WsEventType } from "./enums.js";
import type { GotapiError } from "./errors.js";
import { md5 } from "./md5.js";

/** The body of a data packet, and what the client knows about the message. */
// biome-ignore lint/suspicious/noExplicitAny: existing programs read `data` without a cast
export class MessageBody<T = any> {
  /** The content: usually a string, may be any JSON value. */
  data: T;
  /** MD5 (hex) of the content, as its sender stated it. */
  hash: string;
  /** True once the server has the message. */
  sent: boolean;
  /** How far the message has come. Not on the wire. */
  status?: SendStatus;
  /** The message's uuid. Not on the wire. */
  declare uuid?: string;
  /** True for what this client itself published. Not on the wire. */
  declare own?: boolean;
  /** Why the message will not be sent any more. Not on the wire. */
  declare failure?: GotapiError | undefined;
  /** Marked by SortedHash.markAsRollback. Not on the wire. */
  declare rollback?: boolean;
  /** What other programs put into the body. */
  [field: string]: unknown;

  constructor(data: T, hash = "", sent = false) {
    this.data = data;
    this.hash = hash;
    this.sent = sent;
    this.status = sent ? SendStatus.ServerReceived : SendStatus.Default;
  }
}

/** The body of a new message. Throws a TypeError for what JSON cannot hold. */
export function newBody(data: unknown): MessageBody {
  const json = JSON.stringify(data) ?? "null";
  return new MessageBody(data === undefined ? null : data, md5(typeof data === "string" ? data : json));
}

/** Which part of the list a query wants: `size` messages from `offset` on, 0 being the newest. */
export class PullArgument {
  constructor(
    public offset = 0,
    public size = 50,
  ) {}
}

/** Instead of an offset: what comes after the message `uuid`, or before the message `before`. */
export class QueryArgument {
  constructor(
    public uuid?: string,
    public before?: string,
  ) {}
}

/** An application event, sent as the data of a message. */
export class WsEvent<T = unknown> {
  constructor(
    public type: WsEventType,
    public data: T,
  ) {}
}

/** A high-level packet. */
export interface Packet {
  type: number;
  command?: number;
  uuid?: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds depends on type and command
  body?: any;
  pullargs?: PullArgument;
  queryArgs?: QueryArgument;
  [field: string]: unknown;
}

/** A low-level packet: text, or bytes. */
export type RawData = string | ArrayBuffer | Uint8Array;
