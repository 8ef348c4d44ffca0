import type { Page } from "playwright-core";
import { expect } from "vitest";

/** Waits until the page is a connected member. */
export async function connected(page: Page): Promise<void> {
  await page.locator('#state[data-state="open"]').waitFor();
}

/** Writes a message as a person does. */
export async function say(page: Page, text: string): Promise<void> {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

/** The texts on the page, in order. */
export const texts = (page: Page) => page.locator("#messages .text").allTextContents();

/** Waits until exactly these texts are on the page. */
export async function shows(page: Page, ...want: string[]): Promise<void> {
  await expect.poll(() => texts(page), { timeout: 10_000 }).toEqual(want);
}

/** The item with a text. */
export const item = (page: Page, text: string) =>
  page.locator("#messages li", { has: page.locator(".text").getByText(text, { exact: true }) });

/** Waits until an own message has come that far. */
export async function marked(page: Page, text: string, mark: string): Promise<void> {
  await expect.poll(() => item(page, text).getAttribute("data-mark"), { timeout: 10_000 }).toBe(mark);
}
