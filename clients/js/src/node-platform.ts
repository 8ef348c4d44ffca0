import { webcrypto } from "node:crypto";
import WS from "ws";
import { fallback } from "./platform.js";

fallback.WebSocket = WS as unknown as typeof fallback.WebSocket & {};
fallback.crypto = webcrypto as unknown as typeof fallback.crypto & {};
