/** The oldest browsers that package.json names can read what is built: the pages, and the client's files. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const assets = path("../../edge/internal/console/assets");
const client = path("../js/packages/gotapi-ws");

/** CSS that pages do without where it is not known. */
const DISPENSABLE = ["css-clip-path", "css-masks", "css-overflow-anchor", "viewport-unit-variants"];

const browsersOf = (folder: string): string[] =>
  JSON.parse(readFileSync(`${folder}/package.json`, "utf8")).browserslist;

/** What the tool says of the files; it fails when one of them needs more than the browsers have. */
const check = (tool: string, ...args: string[]) =>
  execFileSync(path(`node_modules/.bin/${tool}`), args, { cwd: path("."), encoding: "utf8", stdio: "pipe" });

const checkScripts = (browsers: string[], ...files: string[]) =>
  check("es-check", "checkBrowser", `--browserslistQuery=${browsers}`, "--checkFeatures", ...files);

const scripts = readdirSync(assets).flatMap((name) => (name.endsWith(".js") ? `${assets}/${name}` : []));

test("scripts of the pages", () => {
  checkScripts(browsersOf(path(".")), ...scripts, "--module");
});

test("styles of the pages", () => {
  const browsers = browsersOf(path(".")).join(", ");
  const args = ["--browsers", browsers, "--ignore", DISPENSABLE.join(","), `${assets}/style.css`];
  expect(check("doiuse", ...args)).toBe("");
});

test.each([
  ["gotapi-ws.min.mjs", "--module"],
  ["gotapi-ws.min.js", ""],
])("the client, %s", (file, module) => {
  checkScripts(browsersOf(client), `${client}/dist/${file}`, ...(module ? [module] : []));
});

test("a file that needs a newer browser is noticed", () => {
  expect(() => checkScripts(["chrome 80", "firefox 80", "safari 14"], ...scripts, "--module")).toThrow(
    /ES version matching errors/,
  );
});
