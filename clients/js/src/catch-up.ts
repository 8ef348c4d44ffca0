import { MessageCommand, MessageType } from "./enums.js";
import { type GotapiError, isFinal } from "./errors.js";
import { type HistoryMessage, receivedBody, type SizedRange } from "./history.js";
import { cause, merge, recall, told, trim } from "./list.js";
import { namelessKey } from "./nameless.js";
import type { Packet } from "./packet.js";
import type { Read, State, Streamed } from "./state.js";
import type { Entry } from "./timeline.js";

/** Packets held back while the history is read after a gap. */
const MAX_HELD = 20_000;
/** History read after a gap by a bus that shows none at its start. */
const GAP_PAGE = 100;
/** History read when the group was empty at the start, and the connection was lost before its first message. */
const CATCH_UP_PAGE = 1_000;

/** Reports whether the place of the packet among the others counts. */
export const isStreamed = ({ type, command }: Packet) =>
  type === MessageType.Data || command === MessageCommand.SERVER_ACK || command === MessageCommand.RECALL;

/** Begins to read history. */
export function read(state: State, id: number, read: Read): void {
  state.reads.set(id, { ...read, connection: state.connections });
  const { size, position, before } = read;
  cause(state, "read", id, { size, position, before });
}

/** Begins to read history that no call has asked for. */
function readOwn(state: State, kind: Read["kind"], wanted: SizedRange, size = wanted.size): void {
  const at = state.timeline.place(wanted.position === 0);
  read(state, --state.ownReads, { ...wanted, size, kind, at, wanted });
}

/** There is a connection. */
export function connected(state: State): void {
  state.connections++;
  state.nameless.reconnected();
  if (state.lastUuid === undefined) findPlace(state);
  state.opened = true;
  state.attempt = 0;
  pull(state);
}

/** The connection is gone. */
export function disconnected(state: State): void {
  cause(state, "stop", "history", "");
  // What is held comes again: lastUuid has not moved past it.
  state.held = undefined;
}

/** Without a message to resume after, the history tells what was missed, or where the stream begins. */
function findPlace(state: State): void {
  const { historySize } = state.settings;
  if (state.opened) {
    state.timeline.restart();
    doubtPlaces(state);
    const size = state.empty ? Math.max(historySize, CATCH_UP_PAGE) : historySize;
    if (size > 0) state.wanted = { size, position: 0 };
  } else if (!state.unreadable && state.wanted?.position !== 0)
    readOwn(state, "place", { size: 1, position: 0 });
}

/**
 * The stream does not go on after lastUuid. The server sends all that it retains, then what is live; where that
 * belongs in the list shows when the newest history is there, so it is held until then.
 */
export function gap(state: State, message: string): void {
  if (!state.unreadable) state.held ??= [];
  state.wanted = { size: state.settings.historySize || GAP_PAGE, position: 0 };
  if (!state.inGap) cause(state, "emit", "gap", { after: state.lastUuid, message });
  state.inGap = true;
  state.attempt = 0;
  pull(state);
}

/** Reads the wanted history, again and again with pauses while it fails and there is a connection. */
export function pull(state: State): void {
  const { wanted } = state;
  if (!wanted || state.pulling || !state.open || state.unreadable) return;
  state.pulling = true;
  readOwn(
    state,
    "catchUp",
    wanted,
    state.unplaced.size > 0 ? Math.max(wanted.size, CATCH_UP_PAGE) : wanted.size,
  );
}

/** What was on the way may be stored before the place where the stream begins again. */
function doubtPlaces({ list, messages, unplaced }: State): void {
  for (const uuid of list.uuids) {
    const item = messages.get(uuid);
    const isNew = item && !item.tried;
    if (!list.isStored(uuid) && !isNew && !unplaced.has(uuid)) unplaced.set(uuid, false);
  }
}

