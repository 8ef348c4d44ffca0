/** The part of OpenAPI 2.0 that protoc-gen-openapiv2 writes and the page shows. */

export interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  description?: string;
  items?: Schema;
  properties?: Record<string, Schema>;
}

export interface Parameter extends Schema {
  name: string;
  in: "query" | "path" | "body";
  required: boolean;
  schema?: Schema;
}

export interface Operation {
  operationId: string;
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  responses: Record<string, { schema?: Schema }>;
  security?: unknown[];
}

export interface OpenApi {
  info: { title: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  definitions: Record<string, Schema>;
}

/** The schema that a reference stands for. */
export function resolve(document: OpenApi, schema: Schema): Schema {
  const name = schema.$ref?.replace("#/definitions/", "");
  return (name && document.definitions[name]) || schema;
}

/** A value's type in a word, such as "string[]". */
export function typeName(document: OpenApi, schema: Schema): string {
  if (schema.type === "array") return `${typeName(document, schema.items ?? {})}[]`;
  const resolved = resolve(document, schema);
  return resolved.type === "string" && resolved.format ? resolved.format : (resolved.type ?? "any");
}
