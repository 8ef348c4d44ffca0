import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newStandalone, until } from "../system/servers.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = (name: string) => join(root, "packages", name);
const NAMES = ["gotapi-ws", "node-gotapi-ws"];

/** The program that users of the old packages have, as it stands in the issue. */
const PROGRAM = `
import {Direction, MessageBus, SocketBus} from "node-gotapi-ws";
const channel = "/note/shifen/me7pb5s6a3shifen.de", wsHost = "127.0.0.1:4998";
let socketBus = new SocketBus(\`ws://\${wsHost}\${channel}\`);
let messageBus = new MessageBus(Direction.Customer, socketBus, \`http://\${wsHost}/__/history/\`, channel, 100, 0);
messageBus.setNewMessageCallback((newMsg, uuid) => { console.log(newMsg.data) });
setTimeout(() => messageBus.pushMessage("god bless u"), 1000);
`;
const GROUP = "/note/shifen/me7pb5s6a3shifen.de";

const tarballs: Record<string, string> = {};
let work: string;
let project: string;
let server: Awaited<ReturnType<typeof newStandalone>>;

const npm = (cwd: string, ...args: string[]) => {
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"];
  return execFileSync("npm", [...args, ...quiet], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
};

/** Writes a file of the project that has the packages installed. */
function write(name: string, text: string): string {
  const path = join(project, name);
  writeFileSync(path, text);
  return path;
}

/** Runs a program of the project to its own end. */
async function run(path: string, ...args: string[]): Promise<string> {
  const options = { cwd: project, timeout: 60_000 };
  return (await promisify(execFile)(process.execPath, [path, ...args], options)).stdout;
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "gotapi-js-pack-"));
  project = join(work, "project");
  mkdirSync(project);
  write("package.json", '{"name":"empty","private":true}');
  for (const name of NAMES) {
    const [packed] = JSON.parse(npm(folder(name), "pack", "--json", "--pack-destination", work));
    tarballs[name] = join(work, packed.filename);
  }
  npm(project, "install", ...Object.values(tarballs));
  server = await (await newStandalone()).start();
});
afterAll(async () => {
  await server?.stop();
  rmSync(work, { recursive: true, force: true });
});

describe("the bundle for browsers", () => {
  const bundle = (file: string) => readFileSync(join(folder("gotapi-ws"), "dist", file), "utf8");

  it("is below 12,288 bytes as an ES module, minified and gzipped", () => {
    expect(gzipSync(bundle("gotapi-ws.min.mjs"), { level: 9 }).length).toBeLessThan(12_288);
  });

  it.each(["gotapi-ws.min.js", "gotapi-ws.min.mjs"])("%s loads nothing else", (file) => {
    expect(bundle(file)).not.toMatch(/\bimport\b|\brequire\b/);
  });

  it("as a script defines one global", () => {
    const page = createContext({});
    runInContext(bundle("gotapi-ws.min.js"), page);
    expect(Object.getOwnPropertyNames(page)).toEqual(["GotapiWs"]);
    // Names that a script declares with let, const or class are global without being properties.
    expect(bundle("gotapi-ws.min.js")).toMatch(/^("use strict";)?var GotapiWs=\(\(\)=>\{.*\}\)\(\);\s*$/s);
  });

  it("has no dependencies", () => {
    const { dependencies } = JSON.parse(readFileSync(join(folder("gotapi-ws"), "package.json"), "utf8"));
    expect(dependencies).toBeUndefined();
    expect(readFileSync(join(folder("gotapi-ws"), "dist/esm/index.js"), "utf8")).not.toMatch(/^import /m);
  });
});

