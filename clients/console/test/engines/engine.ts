/** What the tests need of a browser, so that one test runs in each. */

/** A page. */
export interface Tab {
  goto(url: string): Promise<void>;
  /** Goes back to the page before. */
  back(): Promise<void>;
  /** Runs a function in the page, which sees nothing of this file. */
  run<Args extends unknown[], Value>(
    run: (...args: Args) => Value | Promise<Value>,
    ...args: Args
  ): Promise<Value>;
  /** Runs a script in the page. */
  load(script: string): Promise<void>;
  /** As wide as a phone, or as narrow as the browser's window gets. */
  narrow(): Promise<void>;
  /** Puts another tab before this one. Returns what puts it to the front again. */
  hide(): Promise<() => Promise<void>>;
}

/** Somebody with a browser profile of their own. */
export interface Person {
  open(url: string): Promise<Tab>;
  leave(): Promise<void>;
}

export interface Engine {
  // For each, http://chat.test is this machine, and no secure context.
  /** Whether pages with a WebSocket are kept for the way back. */
  keepsPages: boolean;
  /** A person who likes it dark; in Firefox, one who does not uses a private window. Elsewhere all do. */
  person(dark?: boolean): Promise<Person>;
  stop(): Promise<void>;
}
