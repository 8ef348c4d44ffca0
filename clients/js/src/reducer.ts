import * as catchUp from "./catch-up.js";
import { MsgCodec } from "./codec.js";
import type { Effect, Input, Inputs } from "./effects.js";
import { Direction, MessageCommand, MessageType, SendStatus } from "./enums.js";
import { GotapiError, over } from "./errors.js";
import { addBounded, cause, merge, recall, startAfter, told } from "./list.js";
import { isNameless } from "./nameless.js";
import type { Packet } from "./packet.js";
import type { State } from "./state.js";

/** The largest page that is read when smaller ones were full of what is no use. */
const MAX_SIZE = 1_000;

/**
 * Takes what has happened into the state, and returns what is to be done about it, in order. `writable`: whether the
 * socket takes frames now. Nothing here waits, sends, draws lots or looks at a clock: the same inputs always have
 * the same effects. The state is changed in place: it is as large as the list.
 */
export function reduce(state: State, [name, ...args]: Input, writable: boolean): Effect[] {
  const { turn, lastUuid } = state;
  turn.writable = writable;
  if (!state.closed) (transitions[name] as (state: State, ...args: unknown[]) => void)(state, ...args);
  else if (typeof args[0] === "number") cause(state, "settle", args[0], undefined, new GotapiError("closed"));
  if (state.lastUuid !== lastUuid) cause(state, "reach", state.lastUuid!);
  return turn.effects.splice(0);
}

const transitions: { [Name in keyof Inputs]: (state: State, ...args: Parameters<Inputs[Name]>) => void } = {
  state(state, change, largest) {
    state.open = change.state === "open";
    if (state.open) {
      flush(state);
      catchUp.connected(state);
    } else {
      if (change.code === 1009) state.messages.tooLarge(largest);
      state.messages.disconnected();
      state.queries.disconnected();
      catchUp.disconnected(state);
    }
  },

  packet(state, packet, text) {
    if (catchUp.isStreamed(packet)) catchUp.received(state, { packet, text });
    else commanded(state, packet);
  },

  publish(state, id, uuid, body, text) {
    const { list, timeline, messages } = state;
    const known = list.get(uuid);
    if (known?.sent) {
      cause(state, "settle", id);
      return;
    }
    if (!known) {
      Object.assign(body, { uuid, own: true });
      const index = list.push(uuid, body);
      cause(state, "emit", "pending", { uuid, body, index, source: "local" });
    } else if (known.failure) {
      Object.assign(known, body, { failure: undefined });
      timeline.move(uuid, list.size() - 1);
      told(state);
    } else {
      cause(state, "settle", id, undefined, new GotapiError("invalid", "being sent", 0, uuid));
      return;
    }
    messages.add({ id, uuid, text });
  },

  query: ({ queries }, id, uuid, text) => queries.add({ id, uuid, text }),

  pullHistory(state, id, range) {
    const at = state.timeline.place(range.position === 0, range.before);
    catchUp.read(state, id, { ...range, kind: "page", at });
  },

  pullOlder(state, id, size) {
    if (state.older.push({ id, size }) === 1) readOlder(state);
  },

  /**
   * Reads on, in ever larger pages, until something is found or nothing follows: a page may be full of recalled
   * messages, or of such as are here.
   */
  page(state, id, { messages, next }) {
    const read = state.reads.get(id);
    if (!read) return;
    // What was asked for on an earlier connection may have been recalled meanwhile, unheard.
    if (read.at.begun && read.connection !== state.connections) {
      catchUp.read(state, id, { ...read, at: state.timeline.place(read.position === 0, read.before) });
      return;
    }
    // Asked for by what is before the stream's place, the page has a place.
    if (state.timeline.isAdrift() && read.position === 0 && read.kind !== "place") {
      const at = state.timeline.place(false);
      catchUp.read(state, id, { ...read, position: undefined, before: state.lastUuid, at });
      return;
    }
    const own = id < 0;
    const found = own ? messages.length : merge(state, messages, read.at);
    // Nothing follows a page without next. It must go forward, or a server that answers oddly is asked for ever.
    if (!found && read.kind !== "page" && next! > (read.position ?? 0)) {
      const at = own ? read.at : state.timeline.place(false);
      const size = Math.min(2 * read.size, MAX_SIZE);
      catchUp.read(state, id, { ...read, size, position: next, before: undefined, at });
      return;
    }
    state.reads.delete(id);
    if (read.kind === "catchUp") catchUp.pulled(state, read, messages, next);
    // The newest message tells where the stream begins. Should it be unknown, the first one of the stream will do.
    if (read.kind === "place" && state.lastUuid === undefined) startAfter(state, messages);
    readEnded(state, id, found);
  },

  unread(state, id, error) {
    const catchingUp = state.reads.get(id)?.kind === "catchUp";
    state.reads.delete(id);
    if (id < 0 && error.code === 403) state.unreadable = true;
    if (catchingUp) catchUp.notPulled(state, error);
    readEnded(state, id, 0, error);
  },

  /** A read that is under way ends by itself: its requests have the time and the signal of its call. */
  expired(state, id, uuid, aborted) {
    const index = state.older.findIndex((one) => one.id === id);
    if (uuid) {
      state.messages.expired(uuid, aborted);
      state.queries.expired(uuid, aborted);
    } else if (index > 0) {
      state.older.splice(index, 1);
      cause(state, "settle", id, undefined, over(aborted));
    }
  },

  confirm(state, uuid) {
    addBounded(state.receipts, uuid);
    flush(state);
  },

  recalled(state, uuid) {
    state.messages.give(new GotapiError("aborted", "recalled", 0, uuid));
    recall(state, uuid);
  },

  timer(state, owner, uuid) {
    if (owner === "history") catchUp.pull(state);
    else state[owner].fired(uuid);
  },
  error: (state, error) => cause(state, "emit", "error", error),

  close(state) {
    state.closed = true;
    state.messages.close();
    state.queries.close();
    catchUp.disconnected(state);
    // What is being read settles when its request ends, which is now.
    for (const { id } of state.older) {
      cause(state, "settle", id, undefined, new GotapiError("closed"));
    }
  },
};

