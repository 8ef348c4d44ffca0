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
 */
export class Timeline {
  readonly #list: SortedHash;
  readonly #listener: TimelineListener;
  /** The last message of the stream; "" when it and all before it were recalled, undefined before the first one. */
  #cursor: string | undefined;
  /** Whether the stream itself brought the cursor where it is. */
  #streaming = false;

  constructor(list: SortedHash, listener: TimelineListener) {
    this.#list = list;
    this.#listener = listener;
  }

  /** The stream goes on after this message, unless it has begun. */
  begin(uuid: string | undefined): void {
    this.#cursor ??= uuid;
  }

  /** The stream begins anew, nobody knows where. */
  restart(): void {
    this.#cursor = undefined;
    this.#streaming = false;
  }

  /** The place of the page that is asked for now. */
  place(newest: boolean, before?: string): Place {
    const index = newest ? this.#end() : this.#list.indexOf(before ?? "");
    return { newest, begun: this.#cursor !== undefined, after: this.#list.uuids[index - 1] };
  }

  /** The next message of the stream. */
  append(entry: Entry): void {
    const { uuid } = entry;
    if (!this.#isStored(uuid) && this.#list.has(uuid)) {
      this.settle(uuid);
      return;
    }
    const at = this.#next();
    const index = this.#list.indexOf(uuid);
    if (index < 0) this.#insert(entry, at);
    else if (index >= at) this.#clear(at, index, new Set());
    else if (this.#streaming) this.#putAt(uuid, at);
    this.#reach(uuid);
  }

  /** An own message has got its place in the stream: after all that the server has sent so far. */
  settle(uuid: string): void {
    if (!this.#list.has(uuid) || this.#isStored(uuid)) return;
    this.#settleAt(uuid, this.#next());
    this.#reach(uuid);
  }

  /**
   * A page of history, oldest first. What is newer than the stream is left to the stream. True when the stream
   * had not begun, so that it goes on after the page.
   */
  merge(page: Entry[], { newest, begun, after }: Place): boolean {
    const streamed = this.#next();
    let known = page.length;
    while (begun && known > 0 && !this.#hasPassed(page[known - 1]!.uuid, streamed)) known--;
    if (known === 0 && !newest) known = page.length;
    this.#weave(page.slice(0, known), this.#list.indexOf(after ?? "") + 1);
    const reached = this.#cursor === undefined || page.some(({ uuid }) => uuid === this.#cursor);
    const starts = !begun && newest && reached;
    if (starts) {
      this.#cursor = page.at(-1)?.uuid;
      this.#streaming = false;
    }
    return starts;
  }

  /** A contiguous part of the stream, which need not follow what came before it. */
  replay(part: Entry[]): void {
    this.#weave(part, this.#end());
    if (part.length > 0) this.#reach(part.at(-1)!.uuid);
  }

  /** Puts a message at a place, counted without itself. */
  move(uuid: string, index: number): void {
    const from = this.#list.indexOf(uuid);
    if (from === index) return;
    this.#list.move(uuid, index);
    this.#listener.moved(uuid, index, from);
  }

  /** Returns the place where it was, or -1. */
  remove(uuid: string): number {
    const index = this.#list.remove(uuid);
    if (this.#cursor === uuid) this.#cursor = this.#list.uuids[index - 1] ?? "";
    return index;
  }

  #reach(uuid: string): void {
    this.#cursor = uuid;
    this.#streaming = true;
  }

  /** The place after all that the server has. */
  #end(): number {
    const { uuids } = this.#list;
    let end = uuids.length;
    while (end > 0 && !this.#isStored(uuids[end - 1]!)) end--;
    return end;
  }

  /** The place of the next message of the stream. */
  #next(): number {
    if (this.#cursor === "") return 0;
    return this.#list.indexOf(this.#cursor ?? "") + 1 || this.#end();
  }

  #isStored(uuid: string): boolean {
    return this.#list.get(uuid)?.sent === true;
  }

  #hasPassed(uuid: string, next: number): boolean {
    return uuid === this.#cursor || (this.#isStored(uuid) && this.#list.indexOf(uuid) < next);
  }

  /**
   * What is new in a part of the history goes to its place among what is known; what stands between known
   * messages without being in the history was recalled meanwhile.
   */
  #weave(part: Entry[], otherwise: number): void {
    const names = new Set(part.map(({ uuid }) => uuid));
    const anchor = this.#list.uuids.findIndex((uuid) => names.has(uuid) && this.#isStored(uuid));
    let next = anchor < 0 ? otherwise : anchor;
    let anchored = false;
    for (const entry of part) {
      const { uuid } = entry;
      if (this.#isStored(uuid)) {
        if (anchored) this.#clear(next, this.#list.indexOf(uuid), names);
        anchored = true;
        this.#putAt(uuid, Math.min(next, this.#list.indexOf(uuid) + 1));
      } else if (this.#list.has(uuid)) this.#settleAt(uuid, next);
      else this.#insert(entry, next);
      next = this.#list.indexOf(uuid) + 1;
    }
  }

  /** Takes away what stands in a stretch of the history without being in it. */
  #clear(from: number, to: number, names: Set<string>): void {
    for (const uuid of this.#list.uuids.slice(from, Math.max(from, to))) {
      if (this.#isStored(uuid) && !names.has(uuid) && !isNameless(uuid)) this.#listener.vanished(uuid);
    }
  }

  #insert(entry: Entry, index: number): void {
    this.#list.insert(entry.uuid, entry.body, index);
    this.#listener.inserted(entry, index);
  }

  #settleAt(uuid: string, index: number): void {
    this.#list.markAsServerAck(uuid);
    this.#putAt(uuid, index);
    this.#listener.settled(uuid);
  }

  /** Puts a message before the one that is at a place now. */
  #putAt(uuid: string, index: number): void {
    this.move(uuid, this.#list.indexOf(uuid) < index ? index - 1 : index);
  }
}
