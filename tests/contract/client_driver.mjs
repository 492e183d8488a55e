// Drives many of the JavaScript client's clients from outside: JSON lines in, JSON lines out. Ends when its input does
// and every client has let go of its timers and sockets; whoever started it waits for that.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { connect } = await import(pathToFileURL(process.argv[2]));
const clients = new Map();
const tokens = new Map();
let asked = 0;

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const told = (error) => ({ name: error.name, code: error.code ?? null, message: error.message });

/** A fresh token from whoever drives. */
function fetchToken(client) {
  return new Promise((resolve) => {
    tokens.set(++asked, resolve);
    say({ client, asks_token: asked });
  });
}

async function listen(client, rt) {
  try {
    for await (const event of rt) say({ client, event });
    say({ client, ended: null });
  } catch (error) {
    say({ client, ended: told(error) });
  }
}

const calls = {
  async open({ client, url, token, options }) {
    const rt = connect(url, {
      ...options,
      token: token ?? (() => fetchToken(client)),
      WebSocket: globalThis.WebSocket,
    });
    clients.set(client, rt);
    rt.addEventListener("status", ({ detail: { state, transport, recovered } }) =>
      say({ client, status: { state, transport, recovered: recovered ?? null, session_id: rt.sessionId ?? null } }),
    );
    await rt.opened;
    listen(client, rt);
  },
  async start({ client, query }) {
    return (await clients.get(client).startInvestigation(query)).id;
  },
  async chat({ client, agent, message }) {
    return (await clients.get(client).chat(agent, message)).message;
  },
  async subscribe({ client, events, investigationIds }) {
    await clients.get(client).subscribe({ events, investigationIds });
  },
  async close({ client }) {
    clients.get(client)?.close();
    clients.delete(client);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, op, ...rest } = JSON.parse(line);
  if (op === "token") {
    tokens.get(rest.asked)(rest.token);
    tokens.delete(rest.asked);
    continue;
  }
  calls[op](rest).then(
    (value) => say({ client: rest.client, call, value: value ?? null }),
    (error) => say({ client: rest.client, call, error: told(error) }),
  );
}
for (const rt of clients.values()) rt.close();
// Who is still here by then is asked what keeps it.
setTimeout(() => say({ leftovers: process.getActiveResourcesInfo() }), 3000).unref();
