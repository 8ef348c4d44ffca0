import { type GotapiError, SendStatus } from "gotapi-ws";
import { describe, expect, it, vi } from "vitest";
import { FakeServer } from "./fake-server.js";
import { fakeTime, GROUP, newRig, pass } from "./rig.js";

fakeTime();

describe("publishing", () => {
  it("shows an own message at once and marks it as sent on the ack", async () => {
    const { bus, server } = newRig();
    await pass(100);
    const acks: unknown[] = [];
    bus.setServerAckCallback((uuid, index) => acks.push([uuid, index]));
    const uuid = bus.pushMessage("hello");
    expect(uuid).toMatch(/^\d{20}$/);
    expect(bus.all()).toMatchObject([
      { data: "hello", hash: "5d41402abc4b2a76b9719d911017c592", sent: false },
    ]);
    await pass(100);
    expect(bus.all()).toMatchObject([{ sent: true, status: SendStatus.ServerReceived }]);
    expect(acks).toEqual([[uuid, 0]]);
    expect(server.received.at(-1)).toEqual({
      type: 2,
      uuid,
      body: { data: "hello", hash: "5d41402abc4b2a76b9719d911017c592", sent: false },
    });
  });

  it("keeps the order of what is published offline, and stores each message once", async () => {
    const { bus, server, screen } = newRig();
    const uuids = [1, 2, 3, 4, 5].map((n) => bus.pushMessage(n));
    expect(bus.sortedHash.uuids).toEqual(uuids);
    await pass(1_000);
    server.cut();
    uuids.push(bus.pushMessage(6), bus.pushMessage(7));
    await pass(5_000);
    expect(server.history(GROUP)).toEqual(uuids);
    expect(screen).toEqual(uuids);
    expect(bus.all().every(({ sent }) => sent)).toBe(true);
  });

  it("resends under the same uuid when the ack is lost, and is not stored twice", async () => {
    const { bus, server } = newRig();
    await pass(100);
    server.mute = true;
    const done = bus.publish("x");
    await pass(1_000);
    expect(bus.all()).toMatchObject([{ sent: false }]);
    server.mute = false;
    await pass(10_000);
    await expect(done).resolves.toEqual({ uuid: server.history(GROUP)[0] });
    expect(server.history(GROUP)).toHaveLength(1);
  });

  it.each([1, 4])(
    "does not count the wait behind others that get through: %i on the way",
    async (inFlight) => {
      const server = new FakeServer();
      server.latency = 50;
      const { bus } = newRig({ server, inFlight, publishTimeout: 1_000 });
      await pass(200);
      const all = Array.from({ length: 60 * inFlight }, (_, i) => bus.publish(i));
      await pass(100 * 60 + 1_000);
      expect((await Promise.allSettled(all)).filter(({ status }) => status === "rejected")).toEqual([]);
    },
  );

  it("counts the time from the sending", async () => {
    const { bus, server } = newRig({ inFlight: 1, publishTimeout: 1_000 });
    await pass(100);
    const failed: string[] = [];
    server.latency = 300;
    for (const text of ["a", "b"]) bus.publish(text).catch(() => failed.push(text));
    await pass(700); // "a" is acked, "b" on its way
    server.mute = true;
    await pass(890);
    expect(failed).toEqual([]);
    await pass(20);
    expect(failed).toEqual(["b"]);
  });

  it("counts the wait behind one that does not get through", async () => {
    const { bus, server } = newRig({ inFlight: 1, publishTimeout: 1_000 });
    await pass(100);
    const failed: string[] = [];
    server.mute = true;
    for (const text of ["a", "b", "c"]) bus.publish(text).catch(() => failed.push(text));
    await pass(999);
    expect(failed).toEqual([]);
    await pass(2);
    expect(failed).toEqual(["a", "b", "c"]);
  });

  it("counts the time without a connection", async () => {
    const server = new FakeServer();
    server.down = true;
    const { bus } = newRig({ server, publishTimeout: 20_000 });
    const failed: unknown[] = [];
    for (let i = 0; i < 20; i++) bus.publish(i).catch(({ reason }) => failed.push(reason));
    await pass(20_001);
    expect(failed).toEqual(Array.from({ length: 20 }, () => "timeout"));
  });

  it.each([400, 401, 403, 413])("stops on code %i and tells the caller", async (code) => {
    const { bus, server, errors } = newRig();
    await pass(100);
    server.refusal = code;
    const done = bus.publish("x");
    const caught = done.catch((error) => error);
    await pass(1_000);
    expect(await caught).toMatchObject({ reason: "refused", code, message: `no: ${code}` });
    const sent = server.received.length;
    await pass(3_000 - 1);
    expect(server.received.filter(({ type }) => type === 2)).toHaveLength(1);
    expect(server.received.length - sent).toBeLessThanOrEqual(1);
    expect(bus.all()).toMatchObject([{ sent: false, failure: { code, reason: "refused" } }]);
    expect(errors).toHaveLength(1);
  });

  it.each([503, 504, 429, 500])("tries again after code %i, with pauses, in order", async (code) => {
    const { bus, server } = newRig({ inFlight: 1 });
    await pass(100);
    server.refusal = code;
    const uuids = [1, 2, 3].map((n) => bus.pushMessage(n));
    await pass(10_000);
    const tries = server.received.filter(({ type }) => type === 2).length;
    expect(tries).toBeGreaterThan(1);
    expect(tries).toBeLessThan(20);
    expect(new Set(server.received.filter(({ type }) => type === 2).map(({ uuid }) => uuid))).toEqual(
      new Set([uuids[0]]),
    );
    server.refusal = 0;
    await pass(20_000);
    expect(server.history(GROUP)).toEqual(uuids);
  });

  it("goes on after the WebSocket has thrown", async () => {
    const { bus, server, screen, socket } = newRig();
    await pass(100);
    vi.spyOn(socket(), "send").mockImplementationOnce(() => {
      throw new Error("not now");
    });
    for (const uuid of ["a", "b"]) bus.publish(uuid, { uuid }).catch(() => {});
    server.say(GROUP, "c");
    await pass(10_000);
    expect([...server.history(GROUP)].sort()).toEqual(["a", "b", "c"]);
    expect(screen).toEqual(server.history(GROUP));
    expect(bus.all().every(({ sent }) => sent)).toBe(true);
  });

  it("has several on the way at once, in order", async () => {
    const { bus, server } = newRig({ publishTimeout: 3_000 });
    await pass(100);
    server.latency = 50;
    const uuids = Array.from({ length: 300 }, (_, i) => `m${i}`);
    const failed = vi.fn();
    for (const uuid of uuids) bus.publish(uuid, { uuid }).catch(failed);
    await pass(10_000);
    expect(server.history(GROUP)).toEqual(uuids);
    expect(bus.all().every(({ sent }) => sent)).toBe(true);
    expect(failed).not.toHaveBeenCalled();
  });

  it("sends one at a time after a refusal, until the refused one is stored", async () => {
    const { bus, server, socket } = newRig();
    await pass(100);
    const real = server.accept.bind(server);
    const sent: string[] = [];
    let refusals = 2;
    vi.spyOn(server, "accept").mockImplementation((from, frame) => {
      const { type, uuid } = JSON.parse(frame as string);
      if (type === 2) sent.push(uuid);
      if (uuid === "b" && refusals-- > 0) return socket().refuse("b", 503);
      real(from, frame);
    });
    for (const uuid of ["a", "b", "c"]) bus.publish(uuid, { uuid });
    await pass(100);
    for (const uuid of ["d", "e"]) bus.publish(uuid, { uuid });
    await pass(10_000);
    // c was on the way; d and e wait until b is stored.
    expect(sent).toEqual(["a", "b", "c", "b", "b", "d", "e"]);
    expect(server.history(GROUP)).toEqual(["a", "c", "b", "d", "e"]);
    expect(bus.sortedHash.uuids).toEqual(server.history(GROUP));
  });

  it("rejects when the time is up, with the server's last word, and sends no more", async () => {
    const { bus, server } = newRig();
    await pass(100);
    server.refusal = 503;
    const caught = bus.publish("x", { timeout: 4_000 }).catch((error) => error);
    await pass(4_001);
    expect(await caught).toMatchObject({ reason: "timeout", code: 503, message: "no: 503" });
    server.refusal = 0;
    await pass(60_000);
    expect(server.history(GROUP)).toEqual([]);
  });

  it("marks a message as sent whose ack comes after its time", async () => {
    const { bus, server, log } = newRig();
    await pass(100);
    server.latency = 1_000;
    const caught = bus.publish("x", { timeout: 500 }).catch((error: GotapiError) => error.reason);
    await pass(5_000);
    expect(await caught).toBe("timeout");
    const [uuid] = server.history(GROUP);
    expect(log).toEqual([`pending ${uuid}`, `ack ${uuid}`]);
    expect(bus.all()).toMatchObject([{ sent: true, failure: undefined }]);
  });

  it("waits as long as a refusal asks", async () => {
    const { bus, server } = newRig();
    await pass(100);
    Object.assign(server, { refusal: 429, retryAfter: 60_000 });
    const publish = bus.publish("a", { timeout: 200_000 });
    await pass(59_000);
    const attempts = () => server.received.filter(({ type }) => type === 2).length;
    expect(attempts()).toBe(1);
    server.refusal = 0;
    await pass(2_000);
    await publish;
    expect(attempts()).toBe(2);
  });

  it.each([2 ** 31, 2 ** 32, 1e300])("waits long when a refusal asks for %s ms", async (retryAfter) => {
    const { bus, server } = newRig();
    await pass(100);
    Object.assign(server, { refusal: 429, retryAfter });
    bus.pushMessage("a");
    await pass(60_000);
    expect(server.received.filter(({ type }) => type === 2)).toHaveLength(1);
  });

  it.each([2 ** 31, Infinity])("gives a message the time that it is given: %s ms", async (timeout) => {
    const { bus, server } = newRig({ ackTimeout: timeout });
    await pass(100);
    server.mute = true;
    const failed = vi.fn();
    bus.publish("a", { timeout }).catch(failed);
    bus.query({}, { timeout }).catch(failed);
    bus.pullHistory({}, { timeout }).catch(failed);
    await pass(60_000);
    expect(failed).not.toHaveBeenCalled();
    expect(server.received.filter(({ type }) => type === 2)).toHaveLength(1);
    bus.close();
  });

  it("waits, too, when others that were on the way are acked", async () => {
    const { bus, server, socket } = newRig({ inFlight: 2 });
    await pass(100);
    server.mute = true;
    bus.publish("a", { uuid: "a" });
    bus.publish("b", { uuid: "b" });
    await pass(50);
    server.retryAfter = 5_000;
    socket().refuse("a", 429);
    socket().tell({ type: 1, command: 1, uuid: "b" });
    await pass(4_000);
    expect(server.received.filter(({ type }) => type === 2)).toHaveLength(2);
    await pass(2_000);
    expect(server.received.filter(({ type }) => type === 2)).toHaveLength(3);
  });

  it("sends what found no room in the socket as soon as there is some", async () => {
    const { bus, server, socket } = newRig();
    await pass(100);
    server.say(GROUP, "other");
    await pass(100);
    socket().bufferedAmount = 9 << 20;
    const publish = bus.publish("a");
    const query = bus.query();
    bus.confirm("other");
    await pass(100);
    socket().bufferedAmount = 0;
    await pass(4_000);
    await Promise.all([publish, query]);
    expect(server.received.some(({ command }) => command === 3)).toBe(true);
  });

  it("is aborted by a signal", async () => {
    const { bus, server } = newRig();
    server.down = true;
    const abort = new AbortController();
    const caught = bus.publish("x", { signal: abort.signal }).catch((error) => error);
    abort.abort(new Error("changed my mind"));
    expect(await caught).toMatchObject({ reason: "aborted", cause: abort.signal.reason });
    expect(await bus.publish("y", { signal: abort.signal }).catch((error) => error.reason)).toBe("aborted");
    server.down = false;
    await pass(60_000);
    expect(server.history(GROUP)).toEqual([]);
  });

  it("fails at once when the outbox is full", async () => {
    const { bus, errors } = newRig({ outboxSize: 2 });
    bus.pushMessage(1);
    bus.pushMessage(2);
    bus.pushMessage(3);
    expect(await bus.publish(4).catch((error) => error.reason)).toBe("full");
    expect(errors.map(({ reason }) => reason)).toEqual(["full", "full"]);
    expect(bus.all().map(({ failure }) => failure?.reason)).toEqual([undefined, undefined, "full", "full"]);
  });

  it("takes the closing of the connection by too large a message as its refusal", async () => {
    const { bus, server } = newRig();
    await pass(100);
    const large = bus.publish("x".repeat(40_000)).catch((error) => error);
    const next = bus.publish("small");
    await pass(20_000);
    expect(await large).toMatchObject({ reason: "refused", code: 413 });
    await expect(next).resolves.toBeDefined();
    expect(server.upgrades).toHaveLength(2);
  });

  it("does not blame a message for too large a low-level packet", async () => {
    const { bus, socketBus, server } = newRig();
    await pass(100);
    socketBus.sendRaw("x".repeat(40_000));
    const done = bus.publish("small");
    await pass(20_000);
    await expect(done).resolves.toBeDefined();
    expect(server.history(GROUP)).toHaveLength(1);
  });

  it("sends a failed message once more on request, as the newest", async () => {
    const { bus, server, screen } = newRig();
    await pass(100);
    server.refusal = 403;
    const first = bus.pushMessage("first");
    await pass(100);
    server.refusal = 0;
    const second = bus.pushMessage("second");
    await pass(100);
    const done = bus.publish("first", { uuid: first });
    await pass(100);
    await expect(done).resolves.toEqual({ uuid: first });
    expect(server.history(GROUP)).toEqual([second, first]);
    expect(screen).toEqual([second, first]);
    expect(bus.sortedHash.uuids).toEqual([second, first]);
  });

  it("sends the new text of a failed message", async () => {
    const { bus, server } = newRig();
    await pass(100);
    server.refusal = 403;
    const uuid = bus.pushMessage("typo");
    await pass(100);
    server.refusal = 0;
    const done = bus.publish("corrected", { uuid });
    expect(bus.all()).toMatchObject([{ data: "corrected", failure: undefined, own: true, uuid }]);
    await pass(100);
    await done;
    expect(JSON.parse(server.group(GROUP).events[0]!.text).body).toMatchObject({
      data: "corrected",
      hash: bus.all()[0]!.hash,
    });
  });

  it("discards a message that was refused", async () => {
    const { bus, server, screen } = newRig();
    await pass(100);
    server.refusal = 403;
    const uuid = bus.pushMessage("never mind");
    await pass(100);
    await bus.cancelMessage(uuid);
    expect(screen).toEqual([]);
    expect(server.requests.filter(({ url }) => url.includes("cancel"))).toEqual([]);
  });

  it("discards a message whose time is up, also when the server does not have it", async () => {
    const { bus, server, socket, screen } = newRig();
    await pass(100);
    socket().dead = true;
    const uuid = (
      await Promise.all([bus.publish("x", { timeout: 500 }).catch((error) => error.uuid), pass(501)])
    )[0];
    await Promise.all([bus.cancelMessage(uuid), pass(100)]);
    expect(server.requests).toHaveLength(2);
    expect(screen).toEqual([]);
  });

  it("reports what JSON cannot hold, and goes on", async () => {
    const { bus, errors } = newRig();
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    bus.pushMessage(circle);
    expect(await bus.publish(1n).catch((error) => error.reason)).toBe("invalid");
    expect(errors.map(({ reason }) => reason)).toEqual(["invalid", "invalid"]);
    bus.pushMessage(undefined);
    expect(bus.all()).toMatchObject([{ data: null }]);
  });
});

