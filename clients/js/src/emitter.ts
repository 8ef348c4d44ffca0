import { asError, type GotapiError } from "./errors.js";

type Listener<T> = (event: T) => void;

/**
 * Typed events. A listener that throws disturbs neither the other listeners nor the caller: what it threw goes
 * to the "error" listeners, or to the console when there are none.
 */
export class Emitter<Events extends { error: GotapiError }> {
  // biome-ignore lint/suspicious/noExplicitAny: one map holds the listeners of all events
  readonly #listeners = new Map<keyof Events, Set<Listener<any>>>();

  /** Calls `listener` on every such event. Returns what ends that. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set.add(listener));
    return () => this.off(name, listener);
  }

  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): void {
    this.#listeners.get(name)?.delete(listener);
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      this.guard(() => listener(event), name === "error");
    }
  }

  /** Runs code of the program. @internal */
  guard(run: () => unknown, reporting = false): void {
    try {
      const result = run();
      if (result instanceof Promise) result.catch((thrown) => this.#report(thrown, reporting));
    } catch (thrown) {
      this.#report(thrown, reporting);
    }
  }

  #report(thrown: unknown, reporting: boolean): void {
    if (!reporting && this.#listeners.get("error")?.size) this.emit("error", asError(thrown, "listener"));
    else console.error(thrown);
  }
}
