// What the tests share: gateways on demand, servers that say what they are told to, and waiting without sleeping.

import { createServer } from "node:http";
import { once } from "node:events";
import { test as nodeTest } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { connect } from "../../cidadao_rt/edges/static/client.js";

/** A test that ends by itself, within 20 s. */
export const test = (name, body) => nodeTest(name, { timeout: 20_000 }, body);

async function ask(verb, body) {
  const response = await fetch(`${process.env.CONTROL}/${verb}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${verb}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A real gateway with this configuration. */
export async function gateway(sections = {}) {
  const port = await ask("start", { sections });
  const token = (sub = "ana", ttl = 600, claims = {}) => ask("token", { sub, ttl, claims });
  const service = await token("backend", 600, { roles: ["service"] });
  return {
    http: `http://127.0.0.1:${port}`,
    token,
    cut: () => ask("cut", { port }),
    replace: (next = sections) => ask("replace", { port, sections: next }),
    forget: (sub = "ana") => ask("forget", { port, sub }),
    look: (sub = "ana") => ask("look", { port, sub }),
    async publish(...events) {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/events`, {
        method: "POST",
        headers: { authorization: `Bearer ${service}` },
        body: JSON.stringify(events),
      });
      const { ids, ...problem } = await response.json();
      if (!ids) throw new Error(JSON.stringify(problem));
      return ids;
    },
  };
}

/** A numbered event of a type of our own for a user. */
export function numbered(n, user = "ana") {
  return { to: { user_id: user }, type: "numbered", data: { n } };
}

/** Connect; closed at the end of the test `t`. Waits are short, unless told otherwise. */
export function open(t, url, options = {}) {
  const rt = connect(url, { backoffSeconds: 0.05, backoffMaxSeconds: 0.2, WebSocket, ...options });
  t.after(() => rt.close());
  return rt;
}

/** The detail of the next event of this type for which `is` holds. */
export function next(rt, type, is = () => true) {
  return new Promise((resolve) => {
    const listener = ({ detail }) => {
      if (!is(detail)) return;
      rt.removeEventListener(type, listener);
      resolve(detail);
    };
    rt.addEventListener(type, listener);
  });
}

/** All details of events of this type from now on. */
export function record(rt, type) {
  const seen = [];
  rt.addEventListener(type, ({ detail }) => seen.push(detail));
  return seen;
}

export const state = (name) => (status) => status.state === name;

/** Commands of this type that went out. */
export const sent = (frames, type) => frames.filter(({ direction, data }) => direction === "out" && data.type === type);

/** A queue that the one end fills and the other awaits. */
export function queue() {
  const items = [];
  const takers = [];
  return {
    push: (item) => (takers.length ? takers.shift()(item) : items.push(item)),
    take: () => (items.length ? Promise.resolve(items.shift()) : new Promise((resolve) => takers.push(resolve))),
    items,
  };
}

const tell = (type, data, more = {}) => JSON.stringify({ type, data, ...more });

export const welcome = (data = {}, id = "e-0") =>
  tell("connection_established", { session_id: "s1", resumed: false, recovered: true, replayed: 0, ...data }, { id });

/** A WebSocket server that leaves everything to the test: `await server.accept()` gives the next connection. */
export async function scripted(t, { greets = true } = {}) {
  const http = createServer((_, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({ server: http });
  const arrivals = queue();
  sockets.on("connection", (socket, request) => {
    const received = queue();
    socket.on("message", (data) => received.push(JSON.parse(data)));
    const closed = once(socket, "close");
    const url = new URL(request.url, "http://x");
    if (greets) socket.send(welcome({ resumed: url.searchParams.has("session_id") }));
    arrivals.push({
      url,
      at: Date.now(),
      closed,
      received,
      say: (type, data, more) => socket.send(tell(type, data, more)),
      raw: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
      cut: () => socket.terminate(),
    });
  });
  await listen(t, http);
  t.after(() => sockets.clients.forEach((socket) => socket.terminate()));
  return { url: `ws://127.0.0.1:${http.address().port}`, accept: arrivals.take, arrivals: arrivals.items };
}

/** An HTTP server whose every request is the test's to answer. */
export async function answering(t, handle) {
  const http = createServer(handle);
  await listen(t, http);
  return `http://127.0.0.1:${http.address().port}`;
}

async function listen(t, http) {
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => {
    http.closeAllConnections();
    http.close();
  });
}

/** A proxy before a gateway, which can do what bad ones do: `refusesUpgrade`, `buffersStreams`. Both can change. */
export async function proxy(t, target, faults) {
  const { request } = await import("node:http");
  const forward = (incoming) =>
    request(target + incoming.url, { method: incoming.method, headers: incoming.headers, agent: false });
  const http = createServer((incoming, response) => {
    const outgoing = forward(incoming);
    incoming.pipe(outgoing);
    outgoing.on("error", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    outgoing.on("response", (answer) => {
      if (faults.buffersStreams && incoming.url.startsWith("/api/v1/events?")) return answer.resume();
      response.writeHead(answer.statusCode, answer.headers);
      return answer.pipe(response);
    });
  });
  const tunnels = new Set();
  http.on("upgrade", (incoming, socket) => {
    if (faults.refusesUpgrade) return socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    const outgoing = forward(incoming).end();
    tunnels.add(socket);
    outgoing.on("error", () => socket.destroy());
    return outgoing.on("upgrade", (answer, inner, head) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      socket.write(head);
      inner.on("error", () => socket.destroy());
      socket.on("error", () => {});
      socket.on("close", () => inner.destroy());
      inner.pipe(socket).pipe(inner);
    });
  });
  await listen(t, http);
  t.after(() => tunnels.forEach((socket) => socket.destroy()));
  return `http://127.0.0.1:${http.address().port}`;
}
