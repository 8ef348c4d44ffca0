import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newEdge, newHistoryService, newRedis, until } from "../system/servers.js";

/** What the page notes of a stream. */
interface Seen {
  uuids: string[];
  answers: { code: number; gap?: boolean }[];
  errors: number[];
  opened: number;
}

interface Poll {
  events: { on: string; packet: string }[];
  pos: string;
}

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
// In CI nothing is left out: a missing browser fails there.
describe.skipIf(!existsSync(CHROMIUM) && !process.env.CI)("events without WebSockets", () => {
  let redis: Awaited<ReturnType<typeof newRedis>>;
  let history: Awaited<ReturnType<typeof newHistoryService>>;
  let edge: Awaited<ReturnType<typeof newEdge>>;
  let other: Awaited<ReturnType<typeof newEdge>>;
  let browser: Browser;
  let published = 0;

  beforeAll(async () => {
    redis = await newRedis();
    await redis.start();
    history = await (await newHistoryService(redis.url)).start();
    edge = await (await newEdge(history.port)).start();
    other = await (await newEdge(history.port)).start();
    const args = ["--no-sandbox", "--disable-gpu"];
    browser = await chromium.launch({ executablePath: CHROMIUM, args });
  });
  afterAll(async () => {
    await browser?.close();
    await edge?.stop();
    await other?.stop();
    await history?.stop();
    await redis?.remove();
  });

  /** Publishes a message through the edge that stays, and returns its uuid. */
  async function publish(group: string): Promise<string> {
    const uuid = `m${++published}`;
    const body = JSON.stringify({ type: 2, uuid, body: { data: "hello" } });
    // Repeating is safe: the packet has a uuid.
    await until(`${uuid} is stored`, async () => {
      const answer = await fetch(`http://127.0.0.1:${other.port}${group}`, { method: "POST", body });
      await answer.arrayBuffer();
      return answer.ok;
    });
    return uuid;
  }

  /** A page with an EventSource, which comes back by itself. */
  async function follow(group: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${edge.port}/timer`);
    await page.evaluate((path) => {
      const seen: Seen = { uuids: [], answers: [], errors: [], opened: 0 };
      Object.assign(window, { seen });
      const source = new EventSource(path);
      const on = (name: string, take: (data: never) => void) =>
        source.addEventListener(name, (event) => {
          const { data } = event as MessageEvent<string>;
          if (data) take(JSON.parse(data) as never); // an error of the network has none
        });
      source.onopen = () => {
        seen.opened++;
      };
      on("answer", (data) => seen.answers.push(data));
      on("message", (data: { packet: string }) => seen.uuids.push(JSON.parse(data.packet).uuid));
      on("error", (data: { code: number }) => seen.errors.push(data.code));
    }, group);
    return page;
  }

  const seenBy = (page: Page) => page.evaluate(() => (window as unknown as { seen: Seen }).seen);

  it("EventSource goes on across restarts, with nothing lost or doubled", async () => {
    const group = "/room/events-1/";
    const page = await follow(group);
    await until("it is joined", async () => (await seenBy(page)).answers.length === 1);
    const sent = [await publish(group), await publish(group)];
    await until("it has two messages", async () => (await seenBy(page)).uuids.length === 2);

    await edge.stop();
    sent.push(await publish(group), await publish(group));
    await edge.start();
    sent.push(await publish(group));
    await until("it is back", async () => (await seenBy(page)).uuids.length === sent.length);

    await edge.stop("SIGKILL");
    sent.push(await publish(group));
    await edge.start();
    await until("it is back again", async () => (await seenBy(page)).uuids.length === sent.length);

    await history.stop("SIGKILL");
    await history.start();
    sent.push(await publish(group));
    await until("it has what came after", async () => (await seenBy(page)).uuids.length >= sent.length);

    const seen = await seenBy(page);
    expect(seen.uuids).toEqual(sent);
    expect(seen.opened).toBeGreaterThanOrEqual(3);
    expect(seen.answers.map(({ code, gap }) => [code, gap])).toEqual(
      seen.answers.map(() => [200, undefined]),
    );
    expect(seen.errors[0]).toBe(503); // it learned that the edge stops
  });

  it("long polls lose and double nothing when the history service is killed", async () => {
    const group = "/room/events-2/";
    const uuids: string[] = [];
    let pos = "";
    /** Like any client, it polls again after 503. */
    const poll = async (wait: number) => {
      const from = pos && `&wait=${wait}&from=${pos}`;
      const answer = await fetch(`http://127.0.0.1:${edge.port}/__/events?groupName=${group}${from}`);
      if (answer.status === 503) return;
      expect(answer.status).toBe(200);
      const { events, pos: next } = (await answer.json()) as Poll;
      uuids.push(...events.map(({ packet }) => JSON.parse(packet).uuid));
      pos = next;
    };
    await until("there is a position", () => poll(0).then(() => pos));
    const sent = [await publish(group)];
    const follows = async () => {
      while (uuids.length < 3) await poll(50);
    };
    const following = follows();
    await until("it has the first message", () => uuids.length === 1);
    await history.stop("SIGKILL");
    await history.start();
    sent.push(await publish(group), await publish(group));
    await following;
    await poll(0);
    expect(uuids).toEqual(sent);
  });
});
