import { isNameless } from "./nameless.js";
import type { MessageBody } from "./packet.js";
import type { SortedHash } from "./sorted-hash.js";

/** One message on its way into the timeline. */
export interface Entry {
  uuid: string;
  body: MessageBody;
}

/** What became of a message of the list, named as the event that tells it. */
export type Change =
  | { name: "message"; uuid: string; body: MessageBody; index: number }
  | { name: "moved"; uuid: string; index: number; from: number }
  /** It was there, and is not in the history any more. */
  | { name: "removed"; uuid: string; index: number }
  /** An own message was found in the history or the stream. */
  | { name: "ack"; uuid: string; index: number };

/** Where a page of history was read, so that it finds its place although the list has changed meanwhile. */
export interface Place {
  /** It ended with the newest message. */
  newest: boolean;
  /** The stream had begun. */
  begun: boolean;
  /** When nothing of the page is known, it stands after this message; at the beginning, if that is gone. */
  after: string | undefined;
}

/**
 * Puts messages where they belong: those that the server has, in the order of the history; after them own ones
 * that it does not have, in the order of publishing. The stream decides: what it has not brought yet is left to it.
 * What it does to the list is added to `changes`.
 */
export function newTimeline(list: SortedHash, changes: Change[]) {
  /** The last message of the stream; "" when it and all before it were recalled, undefined before the first one. */
  let cursor: string | undefined;
  /** Whether the stream itself brought the cursor where it is. */
  let streaming = false;
  /** The oldest message from which on everything is known, up to the cursor. */
  let first: string | undefined;
  /** What the stream has passed without telling the place. */
  const skipped = new Set<string>();

  /** The stream goes on after this message, unless it has begun. */
  function begin(uuid: string | undefined): void {
    cursor ??= uuid;
  }

  /** The stream begins anew, nobody knows where. */
  function restart(): void {
    cursor = undefined;
    streaming = false;
    first = undefined;
  }

  /** The stream has passed a message, nobody knows when. A page of history will tell its place. */
  function skip(uuid: string): void {
    first = undefined;
    skipped.add(uuid);
  }

  /** Whether the stream has begun, but all up to its place was recalled: no page can tell where that is. */
  const isAdrift = () => cursor === "";

  /** The place of the page that is asked for now. */
  function place(newest: boolean, before?: string): Place {
    const index = newest ? end() : list.indexOf(before ?? "");
    return { newest, begun: cursor !== undefined, after: list.uuids[index - 1] };
  }

  /** The next message of the stream. */
  function append(entry: Entry): void {
    const { uuid } = entry;
    if (settle(uuid)) return;
    const at = next();
    if (!list.has(uuid)) insert(entry, at);
    else if (streaming) putAt(uuid, at);
    reach(uuid);
  }

  /**
   * The stream has got to an own message: after all that the server has sent so far. Reports whether it is new there;
   * an ack that comes once more changes nothing.
   */
  function settle(uuid: string): boolean {
    const at = next();
    const index = list.indexOf(uuid);
    if (index < 0 || (list.isStored(uuid) && index < at)) return false;
    if (list.isStored(uuid)) clear(at, index, new Set());
    else settleAt(uuid, at);
    reach(uuid);
    return true;
  }

  /**
   * A page of history, oldest first. What is newer than the stream is left to the stream. True when the stream
   * had not begun, so that it goes on after the page.
   */
  function merge(page: Entry[], { newest, begun, after }: Place): boolean {
    const streamed = next();
    let known = page.length;
    while (begun && known > 0 && !hasPassed(page[known - 1]!.uuid, streamed)) known--;
    if (known === 0 && !newest) known = page.length;
    weave(page.slice(0, known), list.indexOf(after ?? "") + 1);
    for (const uuid of skipped) {
      if (list.isStored(uuid) && list.indexOf(uuid) >= next()) reach(uuid);
    }
    const reached = cursor === undefined || page.some(({ uuid }) => uuid === cursor);
    const starts = !begun && newest && reached;
    if (page.slice(0, known).some(({ uuid }) => uuid === cursor)) extend(page[0]!.uuid);
    if (starts || (cursor === "" && !newest)) {
      cursor = page.at(-1)?.uuid ?? cursor; // an older page is before what was recalled
      streaming = false;
    }
    return starts;
  }

  /** A contiguous part of the stream, which need not follow what came before it. */
  function replay(part: Entry[]): void {
    first = undefined;
    weave(part, end());
    first = part[0]?.uuid;
    if (part.length > 0) reach(part.at(-1)!.uuid);
  }

  /** Puts a message at a place, counted without itself. */
  function move(uuid: string, index: number): void {
    const from = list.indexOf(uuid);
    if (from === index) return;
    list.move(uuid, index);
    changes.push({ name: "moved", uuid, index, from });
  }

  /** Returns the place where it was, or -1. */
  function remove(uuid: string): number {
    const index = list.remove(uuid);
    if (first === uuid) first = cursor === uuid ? undefined : list.uuids[index];
    if (cursor === uuid) cursor = list.uuids[index - 1] ?? "";
    return index;
  }

  function reach(uuid: string): void {
    cursor = uuid;
    streaming = true;
    first ??= uuid;
  }

  /** All from this message up to the cursor is known. */
  function extend(uuid: string): void {
    if (first === undefined || list.indexOf(uuid) < list.indexOf(first)) first = uuid;
  }

  /** The place after all that the server has. */
  function end(): number {
    const { uuids } = list;
    let end = uuids.length;
    while (end > 0 && !list.isStored(uuids[end - 1]!)) end--;
    return end;
  }

  /** The place of the next message of the stream. */
  function next(): number {
    if (cursor === "") return 0;
    return list.indexOf(cursor ?? "") + 1 || end();
  }

  function hasPassed(uuid: string, next: number): boolean {
    return uuid === cursor || skipped.has(uuid) || (list.isStored(uuid) && list.indexOf(uuid) < next);
  }

  /**
   * What is new in a part of the history goes to its place among what is known; what stands between known
   * messages without being in the history was recalled meanwhile.
   */
  function weave(part: Entry[], otherwise: number): void {
    const names = new Set(part.map(({ uuid }) => uuid));
    const anchor = list.uuids.findIndex((uuid) => names.has(uuid) && list.isStored(uuid));
    // What is new before the anchor is older than all that is known without a hole.
    const streamed = list.uuids[anchor] === part[0]?.uuid ? -1 : list.indexOf(first ?? "");
    let anchored = streamed >= 0 && streamed < anchor;
    let next = anchor < 0 ? otherwise : anchored ? streamed : anchor;
    for (const entry of part) {
      const { uuid } = entry;
      if (!list.has(uuid)) {
        insert(entry, next++);
        continue;
      }
      if (list.isStored(uuid)) {
        if (anchored) clear(next, list.indexOf(uuid), names);
        anchored = true;
        putAt(uuid, Math.min(next, list.indexOf(uuid) + 1));
      } else settleAt(uuid, next);
      next = list.indexOf(uuid) + 1;
    }
  }

  /** Takes away what stands in a stretch of the history without being in it. */
  function clear(from: number, to: number, names: Set<string>): void {
    for (const uuid of list.uuids.slice(from, Math.max(from, to))) {
      if (list.isStored(uuid) && !names.has(uuid) && !isNameless(uuid)) {
        changes.push({ name: "removed", uuid, index: remove(uuid) });
      }
    }
  }

  function insert(entry: Entry, index: number): void {
    list.insert(entry.uuid, entry.body, index);
    changes.push({ name: "message", ...entry, index });
  }

  function settleAt(uuid: string, index: number): void {
    list.markAsServerAck(uuid);
    putAt(uuid, index);
    changes.push({ name: "ack", uuid, index: list.indexOf(uuid) });
  }

  /** Puts a message before the one that is at a place now. */
  function putAt(uuid: string, index: number): void {
    move(uuid, list.indexOf(uuid) < index ? index - 1 : index);
  }

  return { begin, restart, skip, isAdrift, place, append, settle, merge, replay, move, remove };
}

/** What newTimeline makes. */
export type Timeline = ReturnType<typeof newTimeline>;
