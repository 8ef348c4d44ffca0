/** gotapi-ws: chat in groups over WebSocket and HTTP. README.md has examples. */
export type { BackoffOptions } from "./backoff.js";
export { Client, type ClientOptions, groupPath, type JoinOptions } from "./client.js";
export { MsgCodec } from "./codec.js";
export { WsConst } from "./consts.js";
export { Direction, MessageCommand, MessageType, SendStatus, WsEventType } from "./enums.js";
export { type FailureReason, GotapiError } from "./errors.js";
export type { MessageBusEvents, MessageEvent } from "./events.js";
export type { HistoryMessage, HistoryPage, HistoryRange, QueryRange } from "./history.js";
export type { HttpOptions } from "./http.js";
export type { CallOptions } from "./limit.js";
export { md5 } from "./md5.js";
export { MessageBus, type MessageBusOptions, type PublishOptions } from "./message-bus.js";
export type { OutboxOptions } from "./outbox.js";
export {
  MessageBody,
  type Packet,
  PullArgument,
  QueryArgument,
  type RawData,
  WsEvent,
} from "./packet.js";
export type {
  AbortSignalLike,
  FetchLike,
  TokenProvider,
  WebSocketConstructor,
  WebSocketLike,
} from "./platform.js";
export {
  bearerProtocols,
  type ConnectionState,
  SocketBus,
  type SocketBusEvents,
  type SocketBusOptions,
  type StateChange,
} from "./socket-bus.js";
export { SortedHash } from "./sorted-hash.js";
export { UuidGenerator } from "./uuid.js";
