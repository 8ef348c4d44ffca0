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
      try {
        const result: unknown = listener(event);
        if (result instanceof Promise) result.catch((thrown) => this.#report(thrown, name));
      } catch (thrown) {
        this.#report(thrown, name);
      }
    }
  }

  #report(thrown: unknown, name: keyof Events): void {
    if (name !== "error" && this.#listeners.get("error")?.size) {
      this.emit("error", asError(thrown, "listener") as Events["error"]);
    } else console.error(thrown);
  }
}
