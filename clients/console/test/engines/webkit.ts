import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { freePort, until } from "../../../js/test/system/servers.js";
import type { Engine, Person, Tab } from "./engine.js";

/** What Debian's webkit2gtk-driver drives. */
const MINI_BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/** Now and then the driver waits for ever for a browser that has ended at once: then another one is tried. */
const START_MS = 40_000;
const STARTS = 3;

/** A session of WebDriver (W3C): a browser without a past, driven over HTTP. */
class Session {
  readonly #driver: ChildProcess;
  readonly #url: string;

  constructor(port: number, display: string, dark: boolean) {
    this.#url = `http://127.0.0.1:${port}`;
    this.#driver = spawn(process.env.WEBKIT_DRIVER ?? "WebKitWebDriver", [`--port=${port}`], {
      env: { ...process.env, DISPLAY: display, GTK_THEME: dark ? "Adwaita:dark" : "Adwaita" },
      stdio: "ignore",
    });
  }

  async start(proxy: string): Promise<string> {
    await until("WebKitWebDriver is up", () => this.call("GET", "/status").then(Boolean, () => false));
    const options = { binary: MINI_BROWSER, args: ["--automation"] };
    const alwaysMatch = {
      "webkitgtk:browserOptions": options,
      proxy: { proxyType: "manual", httpProxy: proxy, noProxy: ["127.0.0.1"] },
    };
    const capabilities = { alwaysMatch };
    const { sessionId } = (await this.call("POST", "/session", { capabilities }, START_MS)) as {
      sessionId: string;
    };
    return `/session/${sessionId}`;
  }

  async call(method: string, path: string, body?: object, ms = 120_000): Promise<unknown> {
    const signal = AbortSignal.timeout(ms);
    const init = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const { value } = await (await fetch(this.#url + path, { method, signal, ...init })).json();
    if (value?.error) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }

  async stop(): Promise<void> {
    const ended = once(this.#driver, "exit");
    this.#driver.kill();
    await ended;
  }
}

class WebKitTab implements Tab {
  constructor(private readonly call: (method: string, path: string, body?: object) => Promise<unknown>) {}

  async goto(url: string): Promise<void> {
    await this.call("POST", "/url", { url });
  }

  async back(): Promise<void> {
    await this.call("POST", "/back", {});
  }

  async run<Args extends unknown[], Value>(run: (...args: Args) => Value | Promise<Value>, ...args: Args) {
    const script = `
      const [done, ...args] = [...arguments].reverse();
      (async () => (${run})(...args.reverse()))().then(
        (value) => done({ value }),
        (thrown) => done({ thrown: String(thrown) }),
      );`;
    const answer = await this.call("POST", "/execute/async", { script, args });
    const { value, thrown } = answer as { value: Value; thrown?: string };
    if (thrown) throw new Error(thrown);
    return value;
  }

  async load(script: string): Promise<void> {
    await this.call("POST", "/execute/sync", { script, args: [] });
  }

  async narrow(): Promise<void> {
    await this.call("POST", "/window/rect", { width: 320, height: 568 });
  }

  /** Nothing hides a window without a window manager: the page is told what it would be told. */
  async hide(): Promise<() => Promise<void>> {
    const set = (hidden: boolean) =>
      this.run((hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
        document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
      }, hidden);
    await set(true);
    return () => set(false);
  }
}

/** A proxy for which every name is this machine: WebKit has no other way to be told so. */
async function newProxy(): Promise<Server> {
  const host = "127.0.0.1";
  const proxy = createServer(({ url = "", method, headers }, response) => {
    const { port, pathname, search } = new URL(url);
    const onward = request({ host, port, method, path: pathname + search, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end();
  });
  proxy.on("upgrade", ({ url = "", method, rawHeaders }, client) => {
    const { port, pathname, search } = new URL(url);
    const server = connect(Number(port), host, () => {
      const lines = rawHeaders.map((part, i) => (i % 2 === 0 ? `${part}: ` : `${part}\r\n`));
      server.write(`${method} ${pathname}${search} HTTP/1.1\r\n${lines.join("")}\r\n`);
      client.pipe(server).pipe(client);
    });
    for (const [socket, other] of [[client, server] as const, [server, client] as const]) {
      socket.on("error", () => {});
      socket.on("close", () => other.destroy());
    }
  });
  proxy.listen(0, host);
  await once(proxy, "listening");
  return proxy;
}

/** WebKit for GTK, on a screen that nobody sees. */
export async function newWebKit(): Promise<Engine> {
  const screen = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [number] = await once(screen.stdout, "data");
  const display = `:${String(number).trim()}`;
  const proxy = await newProxy();
  const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const sessions = new Set<Session>();

  /** A driver has one session at a time. */
  async function start(dark: boolean, attempt = 1): Promise<{ session: Session; path: string }> {
    const session = new Session(await freePort(), display, dark);
    sessions.add(session);
    try {
      return { session, path: await session.start(address) };
    } catch (thrown) {
      sessions.delete(session);
      await session.stop();
      if (attempt === STARTS) throw thrown;
      return start(dark, attempt + 1);
    }
  }

  async function person(dark = false): Promise<Person> {
    const { session, path } = await start(dark);
    return {
      async open(url) {
        const tab = new WebKitTab((method, rest, body) => session.call(method, path + rest, body));
        await tab.goto(url);
        return tab;
      },
      async leave() {
        await session.call("DELETE", path).catch(() => {});
        sessions.delete(session);
        await session.stop();
      },
    };
  }

  return {
    keepsPages: true,
    person,
    async stop() {
      for (const session of sessions) await session.stop();
      proxy.closeAllConnections();
      proxy.close();
      const ended = once(screen, "exit");
      screen.kill();
      await ended;
    },
  };
}
