import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newFileServer } from "../system/files.js";
import { Network, newStandalone, until } from "../system/servers.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
// In CI nothing is left out: a missing browser fails there.
describe.skipIf(!existsSync(CHROMIUM) && !process.env.CI)("gotapi-ws in Chromium", () => {
  let server: Awaited<ReturnType<typeof newStandalone>>;
  let network: Network;
  let files: Awaited<ReturnType<typeof newFileServer>>;
  let context: BrowserContext;
  let profile: string;
  let rooms = 0;
  const errors: string[] = [];

  beforeAll(async () => {
    server = await (await newStandalone()).start();
    network = await new Network(server.port).start();
    files = await newFileServer();
    profile = mkdtempSync(join(tmpdir(), "gotapi-js-chromium-"));
    const flags =
      "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
    context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      headless: true,
      args: flags.split(" "),
    });
    context.on("weberror", (error) => errors.push(String(error.error())));
  });
  afterAll(async () => {
    await context?.close();
    files?.server.close();
    await network?.stop();
    await server?.stop();
    if (profile) rmSync(profile, { recursive: true, force: true });
  });

  const newRoom = () => `/room/browser-${++rooms}/`;

  async function open(room: string): Promise<Page> {
    const page = await context.newPage();
    const query = new URLSearchParams({ server: `http://127.0.0.1:${network.port}`, room });
    await page.goto(`${files.origin}/examples/browser/index.html?${query}`);
    await page.locator("#state", { hasText: "open" }).waitFor();
    return page;
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  }

  const texts = (page: Page) => page.locator("#messages span").allTextContents();
  const shows = (page: Page, expected: string[]) =>
    until(`the page shows ${expected}`, async () => (await texts(page)).join("\n") === expected.join("\n"));

  it("lets two pages chat, with marks, history after a reload, and text that stays text", async () => {
    const room = newRoom();
    const [ann, bob] = [await open(room), await open(room)];
    const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
    await say(ann, "hello");
    await say(ann, evil);
    await shows(bob, ["hello", evil]);
    await ann.getByText("✓✓").first().waitFor();
    await say(bob, "hi");
    await shows(ann, ["hello", evil, "hi"]);
    await bob.reload();
    await shows(bob, ["hello", evil, "hi"]);
    expect(await bob.evaluate("window.hacked")).toBeUndefined();
    expect(await bob.locator("#messages img").count()).toBe(0);
  });

  it("takes recalled messages away from both pages", async () => {
    const room = newRoom();
    const [ann, bob] = [await open(room), await open(room)];
    await say(ann, "keep");
    await say(ann, "oops");
    await shows(bob, ["keep", "oops"]);
    await ann.getByRole("button", { name: "Recall" }).last().click();
    await shows(bob, ["keep"]);
    await shows(ann, ["keep"]);
  });

  it("goes offline and comes back: nothing lost, nothing doubled", async () => {
    const room = newRoom();
    const [ann, bob] = [await open(room), await open(room)];
    await say(ann, "before");
    await shows(bob, ["before"]);
    network.refusing = true;
    network.cut();
    await ann.locator("#state", { hasText: "offline" }).waitFor();
    for (const text of ["one", "two", "three"]) await say(ann, text);
    await shows(ann, ["before", "one", "two", "three"]);
    expect(await ann.getByText("…").count()).toBe(3);
    network.refusing = false;
    await shows(bob, ["before", "one", "two", "three"]);
    await until("ann's are sent", async () => (await ann.getByText("…").count()) === 0);
    await shows(ann, ["before", "one", "two", "three"]);
  });

  it("comes back at once when the browser says that it is online", async () => {
    const room = newRoom();
    const [ann, bob] = [await open(room), await open(room)];
    await say(ann, "before");
    await shows(bob, ["before"]);
    await context.setOffline(true);
    try {
      await say(ann, "meanwhile");
      network.cut();
      await ann.locator("#state", { hasText: "offline" }).waitFor();
    } finally {
      await context.setOffline(false);
    }
    await shows(bob, ["before", "meanwhile"]);
  });

  it("loads older messages", async () => {
    const room = newRoom();
    const ann = await open(room);
    const all = Array.from({ length: 30 }, (_, i) => `m${i}`);
    for (const text of all) await say(ann, text);
    await until("all are sent", async () => (await ann.getByText("…").count()) === 0);
    const bob = await open(room);
    await shows(bob, all.slice(-20));
    await bob.getByRole("button", { name: "Older" }).click();
    await shows(bob, all);
  });

  it("works in a worker, as a module", async () => {
    const page = await open(newRoom());
    const answer = await page.evaluate(
      ([origin, port]) => {
        const code = `
          import { Client } from "${origin}/clients/js/packages/gotapi-ws/dist/gotapi-ws.min.mjs";
          const bus = new Client("http://127.0.0.1:${port}").join("/room/worker/");
          bus.publish("from a worker").then(() => bus.query()).then(({ messages }) => {
            bus.close();
            postMessage(messages[0].body.data);
          });`;
        const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
        return new Promise((resolve, reject) => {
          const worker = new Worker(url, { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        });
      },
      [files.origin, String(network.port)] as const,
    );
    expect(answer).toBe("from a worker");
  });

  it("threw no error in any page", () => {
    expect(errors).toEqual([]);
  });
});
