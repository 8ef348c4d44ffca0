/* A small chat. Open index.html?server=http://127.0.0.1:4998&room=/room/9527/ */
const parameters = new URLSearchParams(location.search);
const server = parameters.get("server") ?? "http://127.0.0.1:4998";
const room = parameters.get("room") ?? "/room/9527/";

const element = (id) => document.getElementById(id);
const list = element("messages");

const client = new GotapiWs.Client(server);
const bus = client.join(room, { historySize: 20 });

element("room").textContent = room;
bus.on("state", ({ state, retryIn }) => {
  element("state").textContent = state === "waiting" ? `offline, next try in ${Math.ceil(retryIn / 1000)} s` : state;
});

/** Marks of an own message: on its way, stored, received by somebody, refused. */
function mark({ own, sent, status, failure }) {
  if (!own) return "";
  if (failure) return `not sent: ${failure.message}`;
  if (!sent) return "…";
  return status === GotapiWs.SendStatus.PeerSideReceived ? "✓✓" : "✓";
}

/** The place of a message in the list is its place on the screen: events keep both the same. */
const itemAt = (index) => list.children[index] ?? null;

function show({ uuid, body, index, source }) {
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 20;
  const item = document.createElement("li");
  const text = document.createElement("span");
  const status = document.createElement("small");
  // textContent: what others write never becomes HTML.
  text.textContent = typeof body.data === "string" ? body.data : JSON.stringify(body.data);
  status.textContent = mark(body);
  item.append(text, status);
  item.className = body.own ? "own" : "";
  if (body.own) item.append(recallButton(uuid));
  list.insertBefore(item, itemAt(index));
  if (atEnd || body.own) item.scrollIntoView({ block: "nearest" });
  if (source === "live") confirmSoon(uuid);
}

/** Receipts that are due, by the message's uuid. */
const receipts = new Map();

/**
 * A receipt goes to all members, and one is enough for the sender's mark: each member waits for a moment, and leaves it
 * to the first.
 */
function confirmSoon(uuid) {
  const confirm = () => {
    receipts.delete(uuid);
    bus.confirm(uuid);
  };
  receipts.set(uuid, setTimeout(confirm, Math.random() * 1000));
}

function leaveToOthers(uuid) {
  clearTimeout(receipts.get(uuid));
  receipts.delete(uuid);
}

bus.socketBus.on("packet", ({ packet: { type, command, uuid } }) => {
  if (type === 1 && (command === 3 || command === 4)) leaveToOthers(uuid);
});
bus.on("removed", ({ uuid }) => leaveToOthers(uuid));

function recallButton(uuid) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Recall";
  button.addEventListener("click", () => bus.cancelMessage(uuid).catch(report));
  return button;
}

function refresh({ uuid }) {
  const index = bus.sortedHash.indexOf(uuid);
  const status = itemAt(index)?.querySelector("small");
  if (status) status.textContent = mark(bus.sortedHash.get(uuid));
}

function report(error) {
  if (error.uuid) refresh(error);
  console.warn(error.reason, error.code, error.message);
}

bus.on("message", show);
bus.on("pending", show);
bus.on("ack", refresh);
bus.on("receipt", refresh);
bus.on("error", report);
bus.on("removed", ({ index }) => itemAt(index).remove());
bus.on("moved", ({ index, from }) => {
  const item = itemAt(from);
  item.remove();
  list.insertBefore(item, itemAt(index));
});

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  bus.pushMessage(element("text").value);
  element("text").value = "";
});
element("older").addEventListener("click", () => {
  bus.pullOlder(20).then((added) => { element("older").disabled = added === 0; }, report);
});
