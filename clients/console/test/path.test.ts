import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newStandalone } from "../../js/test/system/servers.js";
import { launch, People } from "./browser.js";
import { connected, say, shows } from "./room.js";

let browser: Browser;
let server: Awaited<ReturnType<typeof newStandalone>>;
let proxy: Server;
let people: People;

/** A proxy that puts a server under /our/chat, and takes that away from what it passes on. */
function underPath(port: number): Server {
  const cut = (url = "") => url.replace(/^\/our\/chat(?=\/)/, "");
  const proxy = createServer(({ method, url, headers }, answer) => {
    if (!url?.startsWith("/our/chat/")) return void answer.writeHead(404).end();
    const onward = request({ port, method, path: cut(url), headers }, (from) => {
      answer.writeHead(from.statusCode ?? 502, from.headers);
      from.pipe(answer);
    });
    onward.on("error", () => answer.destroy()).end();
  });
  return proxy.on("upgrade", ({ url, rawHeaders }, client) => {
    const lines = rawHeaders.map((text, i) => text + (i % 2 ? "\r\n" : ": ")).join("");
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(`GET ${cut(url)} HTTP/1.1\r\n${lines}\r\n`);
      socket.pipe(client).pipe(socket);
    });
    for (const end of [socket, client]) end.on("error", () => end.destroy());
  });
}

beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), newStandalone().then((service) => service.start())]);
  proxy = underPath(server.port).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  people = new People(browser);
});

afterAll(async () => {
  await people?.leave();
  await browser?.close();
  proxy?.closeAllConnections();
  proxy?.close();
  await server?.stop();
});

test("pages work under a path of a proxy", async () => {
  const base = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/our/chat`;
  const home = await people.open(`${base}/`);
  await expect.poll(() => home.locator("#delivered").textContent(), { timeout: 10_000 }).not.toBe("–");
  expect(await home.locator("#commands").textContent()).toContain(`${base}/__/history`);

  await home.locator("#name").fill("/房间/1");
  await home.locator("#open button").click();
  await connected(home);
  expect(new URL(home.url()).pathname).toBe(`/our/chat/${encodeURIComponent("房间")}/1`);
  expect(await home.locator("#group").textContent()).toBe("/房间/1");
  await say(home, "hello");
  // The group's name has nothing of the path.
  const direct = await people.open(`http://127.0.0.1:${server.port}/房间/1`);
  await shows(direct, "hello");

  await home.locator("a.home").click();
  await home.locator('a[href="./__/docs"]').click();
  await home.locator("section.operation").first().waitFor();
  expect(await home.locator("body").textContent()).toContain(`${base}/__/publish`);
  expect(people.problems).toEqual([]);
});
