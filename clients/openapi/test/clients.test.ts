/** Clients that are generated from the document publish, read and recall. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import createFetchClient from "openapi-fetch";
import { newStandaloneIn } from "../../js/test/system/servers.js";
import { createClient } from "../.tmp/heyapi/client/index.js";
import { getHistory, publish, recall } from "../.tmp/heyapi/sdk.gen.js";
import * as orval from "../.tmp/orval.js";
import type { paths } from "../.tmp/typescript.js";
import { setBaseUrl } from "./orval.js";

/** Where `make build` puts the programs, seen from here and from the bundle in .tmp. */
const bin = fileURLToPath(new URL("../../../bin/", import.meta.url));

const packet = { type: 2, uuid: "u1", body: { data: "hello 房" } };

let server: Awaited<ReturnType<typeof newStandaloneIn>>;
let baseUrl: string;
before(async () => {
  server = await (await newStandaloneIn(bin)).start();
  baseUrl = `http://127.0.0.1:${server.port}`;
});
after(() => server.stop());

test("openapi-typescript with openapi-fetch", async () => {
  const groupName = "/room/openapi-typescript/";
  const client = createFetchClient<paths>({ baseUrl });

  const { data: published, error } = await client.POST("/__/publish", { params: { query: { groupName } }, body: packet });
  assert.equal(error, undefined);
  assert.deepEqual(published, { code: 200, group: groupName, stored: true, uuid: "u1", duplicate: false });

  const { data: page } = await client.GET("/__/history", { params: { query: { groupName } } });
  assert.deepEqual(page?.data, [JSON.stringify(packet)]);

  const { data: done } = await client.POST("/__/cancel", { params: { query: { groupName, uuid: "u1" } } });
  assert.equal(done?.code, 200);
  const { data: empty } = await client.GET("/__/history", { params: { query: { groupName } } });
  assert.deepEqual(empty?.data, []);

  const { error: refusal } = await client.POST("/__/cancel", { params: { query: { groupName, uuid: "u2" } } });
  assert.equal(refusal?.code, 404);
});

test("hey-api", async () => {
  const groupName = "/room/hey-api/";
  const client = createClient({ baseUrl });

  const { data: published, error } = await publish({ client, query: { groupName }, body: packet });
  assert.equal(error, undefined);
  assert.deepEqual(published, { code: 200, group: groupName, stored: true, uuid: "u1", duplicate: false });

  const { data: page } = await getHistory({ client, query: { groupName } });
  assert.deepEqual(page?.data, [JSON.stringify(packet)]);

  const { data: done } = await recall({ client, query: { groupName, uuid: "u1" } });
  assert.equal(done?.code, 200);
  const { data: empty } = await getHistory({ client, query: { groupName } });
  assert.deepEqual(empty?.data, []);

  const { error: refusal } = await recall({ client, query: { groupName, uuid: "u2" } });
  assert.equal(refusal?.code, 404);
});

test("orval", async () => {
  const groupName = "/room/orval/";
  setBaseUrl(baseUrl);

  const published = await orval.publish(packet, { groupName });
  assert.equal(published.status, 200);
  assert.deepEqual(published.data, { code: 200, group: groupName, stored: true, uuid: "u1", duplicate: false });

  const page = await orval.getHistory({ groupName });
  assert.ok(page.status === 200);
  assert.deepEqual(page.data.data, [JSON.stringify(packet)]);

  const done = await orval.recall({ groupName, uuid: "u1" });
  assert.equal(done.data.code, 200);
  const empty = await orval.getHistory({ groupName });
  assert.ok(empty.status === 200);
  assert.deepEqual(empty.data.data, []);

  const refusal = await orval.recall({ groupName, uuid: "u2" });
  assert.equal(refusal.data.code, 404);
});
