/** Bounds of the pauses between tries, in milliseconds. */
export interface BackoffOptions {
  min?: number;
  max?: number;
}

/**
 * The pause before try number `attempt` (from 0): evenly random between min and a ceiling that doubles from
 * 2 * min to max. The jitter is full, so that clients that failed together do not come back together.
 */
export function backoff(attempt: number, { min = 500, max = 20_000 }: BackoffOptions = {}): number {
  const ceiling = Math.min(max, min * 2 ** Math.min(attempt + 1, 30));
  return min + Math.random() * (ceiling - min);
}
