const magic = "632969cad85eefc305bd8018a2173b8c";

const channel = (kind: string) => `/scs/${kind}/${magic}/`;

/** Well-known groups of existing applications. Append an id to a channel to get a group name. */
export const WsConst = {
  WSMagic: magic,
  WsMsgChannel: channel("msg"),
  WSRoomChannel: channel("room"),
  WSQueueChannel: channel("queue"),
  WSSiteChannel: channel("site"),
};
