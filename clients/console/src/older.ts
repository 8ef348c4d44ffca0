import type { MessageBus } from "gotapi-ws";
import { byId } from "./dom.js";
import type { Scroller } from "./scroller.js";

/** Messages read at a time. */
const PAGE = 50;

/** How long the history of the start may take before an empty list means that it was empty, milliseconds. */
const START = 1_000;

/** Reads older messages when the reader comes near the top of the list, or presses the button there. */
export class Older {
  readonly #bus: MessageBus;
  readonly #scroller: Scroller;
  readonly #button = byId<HTMLButtonElement>("older");
  readonly #beginning = byId("beginning");
  #reading = false;
  /** After a failure only the button tries again. */
  #failed = false;
  #atBeginning = false;

  constructor(bus: MessageBus, scroller: Scroller) {
    this.#bus = bus;
    this.#scroller = scroller;
    this.#button.addEventListener("click", () => void this.#read());
    // All that was read at the start may have been recalled, with more before it.
    bus.on("state", ({ state }) => {
      if (state === "open") setTimeout(() => !this.#hasAny() && void this.#read(), START);
    });
  }

  /** The reader has moved, or the list has changed. */
  look(): void {
    if (!this.#hasAny()) return;
    if (!this.#atBeginning) this.#button.hidden = false;
    if (!this.#failed && this.#scroller.nearTop() && this.#bus.state === "open") void this.#read();
  }

  /** What was the beginning may not be it any more. */
  reset(): void {
    this.#atBeginning = this.#failed = false;
    this.#beginning.hidden = true;
  }

  #hasAny(): boolean {
    const { sortedHash } = this.#bus;
    return sortedHash.uuids.some((uuid) => sortedHash.get(uuid)?.sent); // usually the first one
  }

  async #read(): Promise<void> {
    if (this.#reading || this.#atBeginning) return;
    this.#reading = true;
    try {
      const grown = await this.#bus.pullOlder(PAGE);
      this.#failed = false;
      if (grown === 0 && this.#hasAny()) this.#reachBeginning();
    } catch {
      this.#failed = true;
    } finally {
      this.#reading = false;
    }
    // When what came does not fill the screen, nobody can scroll for more.
    if (!this.#failed) requestAnimationFrame(() => requestAnimationFrame(() => this.look()));
  }

  #reachBeginning(): void {
    this.#scroller.changing();
    this.#atBeginning = true;
    this.#button.hidden = true;
    this.#beginning.hidden = false;
  }
}
