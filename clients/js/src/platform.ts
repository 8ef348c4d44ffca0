/** What differs between browsers, workers and Node. The Node package fills in what its runtime lacks. */

/** The part of the browsers' WebSocket that is used here. */
export interface WebSocketLike {
  readyState: number;
  bufferedAmount: number;
  binaryType: string;
  // biome-ignore lint/suspicious/noExplicitAny: browsers and Node packages differ in their event types
  onopen: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onmessage: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onclose: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onerror: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  send(data: any): void;
  close(code?: number): void;
}

/** A constructor such as the global WebSocket. */
// biome-ignore lint/suspicious/noExplicitAny: constructors differ in optional arguments
export type WebSocketConstructor = new (url: string, protocols?: any) => WebSocketLike;

/** The part of fetch that is used here. */
export type FetchLike = (
  url: string,
  // biome-ignore lint/suspicious/noExplicitAny: RequestInit differs between platforms
  init?: any,
) => Promise<{
  ok: boolean;
  status: number;
  headers: { get(name: string): string | null };
  text(): Promise<string>;
}>;

/** The part of AbortSignal that is used here. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Gives the token for one connection or request; it is asked each time, so that tokens can be renewed. */
export type TokenProvider = string | (() => string | undefined | Promise<string | undefined>);

interface Platform {
  WebSocket?: WebSocketConstructor;
  crypto?: { getRandomValues?(bytes: Uint8Array): unknown };
}

/** What the runtime lacks; the runtime's own is preferred. */
export const fallback: Platform = {};

/** The runtime's WebSocket, if it has one. */
export const webSocketConstructor = (): WebSocketConstructor | undefined =>
  (globalThis as Platform).WebSocket ?? fallback.WebSocket;

/** The runtime's fetch, if it has one. */
export const fetcher = (): FetchLike | undefined => (globalThis as { fetch?: FetchLike }).fetch;

/** Fills and returns bytes, from the runtime's cryptographic source if it has one: ids need only differ. */
export function random(bytes: Uint8Array): Uint8Array {
  const { crypto = fallback.crypto } = globalThis as Platform;
  if (crypto?.getRandomValues) crypto.getRandomValues(bytes);
  else bytes.set(Array.from(bytes, () => Math.random() * 256));
  return bytes;
}

/** The token of a provider, now. */
export async function currentToken(provider: TokenProvider | undefined): Promise<string | undefined> {
  return typeof provider === "function" ? provider() : provider;
}
