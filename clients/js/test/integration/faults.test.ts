import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import * as browser from "../../packages/gotapi-ws/dist/esm/index.js";
import * as node from "../../packages/node-gotapi-ws/dist/esm/index.js";
import { Network, newEdge, newHistoryService, newRedis, newStandalone, until } from "../system/servers.js";

type Api = typeof node;
type Redis = Awaited<ReturnType<typeof newRedis>>;
type Server = Awaited<ReturnType<typeof newStandalone>>;

let groups = 0;
const newGroup = () => `/room/js-${process.pid}-${++groups}/`;

let redis: Redis;
let server: Server;
const buses: node.MessageBus[] = [];

beforeAll(async () => {
  redis = (await (await newRedis()).start()) as Redis;
  server = await (await newStandalone(redis.url)).start();
});
afterEach(() => {
  for (const bus of buses.splice(0)) bus.close();
});
afterAll(async () => {
  await server?.stop();
  await redis?.remove();
});

/** A member that keeps a record of all that it is told. */
function join(api: Api, port: number, group: string, options: node.JoinOptions = {}) {
  const client = new api.Client(`http://127.0.0.1:${port}`);
  // The browser package brings no WebSocket of its own, and this may be a Node without one.
  const platform = api === node ? {} : { WebSocket: WebSocket as never };
  const bus = client.join(group, { historySize: 1_000, ...platform, ...options });
  const seen: string[] = [];
  const gaps: unknown[] = [];
  bus.on("message", ({ uuid }) => seen.push(uuid));
  bus.on("gap", (gap) => gaps.push(gap));
  buses.push(bus as never);
  return { bus, client, seen, gaps };
}

/** Publishes from two members while `fault` happens; then nothing may be lost, doubled or out of order. */
async function survives(
  api: Api,
  port: number,
  fault: () => Promise<void>,
  options: node.JoinOptions = {},
): Promise<void> {
  const group = newGroup();
  const ann = join(api, port, group, options);
  const bob = join(api, port, group, options);
  const eve = join(api, port, group, { ...options, historySize: 0 });
  await until("all are connected", () => [ann, bob, eve].every(({ bus }) => bus.state === "open"));
  await ann.bus.publish("first");
  await until("all have the first message", () => eve.bus.all().length === 1 && bob.bus.all().length === 1);

  const sent: Record<string, string[]> = { ann: [], bob: [] };
  let n = 0;
  const talk = setInterval(() => {
    sent.ann?.push(ann.bus.pushMessage(`a${++n}`));
    sent.bob?.push(bob.bus.pushMessage(`b${n}`));
  }, 20);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await fault();
  await new Promise((resolve) => setTimeout(resolve, 300));
  clearInterval(talk);

  const everybody = [ann, bob, eve];
  const total = 2 * n + 1;
  await until(
    "everything is sent",
    () => [ann, bob].every(({ bus }) => bus.all().every(({ sent }) => sent)),
    60_000,
  );
  await until(
    "everybody has everything",
    () => everybody.every(({ bus }) => bus.all().length === total),
    60_000,
  );
  const { messages } = await ann.client.history(group, { size: 10_000 });
  const history = messages.map(({ uuid }) => uuid).reverse();
  expect(new Set(history).size).toBe(total);
  expect(history.filter((uuid) => sent.ann?.includes(uuid as string))).toEqual(sent.ann);
  expect(history.filter((uuid) => sent.bob?.includes(uuid as string))).toEqual(sent.bob);
  for (const { bus, seen, gaps } of everybody) {
    expect(bus.sortedHash.uuids).toEqual(history);
    expect(new Set(seen).size).toBe(seen.length);
    expect(gaps).toEqual([]);
  }
  expect(eve.seen).toEqual(history);
}

