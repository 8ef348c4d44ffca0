/**
 * Builds src/ into edge/internal/console/assets, which the edge embeds: scripts and styles minified, the rest as it
 * is. With --check it writes nothing, and fails if what is there is not what it would write.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "src");
const assets = join(root, "../../edge/internal/console/assets");
/** Scripts that pages load; the other modules become part of them. */
const scripts = ["home.ts", "room.ts", "docs.ts"];

/** The files by name. */
async function built() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [...scripts, "style.css"].map((name) => join(source, name)),
    outdir: assets,
    bundle: true,
    minify: true,
    // Minified code depends on nothing else of the machine.
    charset: "utf8",
    format: "esm",
    target: ["es2022", "chrome105", "firefox105", "safari16"],
    tsconfig: join(root, "tsconfig.json"),
    legalComments: "none",
    logLevel: "warning",
    write: false,
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]));
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
