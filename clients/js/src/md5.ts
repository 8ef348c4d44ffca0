/** MD5 (RFC 1321): a fingerprint for the `hash` field, not for security. */

import type { RawData } from "./packet.js";

/** RFC 1321, 3.4: by how much step i of a round rotates, four values a round. */
const shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];

/** The text's bytes on the wire, as characters: not every runtime has TextEncoder. Lone surrogates become U+FFFD. */
const utf8 = (text: string) => unescape(encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, "\ufffd")));

/** The number of bytes on the wire. */
export const byteLength = (data: RawData) => (typeof data === "string" ? utf8(data).length : data.byteLength);

/** The message as 32-bit little-endian words, padded with a one bit, zeros and its length in bits. */
function pad(bytes: string): Int32Array {
  const { length } = bytes;
  const words = new Int32Array((((length + 8) >> 6) + 1) * 16);
  const padded = `${bytes}\x80`;
  for (let i = 0; i <= length; i++) words[i >> 2]! |= padded.charCodeAt(i) << (8 * i);
  words[words.length - 2] = length * 8;
  words[words.length - 1] = length / 2 ** 29;
  return words;
}

/** MD5 of the text's UTF-8 bytes, as 32 hexadecimal digits. */
export function md5(text: string): string {
  const words = pad(utf8(text));
  const state = new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d] = state as unknown as [number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      // RFC 1321, 3.4: the four auxiliary functions, the word that the step takes, and the step's constant.
      const f = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round]!;
      const word = words[block + (([i, 5 * i + 1, 3 * i + 5, 7 * i][round] as number) & 15)]!;
      const sine = Math.abs(Math.sin(i + 1)) * 2 ** 32;
      const sum = (a + f + (sine | 0) + word) | 0;
      const shift = shifts[round * 4 + (i & 3)]!;
      a = d;
      d = c;
      c = b;
      b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
    }
    [a, b, c, d].forEach((value, i) => {
      state[i]! += value;
    });
  }
  return [...new Uint8Array(state.buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
