import puppeteer, { type Browser, type BrowserContext, type LaunchOptions, type Page } from "puppeteer-core";
import type { Engine, Person, Tab } from "./engine.js";

const LAUNCH = { headless: true, timeout: 120_000, protocolTimeout: 120_000 };

class PuppeteerTab implements Tab {
  constructor(
    readonly page: Page,
    readonly context: BrowserContext,
  ) {}

  async goto(url: string): Promise<void> {
    await this.page.goto(url, { waitUntil: "domcontentloaded" });
  }

  async back(): Promise<void> {
    // page.goBack() waits for a load, which does not come when the page was kept.
    const at = this.page.url();
    await this.page.evaluate("history.back()").catch(() => {});
    while (this.page.url() === at) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  run<Args extends unknown[], Value>(run: (...args: Args) => Value | Promise<Value>, ...args: Args) {
    return this.page.evaluate(run as (...args: unknown[]) => unknown, ...args) as Promise<Value>;
  }

  async load(script: string): Promise<void> {
    await this.page.evaluate(`${script};0`);
  }

  async narrow(): Promise<void> {
    await this.page.setViewport({ width: 320, height: 568 });
  }

  async hide(): Promise<() => Promise<void>> {
    const other = await this.context.newPage();
    await other.bringToFront();
    return async () => {
      await this.page.bringToFront();
      await other.close();
    };
  }
}

async function personIn(browser: Browser, dark?: boolean): Promise<Person> {
  const context = await browser.createBrowserContext();
  return {
    async open(url) {
      const page = await context.newPage();
      if (dark !== undefined)
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
      const tab = new PuppeteerTab(page, context);
      await tab.goto(url);
      return tab;
    },
    leave: () => context.close(),
  };
}

/** Chromium as Debian installs it, or what CHROMIUM names. */
export async function newChromium(): Promise<Engine> {
  const browser = await puppeteer.launch({
    ...LAUNCH,
    browser: "chrome",
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--host-resolver-rules=MAP chat.test 127.0.0.1",
    ],
    // The back/forward cache is on for people.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  return {
    keepsPages: true,
    person: (dark = false) => personIn(browser, dark),
    stop: () => browser.close(),
  };
}

/** Firefox as Debian installs it, or what FIREFOX names. */
export async function newFirefox(): Promise<Engine> {
  const launch = (preferences: LaunchOptions["extraPrefsFirefox"]) =>
    puppeteer.launch({
      ...LAUNCH,
      browser: "firefox",
      executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
      extraPrefsFirefox: {
        "fission.bfcacheInParent": true, // as people have it
        "network.dns.localDomains": "chat.test",
        ...preferences,
      },
    });
  const theme = "layout.css.prefers-color-scheme.content-override";
  const dark = await launch({ [theme]: 0 });
  let bright: Promise<Browser> | undefined;
  return {
    keepsPages: false,
    async person(likesDark = true) {
      if (likesDark) return personIn(dark);
      bright ??= launch({ [theme]: 1, "browser.privatebrowsing.autostart": true });
      return personIn(await bright);
    },
    async stop() {
      await dark.close();
      await (await bright)?.close();
    },
  };
}