describe.each(NAMES)("%s as it is published", (name) => {
  it.each(["publint/src/cli.js", "@arethetypeswrong/cli/dist/index.js"])("pleases %s", async (tool) => {
    await run(
      join(root, "node_modules", tool),
      tarballs[name] as string,
      ...(tool.includes("publint") ? ["--strict"] : []),
    );
  });

  it("gives the same exports to import and require", async () => {
    const esm = write(
      `${name}.mjs`,
      `import * as api from "${name}"; console.log(Object.keys(api).sort().join())`,
    );
    const cjs = write(`${name}.cjs`, `console.log(Object.keys(require("${name}")).sort().join())`);
    const exported = await run(esm);
    expect(exported).toContain("MessageBus");
    expect(await run(cjs)).toBe(exported);
    const other = write("other.cjs", `console.log(Object.keys(require("${NAMES[0]}")).sort().join())`);
    expect(await run(other)).toBe(exported);
  });

  it.each(["node16", "nodenext", "bundler"])("has types for module resolution %s", async (resolution) => {
    const module = resolution === "bundler" ? "esnext" : resolution;
    const source = readFileSync(join(root, "test/types/usage.ts"), "utf8").replaceAll(
      "../../src/index.js",
      name,
    );
    const file = write(`usage-${name}-${resolution}.mts`, source);
    // With skipLibCheck off and no types of Node or the DOM but those that the program itself asks for.
    const flags = ["--strict", "--noEmit", "--target", "es2022", "--types", "", "--lib", "es2022,dom"];
    await run(
      join(root, "node_modules/typescript/bin/tsc"),
      ...flags,
      "--module",
      module,
      "--moduleResolution",
      resolution,
      file,
    );
  });
});

describe("the program of the old packages", () => {
  const local = () => PROGRAM.replace("127.0.0.1:4998", `127.0.0.1:${server.port}`);

  async function compile(file: string, module: string): Promise<string> {
    const flags = [
      "--strict",
      "--target",
      "es2022",
      "--types",
      "",
      "--module",
      module,
      "--lib",
      "es2022,dom",
    ];
    await run(join(root, "node_modules/typescript/bin/tsc"), ...flags, file);
    return file.replace(/ts$/, "js");
  }

  it("works as written, as an ES module and as CommonJS, on both sides of a conversation", async () => {
    const programs = [
      await compile(write("program.mts", local()), "nodenext"),
      await compile(write("program.cts", local()), "nodenext"),
    ];
    const output: string[] = ["", ""];
    const running = programs.map((program, i) => {
      const child = spawn(process.execPath, [program], {
        cwd: project,
        stdio: ["ignore", "pipe", "inherit"],
      });
      child.stdout.on("data", (chunk) => {
        output[i] += chunk;
      });
      return child;
    });
    try {
      await until("both have printed", () => output.every((text) => text === "god bless u\n"));
    } finally {
      for (const child of running) child.kill("SIGKILL");
    }
    const answer = await fetch(`http://127.0.0.1:${server.port}/__/history?groupName=${GROUP}`);
    const { data } = (await answer.json()) as { data: string[] };
    expect(data.map((text) => JSON.parse(text))).toMatchObject(
      Array(2).fill({
        type: 2,
        body: { data: "god bless u", hash: "eb2ef7838a7a57d755378bd25208020c", sent: false },
      }),
    );
  });
});

describe("a Node process", () => {
  it("ends by itself after close()", async () => {
    const program = write(
      "ends.mjs",
      `import { Client } from "node-gotapi-ws";
       const bus = new Client("http://127.0.0.1:${server.port}").join("/room/ends/");
       await bus.publish("hello");
       bus.close();
       console.log("closed");`,
    );
    const start = Date.now();
    expect(await run(program)).toBe("closed\n");
    expect(Date.now() - start).toBeLessThan(5_000);
  });

  it("is not ended by anything that goes wrong", async () => {
    const program = write(
      "lives.mjs",
      `import { Client, MessageBus, SocketBus, Direction } from "node-gotapi-ws";
       const nowhere = new Client("http://127.0.0.1:1", { timeout: 500 });
       const bus = nowhere.join("/room/nowhere/");
       bus.pushMessage("never");
       bus.publish("never", { timeout: 100 });
       bus.query({}, { timeout: 100 });
       bus.pullHistory({}, { timeout: 100 });
       bus.cancelMessage("x", { timeout: 100 });
       bus.on("state", () => { throw new Error("a listener"); });
       const odd = new MessageBus(Direction.Waitress, new SocketBus("not a url"), "not a url", "", 1, 0);
       odd.pushMessage(1n);
       setTimeout(() => { bus.close(); odd.close(); console.log("alive"); }, 1500);`,
    );
    expect(await run(program)).toBe("alive\n");
  });

  it("keeps running while a server is away, and prints no warning", async () => {
    const program = write(
      "waits.mjs",
      `import { Client } from "node-gotapi-ws";
       process.on("warning", (warning) => console.log(String(warning)));
       const buses = Array.from({ length: 30 }, () => new Client("http://127.0.0.1:1").join("/room/x/"));
       setTimeout(() => { for (const bus of buses) bus.close(); console.log("done"); }, 2000);`,
    );
    expect(await run(program)).toBe("done\n");
  });
});
