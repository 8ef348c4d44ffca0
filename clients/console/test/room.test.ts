import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Network, newStandalone } from "../../js/test/system/servers.js";
import { launch, People } from "./browser.js";
import { connected, item, marked, say, shows, texts } from "./room.js";

let browser: Browser;
let server: Awaited<ReturnType<typeof newStandalone>>;
let people: People;
let room: string;
let rooms = 0;
const networks: Network[] = [];

/** The room of this test, reached through a port. */
const at = (port = server.port) => `http://127.0.0.1:${port}${room}`;

const publish = (body: string) => fetch(at(), { method: "POST", body });

const stored = (data: unknown, uuid = `u${Math.random()}`) =>
  publish(JSON.stringify({ type: 2, uuid, body: { data } }));

async function network(): Promise<Network> {
  const made = await new Network(server.port).start();
  networks.push(made);
  return made;
}

beforeAll(async () => {
  [browser, server] = await Promise.all([launch(), newStandalone().then((service) => service.start())]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(() => {
  people = new People(browser);
  room = `/room/${++rooms}/`;
});

afterEach(async () => {
  await people.leave();
  for (const made of networks.splice(0)) await made.stop();
  expect(people.problems).toEqual([]);
});

test("two people chat, and see how far their messages have come", async () => {
  const [ann, bob] = [await people.open(at()), await people.open(at())];
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "hello");
  await marked(ann, "hello", "delivered");
  await say(bob, "你好\nsecond line");
  await shows(ann, "hello", "你好\nsecond line");
  await shows(bob, "hello", "你好\nsecond line");
  expect(await item(bob, "hello").getAttribute("class")).toBe("other");
  expect(await item(ann, "hello").getAttribute("class")).toBe("own");
  await expect.poll(() => ann.locator("#announcer").textContent()).toContain("你好");
});

test("who is alone has sent, until somebody comes", async () => {
  const ann = await people.open(at());
  await say(ann, "anybody?");
  await marked(ann, "anybody?", "sent");
  await people.open(at());
  await marked(ann, "anybody?", "delivered");
});

test("whoever comes confirms a few messages, not the whole history", async () => {
  const ann = await people.open(at());
  await connected(ann);
  await ann.evaluate(() => {
    const confirmed: string[] = [];
    Object.assign(globalThis, { confirmed });
    const socket = new WebSocket(location.href.replace("http", "ws"));
    socket.onmessage = ({ data }) => {
      const { command, uuid } = JSON.parse(data);
      if (command === 3) confirmed.push(uuid);
    };
    return new Promise((resolve) => {
      socket.onopen = resolve;
    });
  });
  for (let i = 0; i < 20; i++) await say(ann, `message ${i}`);
  await marked(ann, "message 19", "sent");
  const bob = await people.open(at());
  await shows(bob, ...Array.from({ length: 20 }, (_, i) => `message ${i}`));
  const confirmed = () => ann.evaluate(() => (globalThis as unknown as { confirmed: string[] }).confirmed);
  await expect.poll(async () => (await confirmed()).length, { timeout: 5_000 }).toBe(5);
  await bob.waitForTimeout(1_100); // as long as receipts may take
  expect(await confirmed()).toHaveLength(5);
  await marked(ann, "message 19", "delivered");
  await marked(ann, "message 14", "sent");
});

test("a recalled message vanishes everywhere, and stays away", async () => {
  const [ann, bob] = [await people.open(at()), await people.open(at())];
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "one");
  await say(ann, "two");
  await shows(bob, "one", "two");
  await item(ann, "one").getByRole("button", { name: "Recall" }).click();
  await shows(ann, "two");
  await shows(bob, "two");
  await bob.reload();
  await shows(bob, "two");
  expect(await item(bob, "two").getByRole("button", { name: "Recall" }).count()).toBe(0);
});

test("own messages are still own ones after a reload", async () => {
  const ann = await people.open(at());
  await say(ann, "mine");
  await marked(ann, "mine", "sent");
  await stored("somebody's");
  await ann.reload();
  await shows(ann, "mine", "somebody's");
  await item(ann, "mine").getByRole("button", { name: "Recall" }).click();
  await shows(ann, "somebody's");
});

test("nothing is lost or doubled while one is offline", async () => {
  const tunnel = await network();
  const [ann, bob] = [await people.open(at()), await people.open(at(tunnel.port))];
  await Promise.all([connected(ann), connected(bob)]);
  await say(bob, "before");
  await shows(ann, "before");
  tunnel.refusing = true;
  tunnel.cut();
  await bob.locator('#state[data-state="waiting"]').waitFor();
  await say(bob, "from the tunnel");
  await say(bob, "still there");
  await marked(bob, "still there", "pending");
  await say(ann, "into the tunnel");
  await item(ann, "before").waitFor();
  tunnel.heal();
  await connected(bob);
  await shows(ann, "before", "into the tunnel", "from the tunnel", "still there");
  await shows(bob, "before", "into the tunnel", "from the tunnel", "still there");
  await marked(bob, "still there", "delivered");
});

test("what was not sent is sent after a reload, once", async () => {
  const tunnel = await network();
  const bob = await people.open(at(tunnel.port));
  await connected(bob);
  tunnel.refusing = true;
  tunnel.cut();
  await say(bob, "first");
  await say(bob, "second");
  await marked(bob, "second", "pending");
  tunnel.heal();
  await bob.reload();
  await marked(bob, "second", "sent");
  await shows(bob, "first", "second");
  await bob.reload();
  await shows(bob, "first", "second");
});

test("the page goes on with a server that has forgotten everything, and says so", async () => {
  const ann = await people.open(at());
  await say(ann, "before");
  await marked(ann, "before", "sent");
  await server.stop("SIGKILL");
  await ann.locator('#state[data-state="waiting"]').waitFor();
  await say(ann, "meanwhile");
  await server.start();
  await marked(ann, "meanwhile", "sent");
  await ann.getByText("Some messages may be missing here.").waitFor();
  const bob = await people.open(at());
  await shows(bob, "meanwhile");
  await say(bob, "after");
  await expect.poll(() => texts(ann)).toContain("after");
  expect(await texts(ann)).toEqual(["before", "meanwhile", "after"]);
});

test("a message that the server refuses says so, and can be tried again", async () => {
  const ann = await people.open(at());
  await connected(ann);
  const huge = "x".repeat(40_000);
  await say(ann, huge);
  await marked(ann, huge, "failed");
  await item(ann, huge).getByRole("button", { name: "Send again" }).click();
  await marked(ann, huge, "pending");
  await marked(ann, huge, "failed");
  await say(ann, "short");
  await marked(ann, "short", "sent");
});

test("nothing that anybody writes becomes HTML", async () => {
  room = "/room/<img src=x onerror=alert(1)>/";
  const attacks = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "{{constructor.constructor('alert(1)')()}}",
    "<style>body{display:none}</style>",
    "</li></ol><h1>x</h1>",
    "&lt;b&gt;",
  ];
  const url = `http://127.0.0.1:${server.port}${encodeURI(room)}`;
  const send = (body: string) => fetch(url, { method: "POST", body });
  const [ann, bob] = [await people.open(url), await people.open(url)];
  await Promise.all([connected(ann), connected(bob)]);
  for (const [i, attack] of attacks.entries()) {
    if (i % 2 === 0) await say(ann, attack);
    else await send(JSON.stringify({ type: 2, uuid: attack, body: { data: attack, hash: attack } }));
    await shows(bob, ...attacks.slice(0, i + 1));
  }
  const object = { html: "<img src=x onerror=alert(1)>", "<b>": ["<i>", null, 1] };
  await send(JSON.stringify({ type: 2, uuid: "object", body: { data: object } }));
  await send("<img src=x onerror=alert(1)> as a low-level packet");
  const all = [
    ...attacks,
    JSON.stringify(object, null, 2),
    "<img src=x onerror=alert(1)> as a low-level packet",
  ];
  await shows(ann, ...all);
  await shows(bob, ...all);
  await bob.reload();
  await shows(bob, ...all.slice(0, -1));
  for (const page of [ann, bob]) {
    expect(await page.locator("#group").textContent()).toBe(room);
    expect(await page.title()).toBe(room);
    expect(await page.locator("main").locator("img, script, svg, style, a, h1").count()).toBe(0);
  }
});

