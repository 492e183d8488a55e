// Against real gateways, over each transport: what an app relies on.

import assert from "node:assert/strict";
import { ClosedError, CommandError, RefusedError } from "../../cidadao_rt/edges/static/client.js";
import { gateway, next, numbered, open, proxy, record, sent, state, test } from "./support.mjs";

for (const transport of ["websocket", "sse", "poll"]) {
  const options = async (server, more = {}) => ({ token: await server.token(), transports: [transport], ...more });

  test(`${transport}: an investigation from its start to its end, then a chat`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server));
    assert.equal(rt.transport, null);
    await rt.opened;
    assert.deepEqual([rt.transport, rt.recovered, rt.state], [transport, true, "open"]);
    assert.match(rt.sessionId, /^sess_/);
    const investigation = await rt.startInvestigation("Merenda escolar 2024", { agents: ["zumbi"] });
    const updates = [];
    for await (const update of investigation) updates.push(update);
    assert.ok(updates.every(({ data }) => data.investigation_id === investigation.id));
    assert.equal(updates[0].data.status, "started");
    assert.equal(updates.at(-1).data.status, "completed");
    assert.ok(updates.some(({ type }) => type === "agent_analysis"));
    const ids = updates.map(({ id }) => id);
    assert.ok(!ids.includes(undefined));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual([investigation.status, investigation.progress], ["completed", 100]);
    const chunks = [];
    const answer = await rt.chat("Abaporu", "Oi", {
      context: { investigation_id: investigation.id },
      onChunk: (content, index) => chunks.push([index, content]),
    });
    assert.deepEqual([answer.agent, answer.investigation_id], ["abaporu", investigation.id]);
    // A poll sees the chunks that come while one waits.
    if (transport !== "poll") assert.equal(chunks.map(([, content]) => content).join(""), answer.message);
  });

  test(`${transport}: what is refused rejects, and the connection stays`, async (t) => {
    const server = await gateway({ limits: { messages_per_minute: 4 } });
    const rt = open(t, server.http, await options(server));
    await assert.rejects(rt.cancelInvestigation("inv_unknown"), { name: "CommandError", code: "NOT_FOUND" });
    await assert.rejects(rt.send("no_such_type"), { code: "UNKNOWN_TYPE" });
    await assert.rejects(rt.startInvestigation("  "), { code: "INVALID_REQUEST" });
    assert.equal((await rt.ping()).type, "pong");
    const error = await rt.ping().catch((reason) => reason);
    assert.ok(error instanceof CommandError);
    assert.equal(error.code, "RATE_LIMIT_EXCEEDED");
    assert.ok(error.details.retry_after > 0);
    assert.equal(rt.state, "open");
  });

  test(`${transport}: subscriptions say what is followed and what is denied`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server, { events: [] }));
    const seen = record(rt, "message");
    await rt.opened;
    const granted = await rt.subscribe({ events: ["numbered", "Bad Name"] });
    assert.deepEqual(granted.events, ["numbered"]);
    assert.deepEqual(granted.denied, [{ event: "Bad Name", code: "INVALID_REQUEST" }]);
    const last = next(rt, "numbered", ({ data }) => data.n === 3);
    const [start] = await server.publish({ ...numbered(1), type: "another" }, numbered(2), numbered(3));
    await last;
    assert.deepEqual(
      seen.map(({ data }) => data.n),
      [2, 3],
    );
    assert.deepEqual(await rt.unsubscribe({ events: ["numbered"] }), { events: ["numbered"], investigation_ids: null });
    // Who asks for the past gets it again.
    const again = next(rt, "numbered", ({ data }) => data.n === 3);
    const asked = await rt.subscribe({ events: ["numbered"], after: start });
    assert.deepEqual([asked.recovered, asked.replayed], [true, 2]);
    await again;
    assert.deepEqual(
      seen.map(({ data }) => data.n),
      [2, 3, 2, 3],
    );
  });

  test(`${transport}: through real cuts in mid-stream nothing is lost, doubled or out of order`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server));
    const opened = record(rt, "status");
    await rt.opened;
    const session = rt.sessionId;
    const seen = [];
    const done = (async () => {
      for await (const { type, data } of rt) {
        if (type === "numbered") seen.push(data.n);
        if (seen.at(-1) === 399) return;
      }
    })();
    for (let n = 0; n < 400; n++) {
      await server.publish(numbered(n));
      if (n % 40 === 5) await server.cut();
      if (n % 40 === 25) rt.cut();
      if (n % 20 === 15 && rt.state !== "open") await next(rt, "status", state("open"));
    }
    await done;
    assert.deepEqual(
      seen,
      Array.from({ length: 400 }, (_, n) => n),
    );
    assert.equal(rt.sessionId, session);
    // A poll that the gateway cuts is only answered early.
    assert.ok(opened.filter(state("open")).length > (transport === "poll" ? 8 : 15));
    assert.ok(opened.filter(state("open")).every(({ recovered }) => recovered));
  });

  test(`${transport}: a chat that is cut off is waited for, not asked again`, async (t) => {
    const server = await gateway({ agents: { speed: 5 } });
    const rt = open(t, server.http, await options(server));
    const frames = record(rt, "frame");
    await rt.opened;
    const answer = rt.chat("drummond", "Oi");
    if (transport === "poll") {
      // Commands go in order: the chat's own reply, which has nothing in it, has come before this one.
      await rt.ping();
    } else await next(rt, "agent_chat_chunk");
    rt.cut();
    assert.equal((await answer).role, "assistant");
    assert.equal(sent(frames, "agent_chat").length, 1);
  });

  test(`${transport}: a refused token ends it at once and is not tried again`, async (t) => {
    const server = await gateway();
    for (const [token, reason] of [
      ["nonsense", "Invalid token"],
      [await server.token("ana", -5), "Token expired"],
      [undefined, "Authentication required"],
    ]) {
      const rt = open(t, server.http, { token, transports: [transport] });
      const states = record(rt, "status");
      const waiting = rt.ping();
      const iterated = (async () => {
        for await (const event of rt) assert.fail(event.type);
      })();
      await assert.rejects(rt.opened, (error) => error instanceof RefusedError && error.code === 1008);
      await assert.rejects(waiting, { name: "RefusedError", reason });
      await assert.rejects(iterated, RefusedError);
      await assert.rejects(rt.ping(), RefusedError);
      assert.deepEqual(
        states.map((status) => status.state),
        ["connecting", "closed"],
      );
      assert.equal(states[1].reason, reason);
    }
  });

  test(`${transport}: a token that is a function is asked again, until it gives the same one twice`, async (t) => {
    const server = await gateway();
    const given = [await server.token("ana", -5), await server.token()];
    const rt = open(t, server.http, { token: async () => given.shift(), transports: [transport] });
    await rt.opened;
    const stale = open(t, server.http, { token: () => "stale", transports: [transport] });
    const states = record(stale, "status");
    await assert.rejects(stale.opened, { name: "RefusedError", reason: "Invalid token" });
    assert.deepEqual(
      states.map((status) => status.state),
      ["connecting", "waiting", "connecting", "closed"],
    );
  });

  test(`${transport}: after a drain it finds the successor, is told what it missed, and follows the same again`, async (t) => {
    const server = await gateway({ agents: { speed: 0.001 } });
    const rt = open(t, server.http, await options(server));
    await rt.subscribe({ events: ["numbered"] });
    const investigation = await rt.startInvestigation("q");
    const states = record(rt, "status");
    const lost = next(rt, "connection_established");
    // What the app had subscribed to is told to it, since a grant may be gone by now.
    const restored = next(rt, "subscribed");
    await server.replace();
    assert.deepEqual((await lost).data.recovered, false);
    assert.deepEqual((await restored).data.events, ["numbered"]);
    assert.equal(states.filter(state("waiting"))[0].retryIn, 0.5);
    assert.equal(investigation.status, "started");
    const one = next(rt, "numbered");
    await server.publish({ ...numbered(0), type: "another" }, numbered(1));
    assert.equal((await one).data.n, 1);
  });

  test(`${transport}: batches are taken apart`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server, { batch: true }));
    const seen = record(rt, "numbered");
    await rt.opened;
    await server.publish(...Array.from({ length: 100 }, (_, n) => numbered(n)));
    if (seen.length < 100) await next(rt, "numbered", ({ data }) => data.n === 99);
    assert.deepEqual(
      seen.map(({ data }) => data.n),
      Array.from({ length: 100 }, (_, n) => n),
    );
  });

  test(`${transport}: too slow a loop costs the connection, but no event`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server, { maxBuffered: 50 }));
    const states = record(rt, "status");
    const events = rt[Symbol.asyncIterator]();
    await rt.opened;
    const paused = next(rt, "status", ({ reason }) => reason?.includes("too slow"));
    const unanswered = server.publish(...Array.from({ length: 300 }, (_, n) => numbered(n)));
    assert.equal((await paused).retryIn, undefined);
    await unanswered;
    await assert.rejects(rt.ping(), { code: "OVERLOADED" });
    for (let n = 0; n < 300; n++) assert.equal((await events.next()).value.data.n, n);
    assert.ok(states.filter(state("open")).length > 2);
    assert.ok(states.every(({ recovered }) => recovered !== false));
  });

  test(`${transport}: the paths of an investigation and of the chat`, async (t) => {
    const server = await gateway({ agents: { speed: 0.001 } });
    const first = open(t, server.http, await options(server));
    const [one, other] = [await first.startInvestigation("q"), await first.startInvestigation("r")];
    const path = `/ws/investigations/${one.id}`;
    const bound = open(t, server.http, await options(server, { path }));
    const seen = record(bound, "investigation_update");
    await bound.opened;
    await other.cancel();
    const ended = next(bound, "investigation_update", ({ data }) => data.status === "cancelled");
    assert.equal((await one.cancel()).status, "cancelled");
    await ended;
    assert.ok(seen.every(({ data }) => data.investigation_id === one.id));
    const chat = open(t, (await gateway()).http, await options(server, { path: "/ws/chat?agent=zumbi" }));
    assert.equal((await chat.chat(null, "Oi")).agent, "zumbi");
    assert.equal((await chat.chat("anita", "Oi")).agent, "anita");
    if (transport === "poll") return; // A page does not say what was denied.
    const unknown = open(t, server.http, await options(server, { path: "/ws/investigations/inv_unknown" }));
    await assert.rejects(unknown.opened, { name: "RefusedError", reason: /Investigation not found/ });
  });

  test(`${transport}: another client continues by session and cursor, and by the cursor alone`, async (t) => {
    const server = await gateway();
    const rt = open(t, server.http, await options(server));
    await rt.opened;
    const seen = next(rt, "numbered");
    await server.publish(numbered(0));
    await seen;
    const { sessionId, cursor } = rt;
    rt.close();
    await server.publish(numbered(1));
    const states = [];
    for (const more of [{ sessionId, lastEventId: cursor }, { lastEventId: cursor }]) {
      const later = open(t, server.http, await options(server, more));
      assert.equal((await next(later, "numbered")).data.n, 1);
      states.push(later.sessionId === sessionId);
      later.close();
    }
    assert.deepEqual(states, [true, false]);
  });
}

