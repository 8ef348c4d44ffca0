import { md5 } from "./md5.js";

/** Texts remembered since the last message with a uuid. */
const LIMIT = 1_000;
const MARK = "~";

/** Whether this is the key of a message without uuid. */
export const isNameless = (key: string) => key[0] === MARK;

/** The key of a message without uuid: the first that is not taken by an equal message. */
export function namelessKey(text: string, taken: (key: string) => boolean): string {
  const stem = MARK + md5(text) + MARK;
  let n = 0;
  while (taken(stem + n)) n++;
  return stem + n;
}

/** Knows which messages without uuid come again after a reconnect. */
export class Nameless {
  /** Texts since the last message with a uuid. */
  #recent: string[] = [];
  /** Those of them that the server, resuming after that message, sends once more. */
  #repeated: string[] = [];

  /** A message without uuid came. True when it came before. */
  repeats(text: string): boolean {
    const at = this.#repeated.indexOf(text);
    if (at >= 0) this.#repeated.splice(at, 1);
    else this.#recent.push(text);
    if (this.#recent.length > LIMIT) this.#recent.shift();
    return at >= 0;
  }

  /** A message with a uuid came: a resume begins after it. */
  passed(): void {
    this.#recent = [];
    this.#repeated = [];
  }

  /** The connection is new. */
  reconnected(): void {
    this.#repeated = [...this.#recent];
  }
}
