/**
 * Builds src/ into edge/internal/console/assets, which the edge embeds: scripts and styles minified, the rest as it
 * is. The browser client (clients/js) goes there, too, for pages that load it from the edge. With --check it writes
 * nothing, and fails if what is there is not what it would write.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "src");
const library = join(root, "../js");
const assets = join(root, "../../edge/internal/console/assets");
const { browserslist } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** Scripts that pages load; the other modules become part of them. */
const scripts = ["home.ts", "room.ts", "docs.ts"];

async function bundle(options) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    bundle: true,
    minify: true,
    // Minified code depends on nothing else of the machine.
    charset: "utf8",
    format: "esm",
    tsconfig: join(root, "tsconfig.json"),
    legalComments: "none",
    logLevel: "warning",
    write: false,
    ...options,
  });
  return outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]);
}

/** The browser client as its package has it: for script tags, with one global, and as a module. */
async function client() {
  const { version } = JSON.parse(readFileSync(join(library, "packages/gotapi-ws/package.json"), "utf8"));
  const options = {
    entryPoints: [join(library, "src/index.ts")],
    tsconfig: join(library, "tsconfig.json"),
    target: "es2022",
    banner: { js: `/*! gotapi-ws ${version}, MIT */` },
  };
  return [
    ...(await bundle({
      ...options,
      format: "iife",
      globalName: "GotapiWs",
      outfile: join(assets, "client.js"),
    })),
    ...(await bundle({ ...options, outfile: join(assets, "client.mjs") })),
  ];
}

/** The files by name. */
async function built() {
  const pages = await bundle({
    entryPoints: [...scripts, "style.css"].map((name) => join(source, name)),
    outdir: assets,
    target: ["es2022", ...browserslist.map((browser) => browser.replace(" ", ""))],
  });
  const files = new Map([...pages, ...(await client())]);
  for (const name of readdirSync(source)) {
    if ([".html", ".svg"].includes(extname(name))) files.set(name, readFileSync(join(source, name)));
  }
  return files;
}

function write(files) {
  rmSync(assets, { recursive: true, force: true });
  mkdirSync(assets, { recursive: true });
  for (const [name, contents] of files) {
    writeFileSync(join(assets, name), contents);
    console.log(`${name} ${contents.length}`);
  }
}

/** The names of files that are missing, too many, or different. */
function stale(files) {
  const there = existsSync(assets) ? readdirSync(assets) : [];
  const names = new Set([...there, ...files.keys()]);
  return [...names].filter(
    (name) => !there.includes(name) || !files.get(name)?.equals(readFileSync(join(assets, name))),
  );
}

const files = await built();
if (process.argv.includes("--check")) {
  const names = stale(files);
  if (names.length > 0) {
    console.error(`edge/internal/console/assets is not current (${names.join(", ")}): run \`make web\``);
    process.exit(1);
  }
} else write(files);
