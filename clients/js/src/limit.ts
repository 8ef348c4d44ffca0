import { over } from "./errors.js";
import type { AbortSignalLike } from "./platform.js";

/** Settings of one call. */
export interface CallOptions {
  /** Milliseconds after which the call fails, tries included. Infinity: never. */
  timeout?: number | undefined;
  signal?: AbortSignalLike | undefined;
}

/** The longest time that timers can wait, milliseconds: beyond it runtimes fire them at once. */
const MAX_MS = 2 ** 31 - 1;

/** A time from outside that a timer can wait: what is too long becomes MAX_MS, what is no time `otherwise`. */
export const time = (value: number | undefined, otherwise = 0): number =>
  Math.min(value! > 0 ? value! : otherwise, MAX_MS);

/**
 * Calls `end` once, when one of the signals fires (now, if one has fired) or the time, if any, is up. Returns what
 * calls both off.
 */
export function limit(end: () => void, ms?: number, ...signals: (AbortSignalLike | undefined)[]): () => void {
  const stop = () => {
    clearTimeout(timer);
    for (const signal of signals) signal?.removeEventListener("abort", done);
  };
  const done = () => {
    stop();
    end();
  };
  const timer = ms && ms <= MAX_MS ? setTimeout(done, ms) : undefined;
  for (const signal of signals) signal?.addEventListener("abort", done);
  if (signals.some((signal) => signal?.aborted)) done();
  return stop;
}

/** A signal of our own: not every runtime has AbortController. */
export function newSignal() {
  const listeners = new Set<() => void>();
  const signal = {
    aborted: false,
    addEventListener: (_: "abort", listener: () => void) => void listeners.add(listener),
    removeEventListener: (_: "abort", listener: () => void) => void listeners.delete(listener),
    abort: () => {
      signal.aborted = true;
      for (const listener of listeners) listener();
    },
  };
  return signal;
}

/** Settles as the promise does, unless one of the signals fires or the time, if any, is up before. */
export function within<T>(
  promise: Promise<T>,
  ms?: number,
  ...signals: (AbortSignalLike | undefined)[]
): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => reject(over(signals.find((signal) => signal?.aborted)));
    const stop = limit(end, ms, ...signals);
    promise.then(resolve, reject).finally(stop);
  });
}
