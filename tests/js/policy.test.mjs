// When to come back, with what, and when not: against servers that do exactly what the test tells them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { WebSocket } from "ws";
import { ClosedError, RefusedError, connect } from "../../cidadao_rt/edges/static/client.js";
import { answering, next, open, record, scripted, sent, state, test, welcome } from "./support.mjs";

const only = { token: "t", transports: ["websocket"] };
const jwt = (exp) => `x.${Buffer.from(JSON.stringify({ exp })).toString("base64url")}.x`;

test("the address: schemes, a trailing /ws, a prefix, and what is asked for in the query", async (t) => {
  const server = await scripted(t);
  const http = server.url.replace("ws:", "http:");
  for (const [url, path] of [
    [http, "/ws"],
    [`${server.url}/`, "/ws"],
    [`${http}/ws`, "/ws"],
    [`${http}/rt/ws/`, "/rt/ws"],
  ]) {
    open(t, url, only);
    assert.equal((await server.accept()).url.pathname, path);
  }
  open(t, http, {
    ...only,
    connectionType: "analysis",
    events: ["a", "b"],
    investigationIds: ["i"],
    batch: true,
    conflate: true,
  });
  const query = Object.fromEntries((await server.accept()).url.searchParams);
  const expected = {
    connection_type: "analysis",
    events: "a,b",
    investigation_ids: "i",
    batch: "1",
    conflate: "1",
    token: "t",
  };
  assert.deepEqual(query, expected);
  open(t, http, { ...only, events: [], path: "/ws/investigations/inv%201", sessionId: "s", lastEventId: "e-9" });
  const bound = (await server.accept()).url;
  assert.equal(bound.pathname, "/ws/investigations/inv%201");
  assert.deepEqual(Object.fromEntries(bound.searchParams), {
    events: "",
    session_id: "s",
    last_event_id: "e-9",
    token: "t",
  });
});

test("what cannot work is said at once", () => {
  assert.throws(() => connect("http://x", { transports: ["websocket"], WebSocket: null }), TypeError);
  assert.throws(() => connect("http://x", { transports: ["pigeon"] }), TypeError);
  assert.throws(() => connect("not a url"), TypeError);
});

test("it comes back by session and the last id received, whatever bore it", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  let connection = await server.accept();
  for (const [type, id] of [
    ["notification", "e-3"],
    ["pong", "e-7"],
    ["metrics_update", undefined],
  ]) {
    connection.say(type, {}, { id });
  }
  await next(rt, "metrics_update");
  assert.deepEqual([rt.cursor, rt.sessionId], ["e-7", "s1"]);
  connection.cut();
  connection = await server.accept();
  assert.equal(connection.url.searchParams.get("session_id"), "s1");
  assert.equal(connection.url.searchParams.get("last_event_id"), "e-7");
});

test("events that come twice are seen once, also when others lie between", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const seen = record(rt, "n");
  const connection = await server.accept();
  for (const n of [1, 2, 3, 2, 1, 3, 4]) connection.say("n", { n }, { id: `e-${n}` });
  await next(rt, "n", ({ data }) => data.n === 4);
  assert.deepEqual(
    seen.map(({ data }) => data.n),
    [1, 2, 3, 4],
  );
});

test("the welcome is for the app only where something was missed", async (t) => {
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, only);
  const seen = record(rt, "message");
  const first = await server.accept();
  first.raw(welcome());
  await rt.opened;
  first.cut();
  (await server.accept()).raw(welcome({ recovered: false }));
  await next(rt, "connection_established");
  assert.deepEqual(
    seen.map(({ type, data }) => [type, data.recovered]),
    [["connection_established", false]],
  );
  assert.equal(rt.recovered, false);
});

test("a type of one's own that is called like an event of the client is a message alone", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const states = record(rt, "status");
  (await server.accept()).say("status", { mine: true });
  await next(rt, "message", ({ type }) => type === "status");
  assert.ok(states.every(({ state }) => state));
});

