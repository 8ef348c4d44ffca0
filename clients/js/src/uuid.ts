import { random } from "./platform.js";

/** Makes the uuids of messages. */
export const UuidGenerator = {
  /** 20 decimal digits of a number below 2^63: random ones after two zeros, such as "00108001177667145695". */
  generate: (): string =>
    `00${random(new Uint8Array(18))
      .map((byte) => byte % 10)
      .join("")}`,
};
