import { make } from "./dom.js";
import { inLanguage, say } from "./language.js";
import { server } from "./server.js";
import type { Word } from "./words.js";

/** How long a button says that it has copied, milliseconds. */
const THANKS = 2_000;

/** A command, with a button that copies it where the browser allows that. `title` is what it does. */
export function commandBlock(command: string, title: () => string): HTMLElement {
  const block = make("div", "command");
  const code = make("code", "", command);
  const box = make("pre");
  box.tabIndex = 0; // it may have to be scrolled with the keyboard
  box.append(code);
  block.append(box);
  inLanguage(() => box.setAttribute("aria-label", title()));
  box.setAttribute("role", "group");
  if (navigator.clipboard) block.append(copyButton(command, title));
  return block;
}

function copyButton(command: string, title: () => string): HTMLButtonElement {
  const button = make("button", "quiet");
  button.type = "button";
  const show = (word: Word) => {
    button.textContent = say(word);
    button.setAttribute("aria-label", word === "copied" ? say("copied") : say("copyOf", { what: title() }));
  };
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command);
    show("copied");
    setTimeout(() => show("copy"), THANKS);
  });
  inLanguage(() => show("copy"));
  return button;
}

/** The commands of the landing page, for this server. */
export function showCommands(place: HTMLElement): void {
  const packet = '{"type":2,"uuid":"thisisuuid","body":{"data":"hello world"}}';
  const commands: [Word, string][] = [
    ["commandPublish", `curl -X POST -d '${packet}' ${server}/room/9527/`],
    ["commandHistory", `curl -X POST -d 'groupName=/room/9527/&size=50' ${server}/__/history`],
    ["commandRecall", `curl -X POST -d 'groupName=/room/9527/&uuid=thisisuuid' ${server}/__/cancel`],
    ["commandSocket", `npx wscat -c ${server.replace(/^http/, "ws")}/room/9527/`],
    ["commandScript", `<script src="${server}/__/client.js"></script>`],
  ];
  for (const [word, command] of commands) {
    const title = make("h3");
    title.dataset.text = word;
    place.append(
      title,
      commandBlock(command, () => say(word)),
    );
    inLanguage(() => {
      title.textContent = say(word);
    });
  }
}
