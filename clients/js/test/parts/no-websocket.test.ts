import { expect, it, vi } from "vitest";
import { SocketBus } from "../../src/index.js";
import { fakeTime, pass } from "../unit/rig.js";

fakeTime();

it("says that the runtime has no WebSocket, and does not look for one again and again", async () => {
  vi.stubGlobal("WebSocket", undefined);
  const bus = new SocketBus("ws://fake/room/1/");
  const errors: string[] = [];
  bus.on("error", ({ reason, message }) => errors.push(`${reason}: ${message}`));
  bus.connect();
  await pass(100_000);
  vi.unstubAllGlobals();
  expect(errors).toEqual(["invalid: no WebSocket"]);
  expect(bus.state).toBe("closed");
});