for (const [code, reason, Kind] of [
  [1000, "Session resumed elsewhere", ClosedError],
  [1008, "Invalid token", RefusedError],
  [1008, "Origin not allowed", RefusedError],
]) {
  test(`after ${code} ${reason} it does not come back`, async (t) => {
    const server = await scripted(t);
    // Even a fresh token would not help against what is not about the token.
    const token = reason === "Invalid token" ? "t" : () => `${Math.random()}`;
    const rt = open(t, server.url, { ...only, token });
    const connection = await server.accept();
    await rt.opened;
    const waiting = rt.ping();
    connection.close(code, reason);
    await assert.rejects(waiting, (error) => error instanceof Kind && error.code === code && error.reason === reason);
    assert.equal(rt.state, "closed");
    assert.equal(server.arrivals.length, 0);
  });
}

for (const code of [1001, 1006, 1009, 1011, 1013]) {
  test(`after ${code} it comes back`, async (t) => {
    const server = await scripted(t);
    open(t, server.url, only);
    const connection = await server.accept();
    if (code === 1006) connection.cut();
    else connection.close(code, "why");
    await server.accept();
  });
}

test("an error without a close, as Node's own WebSocket has it where a handshake is cut, is an end as well", async (t) => {
  let made = 0;
  class Broken {
    constructor() {
      made += 1;
      queueMicrotask(() => this.onerror({}));
    }
    close() {}
  }
  const rt = open(t, "http://127.0.0.1:9", { ...only, WebSocket: Broken });
  const { reason } = await next(rt, "status", state("waiting"));
  assert.equal(reason, "The WebSocket broke");
  await next(rt, "status", state("connecting"));
  assert.ok(made >= 1);
});

test("a handshake of its own that arrives late is no takeover", async (t) => {
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, { transports: ["websocket"], openSeconds: 0.3 });
  const first = await server.accept();
  first.raw(welcome());
  first.say("numbered", {}, { id: "e-1" });
  await next(rt, "numbered");
  first.cut();
  const late = await server.accept();
  assert.equal(late.url.searchParams.get("session_id"), "s1");
  const resumed = await server.accept();
  resumed.raw(welcome({ resumed: true }, "e-1"));
  await next(rt, "status", state("open"));
  resumed.close(1000, "Session resumed elsewhere");
  const other = await server.accept();
  assert.equal(other.url.searchParams.get("session_id"), null);
  assert.equal(other.url.searchParams.get("last_event_id"), "e-1");
  other.raw(welcome({ session_id: "s2" }, "e-1"));
  await next(rt, "status", state("open"));
  other.close(1000, "Session resumed elsewhere");
  assert.equal((await next(rt, "status", state("closed"))).reason, "Session resumed elsewhere");
});

test("waits are at random up to a bound that doubles, is bounded itself, and is forgotten after health", async (t) => {
  const random = Math.random;
  t.after(() => (Math.random = random));
  Math.random = () => 0.5;
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, { ...only, backoffSeconds: 0.02, backoffMaxSeconds: 0.1, openSeconds: 1 });
  const states = record(rt, "status");
  for (let n = 0; n < 5; n++) (await server.accept()).close(1013, "busy");
  const good = await server.accept();
  good.raw(welcome());
  await rt.opened;
  // Short of openSeconds it was not healthy: the bound stays where it is.
  good.cut();
  const better = await server.accept();
  better.raw(welcome());
  await new Promise((resolve) => setTimeout(resolve, 1050));
  better.cut();
  await server.accept();
  const waits = states.filter(state("waiting")).map(({ retryIn }) => Math.round(retryIn * 1000));
  assert.deepEqual(waits, [10, 20, 40, 50, 50, 50, 10]);
});

