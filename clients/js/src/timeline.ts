import { isNameless } from "./nameless.js";
import type { MessageBody } from "./packet.js";
import type { SortedHash } from "./sorted-hash.js";

/** One message on its way into the timeline. */
export interface Entry {
  uuid: string;
  body: MessageBody;
}

/** What the timeline tells while it changes. */
export interface TimelineListener {
  inserted(entry: Entry, index: number): void;
  moved(uuid: string, index: number, from: number): void;
  /** A message that was there is not in the history any more. */
  vanished(uuid: string): void;
  /** An own message was found in the history or the stream. */
  settled(uuid: string): void;
}

/**
 * Puts messages where they belong: those that the server has, in the order of the history; own ones that it does
 * not have yet after them.
 */
export class Timeline {
  readonly #list: SortedHash;
  readonly #listener: TimelineListener;
  /** The first own message that the server does not have yet. */
  readonly #firstPending: () => string | undefined;
  constructor(
    list: SortedHash,
    listener: TimelineListener,
    /** The first own message that the server does not have yet. */
    firstPending: () => string | undefined,
  ) {
    this.#list = list;
    this.#listener = listener;
    this.#firstPending = firstPending;
  }

  /** The place of the next message of the stream. */
  end(): number {
    const first = this.#firstPending();
    const index = first === undefined ? -1 : this.#list.indexOf(first);
    return index < 0 ? this.#list.size() : index;
  }

  /** The next message of the stream. */
  append(entry: Entry): void {
    if (this.#list.has(entry.uuid)) this.settle(entry.uuid);
    else this.#insert(entry, this.end());
  }

  /** An own message has got its place in the stream: after all that the server has sent so far. */
  settle(uuid: string): void {
    const body = this.#list.get(uuid);
    if (!body || body.sent) return;
    const from = this.#list.indexOf(uuid);
    let last = this.#list.size() - 1;
    while (last > from && !this.#list.get(this.#list.uuids[last]!)?.sent) last--;
    this.#list.markAsServerAck(uuid);
    this.move(uuid, last > from ? last : Math.min(from, this.end()));
    this.#listener.settled(uuid);
  }

  /**
   * A contiguous part of the history, oldest first. What is new goes to its place among what is known, what
   * stands between known messages without being in the history was recalled meanwhile.
   * `otherwise` is the place for a part of which nothing is known.
   */
  merge(part: Entry[], otherwise: number): void {
    const names = new Set(part.map((entry) => entry.uuid));
    const anchor = this.#list.uuids.findIndex((uuid) => names.has(uuid) && this.#list.get(uuid)?.sent);
    let next = anchor < 0 ? otherwise : anchor;
    let anchored = false;
    for (const entry of part) {
      const known = this.#list.get(entry.uuid);
      if (known?.sent) {
        if (anchored) this.#clear(next, this.#list.indexOf(entry.uuid), names);
        next = this.#place(entry.uuid, next);
        anchored = true;
      } else if (known) {
        this.#list.markAsServerAck(entry.uuid);
        this.#listener.settled(entry.uuid);
        next = this.move(entry.uuid, this.#list.indexOf(entry.uuid) < next ? next - 1 : next) + 1;
      } else {
        this.#insert(entry, next++);
      }
    }
  }

  /** A known message of the history, to stand at `next` or later. Returns the place after it. */
  #place(uuid: string, next: number): number {
    const index = this.#list.indexOf(uuid);
    return index >= next ? index + 1 : this.move(uuid, next - 1) + 1;
  }

  /** Takes away what stands in a stretch of the history without being in it. */
  #clear(from: number, to: number, names: Set<string>): void {
    for (const uuid of this.#list.uuids.slice(from, Math.max(from, to))) {
      const gone = this.#list.get(uuid)?.sent && !names.has(uuid) && !isNameless(uuid);
      if (gone) this.#listener.vanished(uuid);
    }
  }

  #insert(entry: Entry, index: number): void {
    this.#list.insert(entry.uuid, entry.body, index);
    this.#listener.inserted(entry, index);
  }

  /** Puts a message at a place, counted without itself. */
  move(uuid: string, index: number): number {
    const from = this.#list.indexOf(uuid);
    if (from === index) return index;
    this.#list.move(uuid, index);
    this.#listener.moved(uuid, index, from);
    return index;
  }
}