describe("the list", () => {
  it("puts own messages where the stream has them", async () => {
    const { bus, server, screen } = newRig();
    await pass(100);
    server.mute = true;
    const own = bus.pushMessage("own");
    server.mute = false;
    server.latency = 50;
    server.say(GROUP, "a");
    await pass(20);
    server.say(GROUP, "b");
    await pass(10_000);
    expect(bus.sortedHash.uuids).toEqual(server.history(GROUP));
    expect(screen).toEqual(server.history(GROUP));
    expect(bus.sortedHash.uuids).toContain(own);
  });

  it("calls back for each message of others once, history included", async () => {
    const server = new FakeServer();
    server.say(GROUP, "old");
    const { bus } = newRig({ server, historySize: 100 });
    const seen: string[] = [];
    bus.setNewMessageCallback((body, uuid) => seen.push(`${uuid}=${body.data}`));
    await pass(100);
    server.say(GROUP, "new");
    bus.pushMessage("own");
    await pass(100);
    server.cut();
    await pass(5_000);
    expect(seen).toEqual(["old=old", "new=new"]);
  });

  it("merges history around what is live, without announcing anything twice", async () => {
    const server = new FakeServer();
    for (const uuid of ["a", "b", "c", "d"]) server.say(GROUP, uuid);
    const { bus, log, screen } = newRig({ server, historySize: 2 });
    server.latency = 20;
    await pass(100);
    server.say(GROUP, "e");
    await pass(100);
    expect(screen).toEqual(["c", "d", "e"]);
    expect((await Promise.all([bus.pullHistory({ size: 10 }), pass(100)]))[0]).toBe(2);
    expect(screen).toEqual(["a", "b", "c", "d", "e"]);
    expect(new Set(log).size).toBe(log.length);
    expect(bus.lastUuid).toBe("e");
  });

  it("reads older messages page by page", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 25; i++) server.say(GROUP, `m${i}`);
    const { bus, screen } = newRig({ server, historySize: 5 });
    await pass(100);
    for (const expected of [10, 10, 0]) {
      const [added] = await Promise.all([bus.pullOlder(10), pass(100)]);
      expect(added).toBe(expected);
    }
    expect(screen).toEqual(server.history(GROUP));
  });

  it("reads one page for each of several calls at once", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 50; i++) server.say(GROUP, `m${i}`);
    const { bus, screen } = newRig({ server, historySize: 5 });
    await pass(100);
    const before = server.requests.length;
    const abort = new AbortController();
    const calls = [
      bus.pullOlder(10),
      bus.pullOlder(10, { timeout: 5 }).catch((error) => error.reason),
      bus.pullOlder(10, { signal: abort.signal }).catch((error) => error.reason),
      bus.pullOlder(10),
    ];
    abort.abort();
    await pass(100);
    expect(await Promise.all(calls)).toEqual([10, "timeout", "aborted", 10]);
    expect(server.requests.length - before).toBe(2);
    expect(screen).toEqual(server.history(GROUP).slice(-25));
    const last = [bus.pullOlder(10), bus.pullOlder(10)].map((call) => call.catch((error) => error.reason));
    bus.close();
    expect(await Promise.all(last)).toEqual(["closed", "closed"]);
  });

  /** A group whose messages m0 to m24 are followed by as many that were recalled. */
  function halfRecalled(): FakeServer {
    const server = new FakeServer();
    for (let i = 0; i < 50; i++) server.say(GROUP, `m${i}`);
    for (let i = 25; i < 50; i++) server.recall(GROUP, `m${i}`);
    return server;
  }

  it("reads older messages beyond pages of nothing but recalled ones", async () => {
    const server = halfRecalled();
    const { bus, screen } = newRig({ server });
    await pass(100);
    // The second page, of twice the size, has the positions 10 to 29.
    for (const expected of [5, 10, 10, 0]) {
      expect((await Promise.all([bus.pullOlder(10), pass(100)]))[0]).toBe(expected);
    }
    expect(screen).toEqual(server.history(GROUP));
  });

  it("reads older messages when all that it had was recalled", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 25; i++) server.say(GROUP, `m${i}`);
    const { bus, screen } = newRig({ server, historySize: 5 });
    await pass(100);
    for (let i = 20; i < 25; i++) server.recall(GROUP, `m${i}`);
    await pass(100);
    expect(screen).toEqual([]);
    for (const expected of [10, 10, 0]) {
      expect((await Promise.all([bus.pullOlder(10), pass(100)]))[0]).toBe(expected);
    }
    server.say(GROUP, "live");
    await pass(100);
    expect(screen).toEqual(server.history(GROUP));
  });

  it("reads older messages beyond pages of messages without uuid that it has", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 25; i++) server.store(GROUP, JSON.stringify({ type: 2, body: { data: i } }), "");
    const { bus } = newRig({ server, historySize: 5 });
    await pass(100);
    for (const expected of [5, 15, 0]) {
      expect((await Promise.all([bus.pullOlder(10), pass(100)]))[0]).toBe(expected);
    }
    expect(bus.all().map(({ data }) => data)).toEqual(Array.from({ length: 25 }, (_, i) => i));
  });

  it.each([
    ["call", { timeout: 1_500 }, {}],
    ["bus", {}, { timeout: 1_500 }],
  ])(
    "gives a call for older messages the time of the %s once, however many pages it reads",
    async (_, call, options) => {
      const server = halfRecalled();
      server.latency = 400;
      const { bus } = newRig({ server, ...options });
      await pass(2_000);
      const older = bus.pullOlder(5, call);
      const outcome = expect(older).rejects.toMatchObject({ reason: "timeout" });
      await pass(1_600);
      await outcome;
    },
  );

  it("reads nothing else when the oldest messages, which it begins with, were recalled", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 10; i++) server.say(GROUP, `m${i}`);
    for (let i = 0; i < 5; i++) server.recall(GROUP, `m${i}`);
    const { screen } = newRig({ server, historySize: 5, position: -5 });
    await pass(100);
    expect(screen).toEqual([]);
  });

  it("does not read the same page for ever when the server says so", async () => {
    const server = new FakeServer();
    const stubborn: typeof server.fetch = async (url, init) => ({
      ...(await server.fetch(url, init)),
      text: async () => JSON.stringify({ code: 200, position: 0, msg: "", data: [], next: 10 }),
    });
    const { bus } = newRig({ server, historySize: 10, fetch: stubborn });
    await pass(100);
    expect((await Promise.all([bus.pullOlder(10), pass(100)]))[0]).toBe(0);
    expect(server.requests).toHaveLength(4);
  });

  it("shows as much history at the start as it should, also when the newest was recalled", async () => {
    const server = halfRecalled();
    const { bus, screen } = newRig({ server, historySize: 5 });
    await pass(100);
    expect(screen).toEqual(server.history(GROUP).slice(-5));
    expect(bus.lastUuid).toBe("m24");
  });

  it("without history at the start, goes on after the newest message that was not recalled", async () => {
    const server = halfRecalled();
    const { screen } = newRig({ server });
    await pass(100);
    server.cut();
    server.say(GROUP, "missed");
    await pass(5_000);
    expect(screen).toEqual(["missed"]);
  });

  it("removes recalled messages live, and ignores recalls of unknown ones", async () => {
    const { bus, server, log } = newRig();
    await pass(100);
    const removed: unknown[] = [];
    bus.setRemoveCallback((uuid, index) => removed.push([uuid, index]));
    for (const uuid of ["a", "b", "c"]) server.say(GROUP, uuid);
    await pass(100);
    server.recall(GROUP, "b");
    server.group(GROUP).known.add("never seen");
    server.recall(GROUP, "never seen");
    await pass(100);
    expect(bus.sortedHash.uuids).toEqual(["a", "c"]);
    expect(removed).toEqual([["b", 1]]);
    expect(log.filter((line) => line.startsWith("removed"))).toEqual(["removed b"]);
  });

  it("does not bring back a message recalled while the history was on its way", async () => {
    const server = new FakeServer();
    server.say(GROUP, "a");
    server.say(GROUP, "b");
    const slow: typeof server.fetch = async (url, init) => {
      const answer = await server.fetch(url, init);
      await new Promise((resolve) => setTimeout(resolve, 500));
      return answer;
    };
    const { screen } = newRig({ server, historySize: 10, fetch: slow });
    await pass(100);
    server.recall(GROUP, "b");
    await pass(1_000);
    expect(screen).toEqual(["a"]);
  });

  it("lets the oldest go when it is full", async () => {
    const { bus, server, screen, log } = newRig({ maxMessages: 3 });
    await pass(100);
    for (const uuid of ["a", "b", "c", "d", "e"]) server.say(GROUP, uuid);
    await pass(100);
    expect(bus.sortedHash.uuids).toEqual(["c", "d", "e"]);
    expect(screen).toEqual(["c", "d", "e"]);
    expect(log).toContain("removed a");
  });

  it("is as long as it may be again when a message comes after older ones were read", async () => {
    const server = new FakeServer();
    for (let i = 0; i < 20; i++) server.say(GROUP, `m${i}`);
    const { bus, screen } = newRig({ server, historySize: 3, maxMessages: 3 });
    await pass(100);
    await Promise.all([bus.pullOlder(10), pass(100)]);
    expect(screen).toHaveLength(13);
    server.say(GROUP, "new");
    await pass(100);
    expect(screen).toEqual(["m18", "m19", "new"]);
  });

  it("takes messages without uuid, twice the same text too, and shows them once", async () => {
    const { bus, server, socket } = newRig();
    await pass(100);
    server.say(GROUP, "first");
    const text = JSON.stringify({ type: 2, body: { data: "nameless" } });
    server.store(GROUP, text, "");
    server.store(GROUP, text, "");
    await pass(100);
    expect(bus.all().map(({ data }) => data)).toEqual(["first", "nameless", "nameless"]);
    socket().cut(1006);
    server.store(GROUP, text, "");
    server.store(GROUP, JSON.stringify({ type: 2 }), "");
    await pass(5_000);
    const expected = ["first", "nameless", "nameless", "nameless", undefined];
    expect(bus.all().map(({ data }) => data)).toEqual(expected);
    await Promise.all([bus.pullHistory({ size: 50 }), pass(100)]);
    expect(bus.all().map(({ data }) => data)).toEqual(expected);
  });

  it("survives what a listener throws, and reports it", async () => {
    const { bus, server, errors, screen } = newRig();
    await pass(100);
    bus.setNewMessageCallback(() => {
      throw new Error("in the callback");
    });
    bus.on("message", async () => {
      throw new Error("in the listener");
    });
    server.say(GROUP, "a");
    server.say(GROUP, "b");
    await pass(100);
    expect(screen).toEqual(["a", "b"]);
    expect(errors.map(({ reason }) => reason)).toEqual(Array(4).fill("listener"));
  });

  it("prints what an error listener throws", async () => {
    const print = vi.spyOn(console, "error").mockImplementation(() => {});
    const { bus } = newRig();
    bus.on("error", () => {
      throw new Error("in the error listener");
    });
    bus.pushMessage(1n);
    await pass(0);
    expect(print).toHaveBeenCalledOnce();
    print.mockRestore();
  });
});

