import { describe, expect, it, vi } from "vitest";
import { MessageBody, SortedHash } from "../../src/index.js";
import { type Change, newTimeline } from "../../src/timeline.js";

function rig() {
  const list = new SortedHash();
  const changes: Change[] = [];
  const timeline = newTimeline(list, changes);
  const log = () =>
    changes.map((change) => {
      const { name, uuid, index } = change;
      if (name === "moved") return `${uuid}:${change.from}>${index}`;
      return { message: `+${uuid}@${index}`, removed: `-${uuid}`, ack: `!${uuid}` }[name];
    });
  const entries = (uuids: string) =>
    [...uuids].map((uuid) => ({ uuid, body: new MessageBody(uuid, "", true) }));
  const stream = (uuids: string) => {
    for (const entry of entries(uuids)) timeline.append(entry);
  };
  const pend = (uuids: string) => {
    for (const uuid of uuids) list.push(uuid, new MessageBody(uuid));
  };
  return { list, log, timeline, entries, stream, pend, text: () => list.uuids.join("") };
}

describe("the timeline", () => {
  it("keeps pending messages after what the server has", () => {
    const { stream, pend, timeline, text, log } = rig();
    stream("a");
    pend("xy");
    stream("bc");
    expect(text()).toBe("abcxy");
    timeline.settle("x");
    stream("d");
    timeline.settle("y");
    expect(text()).toBe("abcxdy");
    expect(log()).toEqual(["+a@0", "+b@1", "+c@2", "!x", "+d@4", "!y"]);
  });

  it("follows the stream when a page was shorter than what the stream still brings", () => {
    const { stream, timeline, entries, text } = rig();
    timeline.merge(entries("fgh"), timeline.place(true));
    stream("cdefghi");
    expect(text()).toBe("cdefghi");
  });

  it("takes a page that the stream has half brought already", () => {
    const { stream, timeline, entries, text } = rig();
    const place = timeline.place(true);
    stream("de");
    timeline.merge(entries("abcdef"), place);
    expect(text()).toBe("abcdef");
    stream("fg");
    expect(text()).toBe("abcdefg");
  });

  it("leaves to the stream what is newer than it", () => {
    const { stream, timeline, entries, text } = rig();
    stream("ab");
    timeline.merge(entries("abcd"), timeline.place(true));
    expect(text()).toBe("ab");
    timeline.merge(entries("xyz"), timeline.place(true));
    expect(text()).toBe("ab");
    stream("cd");
    expect(text()).toBe("abcd");
  });

  it("puts an older page before the message that was asked for", () => {
    const { stream, timeline, entries, text } = rig();
    stream("def");
    timeline.merge(entries("abc"), timeline.place(false, "d"));
    expect(text()).toBe("abcdef");
  });

  it("searches the list a few times a page, not for each message", () => {
    const { list, stream, timeline, entries, text } = rig();
    stream("xyz");
    const indexOf = vi.spyOn(list, "indexOf");
    timeline.merge(entries("abcdefghijklmnopqrstuvw"), timeline.place(false, "x"));
    expect(text()).toBe("abcdefghijklmnopqrstuvwxyz");
    expect(indexOf.mock.calls.length).toBeLessThan(10);
  });

  it("removes what stands between known messages without being in the page", () => {
    const { stream, timeline, entries, text, log } = rig();
    stream("abcde");
    timeline.merge(entries("ace"), timeline.place(true));
    expect(text()).toBe("ace");
    expect(log()).toContain("-b");
    stream("f");
    expect(text()).toBe("acef");
  });

  it("settles pending messages that a page or the stream brings, in their place", () => {
    const { stream, pend, timeline, entries, text } = rig();
    stream("a");
    pend("xyz");
    stream("by");
    expect(text()).toBe("abyxz");
    timeline.restart();
    timeline.merge(entries("abyczd"), timeline.place(true));
    expect(text()).toBe("abyczdx");
    stream("e");
    expect(text()).toBe("abyczdex");
  });

  it("goes on after an own message that a page has brought before its ack", () => {
    const { stream, pend, timeline, entries, text } = rig();
    pend("x");
    timeline.merge(entries("abx"), timeline.place(true));
    stream("ab");
    expect(timeline.settle("x")).toBe(true);
    expect(timeline.settle("a")).toBe(false);
    stream("c");
    expect(text()).toBe("abxc");
  });

  it("goes on where recalled messages were", () => {
    const { stream, pend, timeline, text } = rig();
    stream("abc");
    pend("x");
    for (const uuid of "cba") timeline.remove(uuid);
    stream("d");
    expect(text()).toBe("dx");
  });

  it("weaves a replayed history in, wherever it overlaps", () => {
    const older = rig();
    older.stream("def");
    older.timeline.replay(older.entries("abcdefg"));
    expect(older.text()).toBe("abcdefg");
    const newer = rig();
    newer.stream("abc");
    newer.timeline.replay(newer.entries("xyz"));
    newer.stream("!");
    expect(newer.text()).toBe("abcxyz!");
    const other = rig();
    other.stream("abcd");
    other.timeline.replay(other.entries("adcb"));
    expect(other.text()).toBe("adcb");
  });
});