test("the page's own policy stops what would slip through", async () => {
  const ann = await people.open(at());
  await connected(ann);
  const outcome = await ann.evaluate(() => {
    try {
      document.body.innerHTML = "<p>x</p>";
      return "HTML was made";
    } catch (thrown) {
      return (thrown as Error).name;
    }
  });
  expect(outcome).toBe("TypeError");
  const loaded = await ann.evaluate(
    () =>
      new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("loaded");
        image.onerror = () => resolve("blocked");
        image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=";
      }),
  );
  expect(loaded).toBe("blocked");
  // Both are reported, as they should be; nothing else is.
  expect(people.problems.splice(0).every((problem) => /Trusted|Content Security Policy/.test(problem))).toBe(
    true,
  );
});

test("older messages come when one scrolls up, and what one reads stays in place", async () => {
  const all = Array.from({ length: 130 }, (_, i) => `message ${i}`);
  for (const [i, text] of all.entries()) await stored(text, `n${i}`);
  const ann = await people.open(at(), { viewport: { width: 600, height: 500 } });
  await shows(ann, ...all.slice(80));
  expect(await item(ann, "message 129").isVisible()).toBe(true);
  const scroller = ann.locator("#scroller");
  await expect
    .poll(() => scroller.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight))
    .toBeLessThan(2);

  // Towards the top, in one jump: the first message there stays where it is.
  const before = await ann.evaluate(() => {
    const box = document.getElementById("scroller")!;
    box.scrollTop = 100;
    return document.querySelector('[data-uuid="n82"]')!.getBoundingClientRect().top;
  });
  await expect.poll(() => texts(ann)).toEqual(all.slice(30));
  const after = await ann.evaluate(
    () =>
      new Promise<number>((resolve) =>
        requestAnimationFrame(() =>
          resolve(document.querySelector('[data-uuid="n82"]')!.getBoundingClientRect().top),
        ),
      ),
  );
  expect(Math.abs(after - before)).toBeLessThan(2);

  await scroller.evaluate((box) => {
    box.scrollTop = 0;
  });
  await shows(ann, ...all);
  await scroller.evaluate((box) => {
    box.scrollTop = 0;
  });
  await ann.getByText("This is the beginning of the room").waitFor();

  // Who reads old messages is not carried away by new ones, but told.
  await stored("new");
  await ann.getByRole("button", { name: "New messages" }).click();
  await expect
    .poll(() => scroller.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight))
    .toBeLessThan(2);
  await ann.getByRole("button", { name: "New messages" }).waitFor({ state: "hidden" });
});