describe("resuming", () => {
  it("goes on after the last message delivered or acked", async () => {
    const { bus, server, log, screen } = newRig();
    await pass(100);
    server.say(GROUP, "a");
    await pass(100);
    server.cut();
    server.say(GROUP, "b");
    server.recall(GROUP, "a");
    await pass(5_000);
    expect(server.upgrades.at(-1)).toBe(`ws://fake${GROUP}?after=a`);
    expect(screen).toEqual(["b"]);
    expect(log).toEqual(["message a", "message b", "removed a"]);
    const own = bus.pushMessage("own");
    await pass(100);
    server.cut();
    await pass(5_000);
    expect(server.upgrades.at(-1)).toBe(`ws://fake${GROUP}?after=${own}`);
  });

  it("takes an own message that comes back as its ack", async () => {
    const { bus, server, log, socket } = newRig();
    await pass(100);
    server.say(GROUP, "a");
    await pass(100);
    const done = bus.publish("own");
    await pass(server.latency);
    server.say(GROUP, "b");
    socket().cut(1006); // before the ack is here
    server.refusal = 503; // so that only the resume can tell
    await pass(5_000);
    const { uuid } = await done;
    expect(server.history(GROUP)).toEqual(["a", uuid, "b"]);
    expect(bus.sortedHash.uuids).toEqual(["a", uuid, "b"]);
    expect(log).toEqual(["message a", `pending ${uuid}`, `ack ${uuid}`, "message b"]);
  });

  it("begins after a given message", async () => {
    const server = new FakeServer();
    for (const uuid of ["a", "b", "c"]) server.say(GROUP, uuid);
    const { screen } = newRig({ server, after: "a" });
    await pass(100);
    expect(screen).toEqual(["b", "c"]);
  });

  it.each(["empty", "not empty"])(
    "misses nothing when the connection breaks before the first message: %s",
    async (how) => {
      const server = new FakeServer();
      if (how === "not empty") server.say(GROUP, "old");
      const { screen } = newRig({ server });
      await pass(100);
      server.cut();
      server.say(GROUP, "a");
      server.say(GROUP, "b");
      await pass(5_000);
      expect(screen).toEqual(["a", "b"]);
    },
  );

  it("on a gap tells so once and merges the retained history", async () => {
    const { server, log, screen, bus } = newRig({ historySize: 10 });
    await pass(100);
    for (const uuid of ["a", "b", "c"]) server.say(GROUP, uuid);
    await pass(100);
    server.cut();
    for (const uuid of ["d", "e", "f"]) server.say(GROUP, uuid);
    server.group(GROUP).trimmed = 4; // a to d are no longer retained
    const own = bus.pushMessage("own");
    await pass(10_000);
    expect(screen).toEqual(["a", "b", "c", "e", "f", own]);
    expect(log.filter((line) => line.startsWith("gap"))).toEqual(["gap c"]);
    server.say(GROUP, "g");
    await pass(100);
    expect(screen.at(-1)).toBe("g");
  });

  it("on a gap puts older messages than it had before them", async () => {
    const server = new FakeServer();
    for (const uuid of ["a", "b", "c", "d"]) server.say(GROUP, uuid);
    const { log, screen } = newRig({ server, historySize: 3 });
    await pass(100);
    expect(screen).toEqual(["b", "c", "d"]);
    // The place of d is forgotten, its message is not.
    for (const event of server.group(GROUP).events) if (event.uuid === "d") event.uuid = "?";
    server.cut();
    server.say(GROUP, "e");
    server.recall(GROUP, "c");
    await pass(10_000);
    expect(log.filter((line) => line.startsWith("gap"))).toEqual(["gap d"]);
    expect(screen).toEqual(["a", "b", "d", "e"]);
  });

  it("after a gap does not wait for a history that cannot be had", async () => {
    const { server, screen, errors } = newRig({ historySize: 10 });
    await pass(100);
    server.say(GROUP, "a");
    await pass(100);
    server.historyDown = true;
    server.cut();
    server.say(GROUP, "b");
    server.group(GROUP).trimmed = 2;
    server.say(GROUP, "c");
    await pass(15_000);
    expect(screen).toEqual(["a", "c"]);
    expect(errors.some(({ code }) => code === 503)).toBe(true);
  });

  it("after a gap does not wait for a history that never comes", async () => {
    const server = new FakeServer();
    let stuck = false;
    const fetch: typeof server.fetch = (...args) => (stuck ? new Promise(() => {}) : server.fetch(...args));
    const { screen } = newRig({ server, historySize: 10, fetch });
    await pass(100);
    server.say(GROUP, "a");
    await pass(100);
    stuck = true;
    server.cut();
    server.say(GROUP, "b");
    server.group(GROUP).trimmed = 2;
    server.say(GROUP, "c");
    await pass(15_000);
    expect(screen).toEqual(["a", "c"]);
  });

  it.each([401, 403])("does not ask again for a history refused with %i", async (status) => {
    let requests = 0;
    const text = async () => JSON.stringify({ code: status, msg: `no: ${++requests}` });
    const fetch = async () => ({ ok: false, status, headers: new Headers(), text });
    const { errors } = newRig({ historySize: 10, fetch });
    await pass(100_000);
    expect(requests).toBe(1);
    expect(errors).toMatchObject([{ reason: "refused", code: status }]);
  });

  it.each([
    [401, 4, "when it has another connection, and perhaps another token"],
    [403, 1, "only when a call asks for it"],
  ])("asks for a history refused with %i: %i times, %s", async (status, times) => {
    const server = new FakeServer();
    let requests = 0;
    const text = async () => JSON.stringify({ code: status, msg: `no: ${++requests}` });
    const fetch = async () => ({ ok: false, status, headers: new Headers(), text });
    const { bus, screen } = newRig({ server, historySize: 10, fetch });
    await pass(10_000);
    for (let i = 0; i < 3; i++) {
      server.cut();
      await pass(30_000);
      server.say(GROUP, `m${i}`);
      await pass(100);
    }
    expect(requests).toBe(times);
    expect(screen).toEqual(["m0", "m1", "m2"]);
    // A gap does not hold the stream back for it, either.
    server.cut();
    server.say(GROUP, "lost");
    server.say(GROUP, "live");
    server.group(GROUP).trimmed = 4;
    await pass(30_000);
    server.say(GROUP, "after the gap");
    await pass(100);
    expect(screen.slice(-2)).toEqual(["live", "after the gap"]);
    const before = requests;
    await Promise.all([bus.pullHistory().catch(() => {}), pass(1_000)]);
    expect(requests).toBe(before + 1);
  });

  it("reads the history later when it cannot be had at the start", async () => {
    const server = new FakeServer();
    server.historyDown = true;
    server.say(GROUP, "a");
    const { screen } = newRig({ server, historySize: 10 });
    await pass(20_000);
    server.say(GROUP, "b");
    await pass(100);
    expect(screen).toEqual(["b"]);
    server.historyDown = false;
    await pass(30_000);
    expect(screen).toEqual(["a", "b"]);
  });
});

