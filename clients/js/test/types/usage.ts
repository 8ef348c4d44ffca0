/** Compiled, never run: what the types allow and forbid. The package tests compile it against the packed packages. */
import {
  Client,
  Direction,
  GotapiError,
  MessageBody,
  MessageBus,
  MessageCommand,
  type MessageEvent,
  MessageType,
  MsgCodec,
  type Packet,
  PullArgument,
  QueryArgument,
  SendStatus,
  SocketBus,
  type SortedHash,
  UuidGenerator,
  WsConst,
  WsEvent,
  WsEventType,
} from "../../src/index.js";

const socketBus = new SocketBus("ws://127.0.0.1:4998/room/1/", { token: async () => "t", WebSocket });
const bus = new MessageBus(
  Direction.Customer,
  socketBus,
  "http://127.0.0.1:4998/__/history/",
  "/room/1/",
  100,
  0,
);

// Callbacks as existing programs write them: data needs no cast.
bus.setNewMessageCallback((body, uuid) => console.log(body.data.length, uuid.toUpperCase()));
bus.setServerAckCallback((uuid: string, index: number) => console.log(uuid, index));
bus.setRemoveCallback((uuid: string, index: number) => console.log(uuid, index));
const uuid: string = bus.pushMessage("hello");
const bodies: MessageBody[] = bus.all();
const list: SortedHash = bus.sortedHash;
const places: number[] = [list.size(), list.push(uuid, bodies[0] ?? new MessageBody("x")), list.remove(uuid)];
places.push(list.markAsServerAck(uuid), list.markAsRollback(uuid), list.uuids.length);
list.reset();

// Typed events.
const stop: () => void = bus.on("message", (event: MessageEvent) =>
  console.log(event.body.data, event.index),
);
bus.on("state", ({ state, retryIn }) => console.log(state === "waiting" ? retryIn?.toFixed() : state));
bus.on("gap", ({ after, message }) => console.log(after?.length, message));
bus.on("error", (error) => console.log(error.code, error.reason === "timeout", error instanceof GotapiError));
bus.on("removed", ({ reason }) => console.log(reason === "recalled"));
// @ts-expect-error: there is no such event
bus.on("mesage", () => {});
// @ts-expect-error: acks carry no body
bus.on("ack", ({ body }) => body);
// @ts-expect-error: a state that does not exist
bus.on("state", ({ state }) => state === "opened");
stop();

// Signals and results.
const { signal } = new AbortController();
const published: Promise<{ uuid: string }> = bus.publish({ any: "JSON" }, { timeout: 1_000, signal, uuid });
bus
  .query({ size: 10, after: uuid })
  .then(({ messages }) => messages.map(({ uuid, body, text }) => [uuid, body.data, text]));
bus.pullHistory({ size: 10, before: uuid }, { signal }).then((added: number) => added);
bus.pullOlder(50).then((added) => added.toFixed());
const done: Promise<void> = bus.cancelMessage(uuid);
bus.confirm(uuid);
const off = socketBus.onRaw((data) => (typeof data === "string" ? data.length : data.byteLength));
off();
const taken: boolean = socketBus.send({ type: MessageType.Command, command: MessageCommand.PINGPONG, uuid });
socketBus.sendRaw("text");
socketBus.sendRaw(new Uint8Array(2));
// @ts-expect-error: not a packet
socketBus.send("text");

// HTTP.
const client = new Client("http://127.0.0.1:4998", { token: () => undefined, timeout: 5_000, fetch });
client.publish("/room/1/", "x").then(({ uuid, duplicate }) => [uuid.length, duplicate === true]);
client.history("/room/1/", { position: -50, size: 50 }, { signal }).then(({ next }) => next?.toFixed());
const cancelled: Promise<void> = client.cancel("/room/1/", uuid);
// @ts-expect-error: HTTP has no `after`
client.history("/room/1/", { after: uuid });
const joined: MessageBus = client.join("/room/1/", {
  direction: Direction.Waitress,
  historySize: 0,
  after: uuid,
  signal,
});

// The rest of the old names.
const packet: Packet | undefined = MsgCodec.decode(
  MsgCodec.encode({ type: MessageType.Data, uuid, body: null }),
);
const event = new WsEvent(WsEventType.Rollback, { uuid });
const channel: string = WsConst.WSRoomChannel + UuidGenerator.generate();
const status: SendStatus = SendStatus.PeerSideReceived;

export { cancelled, channel, done, event, joined, packet, places, published, status, taken };
export const pull = [new PullArgument(0, 50), new QueryArgument(uuid), new QueryArgument(undefined, uuid)];
