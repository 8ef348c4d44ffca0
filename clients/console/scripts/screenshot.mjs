/**
 * Writes the pictures of the pages that README.md shows, into docs/images. Needs Chromium, a Chinese font (Debian:
 * fonts-wqy-zenhei) and a server without messages:
 * `node scripts/screenshot.mjs http://127.0.0.1:4998`.
 */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const url = process.argv[2] ?? "http://127.0.0.1:4998";
const images = fileURLToPath(new URL("../../../docs/images/", import.meta.url));
const room = `${url}/room/9527/`;

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await page.locator("#messages").getByText(text).waitFor();
}

mkdirSync(images, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const open = async () => {
  const context = await browser.newContext({
    locale: "en-US",
    viewport: { width: 880, height: 460 },
    deviceScaleFactor: 1.5,
    reducedMotion: "reduce", // no message is half there
  });
  const page = await context.newPage();
  await page.goto(room);
  await page.locator("#text").waitFor();
  return page;
};
const [ada, ben] = [await open(), await open()];
await say(ada, "The deployment is done, all edges are on the new version.");
await say(ben, "I did not notice a thing. Not even a reconnect?");
await say(ada, "There was one. The page resumed after the last message it had.");
await say(ben, "And nothing twice. I am impressed.");
await ada.locator("#messages").getByText("I am impressed").waitFor();
await ada.screenshot({ path: `${images}room.png` });
await browser.close();
