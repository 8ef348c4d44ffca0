/** What orval makes of the document: functions that call request() of test/orval.ts. */
export default {
  gotapi: {
    input: "../../proto/openapi.json",
    output: {
      target: ".tmp/orval.ts",
      client: "fetch",
      override: { mutator: { path: "./test/orval.ts", name: "request" } },
    },
  },
};
