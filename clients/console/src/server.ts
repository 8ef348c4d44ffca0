/**
 * Where this server is: scripts come from its path /__/assets/. That is not the root of the host when a proxy has put
 * the server under a path of its own.
 */
const root = new URL("../..", import.meta.url);

/** The URL of the server, without a slash at its end: other paths are added to it. */
export const server = root.href.replace(/\/$/, "");

/** The path of this page below `server`, percent-encoded as it is. */
export const pagePath = location.pathname.slice(root.pathname.length - 1);
