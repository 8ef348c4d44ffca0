import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newStandalone, until } from "../system/servers.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** The first page in HTML that a README shows. */
function pageOf(name: string): string {
  const [, html] = /```html\n(.*?)```/s.exec(readFileSync(`${root}/${name}`, "utf8")) ?? [];
  if (!html) throw new Error(`${name} shows no page`);
  return html;
}

describe("the page in the project's READMEs", () => {
  let chat: Awaited<ReturnType<typeof newStandalone>>;
  let browser: Browser;

  beforeAll(async () => {
    chat = await (await newStandalone()).start();
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await chat?.stop();
  });

  it.each(["README.md", "README.zh.md"])("chats from another origin: %s", async (name) => {
    const html = pageOf(name).replaceAll("127.0.0.1:4998", `127.0.0.1:${chat.port}`);
    const site = createServer((_, response) => {
      response.setHeader("Content-Type", "text/html");
      response.end(html);
    }).listen(0, "127.0.0.1");
    await once(site, "listening");
    const open = async () => {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
      return page;
    };
    try {
      const [ann, bob] = [await open(), await open()];
      await ann.getByLabel("Message").fill(`hello from ${name}`);
      await ann.getByRole("button", { name: "Send" }).click();
      for (const page of [ann, bob])
        await until("the message is shown once", async () => {
          const all = await page.locator("li").allTextContents();
          return all.filter((text) => text === `hello from ${name}`).length === 1;
        });
      const late = await open();
      await late.getByText(`hello from ${name}`).waitFor();
      expect(await late.evaluate("typeof GotapiWs")).toBe("object");
    } finally {
      site.close();
    }
  });
});
