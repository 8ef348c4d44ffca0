import type { MessageBody, RawData, SortedHash } from "gotapi-ws";
import { translate } from "./language.js";
import { type MessageActions, MessageItem, rawItem } from "./message.js";
import type { Scroller } from "./scroller.js";

/** Low-level packets shown; beyond, the oldest go. */
const MAX_RAW = 200;

/** The messages on the page, in the order of the bus. Low-level packets stand where they came. */
export class MessageList {
  readonly #place: HTMLElement;
  readonly #order: SortedHash;
  readonly #scroller: Scroller;
  readonly #actions: MessageActions;
  readonly #items = new Map<string, MessageItem>();
  readonly #raw: HTMLElement[] = [];

  constructor(place: HTMLElement, order: SortedHash, scroller: Scroller, actions: MessageActions) {
    this.#place = place;
    this.#order = order;
    this.#scroller = scroller;
    this.#actions = actions;
  }

  get(uuid: string): MessageItem | undefined {
    return this.#items.get(uuid);
  }

  /** `index` is the message's place in the order. */
  add(uuid: string, body: MessageBody, index: number, own: boolean, timed: boolean): void {
    const item = new MessageItem(uuid, body, own, timed, this.#actions);
    this.#items.set(uuid, item);
    this.#put(item, index);
  }

  move(uuid: string, index: number): void {
    const item = this.#items.get(uuid);
    if (item) this.#put(item, index);
  }

  /** Another tab of this browser turns out to have published the message. */
  claim(uuid: string): void {
    const item = this.#items.get(uuid);
    if (!item || item.own) return;
    this.#scroller.changing();
    const own = new MessageItem(uuid, item.body, true, item.timed, this.#actions);
    this.#items.set(uuid, own);
    item.element.replaceWith(own.element);
  }

  /** How far the message has come has changed. */
  update(uuid: string): void {
    this.#scroller.changing();
    this.#items.get(uuid)?.update();
  }

  remove(uuid: string): void {
    const { element } = this.#items.get(uuid) ?? {};
    if (!element) return;
    this.#scroller.changing();
    const focused = element.contains(document.activeElement);
    const next = (element.nextElementSibling ?? element.previousElementSibling)?.querySelector<HTMLElement>(
      "button:not([hidden])",
    );
    this.#items.delete(uuid);
    element.remove();
    // Who recalls with the keyboard goes on from there, not from the top of the page.
    if (focused) (next ?? this.#place.parentElement)?.focus();
  }

  addRaw(data: RawData): void {
    this.#scroller.changing();
    const element = rawItem(data);
    this.#place.append(element);
    this.#raw.push(element);
    if (this.#raw.length > MAX_RAW) this.#raw.shift()?.remove();
  }

  retranslate(): void {
    this.#scroller.changing();
    for (const item of this.#items.values()) item.update();
    for (const element of this.#raw) translate(element);
  }

  #put({ element }: MessageItem, index: number): void {
    this.#scroller.changing();
    const next = this.#items.get(this.#order.uuids[index + 1] ?? "");
    this.#place.insertBefore(element, next?.element ?? null);
  }
}