/** Sends what may be sent now. */
function flush(state: State): void {
  const { settings, turn, receipts } = state;
  const command =
    settings.direction === Direction.Customer ? MessageCommand.CUSTOMER_ACK : MessageCommand.WAITRESS_ACK;
  if (turn.writable) {
    for (const uuid of receipts) {
      cause(state, "send", MsgCodec.encode({ type: MessageType.Command, command, uuid }));
    }
    receipts.clear();
  }
  state.queries.pump();
  state.messages.pump();
}

/** A command outside the order of the stream: an answer, or another member's receipt. */
function commanded(state: State, { command, uuid: named, body }: Packet): void {
  const uuid = named ?? "";
  if (command === MessageCommand.QUERY) state.queries.answered(uuid, body?.data);
  else if (command === MessageCommand.ERROR) refused(state, uuid, body?.data ?? {});
  else if (command === MessageCommand.CUSTOMER_ACK || command === MessageCommand.WAITRESS_ACK) {
    confirmed(state, uuid);
  }
  // At the latest after the answer to a ping: the socket may have been full.
  flush(state);
}

function confirmed(state: State, uuid: string): void {
  const body = state.list.get(uuid);
  if (!body?.own || body.status === SendStatus.PeerSideReceived) return;
  body.status = SendStatus.PeerSideReceived;
  cause(state, "emit", "receipt", { uuid, index: state.list.indexOf(uuid) });
}

function refused(
  state: State,
  uuid: string,
  { code, msg, retryAfter }: { code?: unknown; msg?: unknown; retryAfter?: unknown },
): void {
  const error = new GotapiError("refused", String(msg), Number(code) || 0, uuid);
  if (state.messages.refused(error, retryAfter) || state.queries.refused(error, retryAfter)) return;
  if (error.code === 410) catchUp.gap(state, error.message);
  else cause(state, "emit", "error", error);
}

/** Reads what stands before the oldest message that has a uuid, if somebody waits for it. */
function readOlder(state: State): void {
  const { list, older, recalled, timeline, lastUuid = "" } = state;
  if (!older[0]) return;
  const { id, size } = older[0];
  const known = list.uuids.find((uuid) => list.isStored(uuid) && !isNameless(uuid));
  const before = known ?? (recalled.has(lastUuid) ? lastUuid : undefined);
  const at = timeline.place(!before, before);
  catchUp.read(state, id, { size, before, kind: "older", at });
}

/** Settles the call that a read was for. */
function readEnded(state: State, id: number, found: number, error?: GotapiError): void {
  cause(state, "settle", id, found, error);
  if (state.older[0]?.id !== id) return;
  state.older.shift();
  readOlder(state);
}
