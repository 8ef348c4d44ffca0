import { type BackoffOptions, backoff } from "./backoff.js";
import { asError, GotapiError, isFinal, isPassing, over } from "./errors.js";
import { type CallOptions, limit, newSignal, time, within } from "./limit.js";
import {
  type AbortSignalLike,
  currentToken,
  type FetchLike,
  fetcher,
  type TokenProvider,
} from "./platform.js";

/** Settings of HTTP requests; times in milliseconds. */
export interface HttpOptions {
  /** Sent as "Authorization: Bearer". */
  token?: TokenProvider;
  /** Default time for a call, tries included. Default 30,000. */
  timeout?: number;
  /** Pauses between tries. */
  backoff?: BackoffOptions;
  /** Instead of the runtime's fetch. */
  fetch?: FetchLike;
}

/** How long one try may take, milliseconds. */
const ATTEMPT_MS = 10_000;

// biome-ignore lint/suspicious/noExplicitAny: JSON from outside, checked by those who read it
type Json = any;

/** One request. `json` is what the answer holds, undefined when that is not JSON. */
export async function request(
  fetch: FetchLike,
  url: string,
  init: { headers?: object; [option: string]: unknown },
  provider?: TokenProvider,
  ...signals: AbortSignalLike[]
): Promise<{ status: number; retryAfter: number; json: Json }> {
  const { AbortController } = globalThis as { AbortController?: new () => AbortController };
  const attempt = AbortController && new AbortController();
  const answer = async () => {
    const token = await currentToken(provider);
    const headers = { ...init.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(url, { ...init, headers, signal: attempt?.signal });
    const { status } = response;
    const retryAfter = time(Number(response.headers.get("Retry-After")) * 1_000);
    const text = await response.text();
    let json: Json;
    try {
      json = JSON.parse(text);
    } catch {} // not the server's
    return { status, retryAfter, json };
  };
  try {
    return await within(answer(), ATTEMPT_MS, ...signals); // programs' functions need not heed the signal
  } finally {
    attempt?.abort();
  }
}
/** What is undefined is left out. URLSearchParams is not everywhere. */
function encodeForm(parameters: object): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  try {
    return given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  } catch (thrown) {
    throw asError(thrown, "invalid"); // half a character
  }
}

/** Requests that are tried again until they succeed, are refused for good, or run out of time. `life` ends all. */
export function newHttp(options: HttpOptions, life?: AbortSignalLike) {
  /** POST. Resolves with the JSON of a 200. */
  async function post(url: string, body: unknown, call: CallOptions, headers = {}): Promise<Json> {
    const send = options.fetch ?? fetcher();
    if (!send) throw new GotapiError("invalid", "no fetch");
    const signal = newSignal();
    const stop = limit(signal.abort, call.timeout || options.timeout || 30_000, call.signal, life);
    let failure = new GotapiError("timeout");
    try {
      for (let attempt = 0; !signal.aborted; attempt++) {
        let wait = backoff(attempt, options.backoff);
        try {
          const init = { method: "POST", body, headers };
          const { status, retryAfter, json } = await request(send, url, init, options.token, signal);
          // Whatever else answers, such as a proxy while the server restarts, does not say so in the server's JSON.
          const ours = typeof json?.code === "number";
          const done = status === 200;
          if (done && ours) return json;
          failure = new GotapiError(
            done ? "invalid" : "refused",
            String(json?.msg ?? `HTTP ${status}`),
            status,
          );
          if (isFinal(status) || (ours && !isPassing(status))) break;
          wait = Math.max(wait, retryAfter);
        } catch (thrown) {
          if (!signal.aborted) failure = asError(thrown, "network");
        }
        await new Promise<void>((resolve) => void limit(resolve, wait, signal));
      }
    } finally {
      stop();
    }
    if (life?.aborted) throw new GotapiError("closed");
    throw call.signal?.aborted ? over(call.signal) : failure;
  }

  /** POST of a form. `url` ends in /__/history or the like. */
  async function call(url: string, parameters: object, options: CallOptions): Promise<Json> {
    return post(url, encodeForm(parameters), options, {
      "Content-Type": "application/x-www-form-urlencoded",
    });
  }

  return { post, call };
}

/** What newHttp makes. */
export type Http = ReturnType<typeof newHttp>;
