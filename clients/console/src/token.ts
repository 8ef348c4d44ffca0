/**
 * The token that this tab presents to servers that ask who is there. It comes in the fragment of an address,
 * #token=..., which browsers send to nobody, is taken out of the address at once, and stays in the tab.
 */
import { read, write } from "./memory.js";

const KEY = "gotapi:token";

let current = read("session", KEY);

/** Takes the token out of the address. Returns whether there was one; an empty one takes the token away. */
function take(): boolean {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  current = given;
  write("session", KEY, given);
  // Not the path alone: one that begins with two slashes would name a host.
  history.replaceState(history.state, "", location.href.split("#")[0]);
  return true;
}

take();
// Somebody has put another one into the address of this very page.
addEventListener("hashchange", () => take() && location.reload());

/** Loads the page once more, with this token. */
export function useToken(token: string): void {
  write("session", KEY, token);
  location.reload();
}

/** The token; undefined if there is none. */
export const token = (): string | undefined => current || undefined;

/** The headers that present it. */
export function tokenHeaders(): Record<string, string> {
  return current ? { Authorization: `Bearer ${current}` } : {};
}
