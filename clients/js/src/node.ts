/** The entry of node-gotapi-ws: the same as index.ts, on a runtime that may lack WebSocket and crypto. */
import "./node-platform.js";

export * from "./index.js";
