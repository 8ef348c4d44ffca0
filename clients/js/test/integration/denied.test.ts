import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import * as browser from "../../packages/gotapi-ws/dist/esm/index.js";
import * as node from "../../packages/node-gotapi-ws/dist/esm/index.js";
import { newStandalone, until } from "../system/servers.js";

const SECRET = "a secret that is longer than 32 bytes";

/** A JSON Web Token, signed with HS256. */
function sign(join: string[], seconds = 3_600): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = {
    sub: "ann",
    exp: Math.floor(Date.now() / 1_000) + seconds,
    gotapi: { join, read: ["/**"] },
  };
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

let server: Awaited<ReturnType<typeof newStandalone>>;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "gotapi-js-denied-"));
  const secret = join(directory, "secret");
  writeFileSync(secret, SECRET);
  server = await (await newStandalone(undefined, "-auth-secret-file", secret)).start();
});
afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe.each([
  ["node-gotapi-ws", node],
  ["gotapi-ws", browser as unknown as typeof node],
])("%s on a server that asks who is there", (_, api) => {
  it.each([
    ["no token", undefined, 401],
    ["an old token", sign(["/**"], -3_600), 401],
    ["a token without the right", sign(["/other/*"]), 403],
  ])("is denied with %s, and a member with a better one", async (_, first, code) => {
    let token: string | undefined = first;
    const platform = api === node ? {} : { WebSocket: WebSocket as never };
    const client = new api.Client(`http://127.0.0.1:${server.port}`, { token: () => token });
    const bus = client.join("/room/1", { historySize: 0, ...platform });
    const states: unknown[] = [];
    const errors: node.GotapiError[] = [];
    bus.on("state", (change) => states.push(change));
    bus.on("error", (error) => errors.push(error));
    await until("the bus is denied", () => bus.state === "denied");
    expect(states.at(-1)).toEqual({ state: "denied", code });
    expect(errors.at(-1)).toMatchObject({ reason: "refused", code });
    expect(errors.at(-1)?.message).not.toBe("");
    token = sign(["/room/*"]);
    bus.socketBus.connect();
    await until("the bus is open", () => bus.state === "open");
    bus.close();
  });
});