test("what stands before many recalled messages is found", async () => {
  for (let i = 0; i < 125; i++) await stored(`message ${i}`, `r${i}`);
  const recall = (i: number) =>
    fetch(`http://127.0.0.1:${server.port}/__/cancel`, {
      method: "POST",
      body: new URLSearchParams({ groupName: room, uuid: `r${i}` }),
    });
  for (let i = 5; i < 125; i++) expect((await recall(i)).status).toBe(200);
  const ann = await people.open(at());
  await shows(ann, ...Array.from({ length: 5 }, (_, i) => `message ${i}`));
  await ann.getByText("This is the beginning of the room").waitFor();
});

test("everything can be done with the keyboard", async () => {
  const ann = await people.open(at());
  await connected(ann);
  const focused = () => ann.evaluate(() => document.activeElement?.id || document.activeElement?.className);
  const tabTo = async (name: string) => {
    for (let i = 0; i < 20 && (await focused()) !== name; i++) await ann.keyboard.press("Tab");
    expect(await focused()).toBe(name);
  };
  await tabTo("text");
  await ann.keyboard.type("one");
  await ann.keyboard.press("Shift+Enter");
  await ann.keyboard.type("more");
  await ann.keyboard.press("Enter");
  await ann.keyboard.type("two");
  await ann.keyboard.press("Enter");
  await shows(ann, "one\nmore", "two");
  await marked(ann, "two", "sent");
  await ann.evaluate(() => document.getElementById("language")!.focus());
  await tabTo("scroller");
  await tabTo("quiet recall");
  await ann.keyboard.press("Enter");
  await shows(ann, "two");
  expect(await focused()).toBe("quiet recall");
  await ann.keyboard.press("Enter");
  await shows(ann);
  expect(await focused()).toBe("scroller");
});

test("while an input method composes, Enter does not send", async () => {
  const ann = await people.open(at());
  await connected(ann);
  await ann.locator("#text").fill("ni");
  await ann.locator("#text").dispatchEvent("keydown", { key: "Enter", isComposing: true });
  await ann.locator("#text").fill("你");
  await ann.locator("#text").press("Enter");
  await shows(ann, "你");
});

