import type { ConnectionState, SocketBus } from "gotapi-ws";
import { byId } from "./dom.js";
import { inLanguage, say, translate } from "./language.js";
import { token, tokenHeaders } from "./token.js";

/** Where a group's WebSocket is. `location` has the path already encoded. */
export const socketUrl = () => location.origin.replace(/^http/, "ws") + location.pathname;

/** A browser does not tell why a WebSocket was refused. Whether a token is missing, the history tells. */
function askWhy(socket: SocketBus): void {
  const stop = socket.on("state", async ({ state }) => {
    if (state === "connecting") return;
    stop();
    if (state !== "waiting") return;
    const groupName = encodeURIComponent(decodeURIComponent(location.pathname));
    const response = await fetch(`/__/history?size=0&groupName=${groupName}`, { headers: tokenHeaders() });
    if (response.status !== 401) return;
    const place = byId("denied");
    place.dataset.text = token() ? "tokenRefused" : "tokenNeeded";
    inLanguage(() => translate(place.parentElement as HTMLElement));
    place.hidden = false;
  });
}

/** Shows how the connection is, in words and as data-state for the styles and tests. */
export function showConnection(socket: SocketBus): void {
  const place = byId("state");
  const text = byId("state-text");
  const show = (state: ConnectionState) => {
    // Tries to connect again are one state for people.
    const retrying = state === "connecting" && place.dataset.state === "waiting";
    const shown = state === "idle" ? "connecting" : retrying ? "waiting" : state;
    if (place.dataset.state === shown) return;
    place.dataset.state = shown;
    text.textContent = say(shown);
  };
  socket.on("state", ({ state }) => show(state));
  askWhy(socket);
  show(socket.state);
  inLanguage(() => {
    text.textContent = say((place.dataset.state as "open" | undefined) ?? "connecting");
  });
}
