/** What the browser keeps between page loads. Browsers may refuse to keep anything: then the page forgets. */

/** local: for good, for all tabs. session: for reloads of one tab. */
type Kind = "local" | "session";

/** Only to be asked for where an exception is caught: it may be forbidden altogether. */
const storage = (kind: Kind) => (kind === "local" ? localStorage : sessionStorage);

/** The text under a key, or undefined. */
export function read(kind: Kind, key: string): string | undefined {
  try {
    return storage(kind).getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a text under a key. */
export function write(kind: Kind, key: string, value: string): void {
  try {
    storage(kind).setItem(key, value);
  } catch {
    // Full, or switched off.
  }
}

/** A message that the server may not have. */
export interface Unsent {
  uuid: string;
  data: string;
}

/** Own messages known per room. Beyond, the oldest are shown as somebody's. */
const MAX_OWN = 300;
/** Unsent messages kept per room, as many as the outbox takes. */
const MAX_UNSENT = 1_000;

function readList<T>(kind: Kind, key: string, is: (item: unknown) => item is T): T[] {
  try {
    const list: unknown = JSON.parse(read(kind, key) ?? "[]");
    return Array.isArray(list) ? list.filter(is) : [];
  } catch {
    return [];
  }
}

const isText = (item: unknown): item is string => typeof item === "string";

function isUnsent(item: unknown): item is Unsent {
  const { uuid, data } = (item ?? {}) as Partial<Unsent>;
  return isText(uuid) && isText(data);
}

/**
 * What this browser knows about its own messages in a room: which they are, and which ones the server may not have
 * when the page is reloaded. The latter belong to one tab, since another would send them, too.
 */
export class RoomMemory {
  readonly #ownKey: string;
  readonly #draftKey: string;
  readonly #unsentKey: string;
  #own: Set<string>;
  #unsent: Unsent[];

  constructor(group: string) {
    this.#ownKey = `gotapi:own:${group}`;
    this.#unsentKey = `gotapi:unsent:${group}`;
    this.#draftKey = `gotapi:draft:${group}`;
    this.#own = this.#readOwn();
    this.#unsent = readList("session", this.#unsentKey, isUnsent);
  }

  /** Whether this browser has published the message, in whichever tab. */
  isOwn(uuid: string): boolean {
    if (!this.#own.has(uuid)) this.#own = this.#readOwn();
    return this.#own.has(uuid);
  }

  /** Calls `listener` with the uuids of own messages when another tab has published some. */
  onOtherTab(listener: (uuid: string) => void): void {
    addEventListener("storage", ({ key }) => {
      if (key !== this.#ownKey) return;
      this.#own = this.#readOwn();
      for (const uuid of this.#own) listener(uuid);
    });
  }

  /** What was being written before a reload. */
  draft(): string {
    return read("session", this.#draftKey) ?? "";
  }

  keepDraft(text: string): void {
    write("session", this.#draftKey, text);
  }

  /** What has to be sent again after a reload, oldest first. */
  unsent(): Unsent[] {
    return [...this.#unsent];
  }

  /** A message is on its way. */
  published(message: Unsent): void {
    // Another tab may have added some meanwhile.
    const own = [...this.#readOwn()].filter((uuid) => uuid !== message.uuid);
    this.#own = new Set([...own, message.uuid].slice(-MAX_OWN));
    write("local", this.#ownKey, JSON.stringify([...this.#own]));
    this.#keep([...this.#unsent.filter(({ uuid }) => uuid !== message.uuid), message].slice(-MAX_UNSENT));
  }

  /** The server has the message, or will never have it. */
  settled(uuid: string): void {
    this.#keep(this.#unsent.filter((message) => message.uuid !== uuid));
  }

  #readOwn(): Set<string> {
    return new Set(readList("local", this.#ownKey, isText));
  }

  #keep(unsent: Unsent[]): void {
    this.#unsent = unsent;
    write("session", this.#unsentKey, JSON.stringify(unsent));
  }
}
