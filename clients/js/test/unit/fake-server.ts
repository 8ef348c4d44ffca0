import { MessageCommand, MessageType, MsgCodec, type Packet, type RawData } from "gotapi-ws";

// The server has them also in tests of clients that have not.
const { TextEncoder, URL, URLSearchParams } = globalThis;

/** One event of a group's stream. */
interface Event {
  kind: "message" | "recall";
  uuid: string;
  text: string;
  origin?: FakeSocket;
}

class Group {
  readonly events: Event[] = [];
  readonly members = new Set<FakeSocket>();
  readonly known = new Set<string>();
  readonly recalled = new Set<string>();
  /** Messages before this event are no longer retained. */
  trimmed = 0;

  retained(): Event[] {
    return this.events
      .slice(this.trimmed)
      .filter(({ kind, uuid }) => kind === "message" && !this.recalled.has(uuid));
  }
}

const data = (text: string) => ({ data: text });

/**
 * A model of the server on fake timers, as small as the protocol allows: one store, any number of sockets, every
 * frame on its way for `latency` milliseconds, in order.
 */
export class FakeServer {
  latency = 5;
  /** Nobody answers. */
  down = false;
  /** Upgrades are refused with this code, 401 or 403. */
  denial = 0;
  /** The code with which messages are refused; 0 stores them. */
  refusal = 0;
  /** Milliseconds that refusals ask to wait. */
  retryAfter: number | undefined;
  /** Messages are stored, but nobody is told so. */
  mute = false;
  /** History requests over HTTP fail. */
  historyDown = false;
  maxFrame = 32_768;
  readonly sockets: FakeSocket[] = [];
  readonly upgrades: string[] = [];
  readonly received: Packet[] = [];
  /** What was asked for with GET: why an upgrade was refused. */
  readonly knocks: { url: string; mode: string | undefined; token: string | undefined }[] = [];
  readonly requests: { url: string; body: string; headers: Record<string, string> }[] = [];
  private readonly groups = new Map<string, Group>();

  readonly WebSocket: new (
    url: string,
    protocols?: string[],
  ) => FakeSocket;

