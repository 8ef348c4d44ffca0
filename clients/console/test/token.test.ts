import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { newStandalone } from "../../js/test/system/servers.js";
import { launch, People } from "./browser.js";
import { connected, item, marked, say, shows } from "./room.js";

const SECRET = "a secret that is longer than 32 bytes";

let browser: Browser;
let server: Awaited<ReturnType<typeof newStandalone>>;
let people: People;
let directory: string;

const at = (path: string) => `http://127.0.0.1:${server.port}${path}`;

/** A JSON Web Token for the room, signed with HS256. */
function sign(subject: string, seconds = 3_600, more: object = {}): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const rooms = ["/room/*/"];
  const claims = {
    sub: subject,
    exp: Math.floor(Date.now() / 1_000) + seconds,
    gotapi: { join: rooms, publish: rooms, read: rooms, recall: "own", ...more },
  };
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "token-"));
  const secret = join(directory, "secret");
  writeFileSync(secret, SECRET);
  const service = await newStandalone(undefined, "-auth-secret-file", secret, "-auth-leeway", "0s");
  [browser, server] = await Promise.all([launch(), service.start()]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

beforeEach(() => {
  people = new People(browser);
});

afterEach(async () => {
  await people.leave();
  expect(people.problems).toEqual([]);
});

test("people with a token chat, and recall what is their own", async () => {
  const ann = await people.open(at(`/room/1/#token=${sign("ann")}`));
  const bob = await people.open(at(`/room/1/#token=${sign("bob")}`));
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "hello");
  await marked(ann, "hello", "delivered");
  await shows(bob, "hello");
  const answer = (who: typeof ann, uuid: string) =>
    who.evaluate(
      async ([token, uuid]) => {
        const body = new URLSearchParams({ groupName: "/room/1/", uuid: uuid as string });
        const headers = { Authorization: `Bearer ${token}` };
        return (await fetch("/__/cancel", { method: "POST", body, headers })).status;
      },
      [sign(who === ann ? "ann" : "bob"), uuid],
    );
  const page = await fetch(at("/__/history?groupName=/room/1/"), {
    headers: { Authorization: `Bearer ${sign("ann")}` },
  });
  const [text] = (await page.json()).data;
  const { uuid } = JSON.parse(text);
  expect(await answer(bob, uuid)).toBe(403);
  expect(await answer(ann, uuid)).toBe(200);
  await shows(bob);
});

test("the token leaves the address, stays in the tab, and is gone elsewhere", async () => {
  const ann = await people.open(at(`/room/2/#token=${sign("ann")}`));
  await connected(ann);
  expect(ann.url()).toBe(at("/room/2/"));
  await ann.reload();
  await connected(ann);
  const bob = await people.open(at("/room/2/"));
  await bob.locator("#denied").getByText("asks who you are").waitFor();
});

test("without a token, or with an old one, the page says so, and takes another", async () => {
  const ann = await people.open(at(`/room/3/#token=${sign("ann", -60)}`));
  await ann.locator("#denied").getByText("does not accept the token").waitFor();
  expect(await ann.locator("#denied-why").textContent()).toContain("expired");
  await ann.goto(at(`/room/3/#token=${sign("ann")}`));
  await connected(ann);
  expect(await ann.locator("#denied").isHidden()).toBe(true);
});

const enter = async (page: Page, token: string) => {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Use it" }).click();
};

test("a refusal ends the trying, and another token can be entered on the page", async () => {
  const ann = await people.open(at("/room/4/"));
  await ann.locator("#denied").getByText("asks who you are").waitFor();
  await ann.locator('#state[data-state="denied"]').waitFor();
  expect(await ann.locator("#composer").isHidden()).toBe(true);
  await enter(ann, "nonsense");
  await ann.locator("#denied").getByText("does not accept the token").waitFor();
  await enter(ann, sign("ann", 3_600, { join: ["/other/*/"] }));
  await ann.locator("#denied").getByText("You are not allowed").waitFor();
  await enter(ann, sign("ann"));
  await connected(ann);
  expect(await ann.locator("#denied").isHidden()).toBe(true);
  expect(await ann.locator("#composer").isVisible()).toBe(true);
});

test("who may not write is told so, and can enter another token", async () => {
  const ann = await people.open(at(`/room/5/#token=${sign("ann", 3_600, { publish: [] })}`));
  await connected(ann);
  await say(ann, "hello");
  await marked(ann, "hello", "failed");
  expect(await item(ann, "hello").locator(".mark").textContent()).toContain("lacks the right publish");
  await ann.locator("#denied").getByText("You are not allowed").waitFor();
  await enter(ann, sign("ann"));
  await connected(ann);
  await say(ann, "hello again");
  await marked(ann, "hello again", "sent");
});