test("going_away says when to come back, once", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const states = record(rt, "status");
  const connection = await server.accept();
  connection.say("going_away", { reason: "restart", retry_after_ms: 250 });
  connection.close(1001, "Server going away");
  const { at } = await connection.closed.then(() => server.accept());
  assert.ok(at);
  const [{ retryIn, reason }] = states.filter(state("waiting"));
  assert.deepEqual([retryIn, reason], [0.25, "Server going away"]);
});

test("Retry-After and the stream's retry: are honoured over HTTP, up to five minutes", async (t) => {
  const answers = [
    (response) => response.writeHead(503, { "retry-after": "1" }).end(),
    (response) => response.writeHead(429, { "retry-after": new Date(Date.now() + 2500).toUTCString() }).end(),
    (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const error = { type: "error", data: { code: "CONNECTION_LIMIT", message: "More than 5", details: {} } };
      response.end(`retry: 30\n\ndata: ${JSON.stringify(error)}\n\n`);
    },
    (response) => response.writeHead(503, { "retry-after": "9999" }).end(),
  ];
  const url = await answering(t, (_, response) => answers.shift()(response));
  const rt = open(t, url, { token: "t", transports: ["sse"] });
  const states = record(rt, "status");
  await next(rt, "status", ({ retryIn }) => retryIn === 300);
  const waits = states.filter(state("waiting")).map(({ retryIn }) => retryIn);
  assert.equal(waits[0], 1);
  assert.ok(waits[1] > 0.3 && waits[1] <= 2.5, `${waits[1]}`);
  assert.equal(waits[2], 0.03);
});

test("over SSE an error that no waiting cures, before the welcome, is a refusal", async (t) => {
  const error = { type: "error", data: { code: "FORBIDDEN", message: "Origin not allowed", details: {} } };
  const url = await answering(t, (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`retry: 30\n\ndata: ${JSON.stringify(error)}\n\n`);
  });
  const rt = open(t, url, { token: "t", transports: ["sse"] });
  await assert.rejects(rt.opened, { name: "RefusedError", reason: "Origin not allowed" });
});

test("a server that is away altogether is no reason to leave WebSocket for good", async (t) => {
  const gone = await scripted(t);
  const { port } = new URL(gone.url);
  const rt = open(t, `http://127.0.0.1:1`, { token: "t", backoffSeconds: 0.01 });
  const states = record(rt, "status");
  await next(rt, "status", ({ state, transport }) => state === "connecting" && transport === "sse");
  await next(rt, "status", ({ state, transport }) => state === "connecting" && transport === "websocket");
  assert.ok(port);
  assert.ok(!states.some(({ transport }) => transport === "poll"));
});

test("a page in the stream's place, as behind a portal, leads on to polling", async (t) => {
  const url = await answering(t, ({ url }, response) => {
    if (!url.startsWith("/api/v1/events/poll"))
      return response.writeHead(200, { "content-type": "text/html" }).end("<p>");
    const page = { events: [], cursor: "e-0", recovered: true, session_id: "s1" };
    return response.end(JSON.stringify(page));
  });
  const rt = open(t, url, { token: "t", transports: ["sse", "poll"] });
  await rt.opened;
  assert.equal(rt.transport, "poll");
});

test("a reply by POST moves no cursor, and one that an event has overtaken is not told twice", async (t) => {
  let stream;
  const url = await answering(t, async (request, response) => {
    if (request.method === "GET") {
      stream = response.writeHead(200, { "content-type": "text/event-stream" });
      return stream.write(`data: ${welcome()}\n\n`);
    }
    const { type, correlation_id } = JSON.parse((await request.toArray()).join(""));
    const reply = { type: "pong", data: {}, correlation_id };
    if (type === "ping") return response.end(JSON.stringify({ replies: [{ ...reply, id: "e-9" }] }));
    const data = { investigation_id: "i", status: "started", progress: 0 };
    const update = { type: "investigation_update", data, correlation_id };
    stream.write(`data: ${JSON.stringify({ ...update, id: "e-1" })}\n\n`);
    await next(rt, "investigation_update");
    response.end(JSON.stringify({ replies: [update] }));
  });
  const rt = open(t, url, { token: "t", transports: ["sse"], ackSeconds: 60 });
  const seen = record(rt, "message");
  assert.equal((await rt.startInvestigation("q")).id, "i");
  // Commands go in order, so this comes after the reply to the start.
  await rt.ping();
  assert.equal(rt.cursor, "e-1");
  assert.deepEqual(
    seen.map(({ id }) => id),
    ["e-1"],
  );
});

