import { createHash } from "node:crypto";
import * as api from "gotapi-ws";
import { md5, SortedHash, UuidGenerator } from "gotapi-ws";
import { describe, expect, it, vi } from "vitest";

describe("md5", () => {
  it("gives the digests of RFC 1321", () => {
    expect(md5("")).toBe("d41d8cd98f00b204e9800998ecf8427e");
    expect(md5("message digest")).toBe("f96b697d7cb7938d525a2f31aaf161d0");
  });

  it("agrees with Node at every length around the block size, and on any text", () => {
    const expected = (text: string) => createHash("md5").update(text).digest("hex");
    for (let length = 0; length < 200; length++)
      expect(md5("a".repeat(length))).toBe(expected("a".repeat(length)));
    for (const text of ["你好，世界", "\u{1f600}", "\u0000\uffff", "x".repeat(100_000)]) {
      expect(md5(text)).toBe(expected(text));
    }
  });
});

describe("UuidGenerator", () => {
  it("makes 20 digits that do not repeat", () => {
    const uuids = Array.from({ length: 10_000 }, () => UuidGenerator.generate());
    expect(uuids.every((uuid) => /^0\d{19}$/.test(uuid))).toBe(true);
    expect(new Set(uuids).size).toBe(uuids.length);
  });

  it.each([undefined, {}])("makes such ones without a cryptographic source, too: %s", (crypto) => {
    vi.stubGlobal("crypto", crypto);
    const uuids = Array.from({ length: 10_000 }, () => UuidGenerator.generate());
    vi.unstubAllGlobals();
    expect(uuids.every((uuid) => /^0\d{19}$/.test(uuid))).toBe(true);
    expect(new Set(uuids).size).toBe(uuids.length);
  });
});

describe("SortedHash", () => {
  const body = (data: string) => new api.MessageBody(data);

  it("keeps messages in order", () => {
    const list = new SortedHash();
    expect(list.push("a", body("A"))).toBe(0);
    expect(list.push("b", body("B"))).toBe(1);
    expect(list.push("a", body("A2"))).toBe(0);
    expect(list.insert("c", body("C"), 1)).toBe(1);
    expect(list.uuids).toEqual(["a", "c", "b"]);
    expect(list.all().map(({ data }) => data)).toEqual(["A2", "C", "B"]);
    expect(list.size()).toBe(3);
    list.move("a", 2);
    expect(list.uuids).toEqual(["c", "b", "a"]);
    expect(list.remove("b")).toBe(1);
    expect(list.remove("b")).toBe(-1);
    expect(list.indexOf("a")).toBe(1);
    list.reset();
    expect(list.size()).toBe(0);
    expect(list.has("a")).toBe(false);
  });

  it("marks acks and recalls", () => {
    const list = new SortedHash();
    list.push("a", body("A"));
    expect(list.markAsServerAck("a")).toBe(0);
    expect(list.get("a")).toMatchObject({ sent: true, status: api.SendStatus.ServerReceived });
    expect(list.markAsRollback("a")).toBe(0);
    expect(list.get("a")).toMatchObject({ rollback: true });
    expect(list.markAsServerAck("b")).toBe(-1);
    expect(list.markAsRollback("b")).toBe(-1);
  });
});

describe("the exports that existing programs use", () => {
  it("have the values of the protocol", () => {
    expect(api.Direction).toEqual({ Customer: "reply", Waitress: "say" });
    expect(api.MessageType).toMatchObject({ Command: 1, Data: 2 });
    expect(api.MessageCommand).toMatchObject({
      SERVER_ACK: 1,
      QUERY: 2,
      CUSTOMER_ACK: 3,
      WAITRESS_ACK: 4,
      PINGPONG: 5,
      RECALL: 6,
      ERROR: 7,
    });
    expect(api.SendStatus).toMatchObject({ Default: 0, ServerReceived: 1, PeerSideReceived: 2 });
    expect(api.WsEventType).toMatchObject({
      ChatMessage: 1,
      ShowOption: 2,
      CloseOption: 3,
      QueueChanged: 4,
      AwaitingTooLong: 5,
      FastReplyInsertAndUpdate: 6,
      Rollback: 7,
    });
    expect(api.WsConst).toEqual({
      WSMagic: "632969cad85eefc305bd8018a2173b8c",
      WsMsgChannel: "/scs/msg/632969cad85eefc305bd8018a2173b8c/",
      WSRoomChannel: "/scs/room/632969cad85eefc305bd8018a2173b8c/",
      WSQueueChannel: "/scs/queue/632969cad85eefc305bd8018a2173b8c/",
      WSSiteChannel: "/scs/site/632969cad85eefc305bd8018a2173b8c/",
    });
    const { MessageBody, PullArgument, QueryArgument, WsEvent, MessageBus, SocketBus } = api;
    for (const type of [MessageBody, PullArgument, QueryArgument, WsEvent, MessageBus, SocketBus]) {
      expect(type).toBeTypeOf("function");
    }
  });
});
