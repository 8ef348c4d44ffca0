import { SendStatus } from "./enums.js";
import type { MessageBody } from "./packet.js";

/** Messages in order, each under its uuid. */
export class SortedHash {
  /** The uuids in order. */
  uuids: string[] = [];
  #bodies = new Map<string, MessageBody>();

  size(): number {
    return this.uuids.length;
  }

  /** Forgets all messages. */
  reset(): void {
    this.uuids = [];
    this.#bodies.clear();
  }

  has(uuid: string): boolean {
    return this.#bodies.has(uuid);
  }

  get(uuid: string): MessageBody | undefined {
    return this.#bodies.get(uuid);
  }

  /** Whether the server has the message, as far as is known. @internal */
  isStored(uuid: string): boolean {
    return this.get(uuid)?.sent === true;
  }

  /** The place of a message, or -1. Searches from the newest on; the oldest is found at once. */
  indexOf(uuid: string): number {
    if (this.uuids[0] === uuid) return 0;
    return this.#bodies.has(uuid) ? this.uuids.lastIndexOf(uuid) : -1;
  }

  /** The messages in order. */
  all(): MessageBody[] {
    return this.uuids.map((uuid) => this.#bodies.get(uuid) as MessageBody);
  }

  /** Adds a message at the end; one that is there already keeps its place. Returns its place. */
  push(uuid: string, body: MessageBody): number {
    return this.insert(uuid, body, this.uuids.length);
  }

  /** Adds a message at a place; one that is there already keeps its place. Returns its place. */
  insert(uuid: string, body: MessageBody, index: number): number {
    const known = this.#bodies.has(uuid);
    this.#bodies.set(uuid, body);
    if (known) return this.indexOf(uuid);
    this.uuids.splice(index, 0, uuid);
    return index;
  }

  /** Puts a message at a place, counted without itself. */
  move(uuid: string, index: number): void {
    const from = this.indexOf(uuid);
    if (from < 0 || from === index) return;
    this.uuids.splice(from, 1);
    this.uuids.splice(index, 0, uuid);
  }

  /** Returns the place where it was, or -1. */
  remove(uuid: string): number {
    const index = this.indexOf(uuid);
    if (index >= 0) this.uuids.splice(index, 1);
    this.#bodies.delete(uuid);
    return index;
  }

  /** Marks a message as stored by the server. Returns its place, or -1. */
  markAsServerAck(uuid: string): number {
    const status = Math.max(this.get(uuid)?.status ?? 0, SendStatus.ServerReceived);
    return this.#mark(uuid, { sent: true, status, failure: undefined });
  }

  /** Marks a message as recalled, without removing it. Returns its place, or -1. */
  markAsRollback(uuid: string): number {
    return this.#mark(uuid, { rollback: true });
  }

  #mark(uuid: string, marks: Partial<MessageBody>): number {
    Object.assign(this.get(uuid) ?? {}, marks);
    return this.indexOf(uuid);
  }
}
