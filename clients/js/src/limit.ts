import type { AbortSignalLike } from "./platform.js";

/** Settings of one call. */
export interface CallOptions {
  /** Milliseconds after which the call fails, tries included. */
  timeout?: number | undefined;
  signal?: AbortSignalLike | undefined;
}

/**
 * Calls `end` when one of the signals fires (now, if one has fired) or the time, if any, is up. Returns what calls
 * both off.
 */
export function limit(end: () => void, ms?: number, ...signals: (AbortSignalLike | undefined)[]): () => void {
  if (signals.some((signal) => signal?.aborted)) {
    end();
    return () => {};
  }
  const timer = ms ? setTimeout(end, ms) : undefined;
  for (const signal of signals) signal?.addEventListener("abort", end);
  return () => {
    clearTimeout(timer);
    for (const signal of signals) signal?.removeEventListener("abort", end);
  };
}
