import type { Turn } from "./effects.js";
import type { Direction } from "./enums.js";
import { isFinal, isPassing } from "./errors.js";
import type { SizedRange } from "./history.js";
import { type Nameless, newNameless } from "./nameless.js";
import { newOutbox, type Outbox, type OutboxOptions } from "./outbox.js";
import type { Packet } from "./packet.js";
import { SortedHash } from "./sorted-hash.js";
import { type Change, newTimeline, type Place, type Timeline } from "./timeline.js";

/** What a bus is told at its start. */
export interface Settings extends OutboxOptions {
  direction: Direction;
  /** The history to read at the start. */
  historySize: number;
  position: number;
  /** Begin after this message. */
  after?: string | undefined;
  maxMessages?: number;
}

/** A packet whose place among the others counts, and its text. */
export interface Streamed {
  packet: Packet;
  text: string;
}

/** A part of the history that is being read, page by page, until something is found. */
export interface Read extends SizedRange {
  /** Who wants it: a call for a page or for older messages, catching up, or the search for the stream's place. */
  kind: "page" | "older" | "catchUp" | "place";
  /** Where the next page belongs. */
  at: Place;
  /** Catching up: the messages that were asked for. */
  wanted?: SizedRange;
  /** The number of the connection at the time. */
  connection?: number;
}

/** Queries that may wait. */
const QUERY_LIMITS = { outboxSize: 100, inFlight: 1 };

/** All that a bus knows. Only reduce() changes it. */
export interface State {
  readonly settings: Settings;
  readonly turn: Turn;
  /** The messages in order. */
  readonly list: SortedHash;
  readonly timeline: Timeline;
  /** What the timeline has done to the list, until it is told. */
  readonly changes: Change[];
  readonly messages: Outbox;
  readonly queries: Outbox;
  /** Recalls, so that a page of history read before them does not bring their messages back. */
  readonly recalled: Set<string>;
  /** Messages to be confirmed when there is a connection. */
  readonly receipts: Set<string>;
  /** What is being read, by the number of the call. */
  readonly reads: Map<number, Read>;
  /** Calls for older messages. The first one is being read: the next begins where it will have got to. */
  readonly older: { id: number; size: number }[];
  /** Reads that no call asked for; they are numbered downwards from -1. */
  ownReads: number;
  readonly nameless: Nameless;
  /**
   * Own messages that were on the way before the stream began again, nobody knows where: their acks do not tell their
   * place, the history does. True: they are stored.
   */
  readonly unplaced: Map<string, boolean>;
  /** The last message delivered or acked: the place to resume from. */
  lastUuid?: string | undefined;
  /** The one before, if lastUuid was acked and nothing has come since. */
  beforeAck?: string | undefined;
  closed?: boolean;
  /** There is a connection. */
  open?: boolean;
  /** There was a connection. */
  opened?: boolean;
  /** How many there were. */
  connections: number;
  /** The history to read as soon as there is a connection. */
  wanted?: SizedRange | undefined;
  /** Whether it is being read. */
  pulling?: boolean;
  /** This client may not read the history: it is read only when a call asks for it. */
  unreadable?: boolean;
  /** Tries to read it that have failed. */
  attempt: number;
  /** The group had no messages when the bus came. */
  empty?: boolean;
  /** After a gap: the stream, until the history is read. */
  held?: Streamed[] | undefined;
  /** A gap was told, and no message has come since. */
  inGap?: boolean;
}

/** What a bus knows at its start. */
export function newState(settings: Settings): State {
  const turn: Turn = { writable: false, effects: [] };
  const list = new SortedHash();
  const changes: Change[] = [];
  const timeline = newTimeline(list, changes);
  const { historySize: size, position, after } = settings;
  timeline.begin(after);
  return {
    settings,
    turn,
    list,
    timeline,
    changes,
    messages: newOutbox(turn, "messages", isFinal, settings, list),
    queries: newOutbox(turn, "queries", (code) => !isPassing(code), QUERY_LIMITS),
    recalled: new Set(),
    receipts: new Set(),
    reads: new Map(),
    older: [],
    ownReads: 0,
    connections: 0,
    nameless: newNameless(),
    unplaced: new Map(),
    lastUuid: after,
    wanted: size > 0 ? { size, position } : undefined,
    attempt: 0,
  };
}
