import { type MessageBus, MessageCommand } from "gotapi-ws";

/** Receipts are spread over this time, milliseconds. */
const SPREAD = 1_000;
/** Receipts that wait. Beyond, somebody else will have to confirm. */
const MAX_WAITING = 100;

/**
 * Confirms others' messages. One receipt is enough for the sender's "delivered", and a receipt goes to all members:
 * in a large room it is therefore sent only if nobody else's comes first.
 */
export class Receipts {
  readonly #bus: MessageBus;
  readonly #waiting = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(bus: MessageBus) {
    this.#bus = bus;
    bus.socketBus.on("packet", ({ packet: { type, command, uuid } }) => {
      const receipt = command === MessageCommand.CUSTOMER_ACK || command === MessageCommand.WAITRESS_ACK;
      if (type === 1 && receipt && uuid) this.callOff(uuid);
    });
    bus.on("removed", ({ uuid }) => this.callOff(uuid));
  }

  /** A message of somebody else is here. */
  received(uuid: string): void {
    if (this.#waiting.size >= MAX_WAITING) return;
    const confirm = () => {
      this.#waiting.delete(uuid);
      this.#bus.confirm(uuid);
    };
    this.#waiting.set(uuid, setTimeout(confirm, Math.random() * SPREAD));
  }

  /** The message needs no receipt from here. */
  callOff(uuid: string): void {
    clearTimeout(this.#waiting.get(uuid));
    this.#waiting.delete(uuid);
  }
}