for (const transport of ["websocket", "sse", "poll"])
  test(`${transport}: what the subscriptions of a lost session missed comes in its place`, async (t) => {
    const { http, token, publish, forget } = await gateway();
    const say = (n, to) => publish({ to, type: "numbered", data: { n } });
    const shared = { investigation_id: "shared", owner: "bia" };
    await say(0, shared);
    const ana = await token("ana", 600, { investigations: ["shared"] });
    let gate;
    const rt = open(t, http, { transports: [transport], token: async () => (await gate, ana) });
    await rt.subscribe();
    await rt.subscribe({ investigationIds: ["shared"] });
    const seen = record(rt, "numbered");
    const first = next(rt, "numbered");
    await say(1, shared);
    await first;
    let release;
    gate = new Promise((resolve) => (release = resolve));
    rt.cut();
    await forget();
    for (let n = 2; n < 10; n++) await say(n, n % 2 ? shared : { user_id: "ana" });
    const last = next(rt, "numbered", ({ data }) => data.n === 9);
    release();
    await last;
    assert.deepEqual(
      seen.map(({ data }) => data.n),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.equal(rt.recovered, true);
  });

test("a token is renewed before it runs out, on the same connection", async (t) => {
  const server = await gateway();
  const renewed = async (transport) => {
    let asked = 0;
    const token = async () => server.token("ana", asked++ === 0 ? 6 : 600);
    const rt = open(t, server.http, { token, transports: [transport] });
    const states = record(rt, "status");
    const frames = record(rt, "frame");
    const { data } = await next(rt, "frame", ({ data: { type } }) => type === "authenticated");
    assert.ok(!JSON.stringify(sent(frames, "authenticate")).includes("eyJ"), "a token was shown");
    assert.ok(Date.parse(data.data.expires_at) - Date.now() > 500_000);
    // Past the end of the first token, the second one holds.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await rt.ping();
    assert.equal(asked, 2);
    assert.deepEqual(
      states.map((status) => status.state),
      ["connecting", "open"],
    );
  };
  await Promise.all(["websocket", "sse", "poll"].map(renewed));
});

for (const [transport, batch] of [["websocket", false], ["sse", false], ["sse", true]]) {
  test(`${transport}${batch ? ", batched" : ""}: a session taken over elsewhere is left to the other`, async (t) => {
    const way = { transports: [transport], batch };
    const server = await gateway();
    const token = await server.token();
    const rt = open(t, server.http, { token, ...way });
    await rt.opened;
    const events = rt[Symbol.asyncIterator]();
    const other = open(t, server.http, { token, sessionId: rt.sessionId, ...way });
    assert.deepEqual(await events.next(), { done: true, value: undefined });
    await other.opened;
    await assert.rejects(rt.ping(), (error) => error instanceof ClosedError && error.code === 1000);
    assert.equal(rt.state, "closed");
  });
}

test("without a WebSocket, as in Node 20, it is SSE over fetch", async (t) => {
  const server = await gateway();
  const rt = open(t, server.http, { token: await server.token(), WebSocket: undefined });
  await rt.opened;
  assert.equal(rt.transport, globalThis.WebSocket ? "websocket" : "sse");
});

test("where the upgrade is refused twice it says so and goes on over SSE, and later finds WebSocket again", async (t) => {
  const server = await gateway();
  const faults = { refusesUpgrade: true };
  const url = await proxy(t, server.http, faults);
  const rt = open(t, url, { token: await server.token(), webSocketAgainSeconds: 0.2 });
  const states = record(rt, "status");
  await rt.opened;
  const ways = states.map((status) => `${status.state} ${status.transport}`);
  assert.deepEqual(ways, [
    "connecting websocket",
    "waiting websocket",
    "connecting websocket",
    "waiting sse",
    "connecting sse",
    "open sse",
  ]);
  assert.ok(states[3].reason);
  const seen = [];
  const done = next(rt, "numbered", ({ data }) => seen.push(data.n) && data.n === 9);
  const better = next(rt, "status", ({ state, transport }) => state === "open" && transport === "websocket");
  await server.publish(numbered(0));
  faults.refusesUpgrade = false;
  for (let n = 1; n < 9; n++) await server.publish(numbered(n));
  await better;
  await server.publish(numbered(9));
  await done;
  assert.deepEqual(
    seen,
    Array.from({ length: 10 }, (_, n) => n),
  );
  assert.equal(
    states.filter(state("open")).every(({ recovered }) => recovered),
    true,
  );
});

test("a proxy that buffers streams ends in polling", async (t) => {
  const server = await gateway();
  const url = await proxy(t, server.http, { refusesUpgrade: true, buffersStreams: true });
  const rt = open(t, url, { token: await server.token(), openSeconds: 1 });
  await rt.opened;
  assert.equal(rt.transport, "poll");
  const investigation = await rt.startInvestigation("q");
  for await (const update of investigation) assert.ok(update.id);
  assert.equal(investigation.status, "completed");
});

test("a session goes from WebSocket to SSE and on to polling, subscriptions and all", async (t) => {
  const server = await gateway();
  const faults = {};
  const url = await proxy(t, server.http, faults);
  const rt = open(t, url, { token: await server.token(), openSeconds: 1, path: "/ws/chat" });
  await rt.subscribe({ events: ["numbered"] });
  const session = rt.sessionId;
  const ways = [rt.transport];
  for (const fault of ["refusesUpgrade", "buffersStreams"]) {
    faults[fault] = true;
    const opened = next(rt, "status", state("open"));
    rt.cut();
    const { transport, recovered } = await opened;
    assert.equal(recovered, true);
    ways.push(transport);
    const one = next(rt, "numbered");
    await server.publish(numbered(ways.length));
    assert.equal((await one).data.n, ways.length);
    // A stream that was up and is cut is no reason to fall: only one that does not begin is.
    assert.equal(rt.sessionId, session);
  }
  assert.deepEqual(ways, ["websocket", "sse", "poll"]);
});
