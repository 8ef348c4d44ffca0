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
  /^(acked|answered|append|begin|begun|connected|disconnected|emit|failed|gap|give|inserted|isFinal|isOpen|isStored|json|largest|list|merge|moved|newest|outcome|passed|place|post|promise|pump|reached|read|recalled|received|reconnected|refusal|refused|reject|repeats|replay|resolve|restart|resumeAfter|retryAfter|settle|settled|startsAfter|timeline|timer|tooLarge|tried|unwatch|vanished)$/;

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

/**
 * An enum as esbuild writes it, a function with each name twice, in short: {A:1,B:2}, to which `numbers` adds the names
 * of the numbers.
 */
function shortEnums(code) {
  const member = /(\w+)=("\w+"|\d+)/g;
  const object = (body) => `{${[...body.matchAll(member)].map(([, name, value]) => `${name}:${value}`)}}`;
  return code
    .replace(/\((\w+)=>\(((?:\1\.\w+="\w+",)+)\1\)\)\(\w+\|\|\{\}\)/g, (_, _e, body) => object(body))
    .replace(
      /\((\w+)=>\(((?:\1\[\1\.\w+=\d+\]="\w+",)+)\1\)\)\(\w+\|\|\{\}\)/g,
      (_, _e, body) => `numbers(${object(body)})`,
    );
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
      passes: 6,
      keep_fargs: false,
      unsafe_arrows: true,
      unsafe_methods: true,
      pure_getters: true,
      inline: 1,
    },
  };
  const numbers = "const numbers=e=>(Object.keys(e).map(name=>e[e[name]]=name),e);";
  const { code } = await minify(numbers + shortEnums(outputFiles[0].text), options);
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
