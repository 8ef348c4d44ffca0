import { byId, make } from "./dom.js";

/** How long a text stays where screen readers find it, milliseconds. */
const STAY = 5_000;
/** Texts at once; in a lively room the rest is left out. */
const MAX_TEXTS = 5;

/** Of a long text the beginning is enough, characters. */
const MAX_LENGTH = 500;

/** Has a text read out by screen readers. */
export function announce(text: string): void {
  const place = byId("announcer");
  if (place.childElementCount >= MAX_TEXTS) return;
  const line = make("p", "", text.slice(0, MAX_LENGTH));
  place.append(line);
  setTimeout(() => line.remove(), STAY);
}
