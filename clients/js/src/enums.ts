/** The numbers and words of the protocol. Programs rely on the values. */

/** Which side of a conversation a client is on. It decides which command confirms a message. */
export enum Direction {
  Customer = "reply",
  Waitress = "say",
}

/** What a high-level packet is. */
export enum MessageType {
  Command = 1,
  Data = 2,
}

/** What a packet of type Command asks or tells. */
export enum MessageCommand {
  /** Server to sender: the message `uuid` is stored. */
  SERVER_ACK = 1,
  /** Client asks for history; the server answers with the same command. */
  QUERY = 2,
  /** A customer has received the message `uuid`. */
  CUSTOMER_ACK = 3,
  /** A waitress has received the message `uuid`. */
  WAITRESS_ACK = 4,
  /** Sent every 3 s; the server answers with the same uuid. */
  PINGPONG = 5,
  /** Server to members: the message `uuid` was recalled. */
  RECALL = 6,
  /** Server to one client: an error, about `uuid` if there is one. */
  ERROR = 7,
}

/** How far an own message has come. */
export enum SendStatus {
  Default = 0,
  /** The server has stored it. */
  ServerReceived = 1,
  /** Another member has confirmed it. */
  PeerSideReceived = 2,
}

/** What an application event (WsEvent) is about. */
export enum WsEventType {
  ChatMessage = 1,
  ShowOption = 2,
  CloseOption = 3,
  QueueChanged = 4,
  AwaitingTooLong = 5,
  FastReplyInsertAndUpdate = 6,
  Rollback = 7,
}