test("commands made while offline are kept, bounded, and sent in order", async (t) => {
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, { ...only, maxPending: 3 });
  const frames = record(rt, "frame");
  const kept = ["a", "b", "c"].map((query) => rt.startInvestigation(query));
  await assert.rejects(rt.ping(), { name: "CommandError", code: "OVERLOADED", details: { limit: 3 } });
  const connection = await server.accept();
  assert.equal(sent(frames, "start_investigation").length, 0);
  connection.raw(welcome());
  for (const query of ["a", "b", "c"]) {
    const { data, correlation_id: id } = await connection.received.take();
    assert.equal(data.query, query);
    connection.say(
      "investigation_update",
      { investigation_id: query, status: "started", progress: 0 },
      { correlation_id: id },
    );
  }
  assert.deepEqual(
    (await Promise.all(kept)).map(({ id }) => id),
    ["a", "b", "c"],
  );
});

test("what was not answered is sent again under its id; of chats only those that no session answers", async (t) => {
  for (const [resumed, recovered, again] of [
    [true, true, false],
    [false, true, true],
    [true, false, true],
  ]) {
    const server = await scripted(t, { greets: false });
    const rt = open(t, server.url, only);
    const chat = rt.chat("drummond", "Oi");
    const start = rt.startInvestigation("q");
    const unseen = rt.chat("zumbi", "Oi");
    const first = await server.accept();
    first.raw(welcome());
    const before = [await first.received.take(), await first.received.take(), await first.received.take()];
    const ids = before.map(({ correlation_id: id }) => id);
    first.say("typing", { agent: "drummond", is_typing: true }, { correlation_id: ids[0] });
    await next(rt, "typing");
    first.cut();
    const second = await server.accept();
    second.raw(welcome({ resumed, recovered }));
    const expected = again ? ids : ids.slice(1);
    for (const id of expected) assert.equal((await second.received.take()).correlation_id, id);
    second.say("agent_chat", { message: "Olá" }, { correlation_id: ids[0], id: "e-1" });
    second.say(
      "investigation_update",
      { investigation_id: "i", status: "started" },
      { correlation_id: ids[1], id: "e-2" },
    );
    second.say("agent_chat", { message: "Oi" }, { correlation_id: ids[2], id: "e-3" });
    assert.deepEqual([(await chat).message, (await start).id, (await unseen).message], ["Olá", "i", "Oi"]);
  }
});

test("a pong shows that the chats before it were taken", async (t) => {
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, only);
  const chat = rt.chat("drummond", "Oi");
  const ping = rt.ping();
  const first = await server.accept();
  first.raw(welcome());
  await first.received.take();
  first.say("pong", {}, { correlation_id: (await first.received.take()).correlation_id, id: "e-0" });
  await ping;
  first.cut();
  const second = await server.accept();
  second.raw(welcome({ resumed: true }));
  rt.ping().catch(() => {});
  assert.equal((await second.received.take()).type, "ping");
  rt.close();
  await assert.rejects(chat, ClosedError);
});

test("a start that the gateway may have forgotten is given up, and says that its fate is unknown", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const first = await server.accept();
  await rt.opened;
  const start = rt.startInvestigation("q");
  await first.received.take();
  const now = Date.now;
  t.after(() => (Date.now = now));
  Date.now = () => now() + 291_000;
  first.cut();
  await assert.rejects(start, { code: "INTERNAL_ERROR", details: { unknown: true } });
});

