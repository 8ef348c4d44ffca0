/** The page of a group: a chat, or the clock. */
import { startAccess } from "./access.js";
import { startChat } from "./chat.js";
import { startClock } from "./clock.js";
import { byId } from "./dom.js";
import { fitAboveKeyboard } from "./keyboard.js";
import { startLanguage } from "./language.js";
import { pagePath } from "./server.js";

/** The group's name: the path below that of the server, percent-decoded once. */
const group = decodeURIComponent(pagePath);

startLanguage();
fitAboveKeyboard();
startAccess();
byId("group").textContent = group;
document.title = group;
if (group === "/timer") startClock();
else startChat(group);
