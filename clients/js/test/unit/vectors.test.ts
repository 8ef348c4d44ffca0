import { readFileSync } from "node:fs";
import { groupPath, MsgCodec } from "gotapi-ws";
import { describe, expect, it } from "vitest";

interface Vector {
  name: string;
  text?: string;
  parts?: [string, number][];
  hex?: string;
  kind?: string;
  uuid?: string;
  legal?: boolean;
}

const load = (file: string): Vector[] =>
  JSON.parse(readFileSync(new URL(`../../../../testdata/${file}`, import.meta.url), "utf8"));

const textOf = ({ text, parts }: Vector) =>
  text ?? parts?.map(([part, times]) => part.repeat(times)).join("");

/** The vectors that a WebSocket could deliver as text, and what the client must take them for. */
const commands: Record<string, number[]> = { ping: [5], receipt: [3, 4], query: [2] };

describe("MsgCodec reads packets as the server does", () => {
  const vectors = load("packets.json").filter((vector) => textOf(vector) !== undefined);

  it("has vectors", () => {
    expect(vectors.length).toBeGreaterThan(100);
  });

  it.each(vectors.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const packet = MsgCodec.decode(textOf(vector) as string);
    const { kind = "", uuid = "" } = vector;
    if (kind === "low") expect(packet).toBeUndefined();
    if (kind === "data") expect(packet).toMatchObject({ type: 2 });
    if (kind in commands) expect(commands[kind]).toContain(packet?.command);
    if (kind === "data" || kind in commands) expect(packet?.uuid ?? "").toBe(uuid);
  });
});

/** The types that a program may see in a text: it parses all of it, or line by line. */
function typesIn(text: string): unknown[] {
  return [text, text.trim(), ...text.split(/[\r\n\u2028\u2029]/)].flatMap((part) => {
    try {
      return [JSON.parse(part)?.type];
    } catch {
      return [];
    }
  });
}

/** A string is no number, whatever `==` says: the contract leaves it to the reader. */
const isString = (value: unknown): boolean =>
  typeof value === "string" || (Array.isArray(value) && value.length === 1 && isString(value[0]));

describe("no program in JavaScript takes what is relayed for a command", () => {
  const relayed = load("packets.json").filter(
    (vector) => ["low", "data", "bad-uuid"].includes(vector.kind ?? "") && textOf(vector) !== undefined,
  );

  it.each(relayed.map((vector) => [vector.name, textOf(vector) as string]))("%s", (_, text) => {
    for (const type of typesIn(text).filter((value) => !isString(value))) {
      // biome-ignore lint/suspicious/noDoubleEquals: this is what careless programs do
      expect(type == 1, `${type} == 1`).toBe(false);
      expect((type as number) | 0, `${type} | 0`).not.toBe(1);
    }
  });
});

describe("groupPath keeps group names exact", () => {
  const names = load("groups.json").filter(({ legal }) => legal);

  it.each(names.map((vector) => [vector.name, textOf(vector) as string]))("%s", (_, name) => {
    if (name.split("/").some((segment) => segment === "." || segment === "..")) {
      expect(() => groupPath(name)).toThrow();
    } else {
      expect(decodeURIComponent(new URL(`http://x${groupPath(name)}`).pathname)).toBe(name);
    }
  });
});
