import { SocketBus } from "gotapi-ws";
import { showConnection, socketUrl } from "./connection.js";
import { byId } from "./dom.js";
import { inLanguage } from "./language.js";
import { token } from "./token.js";

/** Shows the server's time, which comes as Unix time in seconds, once a second. */
export function startClock(): void {
  const time = byId<HTMLTimeElement>("time");
  let now: Date | undefined;
  const show = () => {
    if (!now) return;
    time.dateTime = now.toISOString();
    time.textContent = now.toLocaleTimeString(document.documentElement.lang);
  };
  const socket = new SocketBus(socketUrl(), { token });
  showConnection(socket);
  socket.onRaw((seconds) => {
    now = new Date(Number(seconds) * 1_000);
    show();
  });
  inLanguage(show);
  byId("clock").hidden = false;
  socket.connect();
}
