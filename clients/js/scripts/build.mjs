/** Builds dist/ of both packages: ESM, CommonJS, declarations, and two minified files for script tags. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
const types = join(root, "dist/types");
const TARGET = "es2022";

/** Programs of the packages used here are run through this Node, not through a shell. */
function run(module, bin, ...args) {
  const folder = dirname(require.resolve(`${module}/package.json`));
  execFileSync(process.execPath, [join(folder, bin), ...args], { cwd: root, stdio: "inherit" });
}

async function bundle(entry, outfile, format, more = {}) {
  await build({
    entryPoints: [join(root, "src", entry)],
    outfile,
    format,
    bundle: true,
    target: TARGET,
    legalComments: "none",
    logLevel: "warning",
    ...more,
  });
}

/** One package: its folders tell resolvers which module system their files are in. */
async function pack(name, entry, more) {
  const dist = join(root, "packages", name, "dist");
  rmSync(dist, { recursive: true, force: true });
  for (const [folder, format, type] of [
    ["esm", "esm", "module"],
    ["cjs", "cjs", "commonjs"],
  ]) {
    const out = join(dist, folder);
    mkdirSync(out, { recursive: true });
    await bundle(entry, join(out, "index.js"), format, more);
    cpSync(types, out, { recursive: true });
    writeFileSync(join(out, "package.json"), `${JSON.stringify({ type })}\n`);
  }
  return dist;
}

/** The browser package in one file. */
async function minified(outfile, format, more = {}) {
  await bundle("index.ts", outfile, format, { minify: true, ...more });
}

rmSync(join(root, "dist"), { recursive: true, force: true });
run("typescript", "bin/tsc", "-p", "tsconfig.types.json");
const browser = await pack("gotapi-ws", "index.ts");
await minified(join(browser, "gotapi-ws.min.mjs"), "esm");
// A script tag gets one global, and nothing else of ours.
await minified(join(browser, "gotapi-ws.min.js"), "iife", { globalName: "GotapiWs" });
await pack("node-gotapi-ws", "node.ts", { platform: "node", external: ["ws"] });
