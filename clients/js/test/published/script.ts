/** The file for script tags, as a module: what it defines globally. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInThisContext } from "node:vm";
import type * as Api from "gotapi-ws";

const file = fileURLToPath(new URL("../../packages/gotapi-ws/dist/gotapi-ws.min.js", import.meta.url));
runInThisContext(readFileSync(file, "utf8"), { filename: file });

export const {
  bearerProtocols,
  Client,
  Direction,
  GotapiError,
  groupPath,
  MessageBody,
  MessageBus,
  MessageCommand,
  MessageType,
  MsgCodec,
  md5,
  PullArgument,
  QueryArgument,
  SendStatus,
  SocketBus,
  SortedHash,
  UuidGenerator,
  WsConst,
  WsEvent,
  WsEventType,
} = (globalThis as unknown as { GotapiWs: typeof Api }).GotapiWs;