  constructor() {
    const server = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols?: string[]) {
        super(server, url, protocols ?? []);
      }
    };
  }

  group(name: string): Group {
    const group = this.groups.get(name) ?? new Group();
    this.groups.set(name, group);
    return group;
  }

  /** Uuids of the history, oldest first. */
  history(name: string): string[] {
    return this.group(name)
      .retained()
      .map(({ uuid }) => uuid);
  }

  /** Stores and broadcasts, as an HTTP publish does. */
  say(name: string, uuid: string, content: unknown = uuid): void {
    const body = { data: content, hash: "", sent: false };
    this.store(name, MsgCodec.encode({ type: MessageType.Data, uuid, body }), uuid);
  }

  store(name: string, text: string, uuid: string, origin?: FakeSocket): void {
    const group = this.group(name);
    if (uuid && group.known.has(uuid)) {
      if (this.mute) return;
      origin?.tell({ type: 1, command: MessageCommand.SERVER_ACK, uuid });
      if (group.recalled.has(uuid)) origin?.tell({ type: 1, command: MessageCommand.RECALL, uuid });
      return;
    }
    if (uuid) group.known.add(uuid);
    group.events.push({ kind: "message", uuid, text, ...(origin && { origin }) });
    if (this.mute) return;
    for (const member of group.members) {
      if (member === origin) member.tell({ type: 1, command: MessageCommand.SERVER_ACK, uuid });
      else member.transmit(text);
    }
  }

  recall(name: string, uuid: string): boolean {
    const group = this.group(name);
    if (!group.known.has(uuid)) return false;
    if (group.recalled.has(uuid)) return true;
    group.recalled.add(uuid);
    group.events.push({ kind: "recall", uuid, text: "" });
    for (const member of group.members) member.tell({ type: 1, command: MessageCommand.RECALL, uuid });
    return true;
  }

  /** Ends all connections. */
  cut(code = 1006): void {
    for (const socket of this.sockets) socket.cut(code);
  }

  /** A new member: what it missed first. */
  join(socket: FakeSocket): void {
    const { pathname, searchParams } = new URL(socket.url);
    const name = decodeURIComponent(pathname);
    const group = this.group(name);
    const after = searchParams.get("after");
    socket.groupName = name;
    if (after) this.resume(group, socket, after);
    group.members.add(socket);
  }

  private resume(group: Group, socket: FakeSocket, after: string): void {
    const place = group.events.findIndex(({ kind, uuid }) => kind === "message" && uuid === after);
    const exact = place + 1 >= group.trimmed && place >= 0;
    if (!exact) socket.refuse("", 410);
    const start = exact ? place + 1 : group.trimmed;
    const older = new Set(group.events.slice(0, start).map(({ uuid }) => uuid));
    for (const { kind, uuid, text } of group.events.slice(start)) {
      if (kind === "message" && !group.recalled.has(uuid)) socket.transmit(text);
      if (kind === "recall" && exact && older.has(uuid)) socket.tell({ type: 1, command: 6, uuid });
    }
  }

  /** A frame from a client. */
  accept(socket: FakeSocket, frame: RawData): void {
    if (typeof frame === "string" && new TextEncoder().encode(frame).length > this.maxFrame) {
      socket.cut(1009);
      return;
    }
    const packet = typeof frame === "string" ? MsgCodec.decode(frame) : undefined;
    if (packet) this.process(socket, packet, frame);
    else this.broadcast(socket, frame);
  }

  private process(socket: FakeSocket, packet: Packet, frame: RawData): void {
    const group = this.group(socket.groupName);
    this.received.push(packet);
    const uuid = packet.uuid ?? "";
    if (packet.type === MessageType.Data) {
      if (this.refusal) socket.refuse(uuid, this.refusal);
      else this.store(socket.groupName, frame as string, uuid, socket);
    } else if (packet.command === MessageCommand.PINGPONG) socket.tell(packet);
    else if (packet.command === MessageCommand.QUERY) this.answer(socket, packet, group);
    else this.broadcast(socket, frame);
  }

  private broadcast(socket: FakeSocket, frame: RawData): void {
    for (const member of this.group(socket.groupName).members) if (member !== socket) member.transmit(frame);
  }

  private answer(socket: FakeSocket, packet: Packet, group: Group): void {
    const { offset = 0, size = 50 } = packet.pullargs ?? {};
    const { uuid: after, before } = packet.queryArgs ?? {};
    let texts = group.retained();
    if (after) texts = texts.slice(texts.findIndex(({ uuid }) => uuid === after) + 1).slice(0, size);
    else if (before)
      texts = texts
        .slice(
          0,
          texts.findIndex(({ uuid }) => uuid === before),
        )
        .reverse();
    else texts = texts.reverse().slice(offset);
    const page = { position: offset, data: texts.slice(0, size).map(({ text }) => text) };
    socket.tell({ ...packet, body: data(page as never) });
  }

  /** For the clients' `fetch` option. */
  readonly fetch = async (
    url: string,
    init: {
      method?: string;
      mode?: string;
      body?: unknown;
      headers?: Record<string, string>;
      signal?: AbortSignal;
    },
  ) => {
    const { method, mode, body, headers = {} } = init;
    if (method === "POST") this.requests.push({ url, body: String(body), headers });
    else this.knocks.push({ url, mode, token: headers.Authorization });
    await this.wire(init.signal);
    const answer =
      method === "POST" ? this.serve(new URL(url).pathname, String(body)) : this.serveNoUpgrade();
    await this.wire(init.signal);
    const { status, json, retryAfter } = answer;
    return {
      ok: status === 200,
      status,
      headers: { get: (name: string) => (name === "Retry-After" ? (retryAfter ?? null) : null) },
      text: async () => JSON.stringify(json),
    };
  };

  private wire(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = setTimeout(resolve, this.latency);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    });
  }

  private serveNoUpgrade(): { status: number; json: unknown; retryAfter?: string } {
    if (this.down) throw new TypeError("fetch failed");
    const code = this.denial || 426;
    return { status: code, json: { code, msg: this.denial ? "not you" : "upgrade required" } };
  }

  private serve(path: string, body: string): { status: number; json: unknown; retryAfter?: string } {
    const form = new URLSearchParams(body);
    const name = form.get("groupName") ?? "";
    if (this.down) throw new TypeError("fetch failed");
    if (path === "/__/cancel/") {
      const done = this.recall(name, form.get("uuid") ?? "");
      return done
        ? { status: 200, json: { code: 200 } }
        : { status: 404, json: { code: 404, msg: "no such message" } };
    }
    if (path === "/__/history/") {
      if (this.historyDown) return { status: 503, json: { code: 503, msg: "no store" }, retryAfter: "1" };
      return { status: 200, json: this.page(name, form) };
    }
    if (this.refusal) return { status: this.refusal, json: { code: this.refusal, msg: "refused" } };
    const packet = MsgCodec.decode(body);
    const uuid = packet?.uuid ?? "";
    const duplicate = this.group(decodeURIComponent(path)).known.has(uuid);
    if (packet?.type === MessageType.Data) this.store(decodeURIComponent(path), body, uuid);
    else for (const member of this.group(decodeURIComponent(path)).members) member.transmit(body);
    return { status: 200, json: { code: 200, group: path, stored: packet !== undefined, uuid, duplicate } };
  }

  /** By position, recalled messages keep theirs; before a message, the page is filled up beyond them. */
  private page(name: string, form: URLSearchParams) {
    const position = Number(form.get("position") ?? 0);
    const before = form.get("before");
    const size = Number(form.get("size") ?? 1000);
    const { events, trimmed, recalled } = this.group(name);
    const list = events.slice(trimmed).filter(({ kind }) => kind === "message");
    list.reverse();
    let at = position < 0 ? Math.max(0, list.length + position) : position;
    if (before) at = list.findIndex(({ uuid }) => uuid === before) + 1 || list.length;
    const end = at + size;
    const data: string[] = [];
    while (at < list.length && (before ? data.length < size : at < end)) {
      const { uuid, text } = list[at++] as Event;
      if (!recalled.has(uuid)) data.push(text);
    }
    const next = position < 0 ? at - list.length : at;
    return { code: 200, position, msg: "", data, ...(at < list.length && { next }) };
  }
}

