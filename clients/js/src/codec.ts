import { MessageType } from "./enums.js";
import type { Packet } from "./packet.js";

/** JSON tokens: strings, punctuation, and everything else (numbers, true, false, null). */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g;

/**
 * The members of the outermost object, as they are written. JSON.parse takes the last of two equal keys and
 * reads 2.0 as 2; the server does neither, and what it broadcasts unstored must not look like a stored message.
 * Returns undefined when a key that matters stands there twice, or with more behind a NUL. `text` must be valid JSON.
 */
function outermost(text: string): Map<string, string> | undefined {
  const found = new Map<string, string>();
  let depth = 0;
  let key = "";
  let before = "";
  for (const [token] of text.matchAll(tokens)) {
    if (depth === 1 && token[0] === '"' && before !== ":") {
      key = JSON.parse(token);
      const [name] = key.split("\0");
      if (/^(type|command|uuid|body)$/.test(name as string) && (found.has(key) || name !== key))
        return undefined;
    }
    if (depth === 1 && before === ":") found.set(key, token);
    if (token === "{" || token === "[") depth++;
    if (token === "}" || token === "]") depth--;
    before = token;
  }
  return found;
}

const absent = (value: unknown) => value === undefined || value === null;

function isPacket(value: Packet | null, text: string): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { type, uuid, body } = value;
  if (type !== MessageType.Command && type !== MessageType.Data) return false;
  if (!absent(uuid) && typeof uuid !== "string") return false;
  if (type === MessageType.Data && !absent(body) && (typeof body !== "object" || Array.isArray(body))) {
    return false;
  }
  return outermost(text)?.get("type") === String(type);
}

/** Between packets and their text. */
export const MsgCodec = {
  /** The text of a packet. Throws a TypeError for what JSON cannot hold. */
  encode(packet: Packet): string {
    return JSON.stringify(packet);
  },

  /** The high-level packet that the text is, or undefined: then it is a low-level one. Never throws. */
  decode(text: string): Packet | undefined {
    try {
      const value = JSON.parse(text);
      return isPacket(value, text) ? value : undefined;
    } catch {
      return undefined;
    }
  },
};
