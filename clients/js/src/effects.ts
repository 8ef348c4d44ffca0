import type { GotapiError } from "./errors.js";
import type { MessageBusEvents } from "./events.js";
import type { HistoryPage, HistoryRange, SizedRange } from "./history.js";
import type { MessageBody, Packet } from "./packet.js";
import type { StateChange } from "./socket-bus.js";

/** What can happen to a message bus. `id` is the number of the call that an input belongs to. */
export interface Inputs {
  /** The connection has changed. `largest`: bytes of the largest frame that was sent on it. */
  state(change: StateChange, largest: number): void;
  packet(packet: Packet, text: string): void;
  publish(id: number, uuid: string, body: MessageBody, text: string): void;
  query(id: number, uuid: string, text: string): void;
  pullHistory(id: number, range: SizedRange): void;
  pullOlder(id: number, size: number): void;
  /** The answer to the effect "read". */
  page(id: number, page: HistoryPage): void;
  unread(id: number, error: GotapiError): void;
  /** The time of a call, for the message or query `uuid` if any, is up or, given a signal, its caller has aborted it. */
  expired(id: number, uuid: string | undefined, aborted?: { reason?: unknown } | false): void;
  confirm(uuid: string): void;
  /** A message is recalled: by the server on request, or here, because the server never had it. */
  recalled(uuid: string): void;
  /** A timer has fired. */
  timer(owner: TimerOwner, uuid: string): void;
  error(error: GotapiError): void;
  close(): void;
}

/** What a bus does about its inputs. */
export interface Effects {
  /** Brings the list up to the event, and tells the listeners. */
  emit<Name extends keyof MessageBusEvents>(name: Name, event: MessageBusEvents[Name]): void;
  /** The place to resume from has moved to this message. */
  reach(uuid: string): void;
  send(text: string): void;
  /** Ends a call: resolves with the value unless there is an error. */
  settle(id: number, value?: unknown, error?: GotapiError): void;
  /** Gives a call its whole time again, from now on. */
  extend(id: number): void;
  /** Reads history. An id below 0 is nobody's call. */
  read(id: number, range: HistoryRange): void;
  /** Starts a timer of `ms`, and the jittered pause before try number `attempt`, if there is one. */
  wait(owner: TimerOwner, uuid: string, ms: number, attempt?: number): void;
  stop(owner: TimerOwner, uuid: string): void;
}

/** Whose timer it is: an outbox has one for each item and one, with uuid "", for itself. */
export type TimerOwner = "messages" | "queries" | "history";

/** Calls of an interface, as data: the name, then the arguments. */
type CallsOf<Calls> = {
  // biome-ignore lint/suspicious/noExplicitAny: any function
  [Name in keyof Calls]: Calls[Name] extends (...args: any) => void
    ? [name: Name, ...args: Parameters<Calls[Name]>]
    : never;
}[keyof Calls];

type EmitOf<Events> = { [Name in keyof Events]: ["emit", name: Name, event: Events[Name]] }[keyof Events];

export type Input = CallsOf<Inputs>;
export type Effect = CallsOf<Omit<Effects, "emit">> | EmitOf<MessageBusEvents>;

/** One transition: whether the socket takes frames, and the effects so far, in order. */
export interface Turn {
  writable: boolean;
  effects: Effect[];
}
