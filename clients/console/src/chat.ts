import { Direction, type GotapiError, MessageBus, type MessageEvent, SocketBus } from "gotapi-ws";
import { askForToken } from "./access.js";
import { announce } from "./announcer.js";
import { startComposer } from "./composer.js";
import { showConnection, socketUrl } from "./connection.js";
import { byId } from "./dom.js";
import { inLanguage, say } from "./language.js";
import { MessageList } from "./list.js";
import { RoomMemory } from "./memory.js";
import { reasonOf, textOf } from "./message.js";
import { Older } from "./older.js";
import { Receipts } from "./receipts.js";
import { Scroller } from "./scroller.js";
import { server } from "./server.js";
import { token } from "./token.js";
import type { Word } from "./words.js";

/** Messages of history read at the start. */
const HISTORY = 50;
/** Of those, the newest ones are confirmed: their senders may have been alone until now. */
const CONFIRMED = 5;
/** Messages kept on the page while new ones come. */
const MAX_MESSAGES = 2_000;

/** How often, at most, the page looks whether it needs older messages: once a frame. */
function oncePerFrame(run: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      run();
    });
  };
}

/** The chat of one group. */
class Chat {
  readonly #group: string;
  readonly #memory: RoomMemory;
  readonly #bus: MessageBus;
  readonly #receipts: Receipts;
  readonly #scroller: Scroller;
  readonly #list: MessageList;
  readonly #older: Older;
  readonly #newest = byId("newest");
  readonly #lookForOlder = oncePerFrame(() => this.#older.look());
  #unread = 0;
  /** Others' messages of the page of history that is coming in. */
  #fromHistory: string[] = [];
  #noticeEnds: ReturnType<typeof setTimeout> | undefined;

