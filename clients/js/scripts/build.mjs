/** Builds dist/ of both packages: ESM, CommonJS, declarations, and two minified files for script tags. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
const types = join(root, "dist/types");
const TARGET = "es2022";

/** Names of members that no program sees; the minified files have shorter ones. */
const INTERNAL =
  /^(acked|answered|append|begin|begun|connected|disconnected|emit|failed|gap|give|inserted|isFinal|isOpen|largest|list|merge|moved|newest|outcome|passed|place|post|promise|pump|reached|read|recalled|received|reconnected|refusal|refused|repeats|replay|restart|resumeAfter|retryAfter|settle|settled|startsAfter|timeline|tooLarge|tried|unwatch|vanished)$/;

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

/** The browser package in one file, as an ES module and as a script that defines GotapiWs. */
async function minified(dist) {
  const { outputFiles } = await build({
    entryPoints: [join(root, "src/index.ts")],
    bundle: true,
    minify: true,
    target: TARGET,
    format: "esm",
    mangleProps: INTERNAL,
    write: false,
  });
  const options = {
    ecma: 2020,
    module: true,
    compress: {
      passes: 3,
      keep_fargs: false,
      unsafe_arrows: true,
      unsafe_methods: true,
      pure_getters: true,
      inline: 0,
    },
  };
  const { code } = await minify(outputFiles[0].text, options);
  const [, body, names] = /^(.*)export ?\{(.*?)\};?$/s.exec(code);
  const members = names.split(",").map((name) => name.split(" as ").reverse().join(":"));
  writeFileSync(join(dist, "gotapi-ws.min.mjs"), `${code}\n`);
  writeFileSync(join(dist, "gotapi-ws.min.js"), `{${body}globalThis.GotapiWs={${members}}}\n`);
}

rmSync(join(root, "dist"), { recursive: true, force: true });
run("typescript", "bin/tsc", "-p", "tsconfig.types.json");
const browser = await pack("gotapi-ws", "index.ts");
await minified(browser);
await pack("node-gotapi-ws", "node.ts", { platform: "node", external: ["ws"] });
