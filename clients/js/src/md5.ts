/** MD5 (RFC 1321): a fingerprint for the `hash` field, not for security. */

const shifts = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;

/** RFC 1321, 3.4: the integer part of 4294967296 * abs(sin(i + 1)). */
const sines = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) | 0);

/** The message as 32-bit little-endian words, padded with a one bit, zeros and its length in bits. */
function pad(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array((((bytes.length + 8) >> 6) + 1) * 16);
  for (let i = 0; i < bytes.length; i++) words[i >> 2]! |= bytes[i]! << ((i & 3) * 8);
  words[bytes.length >> 2]! |= 0x80 << ((bytes.length & 3) * 8);
  words[words.length - 2] = bytes.length * 8;
  words[words.length - 1] = bytes.length / 2 ** 29;
  return words;
}

/** One of the four auxiliary functions, and which word its step i takes. */
function mix(round: number, i: number, b: number, c: number, d: number): [number, number] {
  if (round === 0) return [(b & c) | (~b & d), i];
  if (round === 1) return [(d & b) | (~d & c), 5 * i + 1];
  if (round === 2) return [b ^ c ^ d, 3 * i + 5];
  return [c ^ (b | ~d), 7 * i];
}

/** MD5 of the text's UTF-8 bytes, as 32 hexadecimal digits. */
export function md5(text: string): string {
  const words = pad(new TextEncoder().encode(text));
  const state = new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d] = state as unknown as [number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const [f, word] = mix(round, i, b, c, d);
      const sum = (a + f + sines[i]! + words[block + (word & 15)]!) | 0;
      const shift = shifts[round]![i & 3]!;
      a = d;
      d = c;
      c = b;
      b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
    }
    for (const [i, value] of [a, b, c, d].entries()) state[i]! += value;
  }
  return Array.from(new Uint8Array(state.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
