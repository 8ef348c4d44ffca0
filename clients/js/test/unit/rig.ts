import { Direction, type GotapiError, MessageBus, type MessageBusOptions, SocketBus } from "gotapi-ws";
import { afterEach, beforeEach, vi } from "vitest";
import { FakeServer, type FakeSocket } from "./fake-server.js";
import { seeded } from "./random.js";

export const GROUP = "/room/1/";

/** Time and chance are the test's, in every test of the file that calls this. */
export function fakeTime(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockImplementation(seeded(1));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
}

export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A bus on a fake server, and all that it has said. */
export interface Rig {
  server: FakeServer;
  socketBus: SocketBus;
  bus: MessageBus;
  /** "event uuid" of each event but state. */
  log: string[];
  errors: GotapiError[];
  states: string[];
  /** The list as someone sees it who follows the events only. */
  screen: string[];
  socket(): FakeSocket;
}

export function newRig(
  options: MessageBusOptions & { server?: FakeServer; historySize?: number; position?: number } = {},
): Rig {
  const { server = new FakeServer(), historySize = 0, position = 0, ...others } = options;
  const socketBus = new SocketBus(`ws://fake${GROUP}`, { WebSocket: server.WebSocket, fetch: server.fetch });
  const all = { fetch: server.fetch, ...others };
  const bus = new MessageBus(
    Direction.Customer,
    socketBus,
    "http://fake/__/history/",
    GROUP,
    historySize,
    position,
    all,
  );
  const rig: Rig = {
    server,
    socketBus,
    bus,
    log: [],
    errors: [],
    states: [],
    screen: [],
    socket: () => server.sockets.filter(({ url }) => url.includes(GROUP)).at(-1) as FakeSocket,
  };
  watch(rig);
  return rig;
}

function watch({ bus, log, errors, states, screen }: Rig): void {
  for (const name of ["message", "pending"] as const) {
    bus.on(name, ({ uuid, index }) => {
      if (screen.includes(uuid)) throw new Error(`${uuid} is shown twice`);
      screen.splice(index, 0, uuid);
    });
  }
  bus.on("moved", ({ uuid, index, from }) => {
    if (screen[from] !== uuid) throw new Error(`${uuid} is not at ${from}`);
    screen.splice(from, 1);
    screen.splice(index, 0, uuid);
  });
  bus.on("removed", ({ uuid, index }) => {
    if (screen[index] !== uuid) throw new Error(`${uuid} is not at ${index}`);
    screen.splice(index, 1);
  });
  for (const name of ["message", "pending", "ack", "receipt", "moved", "removed"] as const) {
    bus.on(name, ({ uuid }) => void log.push(`${name} ${uuid}`));
  }
  bus.on("gap", ({ after }) => void log.push(`gap ${after}`));
  bus.on("error", (error) => void errors.push(error));
  bus.on("state", ({ state }) => void states.push(state));
}
