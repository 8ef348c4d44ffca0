import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import buildPackages from "./packages.js";

const repository = fileURLToPath(new URL("../../../..", import.meta.url));

/** Where the servers are: built from this checkout. */
export const bin = fileURLToPath(new URL("../../.tmp/bin/", import.meta.url));

/** Builds what the system tests need: the packages, if `npm test` has not, and the servers. */
export default function setup(): void {
  buildPackages();
  mkdirSync(bin, { recursive: true });
  const programs = ["./standalone/cmd/gotapi-ws", "./edge/cmd/edge", "./historysvc/cmd/historysvc"];
  execFileSync("go", ["build", "-o", bin, ...programs], { cwd: repository, stdio: "inherit" });
}
