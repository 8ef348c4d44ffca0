import type { GotapiError } from "./errors.js";
import type { MessageBody } from "./packet.js";
import type { StateChange } from "./socket-bus.js";

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