test("a message too long for the gateway is rejected, though its error cannot name it", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const connection = await server.accept();
  const long = rt.send("custom", { text: "x".repeat(70_000) });
  const short = rt.ping();
  const received = [await connection.received.take(), await connection.received.take()];
  connection.say("error", { code: "MESSAGE_TOO_LARGE", message: "Too large", details: { limit: 65_536 } });
  await assert.rejects(long, { code: "MESSAGE_TOO_LARGE" });
  connection.say("pong", {}, { correlation_id: received[1].correlation_id });
  await short;
  // Past the hard bound the connection ends, and what ended it must not end the next one.
  const longer = rt.send("custom", { text: "x".repeat(300_000) });
  await connection.received.take();
  connection.close(1009);
  await assert.rejects(longer, { code: "MESSAGE_TOO_LARGE" });
  const second = await server.accept();
  rt.ping().catch(() => {});
  assert.equal((await second.received.take()).type, "ping");
});

test("subscriptions of a lost session are made again, and what they missed is asked for", async (t) => {
  const server = await scripted(t, { greets: false });
  const rt = open(t, server.url, only);
  const first = await server.accept();
  first.raw(welcome());
  const changes = [
    ["subscribe", { events: ["a"] }],
    ["subscribe", { investigationIds: ["i"] }],
    ["subscribe", { events: ["a"] }],
    ["unsubscribe", { events: ["b"] }],
  ];
  for (const [verb, what] of changes) {
    const done = rt[verb](what);
    first.say(`${verb}d`, { denied: [] }, { correlation_id: (await first.received.take()).correlation_id });
    await done;
  }
  first.say("a", {}, { id: "e-5" });
  await next(rt, "a");
  first.cut();
  const early = record(rt, "n");
  for (let attempt = 0; attempt < 2; attempt++) {
    const connection = await server.accept();
    assert.equal(connection.url.searchParams.get("last_event_id"), "e-5");
    connection.raw(welcome({ session_id: "s2", resumed: attempt > 0 }, "e-5"));
    const again = [
      await connection.received.take(),
      await connection.received.take(),
      await connection.received.take(),
    ];
    assert.deepEqual(
      again.map(({ type, data }) => [type, data]),
      [
        ["subscribe", { investigation_ids: ["i"] }],
        ["subscribe", { events: ["a"], after: "e-5" }],
        ["unsubscribe", { events: ["b"] }],
      ],
    );
    // Later ids prove nothing until the gateway has gone back: a cut here resumes where it was.
    connection.say("n", {}, { id: `e-${9 + attempt}` });
    connection.say("typing", {});
    await next(rt, "typing");
    assert.equal(rt.cursor, "e-5");
    if (attempt === 0) {
      connection.cut();
      continue;
    }
    const told = next(rt, "connection_established");
    const data = { denied: [], id: "e-9", recovered: false, replayed: 0 };
    connection.say("subscribed", data, { correlation_id: again[1].correlation_id, id: "e-9" });
    assert.equal((await told).data.recovered, false);
    assert.deepEqual([rt.cursor, rt.recovered], ["e-9", false]);
    assert.deepEqual(early, []);
  }
});

test("it beats while it is quiet, and takes two beats of silence for the end", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, { ...only, heartbeatSeconds: 0.5 });
  const first = await server.accept();
  for (let n = 0; n < 3; n++) {
    const { type, correlation_id: id } = await first.received.take();
    assert.equal(type, "ping");
    first.say("pong", {}, { correlation_id: id, id: "e-0" });
  }
  const lost = await next(rt, "status", state("waiting"));
  assert.match(lost.reason, /^Silent for/);
  await server.accept();
});

