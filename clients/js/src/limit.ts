import type { AbortSignalLike } from "./platform.js";

/** Settings of one call. */
export interface CallOptions {
  /** Milliseconds after which the call fails, tries included. */
  timeout?: number | undefined;
  signal?: AbortSignalLike | undefined;
}

/**
 * Calls `end` once, when one of the signals fires (now, if one has fired) or the time, if any, is up. Returns what
 * calls both off.
 */
export function limit(end: () => void, ms?: number, ...signals: (AbortSignalLike | undefined)[]): () => void {
  if (signals.some((signal) => signal?.aborted)) {
    end();
    return () => {};
  }
  const stop = () => {
    clearTimeout(timer);
    for (const signal of signals) signal?.removeEventListener("abort", done);
  };
  const done = () => {
    stop();
    end();
  };
  const timer = ms ? setTimeout(done, ms) : undefined;
  for (const signal of signals) signal?.addEventListener("abort", done);
  return stop;
}
