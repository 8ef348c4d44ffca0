/** The part of OpenAPI 3.1 that proto/openapi.json has and the page shows. */

export interface Reference {
  $ref?: string;
}

export interface Schema extends Reference {
  type?: string | string[];
  format?: string;
  description?: string;
  items?: Schema;
  properties?: Record<string, Schema>;
}

export interface Parameter extends Reference {
  name: string;
  in: "query";
  description?: string;
  schema: Schema;
}

interface Content {
  content?: Record<string, { schema: Schema; example?: unknown }>;
}

export interface Operation {
  operationId: string;
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: Content & { description?: string };
  responses: Record<string, Content>;
  security?: unknown[];
}

export interface OpenApi {
  info: { title: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, unknown>>;
}

/** What a reference stands for; anything else is itself. */
function resolve<T extends Reference>(document: OpenApi, value: T): T {
  const [, , kind = "", name = ""] = value.$ref?.split("/") ?? [];
  return (document.components[kind]?.[name] as T | undefined) ?? value;
}

/** The operation with its parameters written out. */
export function complete(document: OpenApi, operation: Operation): Operation {
  const parameters = operation.parameters?.map((parameter) => resolve(document, parameter)) ?? [];
  return { ...operation, parameters };
}

/** The schema of a body that is JSON. */
export function jsonSchema(document: OpenApi, body: Content | undefined): Schema {
  return resolve(document, body?.content?.["application/json"]?.schema ?? {});
}

/** An example of the body of a request, "" if it has none. */
export function exampleBody({ requestBody }: Operation): string {
  return requestBody ? JSON.stringify(requestBody.content?.["application/json"]?.example ?? {}) : "";
}

/** A value's type in a word, such as "string[]". */
export function typeName(document: OpenApi, schema: Schema): string {
  const { type, items, format } = resolve(document, schema);
  if (type === "array") return `${typeName(document, items ?? {})}[]`;
  if (Array.isArray(type)) return type.join(" | ");
  return type === "string" && format ? format : (type ?? "any");
}
