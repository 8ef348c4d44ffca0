import { random } from "./platform.js";

/** Makes the uuids of messages. */
export const UuidGenerator = {
  /** 20 decimal digits: a random 63-bit number with leading zeros, such as "02108001177667145695". */
  generate(): string {
    const view = new DataView(random(new Uint8Array(8)).buffer);
    return BigInt.asUintN(63, view.getBigUint64(0)).toString().padStart(20, "0");
  },
};
