/** The page of a group: a chat, or the clock. */
import { startChat } from "./chat.js";
import { startClock } from "./clock.js";
import { byId } from "./dom.js";
import { startLanguage } from "./language.js";

/** The group's name: the path as it is, percent-decoded once. */
const group = decodeURIComponent(location.pathname);

startLanguage();
byId("group").textContent = group;
document.title = group;
if (group === "/timer") startClock();
else startChat(group);