test("the page speaks Chinese to who reads Chinese, and changes when asked", async () => {
  const ann = await people.open(at(), { locale: "zh-CN" });
  await say(ann, "好");
  await marked(ann, "好", "sent");
  expect(await item(ann, "好").locator(".mark").textContent()).toContain("已发送");
  expect(await ann.getByRole("button", { name: "发送" }).count()).toBe(1);
  expect(await ann.locator("html").getAttribute("lang")).toBe("zh-Hans");
  await ann.getByRole("button", { name: "English" }).click();
  await ann.getByRole("button", { name: "Chinese" }).waitFor(); // for people without a Chinese font
  expect(await item(ann, "好").locator(".mark").textContent()).toContain("Sent");
  await ann.reload();
  await ann.getByRole("button", { name: "Send" }).waitFor();
  expect(await ann.locator("#state").textContent()).toBe("Connected");
});

test("the clock ticks", async () => {
  const ann = await people.open(`http://127.0.0.1:${server.port}/timer`);
  const shown = () => ann.locator("#time").getAttribute("datetime");
  await expect.poll(async () => Math.abs(Date.parse((await shown()) ?? "") - Date.now())).toBeLessThan(3_000);
  const first = await shown();
  await expect.poll(shown).not.toBe(first);
  expect(await ann.locator("#composer").isVisible()).toBe(false);
});

test("a message that is nested deeply is shown in bounded space, and harms no other", async () => {
  const nested = (levels: number) =>
    `{"type":2,"uuid":"n${levels}","body":{"data":${"[".repeat(levels)}${"]".repeat(levels)}}}`;
  for (const levels of [3, 3_000, 15_000]) await publish(nested(levels));
  await stored("after");
  const ann = await people.open(at());
  await expect.poll(async () => (await texts(ann)).at(-1)).toBe("after");
  const shown = await texts(ann);
  expect(shown).toHaveLength(4);
  expect(shown[0]).toBe("[\n  [\n    []\n  ]\n]");
  for (const text of shown) expect(text.length).toBeLessThan(60_000);
  await connected(ann);
  await publish(nested(2_999));
  await say(ann, "still here");
  await marked(ann, "still here", "sent");
});

test("what goes wrong in the page itself is shown", async () => {
  const ann = await people.open(at());
  await connected(ann);
  await ann.evaluate(() => {
    Element.prototype.insertBefore = () => {
      throw new Error("no room for it");
    };
  });
  await stored("unlucky");
  await ann.getByText("Something is wrong with this page: no room for it").waitFor();
  expect(people.problems.splice(0)).toEqual([expect.stringContaining("no room for it")]);
});

test("messages of another tab are one's own, too", async () => {
  const ann = await people.open(at());
  const other = await ann.context().newPage();
  await other.goto(at());
  await Promise.all([connected(ann), connected(other)]);
  await say(other, "from the other tab");
  await expect.poll(() => item(ann, "from the other tab").getAttribute("class")).toBe("own");
  await item(ann, "from the other tab").getByRole("button", { name: "Recall" }).click();
  await shows(other);
});

test("a half-written message outlives a reload, until it is sent", async () => {
  const ann = await people.open(at());
  await ann.locator("#text").fill("half a sen");
  await ann.reload();
  expect(await ann.locator("#text").inputValue()).toBe("half a sen");
  await say(ann, "half a sentence");
  await marked(ann, "half a sentence", "sent");
  await ann.reload();
  await shows(ann, "half a sentence");
  expect(await ann.locator("#text").inputValue()).toBe("");
});

test("a page that is kept for the way back is no member meanwhile, and one at once afterwards", async () => {
  const ann = await people.open(at());
  await connected(ann);
  await say(ann, "before");
  await marked(ann, "before", "sent");
  await ann.evaluate(() => {
    addEventListener("pageshow", ({ persisted }) => Object.assign(globalThis, { persisted }));
  });
  const members = async () =>
    (await (await fetch(`http://127.0.0.1:${server.port}/__/stats`)).json()).members as number;
  await ann.goto(`http://127.0.0.1:${server.port}/__/docs`);
  await expect.poll(members, { timeout: 10_000 }).toBe(0);
  await stored("meanwhile");
  await ann.goBack({ waitUntil: "commit" }); // what was kept is not loaded
  await shows(ann, "before", "meanwhile");
  expect(await ann.evaluate(() => (globalThis as unknown as { persisted: boolean }).persisted)).toBe(true);
});
