import { bearerProtocols, type GotapiError, SocketBus, type SocketBusOptions } from "gotapi-ws";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeServer } from "./fake-server.js";
import { fakeTime, GROUP, pass } from "./rig.js";

fakeTime();

function connect(server: FakeServer, options: SocketBusOptions = {}) {
  const bus = new SocketBus(`ws://fake${GROUP}`, {
    WebSocket: server.WebSocket,
    fetch: server.fetch,
    ...options,
  });
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

  it("pings a server that answers at once, and then only when nothing has come for 25 seconds", async () => {
    const server = new FakeServer();
    connect(server);
    await pass(100_000);
    expect(server.received.map(({ type, command }) => [type, command])).toEqual(
      Array.from({ length: 4 }, () => [1, 5]),
    );
    expect(server.received.every(({ uuid }) => uuid?.length === 20)).toBe(true);
    // Any frame counts, as long as nothing is sent.
    for (let i = 0; i < 20; i++) {
      server.say(GROUP, `m${i}`);
      await pass(10_000);
    }
    expect(server.received).toHaveLength(4);
  });

  it.each([
    ["a server that never answers", {}, true],
    ["any server, when the program says how often", { pingInterval: 3_000 }, false],
  ])("pings %s every 3 seconds", async (_, options, old) => {
    const server = new FakeServer();
    const pings: unknown[] = [];
    const accept = server.accept.bind(server);
    vi.spyOn(server, "accept").mockImplementation((socket, frame) => {
      pings.push(frame);
      if (!old) accept(socket, frame);
    });
    connect(server, options);
    for (let i = 0; i < 10; i++) {
      server.say(GROUP, `m${i}`);
      await pass(3_000);
    }
    await pass(100);
    expect(pings).toHaveLength(11);
  });

  it.each([Number.NaN, -1, 0, 2 ** 31, Infinity])(
    "does not ping without a pause: every %s ms",
    async (pingInterval) => {
      const server = new FakeServer();
      const { bus } = connect(server, { pingInterval, connectTimeout: pingInterval });
      await pass(2_000);
      expect(server.received).toHaveLength(1);
      expect(bus.state).toBe("open");
    },
  );

  it.each([
    ["12 seconds after it has sent something", 12_000, true],
    ["35 seconds when nobody says anything", 35_000, false],
  ])("notices that the peer is gone without a word within %s", async (_, limit, sends) => {
    const server = new FakeServer();
    const { bus, states } = connect(server);
    const errors: string[] = [];
    bus.on("error", ({ message }) => errors.push(message));
    await pass(60_000);
    expect(states).toEqual(["connecting", "open"]);
    server.sockets[0]!.dead = true;
    if (sends) bus.sendRaw("hello?");
    await pass(limit);
    expect(errors).toEqual(["no answer to pings"]);
    await pass(2_000);
    expect(bus.state).toBe("open");
    expect(server.sockets).toHaveLength(2);
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

  it("comes back soon after each of many restarts", async () => {
    const server = new FakeServer();
    const { pauses } = connect(server);
    for (let i = 0; i < 10; i++) {
      await pass(4_000);
      server.cut(1001);
    }
    expect(pauses).toHaveLength(10);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000);
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

  describe("in a browser", () => {
    let target: EventTarget;
    beforeEach(() => {
      target = new EventTarget();
      vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
      vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target));
    });
    afterEach(() => {
      vi.unstubAllGlobals();
    });
    const fire = (name: string, more = {}) => target.dispatchEvent(Object.assign(new Event(name), more));

    it.each(["online", "visibilitychange", "pageshow"])("connects at once on %s", async (name) => {
      const server = new FakeServer();
      server.down = true;
      const { bus, states } = connect(server, { backoff: { min: 10_000 } });
      await pass(100);
      expect(states.at(-1)).toBe("waiting");
      server.down = false;
      fire("offline");
      await pass(100);
      expect(states.at(-1)).toBe("waiting");
      fire(name);
      await pass(100);
      expect(bus.state).toBe("open");
    });

    it.each(["online", "offline", "visibilitychange", "pageshow"])(
      "finds out quickly whether the connection has survived on %s",
      async (name) => {
        const server = new FakeServer();
        const { bus } = connect(server);
        await pass(10_000);
        fire(name);
        await pass(10_000);
        expect(server.sockets).toHaveLength(1);
        server.sockets[0]!.dead = true;
        fire(name);
        await pass(3_100);
        expect(bus.state).not.toBe("open");
      },
    );

    it("does nothing when the page is hidden, or when it is closed", async () => {
      const server = new FakeServer();
      const { bus } = connect(server);
      await pass(100);
      vi.stubGlobal("document", { hidden: true });
      fire("visibilitychange");
      fire("pagehide", { persisted: false });
      await pass(100);
      expect(server.received).toHaveLength(1);
      bus.close();
      vi.stubGlobal("document", { hidden: false });
      for (const name of ["online", "visibilitychange", "pageshow"]) fire(name);
      await pass(100_000);
      expect(bus.state).toBe("closed");
      expect(server.sockets).toHaveLength(1);
    });

    it.each([
      ["open", 100],
      ["connecting", 0],
    ])("is no member while the page is kept for the way back: %s", async (state, ms) => {
      const server = new FakeServer();
      const { bus, states } = connect(server);
      await pass(ms);
      expect(bus.state).toBe(state);
      fire("pagehide", { persisted: true });
      expect(states.at(-1)).toBe("waiting");
      await pass(100); // in a browser no time passes until the page is shown again
      expect(server.group(GROUP).members.size).toBe(0);
      fire("pageshow", { persisted: true });
      await pass(100);
      expect(bus.state).toBe("open");
    });
  });

  describe("after a try that failed", () => {
    it.each([
      [401, undefined],
      [403, "token"],
    ])("tells a refusal with %i, and tries no more until it is told to", async (code, token) => {
      const server = new FakeServer();
      server.denial = code;
      const changes: unknown[] = [];
      const errors: GotapiError[] = [];
      const { bus } = connect(server, token ? { token } : {});
      bus.on("state", (change) => changes.push(change));
      bus.on("error", (error) => errors.push(error));
      await pass(100_000);
      expect(bus.state).toBe("denied");
      expect(changes.at(-1)).toEqual({ state: "denied", code });
      expect(errors.at(-1)).toMatchObject({ reason: "refused", code, message: "not you" });
      expect(server.upgrades).toHaveLength(1);
      expect(server.knocks).toEqual([
        { url: `http://fake${GROUP}`, mode: undefined, token: token && `Bearer ${token}` },
      ]);
      expect(vi.getTimerCount()).toBe(0);
      server.denial = 0;
      bus.connect();
      await pass(100);
      expect(bus.state).toBe("open");
    });

    it("takes no other answer for a refusal", async () => {
      const server = new FakeServer();
      server.down = true;
      const answers = [
        { status: 403, text: "<h1>Forbidden</h1>" },
        { status: 401, text: '{"code":500}' },
        { status: 502, text: '{"code":403}' },
        { status: 400, text: '{"code":400}' },
      ];
      let asked = 0;
      const fetch = async () => {
        const { status, text } = answers[asked++ % answers.length]!;
        return { ok: false, status, headers: new Headers(), text: async () => text };
      };
      const { states } = connect(server, { fetch });
      await pass(200_000);
      expect(asked).toBeGreaterThan(4);
      expect(states).not.toContain("denied");
    });

    it("opens no WebSocket until the server answers HTTP, once HTTP has come through", async () => {
      const server = new FakeServer();
      const { bus } = connect(server);
      bus.answered("http://fake/__/history/");
      await pass(100);
      server.down = true;
      server.cut();
      await pass(150_000);
      expect(server.upgrades).toHaveLength(2); // the connection, and the try that failed
      expect(server.knocks.length).toBeGreaterThan(5);
      server.down = false;
      await pass(20_100);
      expect(bus.state).toBe("open");
      expect(server.upgrades).toHaveLength(3);
    });

    it.each([
      [
        "policy",
        async () => {
          throw new TypeError("blocked");
        },
      ],
      [
        "origin",
        async (_: string, { mode }: { mode?: string }) => {
          if (mode !== "no-cors") throw new TypeError("blocked");
          return { ok: false, status: 0, headers: new Headers(), text: async () => "" };
        },
      ],
    ])("tries all the same where HTTP never comes through: %s", async (_, fetch) => {
      const server = new FakeServer();
      server.down = true;
      const { bus } = connect(server, { fetch: fetch as never });
      await pass(60_000);
      server.down = false;
      await pass(20_100);
      expect(bus.state).toBe("open");
    });

    it("tries all the same where there is no fetch", async () => {
      vi.stubGlobal("fetch", undefined);
      const server = new FakeServer();
      server.down = true;
      const bus = new SocketBus(`ws://fake${GROUP}`, { WebSocket: server.WebSocket });
      bus.connect();
      await pass(60_000);
      server.down = false;
      await pass(20_100);
      expect(bus.state).toBe("open");
      vi.unstubAllGlobals();
    });

    it("does not wait for an answer that never comes", async () => {
      const server = new FakeServer();
      server.down = true;
      const { bus } = connect(server, { fetch: () => new Promise(() => {}) });
      await pass(60_000);
      server.down = false;
      await pass(60_000);
      expect(bus.state).toBe("open");
    });
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
    expect(server.upgrades).toEqual([`ws://fake${GROUP}?after=x&a=b`, `ws://fake${GROUP}?&a=b&after=y`]);
  });
});