describe("receipts, recalls and queries", () => {
  it("confirms, also what was confirmed offline", async () => {
    const server = new FakeServer();
    const ann = newRig({ server });
    const bob = newRig({ server });
    await pass(100);
    const uuid = ann.bus.pushMessage("hi");
    await pass(100);
    bob.socketBus.close();
    bob.bus.confirm(uuid);
    bob.socketBus.connect();
    await pass(100);
    expect(ann.bus.all()).toMatchObject([{ status: SendStatus.PeerSideReceived }]);
    expect(ann.log.at(-1)).toBe(`receipt ${uuid}`);
    expect(bob.log).toEqual([`message ${uuid}`]);
    expect(server.received.at(-1)).toEqual({ type: 1, command: 3, uuid });
  });

  it("believes nobody who says whose a message is, or how it fared", async () => {
    const { bus, server } = newRig();
    await pass(100);
    const body = { data: "a", own: true, failure: "x", rollback: true, uuid: "b", status: 2, kept: 1 };
    server.store(GROUP, JSON.stringify({ type: 2, uuid: "a", body }), "a");
    await pass(100);
    expect(bus.all()).toEqual([{ data: "a", hash: "", sent: true, status: 1, uuid: "a", kept: 1 }]);
  });

  it("takes no command for a receipt that it does not know", async () => {
    const { bus, log, socket } = newRig();
    await pass(100);
    const uuid = bus.pushMessage("hi");
    await pass(100);
    for (const command of [0, 8, 99, undefined]) socket().tell({ type: 1, command: command as number, uuid });
    await pass(100);
    expect(log).toEqual([`pending ${uuid}`, `ack ${uuid}`]);
    expect(bus.all()).toMatchObject([{ status: SendStatus.ServerReceived }]);
  });

  it("recalls a message for everybody", async () => {
    const server = new FakeServer();
    const ann = newRig({ server });
    const bob = newRig({ server });
    await pass(100);
    const { uuid } = (await Promise.all([ann.bus.publish("oops"), pass(100)]))[0];
    const [outcome] = await Promise.all([ann.bus.cancelMessage(uuid), pass(100)]);
    expect(outcome).toBeUndefined();
    expect([ann.screen, bob.screen]).toEqual([[], []]);
    expect(ann.log).toEqual([`pending ${uuid}`, `ack ${uuid}`, `removed ${uuid}`]);
    expect(server.requests.at(-1)).toMatchObject({
      url: "http://fake/__/cancel/",
      body: `groupName=%2Froom%2F1%2F&uuid=${uuid}`,
    });
    const unknown = ann.bus.cancelMessage("unknown").catch((error) => error);
    await pass(100);
    expect(await unknown).toMatchObject({ code: 404, message: "no such message" });
  });

  it("takes back what was never sent, and waits with what is on its way", async () => {
    const { bus, server, screen } = newRig();
    const kept = bus.publish("kept");
    const never = bus.publish("never sent").catch((error) => error.reason);
    await bus.cancelMessage(bus.sortedHash.uuids[1]!);
    expect(await never).toBe("aborted");
    await pass(100);
    await kept;
    server.latency = 100;
    const uuid = bus.pushMessage("on its way");
    const done = bus.cancelMessage(uuid);
    await pass(1_000);
    await done;
    expect(screen).toHaveLength(1);
    expect(server.history(GROUP)).toHaveLength(1);
  });

  it("recalls what is on its way no longer than it may take", async () => {
    const { bus, server } = newRig();
    await pass(100);
    server.refusal = 503;
    const uuid = bus.pushMessage("on its way");
    await pass(50);
    const abort = new AbortController();
    const reasons = [{ timeout: 1_000 }, { signal: abort.signal }, {}].map((options) =>
      bus.cancelMessage(uuid, options).catch((error) => error.reason),
    );
    await pass(1_000);
    abort.abort();
    await pass(29_000);
    expect(await Promise.all(reasons)).toEqual(["timeout", "aborted", "timeout"]);
  });

  it("asks for history over the socket, one query at a time", async () => {
    const { bus, server } = newRig();
    await pass(100);
    for (const uuid of ["a", "b", "c"]) server.say(GROUP, uuid);
    const asked = [bus.query({ size: 2 }), bus.query({ after: "a" }), bus.query({ before: "c", size: 1 })];
    await pass(1_000);
    const uuids = (await Promise.all(asked)).map(({ messages }) => messages.map(({ uuid }) => uuid));
    expect(uuids).toEqual([["c", "b"], ["b", "c"], ["b"]]);
    expect(server.received.filter(({ command }) => command === 2).slice(-3)).toMatchObject([
      { pullargs: { offset: 0, size: 2 } },
      { pullargs: { offset: 0, size: 50 }, queryArgs: { uuid: "a" } },
      { pullargs: { offset: 0, size: 1 }, queryArgs: { before: "c" } },
    ]);
  });

  it("asks again after a reconnect", async () => {
    const { bus, server } = newRig();
    await pass(100);
    const page = bus.query();
    server.cut();
    await pass(5_000);
    await expect(page).resolves.toMatchObject({ messages: [] });
  });

  it("gives up a query when there is no answer, the caller says so, or the bus is closed", async () => {
    const { bus, server } = newRig();
    server.down = true;
    const abort = new AbortController();
    const reasons = [
      bus.query({}, { timeout: 100 }),
      bus.query({}, { signal: abort.signal }),
      bus.query(),
    ].map((page) => page.catch((error) => error.reason));
    await pass(100);
    abort.abort();
    bus.close();
    expect(await Promise.all(reasons)).toEqual(["timeout", "aborted", "closed"]);
    expect(await bus.query().catch((error) => error.reason)).toBe("closed");
  });
});

