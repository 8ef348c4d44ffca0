/** How far from the end, in pixels, still counts as the end. */
const NEAR = 48;

/** What the reader sees. */
interface Place {
  /** The newest message. */
  end: boolean;
  /** The first item in view, and how far down in the window it stands, pixels. */
  item: Element | undefined;
  top: number;
}

/** Keeps what is read in its place while messages come and go; at the end, follows new ones. */
export class Scroller {
  readonly #box: HTMLElement;
  readonly #list: HTMLElement;
  /** What to restore before the next frame is painted; undefined when nothing has changed. */
  #place: Place | undefined;
  /** Where the reader was last seen, so that a change of the box's height keeps the end in view. */
  #wasAtEnd = true;

  constructor(box: HTMLElement, list: HTMLElement, moved: () => void) {
    this.#box = box;
    this.#list = list;
    box.addEventListener("scroll", () => {
      this.#wasAtEnd = this.#isAtEnd();
      moved();
    });
    new ResizeObserver(() => {
      if (this.#wasAtEnd) this.toEnd();
    }).observe(box);
  }

  /** Whether the newest message is in view. */
  atEnd(): boolean {
    return this.#place ? this.#place.end : this.#isAtEnd();
  }

  /** Whether the top of the box is in view, or nearly. */
  nearTop(): boolean {
    return this.#box.scrollTop < this.#box.clientHeight / 2;
  }

  toEnd(): void {
    this.#place = undefined;
    this.#wasAtEnd = true;
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  /** To be called before the list changes. */
  changing(): void {
    if (this.#place) return;
    const item = this.#firstInView();
    const place = { end: this.#isAtEnd(), item, top: item?.getBoundingClientRect().top ?? 0 };
    this.#place = place;
    requestAnimationFrame(() => {
      if (this.#place === place) this.#restore(place);
    });
  }

  #restore({ end, item, top }: Place): void {
    this.#place = undefined;
    if (end) this.toEnd();
    else if (item?.isConnected) this.#box.scrollTop += item.getBoundingClientRect().top - top;
  }

  #isAtEnd(): boolean {
    const { scrollTop, clientHeight, scrollHeight } = this.#box;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  /** Items stand below each other, so halving finds it. */
  #firstInView(): Element | undefined {
    const { children } = this.#list;
    const { top } = this.#box.getBoundingClientRect();
    let from = 0;
    let to = children.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (children[middle]!.getBoundingClientRect().bottom <= top) from = middle + 1;
      else to = middle;
    }
    return children[from];
  }
}
