/** What kind of failure it was. */
export type FailureReason =
  /** The server said no: `code` is its code. */
  | "refused"
  /** No answer in time; the message may or may not be stored. */
  | "timeout"
  /** The caller's AbortSignal, or a recall before the message was sent. */
  | "aborted"
  /** The bus was closed. */
  | "closed"
  /** The outbox is full. */
  | "full"
  /** The connection failed; it is tried again. */
  | "network"
  /** The arguments cannot be sent, or the answer cannot be read. */
  | "invalid"
  /** An event listener or callback of the program threw; `cause` is what. */
  | "listener";

/** Every failure that this package reports. */
export class GotapiError extends Error {
  override readonly name = "GotapiError";
  readonly reason: FailureReason;
  /** The server's code (an HTTP status, section 2.2 and 6 of the protocol), or 0. */
  readonly code: number;
  /** The message that it is about. */
  readonly uuid: string | undefined;
  override readonly cause: unknown;

  constructor(reason: FailureReason, message: string = reason, code = 0, uuid?: string, cause?: unknown) {
    super(message);
    this.reason = reason;
    this.code = code;
    this.uuid = uuid;
    this.cause = cause;
  }
}

/** Refusals that another try with the same message cannot change. */
export const isFinal = (code: number) => [400, 401, 403, 413].includes(code);

/** Refusals by the server that pass. */
export const isPassing = (code: number) => [408, 421, 425, 429].includes(code) || code >= 500;

/** The end of a call: its time is up, or `aborted`, a signal, says so. */
export const over = (
  aborted?: { reason?: unknown } | false,
  uuid?: string,
  last?: GotapiError,
): GotapiError =>
  aborted
    ? new GotapiError("aborted", undefined, 0, uuid, aborted.reason)
    : new GotapiError("timeout", last?.message, last?.code, uuid);

/** Anything that was thrown, as a GotapiError. */
export function asError(thrown: unknown, reason: FailureReason): GotapiError {
  if (thrown instanceof GotapiError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new GotapiError(reason, message, 0, undefined, thrown);
}

/** Makes a promise whose rejection, when nobody looks at it, does not end a Node process. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
