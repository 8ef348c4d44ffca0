/**
 * The application of docs/tutorials/chat-with-logins.md. It knows the users, gives them tokens for the chat server, and
 * writes their names into their messages. It needs nothing but Node 20.
 */
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { PORT = "8080", CHAT = "http://127.0.0.1:4998", SECRET_FILE = "jwt-secret" } = process.env;
const [secret] = readFileSync(SECRET_FILE, "utf8").split("\n");
const page = readFileSync(new URL("index.html", import.meta.url));

// Replace these with your own users and sessions.
const passwords = new Map([["alice", "wonderland"], ["bob", "builder"]]);
const sessions = new Map();

/** A JSON Web Token for the chat server: who the user is, until when, and what the user may do. */
function newToken(user) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = {
    sub: user,
    exp: Math.floor(Date.now() / 1000) + 300,
    gotapi: { join: ["/room/**"], publish: ["/room/**"], read: ["/room/**"], recall: "own" },
  };
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** The webhook: the chat server asks it about each packet. `user` comes from the token, not from the page. */
function beforePublish({ user, kind, packet }) {
  if (kind !== "data") return { action: "allow" };
  const message = JSON.parse(packet);
  if (/\bspam\b/i.test(message.body?.data)) return { action: "deny", reason: "No spam, please." };
  message.body = { ...message.body, from: user };
  return { action: "rewrite", packet: JSON.stringify(message) };
}

function logIn({ name, password }) {
  if (!passwords.has(name) || passwords.get(name) !== password) return { status: 401 };
  const id = randomBytes(32).toString("base64url");
  sessions.set(id, name);
  const secure = CHAT.startsWith("https:") ? "; Secure" : "";
  return { headers: { "Set-Cookie": `session=${id}; Path=/; HttpOnly; SameSite=Strict${secure}` } };
}

const routes = {
  "GET /": () => ({ headers: { "Content-Type": "text/html" }, body: page }),
  "POST /login": (form) => logIn(form),
  "GET /token": (_, user) => (user ? json({ user, chat: CHAT, token: newToken(user) }) : { status: 401 }),
  "POST /hook": (event) => json(beforePublish(event.data)),
};

const json = (value) => ({ headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

async function answer(request) {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return { status: 404 };
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk;
    if (body.length > 1_000_000) return { status: 413 };
  }
  const [, session] = /\bsession=([\w-]+)/.exec(request.headers.cookie) ?? [];
  return route(body && JSON.parse(body), sessions.get(session));
}

const server = createServer(async (request, response) => {
  const { status = 200, headers, body } = await answer(request).catch(() => ({ status: 400 }));
  response.writeHead(status, { "Cache-Control": "no-store", ...headers }).end(body);
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
