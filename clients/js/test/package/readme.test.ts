import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newStandalone } from "../system/servers.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = (name: string) => readFileSync(join(root, "packages", name, "README.md"), "utf8");
const part = (text: string, heading: string) => text.slice(text.indexOf(heading));

describe("the READMEs", () => {
  let server: Awaited<ReturnType<typeof newStandalone>>;
  let folder: string;

  beforeAll(async () => {
    server = await (await newStandalone()).start();
    folder = mkdtempSync(join(tmpdir(), "gotapi-js-readme-"));
    const link = join(folder, "node_modules/node-gotapi-ws");
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "packages/node-gotapi-ws"), link);
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("describe the same API", () => {
    expect(part(readme("gotapi-ws"), "## The bus")).toBe(part(readme("node-gotapi-ws"), "## The bus"));
  });

  const projects = ["README.md", "README.zh.md"].map((name) =>
    readFileSync(join(root, "../..", name), "utf8"),
  );
  const [english, chinese, ...others] = [...projects, readme("node-gotapi-ws")]
    .flatMap((text) => [...text.matchAll(/```js\n(.*?)```/gs)])
    .map(([, code]) => code as string);

  it("of the project show the same program in both languages", () => {
    const code = (text?: string) => text?.replaceAll(/ +\/\/ .*/g, ""); // comments are in the page's language
    expect(code(chinese)).toBe(code(english));
  });

  it.each(others.map((code, i) => [i, code] as const))(
    "of the package have examples that run: %i",
    (i, code) => {
      const file = join(folder, `example-${i}.mjs`);
      writeFileSync(file, code.replaceAll("127.0.0.1:4998", `127.0.0.1:${server.port}`));
      // To its own end: an example that leaves something open hangs here.
      const output = execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 20_000 });
      expect(output).not.toBe("");
    },
  );

  it("of the project have an example that prints what it stores and what was there before", async () => {
    const said = await fetch(`http://127.0.0.1:${server.port}/room/node/`, {
      method: "POST",
      body: JSON.stringify({ type: 2, uuid: "before", body: { data: "said before" } }),
    });
    expect(said.ok).toBe(true);
    const file = join(folder, "chat.mjs");
    const code = (english as string).replaceAll("127.0.0.1:4998", `127.0.0.1:${server.port}`);
    writeFileSync(file, code.replaceAll("/room/9527/", "/room/node/"));
    const output = execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 20_000 });
    expect(output).toMatch(/^stored \S+\nsaid before\nhello from Node\n$/);
  });
});
