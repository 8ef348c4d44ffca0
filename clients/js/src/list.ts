import type { Effect } from "./effects.js";
import type { HistoryMessage } from "./history.js";
import { namelessKey } from "./nameless.js";
import type { State } from "./state.js";
import type { Entry, Place } from "./timeline.js";

/** Recalls remembered, and confirmations that may wait for a connection. */
const BOUND = 1_000;

/** Adds an effect to the present transition. */
export function cause({ turn }: State, ...effect: Effect): void {
  turn.effects.push(effect);
}

/** Adds to a set, which forgets the oldest member when it is full. */
export function addBounded(set: Set<string>, uuid: string): void {
  if (set.size >= BOUND) set.delete(set.values().next().value as string);
  set.add(uuid);
}

/** Tells what the timeline has done to the list. */
export function told(state: State, source: "live" | "history" = "live"): void {
  for (const { name, ...event } of state.changes.splice(0)) {
    const { uuid, index } = event;
    if (name === "removed") forget(state, uuid, index);
    else {
      if (name === "ack") {
        state.unplaced.delete(uuid);
        state.messages.answered(uuid);
      }
      if (name === "message" && source === "live") state.recalled.delete(uuid);
      cause(state, "emit", name, { ...event, ...(name === "message" && { source }) } as never);
    }
  }
}

/** Takes a recalled message out of the list. */
export function recall(state: State, uuid: string): void {
  forget(state, uuid, state.timeline.remove(uuid));
}

function forget(state: State, uuid: string, index: number): void {
  addBounded(state.recalled, uuid);
  state.unplaced.delete(uuid);
  state.messages.answered(uuid); // what is recalled was stored
  if (index >= 0) cause(state, "emit", "removed", { uuid, index, reason: "recalled" });
}

/** Lets the oldest messages go when there are too many. */
export function trim(state: State): void {
  const { list, timeline, settings } = state;
  const { maxMessages = 10_000 } = settings;
  const oldest = list.uuids.slice(0, Math.max(0, list.size() - maxMessages));
  for (const uuid of oldest) {
    if (!list.isStored(uuid)) return;
    timeline.remove(uuid);
    cause(state, "emit", "removed", { uuid, index: 0, reason: "trimmed" });
  }
}

/** The stream goes on after a page, newest message first, that ended with the newest one. */
export function startAfter(state: State, [newest]: HistoryMessage[]): void {
  state.empty = !newest;
  if (!newest?.uuid) return;
  state.lastUuid = newest.uuid;
  state.timeline.begin(newest.uuid);
}

/** Puts a page, newest message first, into the list. Returns how much the list has grown. */
export function merge(state: State, messages: HistoryMessage[], place: Place): number {
  const { list, timeline } = state;
  const part = new Map<string, Entry>();
  for (const { uuid: named, body, text } of [...messages].reverse()) {
    const uuid = named ?? namelessKey(text, (key) => part.has(key));
    if (!state.recalled.has(uuid)) part.set(uuid, { uuid, body: { ...body, uuid } });
  }
  const before = list.size();
  if (timeline.merge([...part.values()], place)) startAfter(state, messages);
  told(state, "history");
  return list.size() - before;
}
