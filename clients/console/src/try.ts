import { make } from "./dom.js";
import { say } from "./language.js";
import { bounded } from "./message.js";
import { exampleBody, type Operation } from "./openapi.js";
import { server } from "./server.js";
import { tokenHeaders } from "./token.js";

/** What a request would do is tried on this group first. */
const GROUP = "/room/9527/";

/** Where a field goes: the parameters go into the query, or the form if there is no body. */
type Place = "query" | "body" | "secret";

interface Field {
  name: string;
  in: Place;
  input: HTMLInputElement | HTMLTextAreaElement;
}

function field(operationId: string, name: string, where: Place): { row: HTMLElement; field: Field } {
  const row = make("p", "field");
  const input = where === "body" ? make("textarea") : make("input");
  input.id = `${operationId}-${name}`;
  input.autocomplete = "off";
  input.spellcheck = false;
  if (name === "groupName") input.value = GROUP;
  if (where === "secret") (input as HTMLInputElement).type = "password";
  const label = make("label", "", name);
  label.htmlFor = input.id;
  row.append(label, input);
  return { row, field: { name, in: where, input } };
}

/** The request that the fields make. */
function request(method: string, path: string, fields: Field[]): [string, RequestInit] {
  const url = server + path;
  const headers: Record<string, string> = { ...tokenHeaders(), Accept: "application/json" };
  const form = new URLSearchParams();
  let body: string | undefined;
  for (const { name, in: where, input } of fields) {
    if (where === "body") body = input.value;
    else if (input.value === "") continue;
    else if (where === "secret") headers.Authorization = `Bearer ${input.value}`;
    else form.set(name, input.value);
  }
  if (method === "GET") return [`${url}?${form}`, { method, headers }];
  if (body === undefined) return [url, { method, headers, body: form }];
  // Its type is left to the browser, text: whoever tries it may write anything.
  return [`${url}?${form}`, { method, headers, body }];
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** A form that sends the request to this server and shows the answer. */
export function tryForm(method: string, path: string, operation: Operation): HTMLElement {
  const { operationId, parameters = [], security } = operation;
  const form = make("form", "try");
  const rows = parameters.map(({ name, in: where }) => field(operationId, name, where));
  const example = exampleBody(operation);
  if (example) {
    const body = field(operationId, "body", "body");
    body.field.input.value = example;
    rows.push(body);
  }
  if (security) rows.push(field(operationId, "secret", "secret"));
  const fields = rows.map(({ field }) => field);
  const button = make("button", "main");
  button.type = "submit";
  button.dataset.text = "tryIt";
  const answer = make("pre");
  answer.tabIndex = 0;
  answer.hidden = true;
  const status = make("div");
  status.setAttribute("role", "status");
  status.append(answer);
  form.append(...rows.map(({ row }) => row), button, status);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = await ask(() => request(method, path, fields));
    answer.hidden = false;
  });
  return form;
}

async function ask(make: () => [string, RequestInit]): Promise<string> {
  try {
    const response = await fetch(...make());
    return `${response.status} ${response.statusText}\n${bounded(pretty(await response.text()))}`;
  } catch (thrown) {
    return say("noAnswer", { why: (thrown as Error).message });
  }
}
