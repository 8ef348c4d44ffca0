import { byId } from "./dom.js";
import { inLanguage, say } from "./language.js";
import { token, useToken } from "./token.js";

/** What the server refuses: its code, and why, in its words. */
export interface Refusal {
  code?: number;
  message?: string;
}

let shown: Refusal | undefined;

function show(): void {
  if (!shown) return;
  const { code, message = "" } = shown;
  const needed = code === 401 ? (token() ? "tokenRefused" : "tokenNeeded") : "noRight";
  byId("denied-why").textContent = `${say(needed)} ${say("problem", { why: message })}`;
}

/** Tells why the server refuses this person, with a way to enter another token. */
export function askForToken(refusal: Refusal): void {
  shown = refusal;
  byId("denied").hidden = false;
  show();
}

/** Makes the form work. */
export function startAccess(): void {
  inLanguage(show);
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(byId<HTMLInputElement>("token").value.trim());
  });
}
