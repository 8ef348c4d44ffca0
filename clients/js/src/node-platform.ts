import { webcrypto } from "node:crypto";
import WS from "ws";
import { fallback } from "./platform.js";

/** How long a peer may take to say goodbye, milliseconds. */
const GOODBYE_MS = 1_000;

/** Does not wait half a minute for the goodbye of a peer that is gone, nor keep the process alive meanwhile. */
class ImpatientWebSocket extends WS {
  override close(code?: number): void {
    super.close(code);
    setTimeout(() => this.terminate(), GOODBYE_MS).unref();
  }
}

fallback.WebSocket = ImpatientWebSocket as unknown as NonNullable<typeof fallback.WebSocket>;
fallback.crypto = webcrypto as unknown as NonNullable<typeof fallback.crypto>;
