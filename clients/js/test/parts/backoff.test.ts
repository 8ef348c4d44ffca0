import { describe, expect, it } from "vitest";
import { backoff } from "../../src/backoff.js";

describe("backoff", () => {
  it("is between min and a growing ceiling", () => {
    const ceilings = [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000];
    for (const [attempt, ceiling] of ceilings.entries()) {
      const pauses = Array.from({ length: 1_000 }, () => backoff(attempt));
      expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(ceiling);
      expect(Math.max(...pauses)).toBeGreaterThan(ceiling * 0.9);
    }
    expect(backoff(10_000)).toBeLessThanOrEqual(20_000);
  });

  it.each([Number.NaN, -1, 0, Infinity, 2 ** 40])(
    "is a pause that a timer can wait, whatever the bounds: %s",
    (bound) => {
      for (const options of [{ min: bound }, { max: bound }, { min: bound, max: bound }]) {
        for (const attempt of [0, 5, 100]) {
          const pause = backoff(attempt, options);
          expect(pause).toBeGreaterThanOrEqual(500);
          expect(pause).toBeLessThan(2 ** 31);
        }
      }
    },
  );
});
