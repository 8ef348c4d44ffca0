/** Pages and client in Chromium, Firefox and WebKit: what differs between browsers, and what must not. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newFileServer } from "../../../js/test/system/files.js";
import { Network, newRedis, newStandalone, until } from "../../../js/test/system/servers.js";
import type { Engine, Person, Tab } from "./engine.js";
import { newChromium, newFirefox } from "./puppeteer.js";
import { newWebKit } from "./webkit.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let redis: Awaited<ReturnType<typeof newRedis>>;
let server: Awaited<ReturnType<typeof newStandalone>>;
let network: Network;
let files: Awaited<ReturnType<typeof newFileServer>>;

beforeAll(async () => {
  redis = await newRedis();
  await redis.start();
  server = await (await newStandalone(redis.url)).start();
  network = await new Network(server.port).start();
  files = await newFileServer();
});

afterAll(async () => {
  files?.server.closeAllConnections();
  files?.server.close();
  await network?.stop();
  await server?.stop();
  await redis?.remove();
});

const texts = (tab: Tab) =>
  tab.run(() => [...document.querySelectorAll("#messages .text")].map(({ textContent }) => textContent));

/** Waits until the page shows exactly these messages. */
const shows = (tab: Tab, ...want: string[]) =>
  until(`the page shows ${want}`, async () => (await texts(tab)).join("\n") === want.join("\n"), 60_000);

const stateOf = (tab: Tab) => tab.run(() => document.getElementById("state")?.dataset.state);

const reaches = (tab: Tab, state: string) =>
  until(`the connection is ${state}`, async () => (await stateOf(tab)) === state, 90_000);

/** Writes a message as the page's form takes it. */
const say = (tab: Tab, text: string) =>
  tab.run((text) => {
    document.querySelector<HTMLTextAreaElement>("#text")!.value = text;
    document.querySelector<HTMLFormElement>("#composer")!.requestSubmit();
  }, text);

const marks = (tab: Tab) =>
  tab.run(() =>
    [...document.querySelectorAll<HTMLElement>("#messages .own")].map(({ dataset }) => dataset.mark),
  );

const members = async () =>
  (await (await fetch(`http://127.0.0.1:${server.port}/__/stats`)).json()).members as number;

/** As `make test-browsers BROWSERS="firefox webkit"` names them. */
const wanted = process.env.BROWSERS?.toLowerCase().split(/\s+/);
const engines = [
  ["Chromium", newChromium] as const,
  ["Firefox", newFirefox] as const,
  ["WebKit", newWebKit] as const,
].filter(([name]) => !wanted || wanted.includes(name.toLowerCase()));

