import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Tests of the API, run on a file that has it. */
const unit = (name: string, file: string, more = {}) => ({
  resolve: { alias: { "gotapi-ws": path(file) } },
  // Time is the tests' own: only a busy machine takes long.
  test: { name, include: ["test/unit/**/*.test.ts"], testTimeout: 30_000, ...more },
});

/** The same, on a file that programs get. */
const published = (file: string, loaded = `packages/${file}`) =>
  unit(file, loaded, {
    globalSetup: ["test/system/packages.ts"],
    env: { SEEDS: "10" },
    server: { deps: { external: [/\/dist\//] } },
  });

export default defineConfig({
  test: {
    projects: [
      unit("parts", "src/index.ts", { include: ["test/parts/**/*.test.ts"] }),
      unit("unit", "src/index.ts"),
      published("gotapi-ws/dist/esm/index.js"),
      published("gotapi-ws/dist/cjs/index.js"),
      published("gotapi-ws/dist/gotapi-ws.min.mjs"),
      published("gotapi-ws/dist/gotapi-ws.min.js", "test/published/script.ts"),
      published("node-gotapi-ws/dist/esm/index.js"),
      published("node-gotapi-ws/dist/cjs/index.js"),
      {
        test: {
          name: "system",
          include: ["test/{package,integration,browser}/**/*.test.ts"],
          globalSetup: ["test/system/build.ts"],
          testTimeout: 60_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