describe("closing", () => {
  it("leaves no timer and no open promise", async () => {
    const { bus, server, states } = newRig({ historySize: 10 });
    await pass(100);
    server.refusal = 503;
    const reasons = [bus.publish(1), bus.publish(2), bus.cancelMessage("x"), bus.pullHistory()].map(
      (promise) => promise.then(String, (error) => error.reason),
    );
    bus.close();
    expect(await Promise.all(reasons)).toEqual(["closed", "closed", "closed", "closed"]);
    await pass(2 * server.latency);
    expect(vi.getTimerCount()).toBe(0);
    expect(states.at(-1)).toBe("closed");
    expect(bus.pushMessage("late")).toMatch(/^\d{20}$/);
    expect(await bus.publish("late").catch((error) => error.reason)).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not wait for a fetch that never settles", async () => {
    const fetch = () => new Promise<never>(() => {});
    const { bus } = newRig({ fetch });
    await pass(100);
    const reasons = [bus.pullHistory(), bus.pullOlder(), bus.cancelMessage("x")].map((promise) =>
      promise.then(String, (error) => error.reason),
    );
    bus.close();
    expect(await Promise.all(reasons)).toEqual(["closed", "closed", "closed"]);
  });

  it("leaves no timer while waiting to reconnect", async () => {
    const { bus, server } = newRig({ historySize: 10 });
    server.down = true;
    bus.pushMessage(1);
    await pass(3_000);
    bus.close();
    await pass(server.latency);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("follows a signal", async () => {
    const abort = new AbortController();
    const { bus, server } = newRig({ signal: abort.signal });
    await pass(100);
    abort.abort();
    expect(bus.state).toBe("closed");
    const stillborn = newRig({ signal: abort.signal, server });
    await pass(100);
    expect(stillborn.bus.state).not.toBe("open");
    expect(server.upgrades).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tells nothing of its socket when the signal has fired before", async () => {
    const { socketBus, states } = newRig({ signal: AbortSignal.abort() });
    socketBus.connect();
    await pass(100);
    expect(socketBus.state).toBe("open");
    expect(states).toEqual([]);
    socketBus.close();
  });

  it("keeps two buses apart", async () => {
    const server = new FakeServer();
    const [ann, bob] = [newRig({ server }), newRig({ server })];
    await pass(100);
    const uuid = ann.bus.pushMessage("hi");
    await pass(100);
    ann.bus.close();
    server.say(GROUP, "later");
    await pass(100);
    expect(ann.screen).toEqual([uuid]);
    expect(bob.screen).toEqual([uuid, "later"]);
    expect(bob.bus.state).toBe("open");
  });
});

describe("a runtime that lacks much", () => {
  it("publishes, reads, recalls and aborts without TextEncoder, AbortController, URL and URLSearchParams", async () => {
    const abort = new AbortController();
    for (const name of [
      "TextEncoder",
      "TextDecoder",
      "AbortController",
      "AbortSignal",
      "URL",
      "URLSearchParams",
    ])
      vi.stubGlobal(name, undefined);
    try {
      const server = new FakeServer();
      server.say(GROUP, "a&b=c");
      const { bus, errors, screen } = newRig({ server, historySize: 10, signal: abort.signal });
      await pass(1_000);
      const published = bus.publish("h\u00e9llo \u{1f600} \ud800");
      await pass(100);
      const { uuid } = await published;
      // RFC 3629: a lone surrogate is no character, and goes out as U+FFFD.
      expect(bus.all().at(-1)).toMatchObject({ hash: "c35dad9d86377d8806101bab62475450" });
      expect(screen).toEqual(["a&b=c", uuid]);
      expect(decodeURIComponent(server.requests[0]!.body)).toBe(`groupName=${GROUP}&size=10&position=0`);
      await Promise.all([bus.cancelMessage("a&b=c"), pass(100)]);
      expect(server.history(GROUP)).toEqual([uuid]);
      server.cut();
      await pass(5_000);
      expect(bus.state).toBe("open");
      expect(errors.map(({ reason }) => reason)).toEqual(["network"]);
      abort.abort();
      expect(bus.state).toBe("closed");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
