import { byId } from "./dom.js";
import { read, write } from "./memory.js";
import { type Language, type Word, words } from "./words.js";

const KEY = "gotapi:language";

function preferred(): Language {
  const chosen = read("local", KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

let language: Language = preferred();
const listeners: (() => void)[] = [];

/** A text in the language of the page, with values for what stands in braces. */
export function say(word: Word, values: Record<string, string | number> = {}): string {
  return words[language][word].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
}

/** Calls `listener` now and whenever the language changes. */
export function inLanguage(listener: () => void): void {
  listeners.push(listener);
  listener();
}

/** Fills in what data-text, data-label and data-placeholder ask for, in `root` and below. */
export function translate(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = say(element.dataset.text as Word);
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label as Word));
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-placeholder]")) {
    element.setAttribute("placeholder", say(element.dataset.placeholder as Word));
  }
}

/** Translates the page, now and when its button is pressed. */
export function startLanguage(): void {
  inLanguage(() => {
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    translate(document);
  });
  const button = byId("language");
  inLanguage(() => {
    button.textContent = say("otherLanguage");
    button.lang = language === "zh" ? "en" : "zh-Hans";
  });
  button.addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    write("local", KEY, language);
    for (const listener of listeners) listener();
  });
}
