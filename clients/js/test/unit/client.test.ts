import { Client, type ClientOptions, groupPath, MsgCodec } from "gotapi-ws";
import { describe, expect, it, vi } from "vitest";
import { FakeServer } from "./fake-server.js";
import { fakeTime, GROUP, pass } from "./rig.js";

fakeTime();

function newClient(options: ClientOptions = {}) {
  const server = new FakeServer();
  return { server, client: new Client("http://fake/", { fetch: server.fetch, ...options }) };
}

/** The outcome of a call that needs this much time. */
async function outcome<T>(
  call: Promise<T>,
  ms = 100,
): Promise<T | (Error & { code: number; reason: string })> {
  const settled = call.catch((error) => error);
  await pass(ms);
  return settled;
}

describe("Client", () => {
  it("publishes, reads and recalls", async () => {
    const { client, server } = newClient();
    const published = await outcome(client.publish(GROUP, { text: "hi" }, { uuid: "u1" }));
    expect(published).toEqual({ uuid: "u1", duplicate: false });
    expect(await outcome(client.publish(GROUP, "again", { uuid: "u1" }))).toMatchObject({ duplicate: true });
    await outcome(client.publish(GROUP, "second"));
    expect(await outcome(client.history(GROUP, { size: 1 }))).toMatchObject({
      messages: [{ body: { data: "second" } }],
    });
    expect(await outcome(client.history(GROUP, { position: -2, size: 5 }))).toMatchObject({
      position: -2,
      messages: [{ body: { data: "second" } }, { uuid: "u1", body: { data: { text: "hi" }, sent: true } }],
    });
    expect(await outcome(client.cancel(GROUP, "u1"))).toBeUndefined();
    expect(server.history(GROUP)).toHaveLength(1);
    expect(server.requests.map(({ url }) => url)).toEqual([
      "http://fake/room/1/",
      "http://fake/room/1/",
      "http://fake/room/1/",
      "http://fake/__/history/",
      "http://fake/__/history/",
      "http://fake/__/cancel/",
    ]);
    expect(MsgCodec.decode(server.requests[0]!.body)).toMatchObject({
      type: 2,
      uuid: "u1",
      body: { sent: false },
    });
  });

  it("tries again under the same uuid until it succeeds", async () => {
    const { client, server } = newClient();
    server.refusal = 503;
    const call = client.publish(GROUP, "x");
    await pass(5_000);
    const tries = server.requests.length;
    expect(tries).toBeGreaterThan(1);
    expect(tries).toBeLessThan(12);
    server.refusal = 0;
    const { uuid } = (await outcome(call, 20_000)) as { uuid: string };
    expect(new Set(server.requests.map(({ body }) => MsgCodec.decode(body)?.uuid))).toEqual(new Set([uuid]));
    expect(server.history(GROUP)).toEqual([uuid]);
  });

  it("tries again when the network fails", async () => {
    const { client, server } = newClient();
    server.down = true;
    const call = client.publish(GROUP, "x");
    await pass(3_000);
    server.down = false;
    expect(await outcome(call, 20_000)).toMatchObject({ duplicate: false });
  });

  it.each([400, 401, 403, 404, 413])("stops on status %i", async (code) => {
    const { client, server } = newClient();
    server.refusal = code;
    expect(await outcome(client.publish(GROUP, "x"))).toMatchObject({
      reason: "refused",
      code,
      message: "refused",
    });
    expect(server.requests).toHaveLength(1);
  });

  it("waits as long as the server asks", async () => {
    const { client, server } = newClient({ backoff: { min: 1, max: 2 } });
    server.historyDown = true;
    const call = client.history(GROUP);
    await pass(3_500);
    expect(server.requests.length).toBeLessThanOrEqual(4);
    server.historyDown = false;
    expect(await outcome(call, 2_000)).toMatchObject({ messages: [] });
  });

  it.each(["2147484", "1e300", "Infinity"])(
    "waits long when it is asked to wait %s s",
    async (retryAfter) => {
      let requests = 0;
      const headers = new Headers({ "Retry-After": retryAfter });
      const fetch = async () => ({ ok: false, status: 503, headers, text: async () => String(++requests) });
      const { client } = newClient({ fetch });
      expect(await outcome(client.history(GROUP), 30_000)).toMatchObject({ code: 503 });
      expect(requests).toBe(1);
    },
  );

  it("fails when the time is up, with what was wrong last", async () => {
    const { client, server } = newClient({ timeout: 3_000 });
    server.refusal = 503;
    expect(await outcome(client.publish(GROUP, "x"), 3_001)).toMatchObject({ reason: "refused", code: 503 });
    server.refusal = 0;
    server.latency = 60_000;
    const slow = client.publish(GROUP, "x", { timeout: 1_000 });
    expect(await outcome(slow, 1_001)).toMatchObject({ reason: "timeout" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(["token", "fetch", "text"])("does not wait for a %s that never settles", async (what) => {
    const never = () => new Promise<never>(() => {});
    const stuck = async () => ({ ok: true, status: 200, headers: new Headers(), text: never });
    const { client } = newClient({ [what]: never, ...(what === "text" && { fetch: stuck }) });
    expect(await outcome(client.publish(GROUP, "x", { timeout: 1_000 }), 1_001)).toMatchObject({
      reason: "timeout",
    });
    const abort = new AbortController();
    const call = client.history(GROUP, {}, { signal: abort.signal });
    await pass(100);
    abort.abort("enough");
    expect(await outcome(call)).toMatchObject({ reason: "aborted", cause: "enough" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is aborted by a signal", async () => {
    const { client, server } = newClient();
    server.down = true;
    const abort = new AbortController();
    const call = client.publish(GROUP, "x", { signal: abort.signal });
    await pass(100);
    abort.abort("enough");
    expect(await outcome(call)).toMatchObject({ reason: "aborted", cause: "enough" });
    expect(await outcome(client.history(GROUP, {}, { signal: abort.signal }))).toMatchObject({
      reason: "aborted",
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("sends the token of the moment", async () => {
    let n = 0;
    const { client, server } = newClient({ token: () => `t${++n}` });
    await outcome(client.publish(GROUP, 1));
    await outcome(client.cancel(GROUP, "x"));
    expect(server.requests.map(({ headers }) => headers.Authorization)).toEqual(["Bearer t1", "Bearer t2"]);
  });

  it("sends low-level packets", async () => {
    const { client, server } = newClient();
    const bus = client.join(GROUP, { WebSocket: server.WebSocket, fetch: server.fetch });
    const raw: unknown[] = [];
    bus.onRaw((packet) => raw.push(packet));
    await pass(100);
    await outcome(client.publishRaw(GROUP, "plain"));
    expect(raw).toEqual(["plain"]);
    expect(server.upgrades).toEqual(["ws://fake/room/1/"]);
    bus.close();
  });

  it.each(["<html>", "[]", "null", '{"code":200,"data":{}}'])(
    "refuses %s as the answer of a server",
    async (text) => {
      const fetch = async () => ({ ok: true, status: 200, headers: new Headers(), text: async () => text });
      const { client } = newClient({ fetch });
      expect(await outcome(client.history(GROUP), 30_000)).toMatchObject({ reason: "invalid" });
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it.each([
    [408, '{"code":408,"msg":"slow"}'],
    [421, '{"code":421,"msg":"not here"}'],
    [425, '{"code":425,"msg":"too early"}'],
    [404, "<html>no such service</html>"],
    [404, '{"message":"no Route matched"}'],
    [200, "<html>we are back soon</html>"],
    [502, ""],
  ])("tries again after status %i with %s", async (status, text) => {
    const { server } = newClient();
    let tries = 0;
    const proxy: typeof server.fetch = async (url, init) =>
      ++tries > 1
        ? server.fetch(url, init)
        : { ok: false, status, headers: { get: () => null }, text: async () => text };
    const { client } = newClient({ fetch: proxy });
    expect(await outcome(client.publish(GROUP, "x"), 5_000)).toMatchObject({ duplicate: false });
    expect(tries).toBe(2);
  });

  it.each([400, 401, 403, 413])("does not try again after a proxy's status %i", async (status) => {
    let tries = 0;
    const fetch = async () => ({
      ok: false,
      status,
      headers: new Headers(),
      text: async () => `${++tries}<html>`,
    });
    const { client } = newClient({ fetch });
    expect(await outcome(client.publish(GROUP, "x"), 5_000)).toMatchObject({
      reason: "refused",
      code: status,
    });
    expect(tries).toBe(1);
  });

  it("shows stored texts that are no data packets", async () => {
    const { client, server } = newClient();
    server.store(GROUP, "not JSON", "");
    server.store(GROUP, '{"type":2,"body":null}', "");
    const page = await outcome(client.history(GROUP));
    expect(page).toMatchObject({
      messages: [
        { uuid: undefined, body: { data: undefined }, text: '{"type":2,"body":null}' },
        { uuid: undefined, body: { data: "not JSON" }, text: "not JSON" },
      ],
    });
  });
});

describe("groupPath", () => {
  it.each([
    ["/room/9527/", "/room/9527/"],
    ["/a b/100%25?x#y", "/a%20b/100%2525%3Fx%23y"],
    ["/聊天室//x:y", "/%E8%81%8A%E5%A4%A9%E5%AE%A4//x%3Ay"],
  ])("%s", (name, path) => {
    expect(groupPath(name)).toBe(path);
    expect(decodeURIComponent(new URL(`http://x${path}`).pathname)).toBe(name);
  });

  it.each(["", "room", "/a/../b", "/.", "/\ud800"])("refuses %j", (name) => {
    expect(() => groupPath(name)).toThrow(expect.objectContaining({ reason: "invalid", code: 400 }));
  });
});
