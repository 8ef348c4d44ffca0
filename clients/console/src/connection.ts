import type { ConnectionState, SocketBus } from "gotapi-ws";
import { askForToken } from "./access.js";
import { byId } from "./dom.js";
import { inLanguage, say } from "./language.js";

/** Where a group's WebSocket is. `location` has the path already encoded. */
export const socketUrl = () => location.origin.replace(/^http/, "ws") + location.pathname;

/** Shows how the connection is, in words and as data-state for the styles and tests. */
function show(state: ConnectionState): void {
  const place = byId("state");
  // Tries to connect again are one state for people.
  const retrying = state === "connecting" && place.dataset.state === "waiting";
  const shown = state === "idle" ? "connecting" : retrying ? "waiting" : state;
  if (place.dataset.state === shown) return;
  place.dataset.state = document.body.dataset.state = shown;
  byId("state-text").textContent = say(shown);
}

/** Keeps the page up to date about the connection. */
export function showConnection(socket: SocketBus): void {
  socket.on("state", ({ state }) => show(state));
  socket.on("error", (error) => {
    if (error.reason === "refused") askForToken(error);
  });
  show(socket.state);
  inLanguage(() => {
    byId("state-text").textContent = say((byId("state").dataset.state as "open" | undefined) ?? "connecting");
  });
}
