import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The servers of the clients' own tests, built once.
    globalSetup: ["../js/test/system/build.ts"],
    testTimeout: 30_000,
    hookTimeout: 300_000,
    // One browser at a time: the machine is small.
    fileParallelism: false,
  },
});
