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
export function newNameless() {
  /** Texts since the last message with a uuid. */
  let recent: string[] = [];
  /** Those of them that the server, resuming after that message, sends once more. */
  let repeated: string[] = [];

  /** A message without uuid came. True when it came before. */
  function repeats(text: string): boolean {
    const at = repeated.indexOf(text);
    if (at >= 0) repeated.splice(at, 1);
    else recent.push(text);
    if (recent.length > LIMIT) recent.shift();
    return at >= 0;
  }

  /** A message with a uuid came: a resume begins after it. */
  function passed(): void {
    recent = [];
    repeated = [];
  }

  /** The connection is new. */
  function reconnected(): void {
    repeated = [...recent];
  }

  return { repeats, passed, reconnected };
}

/** What newNameless makes. */
export type Nameless = ReturnType<typeof newNameless>;
