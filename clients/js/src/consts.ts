const magic = "632969cad85eefc305bd8018a2173b8c";

/** Well-known groups of existing applications. Append an id to a channel to get a group name. */
export const WsConst = {
  WSMagic: magic,
  WsMsgChannel: `/scs/msg/${magic}/`,
  WSRoomChannel: `/scs/room/${magic}/`,
  WSQueueChannel: `/scs/queue/${magic}/`,
  WSSiteChannel: `/scs/site/${magic}/`,
} as const;
