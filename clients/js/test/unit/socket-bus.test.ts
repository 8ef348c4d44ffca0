import { describe, expect, it, vi } from "vitest";
import { bearerProtocols, SocketBus, type SocketBusOptions } from "../../src/index.js";
import { FakeServer } from "./fake-server.js";
import { fakeTime, GROUP, pass } from "./rig.js";

fakeTime();

function connect(server: FakeServer, options: SocketBusOptions = {}) {
  const bus = new SocketBus(`ws://fake${GROUP}`, { WebSocket: server.WebSocket, ...options });
  const states: string[] = [];
  const pauses: number[] = [];
  bus.on("state", ({ state, retryIn }) => {
    states.push(state);
    if (retryIn !== undefined) pauses.push(retryIn);
  });
  bus.connect();
  return { bus, states, pauses };
}

describe("SocketBus", () => {
  it("connects when it is told to, once", async () => {
    const server = new FakeServer();
    const bus = new SocketBus(`ws://fake${GROUP}`, { WebSocket: server.WebSocket });
    expect(bus.state).toBe("idle");
    bus.connect();
    bus.connect();
    await pass(100);
    expect(bus.state).toBe("open");
    expect(server.upgrades).toEqual([`ws://fake${GROUP}`]);
  });

  it.each([1006, 1001, 1012, 1013])("reconnects after close code %i", async (code) => {
    const server = new FakeServer();
    const { bus, states } = connect(server);
    await pass(100);
    server.cut(code);
    await pass(2_000);
    expect(states).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
    expect(bus.state).toBe("open");
  });

  it("waits longer after each failure, between 0.5 and 20 seconds, with jitter", async () => {
    const server = new FakeServer();
    server.down = true;
    const { pauses } = connect(server);
    await pass(600_000);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(20_000);
    expect(pauses[0]).toBeLessThanOrEqual(1_000);
    expect(pauses.length).toBeLessThan(200);
    expect(new Set(pauses).size).toBe(pauses.length);
    const late = pauses.slice(8);
    const mean = late.reduce((sum, pause) => sum + pause, 0) / late.length;
    expect(mean).toBeGreaterThan(5_000);
    expect(Math.min(...late)).toBeLessThan(8_000);
  });

  it("keeps waiting longer when connections break at once, and starts anew after a good one", async () => {
    const server = new FakeServer();
    const { pauses } = connect(server);
    for (let i = 0; i < 6; i++) {
      await pass(30_000);
      server.cut();
    }
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000);
    const flapping = vi.spyOn(server, "join").mockImplementation((socket) => socket.cut(1006));
    server.cut();
    await pass(120_000);
    expect(pauses.at(-1)).toBeGreaterThan(500);
    expect(pauses.length).toBeLessThan(40);
    flapping.mockRestore();
  });

  it("sends a ping-pong command at once, and every 3 seconds", async () => {
    const server = new FakeServer();
    connect(server);
    await pass(9_100);
    expect(server.received.map(({ type, command }) => [type, command])).toEqual([
      [1, 5],
      [1, 5],
      [1, 5],
      [1, 5],
    ]);
    expect(server.received.every(({ uuid }) => uuid?.length === 20)).toBe(true);
  });

  it("notices within 12 seconds that the peer is gone without a word", async () => {
    const server = new FakeServer();
    const { bus, states } = connect(server);
    const errors: string[] = [];
    bus.on("error", ({ message }) => errors.push(message));
    await pass(60_000);
    expect(states).toEqual(["connecting", "open"]);
    server.sockets[0]!.dead = true;
    await pass(15_000);
    expect(errors).toEqual(["no answer to pings"]);
    expect(bus.state).toBe("open");
    expect(server.sockets).toHaveLength(2);
  });

  it("notices it, too, when the peer went away soon after the first ping", async () => {
    const server = new FakeServer();
    const { states } = connect(server);
    await pass(100);
    server.sockets[0]!.dead = true;
    await pass(15_000);
    expect(states).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  it("does not hang up on a server that never answers pings", async () => {
    const server = new FakeServer();
    const { states } = connect(server);
    vi.spyOn(server, "accept").mockImplementation(() => {});
    await pass(120_000);
    expect(states).toEqual(["connecting", "open"]);
  });

  it("gives up a try that takes too long", async () => {
    const server = new FakeServer();
    server.latency = 60_000;
    const { states } = connect(server);
    await pass(10_001);
    expect(states).toEqual(["connecting", "waiting"]);
    server.latency = 5;
    await pass(2_000);
    expect(states.at(-1)).toBe("open");
  });

  it("tries again when the constructor throws", async () => {
    const server = new FakeServer();
    let tries = 0;
    const WebSocket = class {
      constructor(url: string) {
        if (++tries < 3) throw new SyntaxError("bad url");
        // biome-ignore lint/correctness/noConstructorReturn: the simplest way to fail twice
        return new server.WebSocket(url);
      }
    };
    const { bus } = connect(server, { WebSocket: WebSocket as never });
    await pass(10_000);
    expect(bus.state).toBe("open");
  });

  it("gives low-level packets to onRaw, text and bytes, and sends them", async () => {
    const server = new FakeServer();
    const [ann, bob] = [connect(server).bus, connect(server).bus];
    const raw: unknown[] = [];
    const packets: unknown[] = [];
    const stop = bob.onRaw((packet) => raw.push(packet));
    bob.on("packet", ({ packet }) => packets.push(packet));
    await pass(100);
    packets.length = 0; // the answer to the first ping
    expect(ann.sendRaw("plain")).toBe(true);
    ann.sendRaw(new Uint8Array([1, 2]));
    ann.sendRaw('{"type":"2"}');
    ann.sendRaw("");
    await pass(100);
    expect(raw).toEqual(["plain", new Uint8Array([1, 2]), '{"type":"2"}', ""]);
    expect(packets).toEqual([]);
    stop();
    ann.sendRaw("no one hears");
    await pass(100);
    expect(raw).toHaveLength(4);
  });

  it("says that a packet could not be sent", async () => {
    const server = new FakeServer();
    const { bus } = connect(server);
    expect(bus.send({ type: 1, command: 5 })).toBe(false);
    await pass(100);
    expect(bus.send({ type: 1, command: 5 })).toBe(true);
    server.sockets[0]!.bufferedAmount = 16 << 20;
    expect(bus.sendRaw("x")).toBe(false);
    bus.close();
    expect(bus.sendRaw("x")).toBe(false);
  });

  it("asks for a new token at each connection, and tries again when there is none", async () => {
    const server = new FakeServer();
    const tokens = ["first", undefined, new Error("expired"), "s\u00e9cond"];
    const token = async () => {
      const next = tokens.shift();
      if (next instanceof Error) throw next;
      return next;
    };
    const { bus } = connect(server, { token });
    for (let i = 0; i < 3; i++) {
      await pass(10_000);
      expect(bus.state).toBe("open");
      if (i < 2) server.cut();
    }
    expect(server.sockets.map(({ protocols }) => protocols)).toEqual([
      ["gotapi.v1", "gotapi.bearer.first"],
      [],
      ["gotapi.v1", "gotapi.bearer.s%C3%A9cond"],
    ]);
    // RFC 9110, 5.6.2: what a token may consist of.
    expect(bearerProtocols("~(a)?/=,")[1]).toMatch(/^[\w!#$%&'*+.^`|~-]+$/);
    expect(decodeURIComponent(bearerProtocols("~(a)?/=,")[1]!)).toBe("gotapi.bearer.~(a)?/=,");
  });

  it("connects at once when the browser is online again, and probes an open connection", async () => {
    const target = new EventTarget();
    vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
    vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target));
    const server = new FakeServer();
    server.down = true;
    const { bus, states } = connect(server, { backoff: { min: 10_000 } });
    await pass(100);
    expect(states.at(-1)).toBe("waiting");
    server.down = false;
    target.dispatchEvent(new Event("online"));
    await pass(100);
    expect(bus.state).toBe("open");
    await pass(4_000);
    server.sockets[1]!.dead = true;
    target.dispatchEvent(new Event("online"));
    await pass(3_100);
    expect(bus.state).toBe("waiting");
    bus.close();
    target.dispatchEvent(new Event("online"));
    await pass(100_000);
    expect(bus.state).toBe("closed");
    vi.unstubAllGlobals();
  });

  it("can be closed at any time, by a listener too, and connected again", async () => {
    const server = new FakeServer();
    const { bus, states } = connect(server);
    bus.close();
    bus.close();
    await pass(100);
    expect(states).toEqual(["connecting", "closed"]);
    for (const state of ["connecting", "open", "waiting"]) {
      const stop = bus.on("state", (change) => change.state === state && bus.close());
      bus.connect();
      await pass(100);
      server.cut();
      await pass(5_000);
      expect(bus.state).toBe("closed");
      stop();
    }
    expect(vi.getTimerCount()).toBe(0);
    bus.connect();
    await pass(100);
    expect(bus.state).toBe("open");
  });

  it("appends the resume point to a URL that has a query", async () => {
    const server = new FakeServer();
    const bus = new SocketBus(`ws://fake${GROUP}?a=b`, { WebSocket: server.WebSocket });
    bus.resumeAfter = () => "x&y";
    bus.connect();
    await pass(100);
    expect(server.upgrades).toEqual([`ws://fake${GROUP}?a=b&after=x%26y`]);
  });

  it("puts the resume point in the place of the one in its URL", async () => {
    const server = new FakeServer();
    const bus = new SocketBus(`ws://fake${GROUP}?after=x&a=b`, { WebSocket: server.WebSocket });
    bus.resumeAfter = () => (server.upgrades.length > 0 ? "y" : undefined);
    bus.connect();
    await pass(100);
    server.cut();
    await pass(30_000);
    expect(server.upgrades).toEqual([`ws://fake${GROUP}?after=x&a=b`, `ws://fake${GROUP}?after=y&a=b`]);
  });
});
