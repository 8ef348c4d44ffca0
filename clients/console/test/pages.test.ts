import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newStandalone } from "../../js/test/system/servers.js";
import { launch, People } from "./browser.js";
import { connected, marked, say, shows } from "./room.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where to put pictures of all pages, if that is wanted. */
const pictures = process.env.SCREENSHOTS;

let browser: Browser;
let server: Awaited<ReturnType<typeof newStandalone>>;
let people: People;

const at = (path: string) => `http://127.0.0.1:${server.port}${path}`;

beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), newStandalone().then((service) => service.start())]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(() => {
  people = new People(browser);
});

afterEach(async () => {
  await people.leave();
  expect(people.problems).toEqual([]);
});

/** Serious or not, every violation counts. */
async function accessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe has put itself there
    const { violations } = await (globalThis as any).axe.run(document, { resultTypes: ["violations"] });
    return violations.map(
      ({ id, nodes }: { id: string; nodes: { html: string; failureSummary: string }[] }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`,
    );
  });
  expect(found).toEqual([]);
}

async function picture(page: Page, name: string): Promise<void> {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

const phone = { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true };
const desk = { viewport: { width: 1000, height: 720 } };

describe.each([
  ["light", desk, "en-US"],
  ["dark", phone, "zh-CN"],
] as const)("%s", (colorScheme, device, locale) => {
  const name = `${colorScheme}-${device === phone ? "phone" : "desk"}`;
  const open = (path: string) => people.open(at(path), { colorScheme, locale, ...device });

  /** Pages are as wide as the window: nobody has to scroll sideways. */
  const fits = async (page: Page) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(wide).toBeLessThanOrEqual(0);
  };

  test("a room", async () => {
    const path = `/room/${name}/with-a-name-that-is-rather-long-for-a-phone/`;
    const [ann, bob] = [await open(path), await open(path)];
    await Promise.all([connected(ann), connected(bob)]);
    await say(bob, "Hello! 你好！");
    await shows(ann, "Hello! 你好！");
    await say(ann, `A long message: ${"with many words ".repeat(12)}`.trim());
    await say(ann, "x".repeat(40_000));
    await marked(ann, "x".repeat(40_000), "failed");
    await ann.locator('[data-mark="failed"] .text').evaluate((text) => {
      text.textContent = "(40,000 signs)";
    });
    await fetch(at(path), { method: "POST", body: "a low-level packet" });
    await fetch(at(path), {
      method: "POST",
      body: JSON.stringify({ type: 2, uuid: "j", body: { data: { price: 3, currency: "EUR" } } }),
    });
    await say(ann, "short");
    await marked(ann, "short", "delivered");
    await picture(ann, `room-${name}`);
    await fits(ann);
    await accessible(ann);
  });

  test("an empty room", async () => {
    const page = await open(`/empty/${name}`);
    await connected(page);
    // That nobody has written yet is not said at once.
    await page
      .locator("#empty")
      .evaluate((hint) => Promise.all(hint.getAnimations().map(({ finished }) => finished)));
    await picture(page, `empty-${name}`);
    await fits(page);
    await accessible(page);
  });

  test("the landing page", async () => {
    const page = await open("/");
    await expect.poll(() => page.locator("#delivered").textContent(), { timeout: 10_000 }).not.toBe("–");
    await picture(page, `home-${name}`);
    await fits(page);
    await accessible(page);
  });

  test("the reference", async () => {
    const page = await open("/__/docs");
    await page.locator("section.operation").first().waitFor();
    await picture(page, `docs-${name}`);
    await fits(page);
    await accessible(page);
  });

  test("the clock", async () => {
    const page = await open("/timer");
    await expect.poll(() => page.locator("#time").textContent()).not.toBe("");
    await picture(page, `timer-${name}`);
    await fits(page);
    await accessible(page);
  });
});

test.each([320, 360, 375])("pages fit a phone that is %i pixels wide", async (width) => {
  for (const path of ["/", "/__/docs", "/room/narrow/"]) {
    const page = await people.open(at(path), { ...phone, viewport: { width, height: 568 } });
    if (path === "/__/docs") await page.locator("section.operation").first().waitFor();
    const { wide, out } = await page.evaluate(() => {
      const beyond = [...document.querySelectorAll("section button, section input")].filter((element) => {
        const box = element.closest("section")!.getBoundingClientRect();
        return element.getBoundingClientRect().right > box.right;
      });
      return {
        wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        out: beyond.map(({ outerHTML }) => outerHTML),
      };
    });
    expect({ path, wide, out }).toEqual({ path, wide: 0, out: [] });
  }
});

test("the landing page opens rooms", async () => {
  const page = await people.open(at("/"));
  await page.locator("#name").fill("/a/../b");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("No browser can open a room of this name.").waitFor();
  await page.locator("#name").fill("tea & <biscuits>?");
  await page.getByRole("button", { name: "Open" }).click();
  await connected(page);
  expect(await page.locator("#group").textContent()).toBe("/tea & <biscuits>?");
  await page.getByRole("link", { name: "Home" }).click();
  await page.locator("#name").fill("//example.com/x");
  await page.getByRole("button", { name: "Open" }).click();
  await connected(page);
  expect(page.url()).toBe(at("//example.com/x"));
});

test("the landing page shows live figures, and commands for this server", async () => {
  const member = await people.open(at("/room/figures/"));
  await connected(member);
  const page = await people.open(at("/"));
  await expect.poll(() => page.locator("#members").textContent(), { timeout: 10_000 }).toBe("1");
  expect(await page.locator("#groups").textContent()).toBe("1");
  await expect.poll(() => page.locator("#received").textContent(), { timeout: 10_000 }).toBe("0");
  await say(member, "one");
  await expect.poll(() => page.locator("#received").textContent(), { timeout: 10_000 }).not.toBe("0");
  const commands = await page.locator("#commands code").allTextContents();
  expect(commands.some((command) => command.includes(`${at("/room/9527/")}`))).toBe(true);
  expect(commands).toContain(`npx wscat -c ws://127.0.0.1:${server.port}/room/9527/`);
});

test("a command is copied", async () => {
  const page = await people.open(at("/"), { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("button", { name: "Copy: Recall" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toBe(`curl -X POST -d 'groupName=/room/9527/&uuid=thisisuuid' ${at("/__/cancel")}`);
});

test("the reference knows the whole interface and can use it", async () => {
  const page = await people.open(at("/__/docs"));
  const section = (title: string) =>
    page.locator("section.operation", { has: page.locator("h2").getByText(title) });
  await section("/__/publish").waitFor();
  const titles = await page.locator("section.operation h2").allTextContents();
  expect(titles.sort()).toEqual([
    "GET /__/config",
    "GET /__/events",
    "GET /__/group",
    "GET /__/groups",
    "GET /__/history",
    "GET /__/services",
    "GET /__/status",
    "GET /__/stored",
    "POST /__/cancel",
    "POST /__/events",
    "POST /__/history",
    "POST /__/publish",
    "POST /__/purge",
    "POST /__/ttl",
  ]);
  await section("/__/publish").getByRole("button", { name: "Send" }).click();
  await section("/__/publish").getByText('"stored": true').waitFor();
  await section("/__/cancel").getByLabel("uuid", { exact: true }).fill("thisisuuid");
  await section("/__/cancel").getByRole("button", { name: "Send" }).click();
  await section("/__/cancel").getByText("200 OK").waitFor();
  await section("/__/groups").getByRole("button", { name: "Send" }).click();
  await section("/__/groups").getByText("403 Forbidden").waitFor();
});