test("it acknowledges what was dispatched, at most every ackSeconds", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, { ...only, ackSeconds: 0.3 });
  record(rt, "n");
  const connection = await server.accept();
  const began = Date.now();
  for (let n = 1; n <= 9; n++) connection.say("n", { n }, { id: `e-${n}` });
  const ack = await connection.received.take();
  assert.deepEqual([ack.type, ack.data], ["ack", { id: "e-9" }]);
  assert.ok(Date.now() - began >= 290);
  connection.say("n", {}, { id: "e-10" });
  assert.deepEqual((await connection.received.take()).data, { id: "e-10" });
  assert.ok(Date.now() - began >= 590);
});

test("what an iteration has not taken is not acknowledged", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, { ...only, ackSeconds: 0.05 });
  const events = rt[Symbol.asyncIterator]();
  const connection = await server.accept();
  for (let n = 1; n <= 4; n++) connection.say("n", { n }, { id: `e-${n}` });
  await events.next();
  await events.next();
  let ack;
  do ack = await connection.received.take();
  while (ack.data.id !== "e-2");
  await events.next();
  await events.next();
  do ack = await connection.received.take();
  while (ack.data.id === "e-3");
  assert.deepEqual(ack.data, { id: "e-4" });
});

test("the first iterator gets what came before it, the second what comes after it", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const connection = await server.accept();
  connection.say("n", { n: 1 }, { id: "e-1" });
  await rt.opened;
  await next2(rt, "e-1");
  const first = rt[Symbol.asyncIterator]();
  const second = rt[Symbol.asyncIterator]();
  connection.say("n", { n: 2 }, { id: "e-2" });
  assert.equal((await first.next()).value.data.n, 1);
  assert.equal((await first.next()).value.data.n, 2);
  assert.equal((await second.next()).value.data.n, 2);
  await second.return();
  assert.deepEqual(await second.next(), { done: true, value: undefined });
  rt.close();
  assert.deepEqual(await first.next(), { done: true, value: undefined });
});

/** Wait for a cursor without listening for messages, which would say that the app does not iterate. */
async function next2(rt, cursor) {
  if (rt.cursor !== cursor) await next(rt, "frame", ({ data }) => data.id === cursor);
}

test("what was let go before anybody iterated is told", async (t) => {
  const server = await scripted(t);
  const warn = t.mock.method(console, "warn", () => {});
  const rt = open(t, server.url, only);
  const socket = await server.accept();
  for (let n = 0; n < 1_003; n++) socket.say("numbered", { n }, { id: `e-${n}` });
  const answer = rt.ping();
  const { correlation_id: id } = await socket.received.take();
  socket.say("pong", {}, { correlation_id: id });
  await answer;
  for await (const { data } of rt) {
    assert.equal(data.n, 3);
    break;
  }
  assert.equal(warn.mock.callCount(), 1);
  assert.match(warn.mock.calls[0].arguments[0], /^cidadao_rt: 3 messages/);
});

test("the token is asked for anew at every attempt, and a failure to give one is waited out", async (t) => {
  const server = await scripted(t);
  const given = ["one", new Error("offline"), "two"];
  const token = async () => {
    const value = given.shift();
    if (value instanceof Error) throw value;
    return value;
  };
  const rt = open(t, server.url, { ...only, token });
  const states = record(rt, "status");
  const first = await server.accept();
  assert.equal(first.url.searchParams.get("token"), "one");
  first.cut();
  assert.equal((await server.accept()).url.searchParams.get("token"), "two");
  assert.ok(states.some(({ reason }) => reason === "No token: offline"));
});

test("a token function that never answers is given up after openSeconds", async (t) => {
  const rt = open(t, "http://127.0.0.1:1", { token: () => new Promise(() => {}), openSeconds: 0.05 });
  for (let n = 0; n < 3; n++) {
    const { reason, transport } = await next(rt, "status", state("waiting"));
    assert.deepEqual([reason, transport], ["No token within 0.05 s", "websocket"]);
  }
});

