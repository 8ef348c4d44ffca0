import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bin } from "./build.js";

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Waits until something is so. Fails with `what` after a while. */
export async function until(what: string, isSo: () => unknown, ms = 30_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so after ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = dial(port, "127.0.0.1");
  const up = await Promise.race([
    once(socket, "connect").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return up;
}

/** A process of the system under test. */
class Service {
  #process: ChildProcess | undefined;
  #output = "";

  constructor(
    readonly port: number,
    private readonly program: string,
    private readonly args: string[],
    private readonly ready: () => Promise<boolean>,
  ) {}

  async start(): Promise<this> {
    const child = spawn(this.program, this.args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        this.#output = (this.#output + chunk).slice(-5_000);
      });
    }
    await until(`${this.program} is up`, async () => {
      if (child.exitCode !== null) throw new Error(`${this.program} has ended: ${this.#output}`);
      return this.ready();
    });
    return this;
  }

  /** Ends the process and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }
}

async function healthy(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/__status`)).ok;
  } catch {
    return false;
  }
}

/** A Redis server. */
type RedisService = Service & {
  url: string;
  /** Kills it and loses all its data. */
  forget(): Promise<void>;
  remove(): Promise<void>;
};

/** A Redis that keeps its data over restarts. */
export async function newRedis(): Promise<RedisService> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), "gotapi-js-redis-"));
  const args = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    dir,
    "--appendonly",
    "yes",
    "--save",
    "",
  ];
  const redis = new Service(port, "redis-server", args, () => accepts(port));
  const forget = async () => {
    await redis.stop("SIGKILL");
    rmSync(join(dir, "appendonlydir"), { recursive: true, force: true });
  };
  const remove = async () => {
    await redis.stop("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  return Object.assign(redis, { url: `redis://127.0.0.1:${port}/0`, forget, remove });
}

/** Edge and history service in one process. */
export function newStandalone(redisUrl?: string, ...settings: string[]): Promise<Service> {
  return newStandaloneIn(bin, ...settings, ...(redisUrl ? ["-redis", redisUrl] : []));
}

/** The same, as it was built into a folder. */
export async function newStandaloneIn(folder: string, ...settings: string[]): Promise<Service> {
  const [port, grpc] = [await freePort(), await freePort()];
  const args = [
    "-listen",
    `127.0.0.1:${port}`,
    "-grpc-listen",
    `127.0.0.1:${grpc}`,
    "-drain",
    "100ms",
    ...settings,
  ];
  return new Service(port, join(folder, "gotapi-ws"), args, () => healthy(port));
}

export async function newHistoryService(redisUrl: string): Promise<Service> {
  const port = await freePort();
  const args = ["-listen", `127.0.0.1:${port}`, "-redis", redisUrl];
  return new Service(port, join(bin, "historysvc"), args, () => accepts(port));
}

export async function newEdge(historyPort: number): Promise<Service> {
  const port = await freePort();
  const args = ["-listen", `127.0.0.1:${port}`, "-history", `127.0.0.1:${historyPort}`, "-drain", "100ms"];
  return new Service(port, join(bin, "edge"), args, () => healthy(port));
}

/** A network between clients and a server, which can break in the ways that networks break. */
export class Network {
  readonly #pairs = new Set<[Socket, Socket]>();
  readonly #server = createServer((client) => this.#accept(client));
  port = 0;
  /** New connections are closed as soon as they have asked for something. */
  refusing = false;
  /** The heads of the requests that were refused. */
  readonly refused: string[] = [];
  readonly #refused = new Set<Socket>();
  /** Nothing gets through any more, in either direction, and nobody is told. */
  #silent = false;

  constructor(private readonly target: number) {}

  async start(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  #accept(client: Socket): void {
    if (this.refusing) {
      this.#refuse(client);
      return;
    }
    const server = dial(this.target, "127.0.0.1");
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client] as const]) {
      from.on("data", (chunk) => !this.#silent && to.write(chunk));
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  #refuse(client: Socket): void {
    this.#refused.add(client);
    client.on("error", () => {});
    client.on("close", () => this.#refused.delete(client));
    client.once("data", (head) => {
      this.refused.push(String(head));
      client.destroy();
    });
  }

  /** Breaks all connections. */
  cut(): void {
    for (const client of this.#refused) client.destroy();
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Swallows what is sent on the connections that are there; new ones work again after heal(). */
  silence(): void {
    this.#silent = true;
    this.refusing = true;
  }

  heal(): void {
    for (const client of this.#refused) client.destroy();
    for (const [, server] of this.#pairs) server.destroy();
    this.#silent = false;
    this.refusing = false;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }
}
