import { type BackoffOptions, backoff } from "./backoff.js";
import { asError, GotapiError } from "./errors.js";
import { type HistoryPage, type HistoryRange, readPage } from "./history.js";
import { type CallOptions, limit } from "./limit.js";
import { type AbortSignalLike, currentToken, type FetchLike, type TokenProvider } from "./platform.js";

/** Settings of HTTP requests; times in milliseconds. */
export interface HttpOptions {
  /** Sent as "Authorization: Bearer". */
  token?: TokenProvider;
  /** How long one try may take. Default 10,000. */
  attemptTimeout?: number;
  /** Pauses between tries. */
  backoff?: BackoffOptions;
  /** Instead of the runtime's fetch. */
  fetch?: FetchLike;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON from outside, checked by those who read it
type Json = any;

/** Whether another try may succeed. 0: there was no answer. */
const isPassing = (code: number) => !code || code === 429 || code >= 500;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stop();
      resolve();
    };
    let stop = () => {};
    stop = limit(done, ms, signal);
  });
}

/** Requests that are tried again until they succeed, are refused for good, or run out of time. */
export class Http {
  readonly #options: HttpOptions;
  readonly #life: AbortSignalLike | undefined;

  /** `life` ends all requests. */
  constructor(options: HttpOptions, life?: AbortSignalLike) {
    this.#options = options;
    this.#life = life;
  }

  /** POST; `body` goes out as a form if it is one, else as it is. Resolves with the JSON of a 200. */
  async post(url: string, body: unknown, { timeout, signal }: CallOptions): Promise<Json> {
    const overall = new AbortController();
    const stop = limit(() => overall.abort(), timeout || 30_000, signal, this.#life);
    try {
      return await this.#persist(url, body, overall.signal);
    } catch (thrown) {
      if (this.#life?.aborted) throw new GotapiError("closed", "closed");
      if (signal?.aborted) throw new GotapiError("aborted", "aborted", { cause: signal.reason });
      throw thrown;
    } finally {
      stop();
    }
  }

  /** One page of a group's history. `url` ends in /__/history or /__/history/. */
  async history(
    url: string,
    groupName: string,
    range: HistoryRange,
    call: CallOptions,
  ): Promise<HistoryPage> {
    const form = new URLSearchParams({ groupName });
    for (const [name, value] of Object.entries(range)) {
      if (value !== undefined) form.set(name, String(value));
    }
    return readPage(await this.post(url, form, call));
  }

  /** Recalls a message. `url` ends in /__/cancel or /__/cancel/. */
  async cancel(url: string, groupName: string, uuid: string, call: CallOptions): Promise<void> {
    await this.post(url, new URLSearchParams({ groupName, uuid }), call);
  }

  async #persist(url: string, body: unknown, signal: AbortSignal): Promise<Json> {
    let failure = new GotapiError("timeout", "no answer in time");
    for (let attempt = 0; !signal.aborted; attempt++) {
      let wait = backoff(attempt, this.#options.backoff);
      try {
        const { status, retryAfter, json } = await this.#once(url, body, signal);
        if (status === 200) return json;
        failure = new GotapiError("refused", String(json?.msg ?? `HTTP ${status}`), { code: status });
        wait = Math.max(wait, retryAfter);
      } catch (thrown) {
        if (!signal.aborted) failure = asError(thrown, "network");
      }
      if (!isPassing(failure.code) || failure.reason === "invalid") break;
      await pause(wait, signal);
    }
    throw failure;
  }

  async #once(url: string, body: unknown, overall: AbortSignal) {
    const attempt = new AbortController();
    const stop = limit(() => attempt.abort(), this.#options.attemptTimeout ?? 10_000, overall);
    try {
      const token = await currentToken(this.#options.token);
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      const send = this.#options.fetch ?? (fetch as FetchLike);
      const response = await send(url, { method: "POST", body, headers, signal: attempt.signal });
      const { status } = response;
      const retryAfter = Number(response.headers.get("Retry-After")) * 1_000 || 0;
      return { status, retryAfter, json: parse(await response.text(), status) };
    } catch (thrown) {
      if (attempt.signal.aborted) throw new GotapiError("timeout", "no answer in time");
      throw thrown;
    } finally {
      stop();
    }
  }
}

function parse(text: string, status: number): Json {
  try {
    return JSON.parse(text);
  } catch {
    if (status === 200) throw new GotapiError("invalid", "the answer is not JSON");
  }
}
