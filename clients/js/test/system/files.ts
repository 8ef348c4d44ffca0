import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../../..", import.meta.url));
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
};

/** Serves the repository's files, on another origin than the chat server. */
export async function newFileServer(): Promise<{ server: Server; origin: string }> {
  const server = createServer(({ url = "/" }, response) => {
    const path = join(repository, new URL(url, "http://x").pathname);
    const found = existsSync(path);
    response.writeHead(found ? 200 : 404, { "Content-Type": types[extname(path)] ?? "text/plain" });
    response.end(found ? readFileSync(path) : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, origin: `http://127.0.0.1:${(server.address() as { port: number }).port}` };
}
