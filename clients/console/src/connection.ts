import type { ConnectionState, SocketBus } from "gotapi-ws";
import { byId } from "./dom.js";
import { inLanguage, say } from "./language.js";

/** Where a group's WebSocket is. `location` has the path already encoded. */
export const socketUrl = () => location.origin.replace(/^http/, "ws") + location.pathname;

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
  show(socket.state);
  inLanguage(() => {
    text.textContent = say((place.dataset.state as "open" | undefined) ?? "connecting");
  });
}
