import { backoff } from "./backoff.js";
import { MessageCommand, MessageType } from "./enums.js";
import { asError, type GotapiError } from "./errors.js";
import { type HistoryMessage, receivedBody, type SizedRange } from "./history.js";
import { namelessKey, newNameless } from "./nameless.js";
import type { Packet } from "./packet.js";
import type { SortedHash } from "./sorted-hash.js";
import type { Entry, Place, Timeline } from "./timeline.js";

/** What catching up needs from the bus. */
export interface CatchUpOwner {
  readonly list: SortedHash;
  readonly timeline: Timeline;
  isOpen(): boolean;
  /** The newest messages from a place on, newest first; those of the first page that has any. */
  read(range: SizedRange, timeout: number): Promise<HistoryMessage[] | undefined>;
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
 * joins both. `first` is the history to read at the start, `lastUuid` the message to begin after.
 */
export function newCatchUp(
  { list, timeline, ...owner }: CatchUpOwner,
  first: { size: number; position: number },
  lastUuid: string | undefined,
) {
  const nameless = newNameless();
  /** The history to read as soon as there is a connection. */
  let wanted: SizedRange | undefined = first.size > 0 ? first : undefined;
  let pulling = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let opened = false;
  let emptyAtStart = false;
  /** After a gap: the stream, until the history is read. */
  let held: Streamed[] | undefined;
  let inGap = false;

  timeline.begin(lastUuid);

  function connected(): void {
    nameless.reconnected();
    if (lastUuid === undefined) findPlace();
    opened = true;
    pull(0);
  }

  function disconnected(): void {
    clearTimeout(timer);
    // What is held comes again: lastUuid has not moved past it.
    held = undefined;
  }

  /** The stream goes on after a page, newest message first, that ended with the newest one. */
  function startsAfter([newest]: HistoryMessage[]): void {
    emptyAtStart = !newest;
    if (!newest?.uuid) return;
    lastUuid = newest.uuid;
    timeline.begin(lastUuid);
  }

  /** A packet of the stream. */
  function received(streamed: Streamed): void {
    if (!held) apply(streamed);
    else if (held.push(streamed) > MAX_HELD) release();
  }

  /** A message was delivered or, at its place in the stream, acked. */
  function reached(uuid: string | null | undefined): void {
    if (!uuid) return;
    lastUuid = uuid;
    nameless.passed();
  }

  /**
   * The stream does not go on after lastUuid. The server sends all that it retains, then what is live; where that
   * belongs in the list shows when the newest history is there, so it is held until then.
   */
  function gap(message: string): void {
    held ??= [];
    wanted = { size: first.size || GAP_PAGE, position: 0 };
    if (!inGap) owner.gap(lastUuid, message);
    inGap = true;
    pull(0);
  }

  /** Without a message to resume after, the history tells what was missed, or where the stream begins. */
  function findPlace(): void {
    if (opened) {
      timeline.restart();
      const size = emptyAtStart ? Math.max(first.size, CATCH_UP_PAGE) : first.size;
      if (size > 0) wanted = { size, position: 0 };
    } else if (wanted?.position !== 0) {
      // Should it fail, the first message of the stream will do.
      owner.read({ size: 1, position: 0 }, PULL_MS).then(
        (messages = []) => lastUuid === undefined && startsAfter(messages),
        () => {},
      );
    }
  }

  /** Reads the wanted history, again and again with pauses while it fails and there is a connection. */
  function pull(attempt: number): void {
    const range = wanted;
    if (!range || pulling || !owner.isOpen()) return;
    const place = timeline.place(range.position === 0);
    pulling = true;
    owner
      .read(range, PULL_MS)
      .then((messages = []) => {
        pulling = false;
        if (wanted === range) wanted = undefined;
        owner.merge(messages.slice(0, range.size), place);
        if (!wanted) release();
        pull(0);
      })
      .catch((thrown) => {
        pulling = false;
        if (thrown.reason === "closed") return;
        release();
        owner.error(asError(thrown, "network"));
        timer = setTimeout(() => pull(attempt + 1), backoff(attempt));
      });
  }

  function apply(streamed: Streamed): void {
    const { type, command, uuid } = streamed.packet;
    if (type === MessageType.Data) {
      const entry = arrived(streamed);
      if (entry) timeline.append(entry);
      reached(uuid);
    } else if (command === MessageCommand.RECALL) owner.recalled(uuid ?? "");
    else owner.acked(uuid ?? "");
  }

  /** Undefined for a message without uuid that came before the connection was lost, and now once more. */
  function arrived({ packet, text }: Streamed): Entry | undefined {
    inGap = false;
    if (!packet.uuid && nameless.repeats(text)) return undefined;
    const uuid = packet.uuid || namelessKey(text, (key) => list.has(key));
    return { uuid, body: { ...receivedBody(packet), uuid } };
  }

  /** Lets what was held go into the list: the whole retained history, oldest first, then what is live. */
  function release(): void {
    const streamed = held ?? [];
    const part: Entry[] = [];
    const flush = () => timeline.replay(part.splice(0));
    held = undefined;
    for (const one of streamed) {
      const entry = one.packet.type === MessageType.Data && arrived(one);
      if (entry) {
        part.push(entry);
        reached(one.packet.uuid);
      } else {
        flush();
        apply(one);
      }
    }
    flush();
  }

  return { connected, disconnected, startsAfter, received, reached, gap, lastUuid: () => lastUuid };
}

/** What newCatchUp makes. */
export type CatchUp = ReturnType<typeof newCatchUp>;
