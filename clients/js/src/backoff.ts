import { time } from "./limit.js";

/** Bounds of the pauses between tries, in milliseconds. */
export interface BackoffOptions {
  min?: number;
  max?: number;
}

/**
 * The pause before try number `attempt` (from 0): evenly random between min and a ceiling that doubles from
 * 2 * min to max. The jitter is full, so that clients that failed together do not come back together.
 */
export function backoff(attempt: number, options: BackoffOptions = {}): number {
  const min = time(options.min, 500);
  const max = time(options.max, 20_000);
  const ceiling = Math.min(max, min * 2 ** (attempt + 1));
  return min + Math.random() * (ceiling - min);
}