describe.each([
  ["node-gotapi-ws", node],
  ["gotapi-ws", browser as unknown as Api],
])("%s on a real server", (_, api) => {
  it("chats: acks, history, receipts, recall, queries, low-level packets", async () => {
    const group = newGroup();
    const [ann, bob] = [join(api, server.port, group), join(api, server.port, group)];
    const raw: unknown[] = [];
    bob.bus.onRaw((packet) => raw.push(packet));
    const receipts: string[] = [];
    ann.bus.on("receipt", ({ uuid }) => receipts.push(uuid));
    await until("both are connected", () => ann.bus.state === "open" && bob.bus.state === "open");

    const { uuid } = await ann.bus.publish({ text: "hello", html: "<b>" });
    await until("bob has it", () => bob.seen.length === 1);
    expect(bob.bus.all()).toMatchObject([{ uuid, data: { text: "hello", html: "<b>" }, sent: true }]);
    bob.bus.confirm(uuid);
    await until("ann has the receipt", () => receipts.length === 1);
    expect(ann.bus.all()).toMatchObject([{ status: api.SendStatus.PeerSideReceived }]);

    const second = await bob.bus.publish("second");
    const page = await ann.bus.query({ size: 10 });
    expect(page.messages.map((message) => message.uuid)).toEqual([second.uuid, uuid]);
    const after = await ann.bus.query({ after: uuid });
    expect(after.messages.map((message) => message.uuid)).toEqual([second.uuid]);
    const before = await ann.bus.query({ before: second.uuid, size: 1 });
    expect(before.messages.map((message) => message.uuid)).toEqual([uuid]);
    await expect(ann.bus.query({ before: "unknown" })).rejects.toMatchObject({ code: 404 });

    ann.bus.socketBus.sendRaw("plain");
    ann.bus.socketBus.sendRaw(new Uint8Array([0, 255, 1]));
    await until("bob has the low-level packets", () => raw.length === 2);
    expect(raw[0]).toBe("plain");
    expect([...new Uint8Array(raw[1] as ArrayBuffer)]).toEqual([0, 255, 1]);

    await bob.bus.cancelMessage(uuid);
    await until("ann has lost it", () => ann.bus.all().length === 1);
    await expect(bob.bus.cancelMessage("unknown")).rejects.toMatchObject({ code: 404 });

    const late = join(api, server.port, group);
    await until("late has the history", () => late.bus.all().length === 1);
    expect(late.seen).toEqual([second.uuid]);
    expect(late.bus.lastUuid).toBe(second.uuid);
  });

  it("publishes, reads and recalls without a socket", async () => {
    const group = newGroup();
    const client = new api.Client(`http://127.0.0.1:${server.port}`);
    const member = join(api, server.port, group);
    await until("the member is connected", () => member.bus.state === "open");
    expect(await client.publish(group, "x", { uuid: "u1" })).toEqual({ uuid: "u1", duplicate: false });
    expect(await client.publish(group, "y", { uuid: "u1" })).toEqual({ uuid: "u1", duplicate: true });
    await client.publishRaw(group, "plain");
    await until("the member has it", () => member.seen.length === 1);
    expect(await client.history(group)).toMatchObject({ messages: [{ uuid: "u1", body: { data: "x" } }] });
    await client.cancel(group, "u1");
    await until("the member has lost it", () => member.bus.all().length === 0);
    expect((await client.history(group)).messages).toEqual([]);
    await expect(client.cancel(group, "never")).rejects.toMatchObject({ code: 404 });
    await expect(client.publish("/timer", "x")).rejects.toMatchObject({ code: 403 });
  });

  it("keeps groups with unusual names apart", async () => {
    for (const group of [`${newGroup()}聊天 室/`, `${newGroup()}a?b#c%25`, `${newGroup()}/x:y`]) {
      const { bus, client, seen } = join(api, server.port, group);
      await until("connected", () => bus.state === "open");
      await client.publish(group, "x", { uuid: group });
      await until(`the message in ${group}`, () => seen.length === 1);
      expect((await client.history(group)).messages).toHaveLength(1);
    }
  });

  it("reads older messages", async () => {
    const group = newGroup();
    const client = new api.Client(`http://127.0.0.1:${server.port}`);
    for (let i = 0; i < 25; i++) await client.publish(group, i);
    const { bus } = join(api, server.port, group, { historySize: 5 });
    await until("the newest are there", () => bus.all().length === 5);
    expect(await bus.pullOlder(10)).toBe(10);
    expect(await bus.pullOlder(10)).toBe(10);
    expect(await bus.pullOlder(10)).toBe(0);
    expect(bus.all().map(({ data }) => data)).toEqual(Array.from({ length: 25 }, (_, i) => i));
  });

  it("reads older messages beyond a page of recalled ones", async () => {
    const group = newGroup();
    const client = new api.Client(`http://127.0.0.1:${server.port}`);
    const uuids: string[] = [];
    for (let i = 0; i < 20; i++) uuids.push((await client.publish(group, i)).uuid);
    for (const uuid of uuids.slice(10)) await client.cancel(group, uuid);
    const { bus } = join(api, server.port, group, { historySize: 4 });
    await until("some that are left are there", () => bus.all().length === 2); // of the positions 4 to 11
    expect(await bus.pullOlder(3)).toBe(3);
    for (const uuid of uuids.slice(3, 10)) await client.cancel(group, uuid);
    await until("they are gone", () => bus.all().length === 0);
    expect(await bus.pullOlder(3)).toBe(3);
    expect(await bus.pullOlder(3)).toBe(0);
    expect(bus.all().map(({ data }) => data)).toEqual([0, 1, 2]);
    const quiet = join(api, server.port, group, { historySize: 0 }).bus;
    await until("connected", () => quiet.state === "open");
    expect(await quiet.pullOlder(2)).toBe(3);
  });

  it("is told when a message is too large, and goes on", async () => {
    const { bus } = join(api, server.port, newGroup());
    const large = bus.publish("x".repeat(100_000));
    const small = bus.publish("small");
    await expect(large).rejects.toMatchObject({ reason: "refused", code: 413 });
    await expect(small).resolves.toBeDefined();
  });

  it("survives that the server is killed and started again", async () => {
    await survives(api, server.port, async () => {
      await server.stop("SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 500));
      await server.start();
    });
  });

  it("survives that the server is stopped in an orderly way and started again", async () => {
    await survives(api, server.port, async () => {
      await server.stop("SIGTERM");
      await server.start();
    });
  });

  it("survives that Redis is stopped and started again", async () => {
    await survives(api, server.port, async () => {
      await redis.stop("SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await redis.start();
    });
  });

  it("survives cuts of the connection", async () => {
    const proxy = await new Network(server.port).start();
    await survives(api, proxy.port, async () => {
      for (let i = 0; i < 5; i++) {
        proxy.cut();
        proxy.refusing = i % 2 === 0;
        await new Promise((resolve) => setTimeout(resolve, 700));
      }
      proxy.refusing = false;
    });
    await proxy.stop();
  });

  it("survives that the network goes away without a word", async () => {
    const proxy = await new Network(server.port).start();
    const fault = async () => {
      proxy.silence();
      // Nobody tells the clients: only the missing answers to their pings do.
      await until("the clients have noticed", () => buses.every(({ state }) => state !== "open"), 20_000);
      proxy.heal();
    };
    await survives(api, proxy.port, fault, { pingInterval: 500 });
    await proxy.stop();
  });

  it("survives that edge and history service are killed and started again", async () => {
    const history = await (await newHistoryService(redis.url)).start();
    const edge = await (await newEdge(history.port)).start();
    await survives(api, edge.port, async () => {
      await history.stop("SIGKILL");
      await history.start();
      await edge.stop("SIGKILL");
      await edge.start();
    });
    await edge.stop();
    await history.stop();
  });

  it("is told of a gap, and shows what is retained in its place", async () => {
    const small = await (await newStandalone(undefined, "-history-cap", "10")).start();
    const network = await new Network(small.port).start();
    const group = newGroup();
    const backend = new api.Client(`http://127.0.0.1:${small.port}`);
    const { bus, gaps, seen } = join(api, network.port, group, { historySize: 5 });
    await until("connected", () => bus.state === "open");
    for (let i = 0; i < 5; i++) await backend.publish(group, i);
    await until("the first are there", () => bus.all().length === 5);
    network.refusing = true;
    network.cut();
    const own = bus.pushMessage("own");
    for (let i = 5; i < 40; i++) await backend.publish(group, i);
    network.refusing = false;
    await until("the own message is sent", () => bus.sortedHash.get(own)?.sent);
    await until("what is retained is there", () => bus.all().length >= 5 + 10);
    const retained = (await backend.history(group)).messages.map(({ uuid }) => uuid).reverse();
    expect(gaps).toHaveLength(1);
    const data = bus.all().map((body) => body.data);
    expect(data.slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
    expect(data.at(-1)).toBe("own");
    expect(data.slice(0, -1)).toEqual(data.slice(0, -1).sort((a, b) => a - b));
    expect(bus.sortedHash.uuids.slice(-retained.length)).toEqual(retained);
    expect(new Set(seen).size).toBe(seen.length);
    await network.stop();
    await small.stop();
  });

  it("is told when Redis has lost everything, and goes on", async () => {
    const forgetful = (await (await newRedis()).start()) as Redis;
    const other = await (await newStandalone(forgetful.url)).start();
    const group = newGroup();
    const [ann, bob] = [join(api, other.port, group), join(api, other.port, group)];
    await until("connected", () => ann.bus.state === "open" && bob.bus.state === "open");
    await ann.bus.publish("before");
    await until("bob has it", () => bob.bus.all().length === 1);
    await forgetful.forget();
    await forgetful.start();
    const after = await ann.bus.publish("after");
    await until("bob has it", () => bob.seen.includes(after.uuid));
    await until("both know of the loss", () => ann.gaps.length > 0 && bob.gaps.length > 0);
    expect(bob.bus.sortedHash.uuids.at(-1)).toBe(after.uuid);
    await other.stop();
    await forgetful.remove();
  });
});
