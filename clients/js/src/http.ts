import { type BackoffOptions, backoff } from "./backoff.js";
import { asError, GotapiError } from "./errors.js";
import { type HistoryRange, readPage } from "./history.js";
import { type CallOptions, limit } from "./limit.js";
import { type AbortSignalLike, currentToken, type FetchLike, type TokenProvider } from "./platform.js";

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

/** Whether another try may succeed. 0: there was no answer. */
const isPassing = (code: number) => !code || code === 429 || code >= 500;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => void limit(resolve, ms, signal));
}

function parse(text: string, status: number): Json {
  try {
    return JSON.parse(text);
  } catch {
    if (status === 200) throw new GotapiError("invalid", "bad answer");
  }
}

/** Requests that are tried again until they succeed, are refused for good, or run out of time. `life` ends all. */
export function newHttp(options: HttpOptions, life?: AbortSignalLike) {
  async function once(url: string, body: unknown, overall: AbortSignal) {
    const attempt = new AbortController();
    const stop = limit(() => attempt.abort(), ATTEMPT_MS, overall);
    try {
      const token = await currentToken(options.token);
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      const send = options.fetch ?? (fetch as FetchLike);
      const response = await send(url, { method: "POST", body, headers, signal: attempt.signal });
      const { status } = response;
      const retryAfter = Number(response.headers.get("Retry-After")) * 1_000 || 0;
      return { status, retryAfter, json: parse(await response.text(), status) };
    } catch (thrown) {
      if (attempt.signal.aborted) throw new GotapiError("timeout");
      throw thrown;
    } finally {
      stop();
    }
  }

  async function persist(url: string, body: unknown, signal: AbortSignal): Promise<Json> {
    let failure = new GotapiError("timeout");
    for (let attempt = 0; !signal.aborted; attempt++) {
      let wait = backoff(attempt, options.backoff);
      try {
        const { status, retryAfter, json } = await once(url, body, signal);
        if (status === 200) return json;
        failure = new GotapiError("refused", String(json?.msg ?? `HTTP ${status}`), status);
        wait = Math.max(wait, retryAfter);
      } catch (thrown) {
        if (!signal.aborted) failure = asError(thrown, "network");
      }
      if (!isPassing(failure.code) || failure.reason === "invalid") break;
      await pause(wait, signal);
    }
    throw failure;
  }

  /** POST; `body` goes out as a form if it is one, else as it is. Resolves with the JSON of a 200. */
  async function post(url: string, body: unknown, { timeout, signal }: CallOptions): Promise<Json> {
    const overall = new AbortController();
    const stop = limit(() => overall.abort(), timeout || options.timeout || 30_000, signal, life);
    try {
      return await persist(url, body, overall.signal);
    } catch (thrown) {
      if (life?.aborted) throw new GotapiError("closed");
      if (signal?.aborted) throw new GotapiError("aborted", undefined, 0, undefined, signal.reason);
      throw thrown;
    } finally {
      stop();
    }
  }

  /** POST of a form. `url` ends in /__/history or the like. */
  function call(url: string, parameters: object, options: CallOptions): Promise<Json> {
    const form = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) form.set(name, String(value));
    }
    return post(url, form, options);
  }

  return {
    post,
    /** One page of a group's history. */
    history: async (url: string, range: HistoryRange & { groupName: string }, options: CallOptions) =>
      readPage(await call(url, range, options)),
    /** Recalls a message. */
    cancel: (
      url: string,
      message: { groupName: string; uuid: string },
      options: CallOptions,
    ): Promise<void> => call(url, message, options),
  };
}

/** What newHttp makes. */
export type Http = ReturnType<typeof newHttp>;