test("a renewal that fails is tried again, and a token without an end is left alone", async (t) => {
  const server = await scripted(t);
  const given = [jwt(Date.now() / 1000 + 1), new Error("offline"), "opaque"];
  const token = () => {
    const value = given.shift();
    if (value instanceof Error) throw value;
    return value;
  };
  const rt = open(t, server.url, { ...only, token, heartbeatSeconds: 60 });
  const connection = await server.accept();
  const { type, data, correlation_id: id } = await connection.received.take();
  assert.deepEqual([type, data], ["authenticate", { token: "opaque" }]);
  connection.say("authenticated", {}, { correlation_id: id });
  assert.equal(rt.state, "open");
});

test("what a listener does in the middle of a batch costs no event", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const batch = [1, 2, 3].map((n) => ({ type: "n", data: { n }, id: `e-${n}` }));
  const seen = record(rt, "n");
  rt.addEventListener("n", ({ detail }) => detail.data.n === 2 && rt.cut(), { once: false });
  const first = await server.accept();
  first.raw(JSON.stringify(batch));
  const second = await server.accept();
  assert.equal(second.url.searchParams.get("last_event_id"), "e-2");
  second.raw(JSON.stringify(batch.slice(1)));
  await next(rt, "n", ({ data }) => data.n === 3);
  assert.deepEqual(
    seen.map(({ data }) => data.n),
    [1, 2, 3],
  );
});

test("after close nothing is sent, nothing is heard, and what waited is rejected", async (t) => {
  const server = await scripted(t);
  const rt = open(t, server.url, only);
  const connection = await server.accept();
  await rt.opened;
  const seen = record(rt, "message");
  const states = record(rt, "status");
  const waiting = [rt.ping(), rt.chat("zumbi", "Oi"), rt.subscribe()];
  rt.close();
  rt.close();
  rt.cut();
  for (const promise of waiting) await assert.rejects(promise, (error) => error.constructor === ClosedError);
  await assert.rejects(rt.ping(), ClosedError);
  const [code] = await connection.closed;
  assert.equal(code, 1000);
  assert.deepEqual(seen, []);
  assert.deepEqual(
    states.map((status) => [status.state, status.reason]),
    [["closed", "Closed by the app"]],
  );
  assert.equal(rt.transport, null);
  const early = open(t, server.url, only);
  early.close();
  await assert.rejects(early.opened, ClosedError);
});

test("no timer and no socket keeps a process alive after close, whatever it was doing", async (t) => {
  const server = await scripted(t);
  const silent = await scripted(t, { greets: false });
  const stream = await answering(t, (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${welcome()}\n\n`);
  });
  const nothing = await answering(t, () => {});
  for (const [url, transport, until] of [
    [server.url, "websocket", "open"],
    [silent.url, "websocket", "connecting"],
    ["http://127.0.0.1:1", "websocket", "waiting"],
    [stream, "sse", "open"],
    [nothing, "sse", "connecting"],
    [nothing, "poll", "connecting"],
  ]) {
    const script = new URL("leaving.mjs", import.meta.url).pathname;
    const child = spawn(process.execPath, [script, url, transport, until], { stdio: ["ignore", "pipe", "inherit"] });
    const timer = setTimeout(() => child.kill(), 10_000);
    child.stdout.setEncoding("utf8");
    let told = "";
    child.stdout.on("data", (text) => (told += text));
    const [code, signal] = await once(child, "exit");
    clearTimeout(timer);
    assert.deepEqual([code, signal, told], [0, null, "closed\n"], `${transport} ${until}`);
  }
});

test("the other way round: while it is open, it keeps the process alive", async (t) => {
  const server = await scripted(t);
  const script = new URL("leaving.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, server.url, "websocket", "never"], { stdio: "ignore" });
  const connection = await server.accept();
  connection.close(1000, "bye");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("WebSocket is the global one where there is one", async (t) => {
  const server = await scripted(t);
  globalThis.WebSocket = WebSocket;
  t.after(() => delete globalThis.WebSocket);
  const rt = connect(server.url, { token: "t" });
  await rt.opened;
  assert.equal(rt.transport, "websocket");
  rt.close();
});
