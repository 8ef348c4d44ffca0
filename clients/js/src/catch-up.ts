import { backoff } from "./backoff.js";
import { MessageCommand, MessageType } from "./enums.js";
import { asError, type GotapiError } from "./errors.js";
import { type HistoryMessage, type HistoryPage, type HistoryRange, receivedBody } from "./history.js";
import { Nameless, namelessKey } from "./nameless.js";
import type { Packet } from "./packet.js";
import type { SortedHash } from "./sorted-hash.js";
import type { Entry, Place, Timeline } from "./timeline.js";

/** What catching up needs from the bus. */
export interface CatchUpOwner {
  readonly list: SortedHash;
  readonly timeline: Timeline;
  isOpen(): boolean;
  read(range: HistoryRange, timeout: number): Promise<HistoryPage>;
  /** Puts a page, newest first, into the list. */
  merge(messages: HistoryMessage[], place: Place): void;
  acked(uuid: string): void;
  recalled(uuid: string): void;
  gap(after: string | undefined, message: string): void;
  error(error: GotapiError): void;
}

/** A packet whose place among the others counts, and its text. */
interface Streamed {
  packet: Packet;
  text: string;
}

/** Packets held back while the history is read after a gap. */
const MAX_HELD = 20_000;
/** How long one try to read the wanted history may take, milliseconds. */
const PULL_MS = 10_000;
/** History read after a gap by a bus that shows none at its start. */
const GAP_PAGE = 100;
/** History read when the group was empty at the start, and the connection was lost before its first message. */
const CATCH_UP_PAGE = 1_000;

/** Whether the place of the packet among the others counts. */
export const isStreamed = ({ type, command }: Packet) =>
  type === MessageType.Data || command === MessageCommand.SERVER_ACK || command === MessageCommand.RECALL;

/**
 * Keeps the list complete: knows the place to resume from, reads the history that the stream does not bring, and
 * joins both.
 */
export class CatchUp {
  /** The last message delivered or acked. */
  lastUuid: string | undefined;

  readonly #owner: CatchUpOwner;
  readonly #historySize: number;
  readonly #nameless = new Nameless();
  /** The history to read as soon as there is a connection. */
  #wanted: HistoryRange | undefined;
  #pulling = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #opened = false;
  #emptyAtStart = false;
  /** After a gap: the stream, until the history is read. */
  #held: Streamed[] | undefined;
  #inGap = false;

  constructor(owner: CatchUpOwner, first: { size: number; position: number }, after: string | undefined) {
    this.#owner = owner;
    this.#historySize = first.size;
    if (first.size > 0) this.#wanted = first;
    this.lastUuid = after;
    owner.timeline.begin(after);
  }

  connected(): void {
    this.#nameless.reconnected();
    if (this.lastUuid === undefined) this.#findPlace();
    this.#opened = true;
    this.#pull(0);
  }

  disconnected(): void {
    clearTimeout(this.#timer);
    // What is held comes again: lastUuid has not moved past it.
    this.#held = undefined;
  }

  /** The stream goes on after a page, newest message first, that ended with the newest one. */
  startsAfter([newest]: HistoryMessage[]): void {
    this.#emptyAtStart = !newest;
    if (!newest?.uuid) return;
    this.lastUuid = newest.uuid;
    this.#owner.timeline.begin(newest.uuid);
  }

  /** A packet of the stream. */
  received(streamed: Streamed): void {
    if (!this.#held) this.#apply(streamed);
    else if (this.#held.push(streamed) > MAX_HELD) this.#release();
  }

  /** An own message was acked, at its place in the stream. */
  reached(uuid: string | null | undefined): void {
    if (!uuid) return;
    this.lastUuid = uuid;
    this.#nameless.passed();
  }

  /**
   * The stream does not go on after lastUuid. The server sends all that it retains, then what is live; where that
   * belongs in the list shows when the newest history is there, so it is held until then.
   */
  gap(message: string): void {
    this.#held ??= [];
    this.#wanted = { size: this.#historySize || GAP_PAGE, position: 0 };
    if (!this.#inGap) this.#owner.gap(this.lastUuid, message);
    this.#inGap = true;
    this.#pull(0);
  }

  /** Without a message to resume after, the history tells what was missed, or where the stream begins. */
  #findPlace(): void {
    if (this.#opened) {
      this.#owner.timeline.restart();
      const size = this.#emptyAtStart ? Math.max(this.#historySize, CATCH_UP_PAGE) : this.#historySize;
      if (size > 0) this.#wanted = { size, position: 0 };
    } else if (this.#wanted?.position !== 0) {
      // Should it fail, the first message of the stream will do.
      this.#owner.read({ size: 1, position: 0 }, PULL_MS).then(
        ({ messages }) => this.lastUuid === undefined && this.startsAfter(messages),
        () => {},
      );
    }
  }

  /** Reads the wanted history, again and again with pauses while it fails and there is a connection. */
  #pull(attempt: number): void {
    const wanted = this.#wanted;
    if (!wanted || this.#pulling || !this.#owner.isOpen()) return;
    const newest = wanted.position === 0;
    const place = this.#owner.timeline.place(newest);
    this.#pulling = true;
    this.#owner
      .read(wanted, PULL_MS)
      .then((page) => {
        this.#pulling = false;
        if (this.#wanted === wanted) this.#wanted = undefined;
        this.#owner.merge(page.messages, place);
        if (!this.#wanted) this.#release();
        this.#pull(0);
      })
      .catch((thrown) => {
        this.#pulling = false;
        if (thrown.reason === "closed") return;
        this.#release();
        this.#owner.error(asError(thrown, "network"));
        this.#timer = setTimeout(() => this.#pull(attempt + 1), backoff(attempt));
      });
  }

  #apply(streamed: Streamed): void {
    const { type, command, uuid } = streamed.packet;
    if (type === MessageType.Data) {
      const entry = this.#arrived(streamed);
      if (entry) this.#owner.timeline.append(entry);
      this.reached(uuid);
    } else if (command === MessageCommand.RECALL) this.#owner.recalled(uuid ?? "");
    else this.#owner.acked(uuid ?? "");
  }

  /** Undefined for a message without uuid that came before the connection was lost, and now once more. */
  #arrived({ packet, text }: Streamed): Entry | undefined {
    this.#inGap = false;
    if (!packet.uuid && this.#nameless.repeats(text)) return undefined;
    const uuid = packet.uuid || namelessKey(text, (key) => this.#owner.list.has(key));
    return { uuid, body: { ...receivedBody(packet), uuid } };
  }

  /** Lets what was held go into the list: the whole retained history, oldest first, then what is live. */
  #release(): void {
    const held = this.#held ?? [];
    const { timeline } = this.#owner;
    const part: Entry[] = [];
    const flush = () => timeline.replay(part.splice(0));
    this.#held = undefined;
    for (const streamed of held) {
      const entry = streamed.packet.type === MessageType.Data && this.#arrived(streamed);
      if (entry) {
        part.push(entry);
        this.reached(streamed.packet.uuid);
      } else {
        flush();
        this.#apply(streamed);
      }
    }
    flush();
  }
}
