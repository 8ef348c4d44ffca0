import { MessageType } from "./enums.js";
import type { MessageBody, Packet } from "./packet.js";

/** JSON tokens: strings, punctuation, and everything else (numbers, true, false, null). */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g;

/**
 * How `type` is written in the outermost object. JSON.parse takes the last of two equal keys and reads 2.0 as 2; the
 * server does neither, and what it broadcasts unstored must not look like a stored message. Returns undefined when
 * a key that matters stands there twice, or with more behind a NUL. `text` must be valid JSON.
 */
function writtenType(text: string): string | undefined {
  const keys = new Set<string>();
  let depth = 0;
  let key = "";
  let before = "";
  let type: string | undefined;
  for (const [token] of text.matchAll(tokens)) {
    if (depth === 1 && before === ":" && key === "type") type = token;
    else if (depth === 1 && before !== ":" && token[0] === '"') {
      key = JSON.parse(token);
      const name = key.split("\0")[0] as string;
      if (/^(type|command|uuid|body)$/.test(name) && (keys.has(key) || name !== key)) return undefined;
      keys.add(key);
    }
    if ("{[".includes(token)) depth++;
    if ("}]".includes(token)) depth--;
    before = token;
  }
  return type;
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
      const packet = JSON.parse(text);
      const { type, uuid, body } = packet;
      const fits =
        typeof (uuid ?? "") === "string" &&
        (type === MessageType.Command ||
          (type === MessageType.Data && typeof (body ?? {}) === "object" && !Array.isArray(body)));
      return fits && writtenType(text) === String(type) ? packet : undefined;
    } catch {
      return undefined;
    }
  },
};

/** A new message as the server gets it. */
export function wireText(uuid: string, { data, hash }: MessageBody): string {
  return MsgCodec.encode({ type: MessageType.Data, uuid, body: { data, hash, sent: false } });
}