/** The client's end of a connection. */
export class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "";
  groupName = "";
  /** Frames vanish in both directions, as on a network that has gone away without a word. */
  dead = false;
  private readonly up = { until: 0 };
  private readonly down = { until: 0 };
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;

  constructor(
    private readonly server: FakeServer,
    readonly url: string,
    readonly protocols: string[],
  ) {
    server.sockets.push(this);
    server.upgrades.push(url);
    this.later(() => {
      if (server.down || server.denial) return this.cut(1006);
      this.later(() => this.call(this.onopen, {}, 1), this.down);
      server.join(this);
    });
  }

  send(frame: RawData): void {
    this.later(() => this.server.accept(this, frame), this.up);
  }

  close(code = 1000): void {
    if (this.readyState < 2) this.readyState = 2;
    this.later(() => this.cut(code));
  }

  /** A frame to the client. */
  transmit(frame: RawData): void {
    this.later(() => this.readyState <= 1 && this.call(this.onmessage, { data: frame }), this.down);
  }

  tell(packet: Packet): void {
    this.transmit(MsgCodec.encode(packet));
  }

  refuse(uuid: string, code: number): void {
    const named = uuid ? { uuid } : {};
    this.tell({
      type: 1,
      command: MessageCommand.ERROR,
      ...named,
      body: { data: { code, msg: `no: ${code}`, retryAfter: this.server.retryAfter } },
    });
  }

  cut(code: number): void {
    this.server.group(this.groupName).members.delete(this);
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dead = true;
    this.call(this.onclose, { code });
  }

  private call(handler: unknown, event: unknown, state = this.readyState): void {
    this.readyState = state;
    (handler as ((event: unknown) => void) | undefined)?.(event);
  }

  /** Frames of one direction do not overtake each other. */
  private later(run: () => void, direction = { until: 0 }): void {
    direction.until = Math.max(direction.until, Date.now() + this.server.latency);
    setTimeout(() => !this.dead && run(), direction.until - Date.now());
  }
}
