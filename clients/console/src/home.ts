/** The landing page. */
import { groupPath } from "gotapi-ws";
import { showCommands } from "./commands.js";
import { byId } from "./dom.js";
import { showFigures } from "./figures.js";
import { say, startLanguage } from "./language.js";
import { server } from "./server.js";

function openRoom(event: Event): void {
  event.preventDefault();
  const name = byId<HTMLInputElement>("name").value;
  const bad = byId("bad-name");
  bad.hidden = true;
  try {
    location.assign(server + groupPath(name.startsWith("/") ? name : `/${name}`));
  } catch {
    bad.textContent = say("badName");
    bad.hidden = false;
  }
}

startLanguage();
byId("open").addEventListener("submit", openRoom);
showCommands(byId("commands"));
showFigures();
