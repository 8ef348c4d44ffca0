/**
 * A bot that answers "!time" and "!echo ...": node bot.mjs [server] [room]
 *
 * It remembers the last message that it has seen, so that it answers what was asked while it was away, once.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Client, md5 } from "node-gotapi-ws";

const [server = "http://127.0.0.1:4998", room = "/room/9527/"] = process.argv.slice(2);
const memory = `last-${md5(server + room)}.txt`;
const after = existsSync(memory) ? readFileSync(memory, "utf8") : undefined;

const bus = new Client(server).join(room, { historySize: 0, after });

const commands = {
  "!time": () => new Date().toISOString(),
  "!echo": (words) => words.join(" "),
};

bus.on("state", ({ state, retryIn }) => console.log(state, retryIn ? `(again in ${Math.round(retryIn)} ms)` : ""));
bus.on("error", (error) => console.warn(error.reason, error.code, error.message));
bus.on("gap", ({ message }) => console.warn("messages were lost:", message));
bus.on("message", async ({ uuid, body }) => {
  const [name, ...words] = String(body.data).split(" ");
  if (Object.hasOwn(commands, name)) {
    // The same uuid for the same question: asked again after a crash, it is answered once.
    await bus.publish(commands[name](words), { uuid: `answer-${uuid}`, timeout: 0 });
  }
  bus.confirm(uuid);
  writeFileSync(memory, uuid);
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => bus.close());
