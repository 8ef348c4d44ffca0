import { type MessageBody, type RawData, SendStatus } from "gotapi-ws";
import { make } from "./dom.js";
import { say, translate } from "./language.js";

/** What can be done about a message. */
export interface MessageActions {
  recall(uuid: string): void;
  retry(uuid: string): void;
}

/** The signs beside the words of the marks. */
const signs = { pending: "○", sent: "✓", delivered: "✓✓", failed: "!" };

function markOf(body: MessageBody): keyof typeof signs {
  if (body.failure) return "failed";
  if (!body.sent) return "pending";
  return body.status === SendStatus.PeerSideReceived ? "delivered" : "sent";
}

/** Why a message is not sent: in the language of the page where that is foreseen, else as the server says it. */
export function reasonOf({ code, message }: { code: number; message: string }): string {
  if (code === 413) return say("tooLarge");
  if (code === 401) return say("notAllowed");
  return message;
}

/** Characters of a message that are shown. */
const MAX_TEXT = 50_000;
/** Levels of JSON that are indented: with more, the spaces would outgrow the text. */
const MAX_LEVELS = 16;

/** What is shown of a text. */
export const bounded = (text: string) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);

function isDeep(data: unknown, levels = MAX_LEVELS): boolean {
  if (typeof data !== "object" || data === null) return false;
  return levels === 0 || Object.values(data).some((value) => isDeep(value, levels - 1));
}

/** A message's content as text that any page can show, whatever it is. */
export function textOf(data: unknown): string {
  if (typeof data === "string") return bounded(data);
  try {
    return bounded(JSON.stringify(data, null, isDeep(data) ? 0 : 2) ?? "");
  } catch {
    return say("unshowable"); // deeper than the browser can write
  }
}

function time(): HTMLTimeElement {
  const now = new Date();
  const element = make("time", "", now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  element.dateTime = now.toISOString();
  return element;
}

/** A line of small print below the text, with who it is from. */
function footer(who: "you" | "other" | "raw", timed: boolean): HTMLElement {
  const line = make("p", "small");
  const name = make("span", "who");
  name.dataset.text = who;
  line.append(name);
  if (timed) line.append(time());
  return line;
}

function action(word: "recall" | "retry", run: () => void): HTMLButtonElement {
  const button = make("button", `quiet ${word}`);
  button.type = "button";
  button.dataset.text = word;
  button.addEventListener("click", run);
  return button;
}

function content(data: unknown): HTMLElement {
  const text = make("p", typeof data === "string" ? "text" : "text code", textOf(data));
  text.dir = "auto";
  return text;
}

/** One message on the page. Its content only ever becomes text. */
export class MessageItem {
  readonly element = make("li");
  readonly own: boolean;
  readonly body: MessageBody;
  readonly timed: boolean;
  readonly #mark = make("span", "mark");
  readonly #retry: HTMLButtonElement | undefined;
  readonly #recall: HTMLButtonElement | undefined;

  /** `timed`: it has just come, so the time of its coming is known. The server's messages carry none. */
  constructor(uuid: string, body: MessageBody, own: boolean, timed: boolean, actions: MessageActions) {
    this.body = body;
    this.timed = timed;
    this.own = own;
    this.element.className = own ? "own" : "other";
    this.element.dataset.uuid = uuid;
    const line = footer(own ? "you" : "other", timed);
    if (own) {
      this.#retry = action("retry", () => actions.retry(uuid));
      this.#recall = action("recall", () => actions.recall(uuid));
      line.append(this.#mark, this.#retry, this.#recall);
    }
    this.element.append(content(body.data), line);
    this.update();
  }

  /** Shows how far the message has come, in the language of the page. */
  update(): void {
    translate(this.element);
    if (!this.own) return;
    const mark = markOf(this.body);
    const { failure } = this.body;
    const word = say(mark, { why: failure ? reasonOf(failure) : "" });
    this.element.dataset.mark = mark;
    const sign = make("span", "sign", signs[mark]);
    sign.ariaHidden = "true";
    this.#mark.replaceChildren(sign, ` ${word}`);
    if (this.#retry) this.#retry.hidden = mark !== "failed";
    // What the server does not have need not be taken back.
    if (this.#recall) this.#recall.hidden = mark === "failed";
  }
}

/** A low-level packet, which the server passes on but does not keep. */
export function rawItem(data: RawData): HTMLLIElement {
  const element = make("li", "raw");
  const text = typeof data === "string" ? bounded(data) : say("binary", { bytes: data.byteLength });
  element.append(content(text), footer("raw", true));
  translate(element);
  return element;
}