describe.each(engines)("in %s", { timeout: 300_000 }, (name, launch) => {
  let engine: Engine;
  let rooms = 0;
  let room: string;
  const people: Person[] = [];

  beforeAll(async () => {
    engine = await launch();
  });
  afterAll(async () => {
    await engine?.stop();
  });
  beforeEach(() => {
    room = `/room/${name}-${++rooms}/`;
  });
  afterEach(async () => {
    for (const person of people.splice(0)) await person.leave();
    network.refusing = false;
  });

  /** Opens a page, the room's unless told otherwise, through the network. */
  async function open(dark?: boolean, url = `http://127.0.0.1:${network.port}${room}`): Promise<Tab> {
    const person = await engine.person(dark);
    people.push(person);
    return person.open(url);
  }

  test("three chat, one in a private window, while the server is killed", async () => {
    const [ann, bob, eve] = [await open(true), await open(false), await open(true)];
    const all = [ann, bob, eve];
    for (const tab of all) await reaches(tab, "open");
    const want: string[] = [];
    for (let round = 0; round < 3; round++) {
      for (const [i, tab] of all.entries()) {
        const text = `${round}: hello from ${i}`;
        await say(tab, text);
        want.push(text);
        await shows(eve, ...want);
      }
      if (round === 2) break;
      await server.stop("SIGKILL");
      for (const tab of all) await until("the page knows", async () => (await stateOf(tab)) !== "open");
      await say(ann, `${round}: written meanwhile`);
      want.push(`${round}: written meanwhile`);
      await server.start();
      for (const tab of all) await shows(tab, ...want);
    }
    for (const tab of all) await shows(tab, ...want);
    // Receipts are sent once: one that was on its way when the server died is lost.
    await until("ann's last one is delivered", async () => (await marks(ann)).at(-1) === "delivered");
    expect((await marks(ann)).filter((mark) => mark !== "sent" && mark !== "delivered")).toEqual([]);
  });

  test("after an outage each page is back, having tried few WebSockets", async () => {
    const [ann, bob] = [await open(true), await open(true)];
    for (const tab of [ann, bob]) await reaches(tab, "open");
    await say(ann, "before");
    await shows(bob, "before");
    network.refused.length = 0;
    network.refusing = true;
    network.cut();
    await say(bob, "from the tunnel");
    const asked = () => network.refused.filter((head) => head.startsWith(`GET ${room}`));
    const sockets = () => asked().filter((head) => /^upgrade: *websocket/im.test(head));
    // Half a minute or so: the pauses grow, and no page waits for longer than 20 s.
    await until("both have tried often", () => asked().length >= 20, 140_000);
    // Each WebSocket that fails makes Firefox hold the next ones to this host back for longer.
    expect(sockets().length).toBeLessThanOrEqual(4);
    network.refusing = false;
    for (const tab of [ann, bob]) await shows(tab, "before", "from the tunnel");
    await ann.goto(`http://127.0.0.1:${network.port}${room}`);
    await shows(ann, "before", "from the tunnel");
  });

  test("a hidden tab takes messages, and tells how many", async () => {
    const ann = await open();
    await reaches(ann, "open");
    const show = await ann.hide();
    expect(await ann.run(() => document.hidden)).toBe(true);
    for (const text of ["one", "two"]) {
      const body = JSON.stringify({ type: 2, uuid: text, body: { data: text } });
      await fetch(`http://127.0.0.1:${server.port}${room}`, { method: "POST", body });
    }
    await shows(ann, "one", "two");
    expect(await ann.run(() => document.title)).toBe(`(2) ${room}`);
    await show();
    await until("they are seen", async () => (await ann.run(() => document.title)) === room);
    expect(await stateOf(ann)).toBe("open");
  });

  test("a page that was left is no member, and is one again on the way back", async () => {
    const ann = await open();
    await reaches(ann, "open");
    await say(ann, "before");
    await shows(ann, "before");
    await ann.run(() => {
      addEventListener("pageshow", ({ persisted }) => Object.assign(globalThis, { persisted }));
    });
    await ann.goto(`http://127.0.0.1:${network.port}/__/docs`);
    await until("nobody is there", async () => (await members()) === 0);
    const body = JSON.stringify({ type: 2, uuid: "meanwhile", body: { data: "meanwhile" } });
    await fetch(`http://127.0.0.1:${server.port}${room}`, { method: "POST", body });
    await ann.back();
    await shows(ann, "before", "meanwhile");
    const kept = await ann.run(() => (globalThis as { persisted?: boolean }).persisted ?? false);
    if (engine.keepsPages) expect(kept).toBe(true);
    await reaches(ann, "open");
  });

  test("a page without a secure context works", async () => {
    const ann = await open(undefined, `http://chat.test:${server.port}${room}`);
    await reaches(ann, "open");
    expect(await ann.run(() => isSecureContext)).toBe(false);
    await say(ann, "in the clear");
    await shows(ann, "in the clear");
    await until("it is sent", async () => (await marks(ann))[0] === "sent");
    const bob = await open();
    await shows(bob, "in the clear");
  });

  test("the published client comes back on a page of another origin", async () => {
    const query = new URLSearchParams({ server: `http://127.0.0.1:${network.port}`, room });
    const url = `${files.origin}/examples/browser/index.html?${query}`;
    const [ann, bob] = [await open(true, url), await open(true, url)];
    const lines = (tab: Tab) =>
      tab.run(() => [...document.querySelectorAll("#messages span")].map(({ textContent }) => textContent));
    const write = (tab: Tab, text: string) =>
      tab.run((text) => {
        document.querySelector<HTMLInputElement>("form input")!.value = text;
        document.querySelector("form")!.requestSubmit();
      }, text);
    const both = async (...want: string[]) => {
      for (const tab of [ann, bob])
        await until(`the page shows ${want}`, async () => `${await lines(tab)}` === `${want}`, 90_000);
    };
    await write(ann, "before");
    await both("before");
    network.refused.length = 0;
    network.refusing = true;
    network.cut();
    await write(ann, "from the tunnel");
    await until("both have tried often", () => network.refused.length >= 8, 90_000);
    network.refusing = false;
    await both("before", "from the tunnel");
  });

  test.each([
    ["dark", true],
    ["light", false],
  ])("%s pages fit a phone, and are accessible", async (theme, dark) => {
    const tab = await open(dark, `http://127.0.0.1:${server.port}/`);
    await tab.narrow();
    for (const path of ["/", "/__/docs", "/timer", room]) {
      await tab.goto(`http://127.0.0.1:${server.port}${path}`);
      if (path === "/__/docs")
        await until("the reference is there", () =>
          tab.run(() => !!document.querySelector("section.operation")),
        );
      // That nobody has written yet is not said at once.
      await tab.run(async () => {
        const animations = document.getElementById("empty")?.getAnimations() ?? [];
        await Promise.all(animations.map(({ finished }) => finished));
      });
      const { wide, scheme } = await tab.run(() => ({
        wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        scheme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
      }));
      expect({ path, wide, scheme }).toEqual({ path, wide: 0, scheme: theme });
      expect(await violations(tab)).toEqual([]);
    }
  });

  async function violations(tab: Tab): Promise<string[]> {
    await tab.load(axe);
    return tab.run(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: axe has put itself there
      const { violations } = await (globalThis as any).axe.run(document, { resultTypes: ["violations"] });
      return violations.map(
        ({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
          `${id}: ${nodes.map(({ html }) => html).join("; ")}`,
      );
    });
  }
});