/** Whether the ack of a message does not tell its place. Then the history is read, from there on at least. */
function isSought(state: State, uuid: string): boolean {
  const known = state.unplaced.get(uuid);
  if (known === undefined || state.unreadable) return false;
  state.unplaced.set(uuid, true);
  state.timeline.skip(uuid);
  if (!known) {
    state.wanted = { size: state.wanted?.size ?? state.settings.historySize, position: 0 };
    pull(state);
  }
  return true;
}

/**
 * The history is here, or cannot be had. What all of it does not have was recalled; otherwise it stays where the
 * stream is now.
 */
function sought(state: State, isAll: boolean): void {
  for (const [uuid, stored] of state.unplaced) {
    if (stored && isAll) recall(state, uuid);
    else if (stored) state.timeline.settle(uuid);
  }
  told(state);
}

/** The wanted history is here, newest message first. */
export function pulled(state: State, { wanted, at }: Read, messages: HistoryMessage[], next?: number): void {
  state.pulling = false;
  if (state.wanted === wanted) state.wanted = undefined;
  const oldest = messages.reduce((oldest, { uuid }, i) => (state.unplaced.has(uuid ?? "") ? i : oldest), -1);
  merge(state, messages.slice(0, Math.max(wanted!.size, oldest + 1)), at);
  if (!state.wanted) {
    sought(state, next === undefined);
    release(state);
  }
  state.attempt = 0;
  pull(state);
}

/** The wanted history could not be read. */
export function notPulled(state: State, error: GotapiError): void {
  state.pulling = false;
  release(state);
  cause(state, "emit", "error", error);
  if (isFinal(error.code)) sought(state, false);
  else cause(state, "wait", "history", "", 0, state.attempt++);
}

/** A packet of the stream. */
export function received(state: State, streamed: Streamed): void {
  if (!state.held) apply(state, streamed);
  else if (state.held.push(streamed) > MAX_HELD) release(state);
}

function apply(state: State, streamed: Streamed): void {
  const { type, command, uuid } = streamed.packet;
  if (type === MessageType.Data) {
    const entry = arrived(state, streamed);
    if (entry) state.timeline.append(entry);
    told(state);
    trim(state);
    reached(state, uuid);
  } else if (command === MessageCommand.RECALL) recalled(state, uuid ?? "");
  else acked(state, uuid ?? "");
}

/** Undefined for a message without uuid that came before the connection was lost, and now once more. */
function arrived(state: State, { packet, text }: Streamed): Entry | undefined {
  state.inGap = false;
  if (!packet.uuid && state.nameless.repeats(text)) return undefined;
  const uuid = packet.uuid || namelessKey(text, (key) => state.list.has(key));
  return { uuid, body: { ...receivedBody(packet), uuid } };
}

function acked(state: State, uuid: string): void {
  const waiting = state.messages.get(uuid);
  state.messages.answered(uuid);
  if (isSought(state, uuid)) return;
  const { lastUuid } = state;
  if (state.timeline.settle(uuid) || waiting) {
    reached(state, uuid);
    state.beforeAck = lastUuid;
  }
  told(state);
}

/**
 * A message was recalled. When its ack has come just before, it may have been stored and recalled long ago, unheard:
 * that is no place to resume from.
 */
function recalled(state: State, uuid: string): void {
  if (uuid === state.lastUuid) state.lastUuid = state.beforeAck ?? uuid;
  recall(state, uuid);
}

/** A message was delivered or, at its place in the stream, acked. */
function reached(state: State, uuid: string | null | undefined): void {
  if (!uuid) return;
  state.lastUuid = uuid;
  state.beforeAck = undefined;
  state.nameless.passed();
}

/** Lets what was held go into the list: the whole retained history, oldest first, then what is live. */
function release(state: State): void {
  const streamed = state.held ?? [];
  const part: Entry[] = [];
  const flush = () => {
    state.timeline.replay(part.splice(0));
    told(state);
    trim(state);
  };
  state.held = undefined;
  for (const one of streamed) {
    const entry = one.packet.type === MessageType.Data && arrived(state, one);
    if (entry) {
      part.push(entry);
      reached(state, one.packet.uuid);
    } else {
      flush();
      apply(state, one);
    }
  }
  flush();
}
