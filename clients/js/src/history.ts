import { MsgCodec } from "./codec.js";
import { MessageType, SendStatus } from "./enums.js";
import { GotapiError } from "./errors.js";
import type { MessageBody, Packet } from "./packet.js";

/** Which part of a group's history is wanted. */
export interface HistoryRange {
  /** Messages; at most 10,000. */
  size?: number | undefined;
  /** 0 is the newest message; negative numbers count from the oldest, -1 being it. */
  position?: number | undefined;
  /** Instead of a position: what stands before the message with this uuid, newest first. */
  before?: string | undefined;
}

/** A range whose size is known. */
export type SizedRange = HistoryRange & { size: number };

/** What can be asked for over the socket. */
export interface QueryRange extends HistoryRange {
  /** Instead of a position: what stands after the message with this uuid, oldest first. */
  after?: string;
}

/** A stored message. */
export interface HistoryMessage {
  /** Undefined for a message without one. */
  uuid: string | undefined;
  body: MessageBody;
  /** The packet as it was sent. */
  text: string;
}

/** A part of a group's history. Recalled messages are left out, but keep their position. */
export interface HistoryPage {
  /** Newest first, unless `after` was asked for. */
  messages: HistoryMessage[];
  /** The position that was asked for. */
  position: number;
  /** The position to go on from, when more follows. */
  next?: number;
}

/** The body of a packet that the server has, without what only this client itself can know. */
export function receivedBody(packet: Packet): MessageBody {
  const { data, hash = "", own, failure, rollback, ...others } = packet.body ?? {};
  return { ...others, data, hash, sent: true, status: SendStatus.ServerReceived };
}

/** Reads a stored text; one that is no data packet becomes a message that has it as data. */
function readMessage(text: string): HistoryMessage {
  const packet = MsgCodec.decode(text);
  if (packet?.type !== MessageType.Data) {
    return { uuid: undefined, body: receivedBody({ type: 0, body: { data: text } }), text };
  }
  const uuid = packet.uuid || undefined;
  return { uuid, body: { ...receivedBody(packet), uuid }, text };
}

/** Reads the server's answer, over HTTP or the socket. Throws when it is none. */
export function readPage(answer: unknown): HistoryPage {
  const { position, data, next } = (answer ?? {}) as Record<string, unknown>;
  if (!Array.isArray(data)) throw new GotapiError("invalid", "bad answer");
  const messages = data.map(String).map(readMessage);
  return { position: Number(position) || 0, messages, ...(typeof next === "number" && { next }) };
}
