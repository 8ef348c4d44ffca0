// Publishes to a room, pages through its history, or watches it.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const proto = fileURLToPath(new URL("../../../proto/gotapi/history/v1/history.proto", import.meta.url));
// Numbers of 64 bits as strings.
const { gotapi } = grpc.loadPackageDefinition(loader.loadSync(proto, { longs: String, oneofs: true }));

const service = "gotapi.history.v1.HistoryService";
const retryPolicy = {
  maxAttempts: 4,
  initialBackoff: "0.5s",
  maxBackoff: "5s",
  backoffMultiplier: 2,
  retryableStatusCodes: ["UNAVAILABLE"],
};
const options = {
  // Safe, because every publish below has a uuid.
  "grpc.service_config": JSON.stringify({
    methodConfig: [{ name: ["Publish", "GetHistory"].map((method) => ({ service, method })), retryPolicy }],
  }),
  // A server that is gone without a word is noticed. More often than every 5 s is refused.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // A server that comes back is found soon.
  "grpc.max_reconnect_backoff_ms": 5_000,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: "string", default: "127.0.0.1:5998" },
    room: { type: "string", default: "/room/1/" },
    token: { type: "string" }, // a JSON Web Token or an API key
  },
});
const [action, text = "hello"] = positionals;
const groupName = values.room;
const metadata = new grpc.Metadata();
if (values.token) metadata.set("authorization", `Bearer ${values.token}`);
const api = new gotapi.history.v1.HistoryService(values.server, grpc.credentials.createInsecure(), options);
const soon = () => ({ deadline: Date.now() + 15_000 });

async function publish() {
  const packet = Buffer.from(JSON.stringify({ type: 2, uuid: randomUUID(), body: { data: text } }));
  const answer = await promisify(api.publish).call(api, { groupName, packet }, metadata, soon());
  console.log("stored", answer.uuid);
}

/** Prints all messages, newest first. A page ends before 4 MiB, gRPC's default limit. */
async function page() {
  for (let before = ""; ; ) {
    const { data = [], next } = await promisify(api.getHistory).call(api, { groupName, before }, metadata, soon());
    for (const message of data) console.log(message);
    if (next === undefined || data.length === 0) return;
    // Not by position: others may publish meanwhile. Each message here has a uuid.
    before = JSON.parse(data.at(-1)).uuid;
  }
}

// How a watch may end and be opened again.
const passing = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "CANCELLED"].map(
  (name) => grpc.status[name],
);

/** Prints what happens, also what has happened while the server was away. */
async function watch() {
  for (let after; ; await sleep(500)) {
    const stream = api.watch({ groups: [{ groupName, after }] }, metadata);
    try {
      for await (const answer of stream) {
        show(answer);
        after = answer.position;
      }
    } catch (error) {
      if (!passing.includes(error.code)) throw error;
      console.error("away:", error.details);
    }
  }
}

function show(answer) {
  switch (answer.event) {
    case "message":
    case "packet":
      console.log(answer.event, answer[answer.event].packet.toString());
      break;
    case "recalled":
      console.log("recalled", answer.recalled.uuid);
      break;
    case "started":
      console.log("watching");
      break;
    case "gap":
      if (Number(answer.gap.droppedPackets ?? 0) > 0) console.log("missed", answer.gap.droppedPackets, "packets");
      else console.log("gap: read the history again:", answer.gap.reason);
    // "moved", and what later versions add, is a new position only.
  }
}

const actions = { publish, page, watch };
if (!Object.hasOwn(actions, action)) {
  console.error("usage: node room.mjs [--server HOST:PORT] [--room NAME] [--token TOKEN] publish [TEXT] | page | watch");
  process.exit(2);
}
try {
  await actions[action]();
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "failed"}: ${error.details ?? error}`);
  process.exitCode = 1;
}
api.close();