  constructor(group: string) {
    this.#group = group;
    this.#memory = new RoomMemory(group);
    const history = `${server}/__/history`;
    const socket = new SocketBus(socketUrl(), { token });
    const options = { maxMessages: MAX_MESSAGES, token };
    this.#bus = new MessageBus(Direction.Customer, socket, history, group, HISTORY, 0, options);
    showConnection(socket);
    this.#receipts = new Receipts(this.#bus);
    const items = byId("messages");
    this.#scroller = new Scroller(byId("scroller"), items, () => this.#moved());
    this.#list = new MessageList(items, this.#bus.sortedHash, this.#scroller, {
      recall: (uuid) => void this.#recall(uuid),
      retry: (uuid) => this.#retry(uuid),
    });
    this.#older = new Older(this.#bus, this.#scroller);
  }

  start(): void {
    byId("chat").hidden = false;
    this.#listen();
    for (const { uuid, data } of this.#memory.unsent()) this.#publish(data, uuid);
    this.#memory.onOtherTab((uuid) => {
      this.#list.claim(uuid);
      this.#receipts.callOff(uuid);
    });
    startComposer(this.#memory, (text) => {
      this.#publish(text);
      this.#scroller.toEnd();
    });
    this.#newest.addEventListener("click", () => {
      this.#scroller.toEnd();
      byId("text").focus();
    });
    document.addEventListener("visibilitychange", () => this.#seen());
    inLanguage(() => this.#list.retranslate());
  }

  #listen(): void {
    const bus = this.#bus;
    bus.on("message", (event) => this.#arrived(event));
    bus.on("pending", ({ uuid, body, index }) => {
      this.#memory.published({ uuid, data: body.data });
      this.#list.add(uuid, body, index, true, true);
    });
    bus.on("ack", ({ uuid }) => {
      this.#memory.settled(uuid);
      this.#list.update(uuid);
      this.#lookForOlder();
    });
    bus.on("receipt", ({ uuid }) => this.#list.update(uuid));
    bus.on("moved", ({ uuid, index }) => this.#list.move(uuid, index));
    bus.on("removed", ({ uuid, reason }) => this.#removed(uuid, reason));
    bus.on("gap", () => {
      this.#notice("gap");
      this.#older.reset();
    });
    bus.on("error", (error) => this.#failed(error));
    bus.onRaw((data) => {
      this.#list.addRaw(data);
      if (typeof data === "string") announce(data);
    });
  }

  #publish(data: string, uuid?: string): void {
    // 0: until the server has it or refuses it. The mark tells what becomes of it.
    this.#bus.publish(data, { timeout: 0, ...(uuid && { uuid }) }).catch(() => {});
  }

  #arrived({ uuid, body, index, source }: MessageEvent): void {
    const own = this.#memory.isOwn(uuid);
    const live = source === "live";
    this.#list.add(uuid, body, index, own, live);
    this.#lookForOlder();
    if (own) {
      this.#memory.settled(uuid);
      return;
    }
    if (live) this.#announceNew(body.data);
    if (uuid.startsWith("~")) return; // it has no uuid, so nobody can confirm it
    if (live) this.#receipts.received(uuid);
    else this.#confirmLater(uuid);
  }

  /** A page of history comes in at once, oldest first: which ones are the newest shows at its end. */
  #confirmLater(uuid: string): void {
    if (this.#fromHistory.push(uuid) > 1) return;
    queueMicrotask(() => {
      const { uuids } = this.#bus.sortedHash;
      const newest = new Set(uuids.slice(-CONFIRMED));
      for (const one of this.#fromHistory.splice(0)) if (newest.has(one)) this.#receipts.received(one);
    });
  }

  #announceNew(data: unknown): void {
    announce(textOf(data));
    if (document.hidden || !this.#scroller.atEnd()) {
      this.#unread++;
      this.#newest.hidden = this.#scroller.atEnd();
      this.#showUnread();
    }
  }

  #removed(uuid: string, reason: "recalled" | "trimmed"): void {
    const own = this.#list.get(uuid)?.own;
    this.#memory.settled(uuid);
    this.#list.remove(uuid);
    if (reason === "trimmed") this.#older.reset();
    else announce(say(own ? "recalledOwn" : "recalled"));
  }

  async #recall(uuid: string): Promise<void> {
    try {
      await this.#bus.cancelMessage(uuid);
    } catch (thrown) {
      this.#notice("recallFailed", { why: reasonOf(thrown as GotapiError) });
    }
  }

  #retry(uuid: string): void {
    const body = this.#bus.sortedHash.get(uuid);
    if (!body?.failure) return;
    this.#publish(body.data, uuid);
    this.#list.update(uuid);
  }

  /** A message that will not be sent says so itself; a lost connection is shown at the top. */
  #failed(error: GotapiError): void {
    const { uuid, reason, code } = error;
    const denied = reason === "refused" && (code === 401 || code === 403);
    if (uuid !== undefined && this.#list.get(uuid)) {
      this.#memory.settled(uuid);
      this.#list.update(uuid);
      announce(say("failed", { why: reasonOf(error) }));
    } else if (reason === "listener") {
      console.error(error.cause);
      this.#notice("pageProblem", { why: error.message });
    } else if (reason === "invalid" || (reason === "refused" && !denied))
      this.#notice("problem", { why: reasonOf(error) });
    if (denied) askForToken(error);
  }

  #notice(word: Word, values: Record<string, string> = {}): void {
    const place = byId("notice");
    place.textContent = say(word, values);
    place.hidden = false;
    clearTimeout(this.#noticeEnds);
    this.#noticeEnds = setTimeout(() => {
      place.hidden = true;
    }, 10_000);
  }

  #moved(): void {
    this.#seen();
    this.#lookForOlder();
  }

  #seen(): void {
    if (document.hidden || !this.#scroller.atEnd()) return;
    this.#unread = 0;
    this.#newest.hidden = true;
    this.#showUnread();
  }

  #showUnread(): void {
    document.title = this.#unread > 0 ? `(${this.#unread}) ${this.#group}` : this.#group;
  }
}

/** Opens the chat of a group. */
export function startChat(group: string): void {
  new Chat(group).start();
}
