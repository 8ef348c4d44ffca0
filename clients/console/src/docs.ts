/** The reference of the HTTP interface, made from the OpenAPI document. */
import { commandBlock } from "./commands.js";
import { byId, make } from "./dom.js";
import { inLanguage, say, startLanguage, translate } from "./language.js";
import {
  complete,
  exampleBody,
  jsonSchema,
  type OpenApi,
  type Operation,
  type Schema,
  typeName,
} from "./openapi.js";
import { server } from "./server.js";
import { tryForm } from "./try.js";
import type { Word } from "./words.js";

function heading(word: Word): HTMLElement {
  const title = make("h3");
  title.dataset.text = word;
  return title;
}

/** Names with their types and what they mean. English: it comes from the contract. */
function definitions(document: OpenApi, entries: [string, Schema][]): HTMLElement {
  const list = make("dl", "fields");
  for (const [name, schema] of entries) {
    const term = make("dt");
    term.append(make("code", "", name), " ", make("span", "type", typeName(document, schema)));
    const text = make("dd", "", schema.description ?? "");
    text.lang = "en";
    list.append(term, text);
  }
  return list;
}

function curl(method: string, path: string, operation: Operation): string {
  const { parameters = [], security } = operation;
  const url = server + path;
  const words = ["curl"];
  if (method !== "GET") words.push(`-X ${method}`);
  if (security) words.push("-H 'Authorization: Bearer SECRET'");
  const examples: Record<string, string> = {
    groupName: "/room/9527/",
    uuid: "thisisuuid",
    ttl: "3600",
    size: "50",
  };
  const query = parameters
    .filter(({ name }) => examples[name])
    .map(({ name }) => `${name}=${examples[name]}`)
    .join("&");
  const body = exampleBody(operation);
  if (body) words.push(`-H 'Content-Type: application/json' -d '${body}'`);
  else if (query && method !== "GET") words.push(`-d '${query}'`);
  words.push(query && (method === "GET" || body) ? `'${url}?${query}'` : url);
  return words.join(" ");
}

function parameterList(document: OpenApi, { parameters = [], requestBody }: Operation): Node[] {
  const entries = parameters.map(({ name, description = "", schema }): [string, Schema] => [
    name,
    { ...schema, description },
  ]);
  if (requestBody) entries.push(["body", { type: "body", description: requestBody.description ?? "" }]);
  return entries.length > 0 ? [heading("parameters"), definitions(document, entries)] : [];
}

function answerList(document: OpenApi, { responses }: Operation): Node[] {
  const { properties } = jsonSchema(document, responses["200"]);
  return properties ? [heading("answer"), definitions(document, Object.entries(properties))] : [];
}

function section(document: OpenApi, method: string, path: string, operation: Operation): HTMLElement {
  const { operationId, summary, description, security } = operation;
  const place = make("section", "operation");
  const title = make("h2");
  title.id = operationId;
  title.append(make("span", "method", method), " ", make("code", "", path));
  place.setAttribute("aria-labelledby", operationId);
  const about = make("p", "", [summary, description].filter(Boolean).join(" "));
  about.lang = "en";
  place.append(title, about);
  if (security) {
    const note = make("p", "small");
    note.dataset.text = "secret";
    place.append(note);
  }
  const command = curl(method, path, operation);
  place.append(
    commandBlock(command, () => `${method} ${path}`),
    ...parameterList(document, operation),
    ...answerList(document, operation),
    tryForm(method, path, operation),
  );
  return place;
}

function contentsEntry(method: string, path: string, { operationId }: Operation): HTMLElement {
  const entry = make("li");
  const link = make("a");
  link.href = `#${operationId}`;
  link.append(make("span", "method", method), " ", make("code", "", path));
  entry.append(link);
  return entry;
}

function show(document: OpenApi): void {
  byId("about").textContent = document.info.description;
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [lower, written] of Object.entries(methods)) {
      const method = lower.toUpperCase();
      const operation = complete(document, written);
      byId("contents").append(contentsEntry(method, path, operation));
      byId("operations").append(section(document, method, path, operation));
    }
  }
  inLanguage(() => translate(byId("operations")));
}

async function start(): Promise<void> {
  const response = await fetch(`${server}/__/openapi.json`);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  show(await response.json());
  // The part of the page that the address names was not there when it was loaded.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

startLanguage();
start().catch((thrown) => {
  const place = byId("problem");
  place.textContent = say("noAnswer", { why: String(thrown) });
  place.hidden = false;
});
