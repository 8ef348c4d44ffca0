import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, newStandalone, until } from "../system/servers.js";

const program = fileURLToPath(new URL("../../../../examples/logins/server.mjs", import.meta.url));

describe("the chat with logins of the tutorial", () => {
  let folder: string;
  let chat: Awaited<ReturnType<typeof newStandalone>>;
  let application: ChildProcess;
  let address: string;
  let browser: Browser;
  let alice: Page;
  let bob: Page;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gotapi-js-logins-"));
    const secret = join(folder, "jwt-secret");
    writeFileSync(secret, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
    const port = await freePort();
    const settings = [
      ...["-auth-secret-file", secret, "-recall-window", "2m"],
      ...["-hook-before-url", `http://127.0.0.1:${port}/hook`],
      ...["-allowed-origins", `http://127.0.0.1:${port}`],
    ];
    chat = await (await newStandalone(undefined, ...settings)).start();
    application = spawn(process.execPath, [program], {
      env: {
        ...process.env,
        PORT: String(port),
        CHAT: `http://127.0.0.1:${chat.port}`,
        SECRET_FILE: secret,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    [address] = (await once(createInterface(application.stdout as never), "line")) as [string];
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu"],
    });
    alice = await logIn("alice", "wonderland");
    bob = await logIn("bob", "builder");
  });
  afterAll(async () => {
    await browser?.close();
    application?.kill();
    await chat?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A browser of its own for each user. */
  async function logIn(name: string, password: string): Promise<Page> {
    const page = await (await browser.newContext()).newPage();
    await page.goto(address);
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
    return page;
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  }

  const messages = async (page: Page) =>
    (await page.locator("li").allTextContents()).map((text) => text.replace(/ (Recall)?$/, ""));
  const bothShow = (expected: string[]) =>
    until(`both show ${expected}`, async () =>
      (await Promise.all([alice, bob].map(messages))).every((shown) => shown.join() === expected.join()),
    );

  /** Asks the chat server for something, with the token of the page's user. */
  async function ask(page: Page, path: string, body: string): Promise<number> {
    const { token } = await (await page.request.get(new URL("token", address).href)).json();
    const init = { method: "POST", body, headers: { Authorization: `Bearer ${token}` } };
    return (await fetch(`http://127.0.0.1:${chat.port}${path}`, init)).status;
  }

  it("lets nobody in without a password, a session and a token", async () => {
    const stranger = await logIn("alice", "looking glass");
    await stranger.getByText("Wrong name or password.").waitFor();
    expect((await stranger.request.get(new URL("token", address).href)).status()).toBe(401);
    const publish = await fetch(`http://127.0.0.1:${chat.port}/room/9527/`, {
      method: "POST",
      body: "hello",
    });
    expect(publish.status).toBe(401);
  });

  it("writes names that nobody can forge, refuses spam, and lets authors recall", async () => {
    await say(alice, "hello");
    await bothShow(["alice: hello"]);
    const forged = { type: 2, uuid: "forged", body: { data: "hi", from: "alice" } };
    expect(await ask(bob, "/room/9527/", JSON.stringify(forged))).toBe(200);
    await bothShow(["alice: hello", "bob: hi"]);

    await say(bob, "buy spam");
    await bob.getByText("No spam, please.").waitFor();
    await bothShow(["alice: hello", "bob: hi"]);

    expect(await ask(alice, "/__/cancel?groupName=/room/9527/&uuid=forged", "")).toBe(403);
    await alice.getByRole("button", { name: "Recall" }).click();
    await bothShow(["bob: hi"]);
  });

  it("remembers who is logged in, and what was said", async () => {
    await bob.reload();
    await bothShow(["bob: hi"]);
  });

  it("asks for the login again once the session has ended", async () => {
    await bob.context().clearCookies();
    await chat.stop();
    await chat.start();
    await bob.getByLabel("Password").waitFor();
    expect(await bob.getByLabel("Message").isHidden()).toBe(true);
    expect(await alice.getByLabel("Message").isVisible()).toBe(true);
  });
});
