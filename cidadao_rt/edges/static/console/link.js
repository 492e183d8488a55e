/** The connection as the page sees it: the client, its token, and what is counted of what comes in. */

import { connect } from "/client.js";

/** Ids of events that are remembered to tell a duplicate; the oldest is forgotten. */
const SEEN_IDS = 20_000;
const PING_MS = 5_000;
const STORED_TOKEN = "cidadao-rt-token";
/** Messages with an id that are no events. */
const ANSWERS = new Set(["connection_established", "pong", "subscribed"]);

/** What the gateway refused; `code` as in its errors. */
export class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Tells `change`, `frame` ({direction, transport, message, kind, at}), `message`, `lost`, `back` and `refused`. */
export class Link extends EventTarget {
  state = "entry";
  transport = null;
  userId;
  latency;
  retryAt;
  reason;
  awayUntil = 0;
  recovered;
  counts = { received: 0, resumes: 0, replayed: 0, duplicates: 0 };
  #setup;
  #client;
  #token;
  #adminToken;
  #seen = new Set();
  /** Events that the newest welcome still announced as replayed. */
  #owed = 0;
  #pinging = false;

  constructor(setup) {
    super();
    this.#setup = setup;
    setInterval(() => this.#ping(), PING_MS);
  }

  get sessionId() {
    return this.#client?.sessionId;
  }

  get cursor() {
    return this.#client?.cursor;
  }

  get needsToken() {
    return !this.#setup.gives_token && !sessionStorage.getItem(STORED_TOKEN);
  }

  /** Enter with a token that a person gave. */
  enter(token) {
    sessionStorage.setItem(STORED_TOKEN, token);
  }

  /** Close; like any end in production, it forgets the token. */
  leave() {
    this.#client?.close();
  }

  /** Connect by this transport; an earlier connection is given up and its session taken along. */
  open(transport) {
    const earlier = this.#client;
    const options = { transports: [transport], sessionId: earlier?.sessionId, lastEventId: earlier?.cursor };
    const client = connect(location.origin, {
      ...options,
      token: () => this.#fresh(),
      backoffMaxSeconds: this.#setup.development ? 2 : 30,
      maxBuffered: 50_000,
    });
    this.#client = client;
    earlier?.close();
    client.opened.catch(() => {}); // Told by its status as well.
    const current = (act) => (event) => client === this.#client && act(event.detail);
    client.addEventListener("frame", current((frame) => this.#frame(frame)));
    client.addEventListener("message", current((message) => this.#tell("message", message)));
    client.addEventListener("status", current((status) => this.#status(status)));
  }

  /** Lose the connection, and stay away for so many seconds (fewer than the client waits for a token, 10). */
  cut(seconds = 0) {
    this.#client.cut();
    this.awayUntil = Date.now() + seconds * 1000;
  }

  /** A command; resolves with what answers it. */
  send(type, data) {
    return this.#client.send(type, data);
  }

  chat(agent, message, options) {
    return this.#client.chat(agent, message, options);
  }

  /** Ask the gateway over HTTP. Throws `Problem`; `NETWORK` where nobody answers. */
  async api(path, body, { admin = false } = {}) {
    const token = admin ? await this.#admin() : this.#token;
    return ask(path, body, { authorization: `Bearer ${token ?? sessionStorage.getItem(STORED_TOKEN)}` });
  }

  async #fresh() {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, this.awayUntil - Date.now())));
    if (!this.#setup.gives_token) return sessionStorage.getItem(STORED_TOKEN);
    const { token } = await ask("/console/token", {});
    this.#token = token;
    return token;
  }

  async #admin() {
    if (!this.#setup.gives_token) return undefined;
    // A little less than it holds.
    if (this.#adminToken === undefined || Date.now() - this.#adminToken.at > 3_000_000) {
      this.#adminToken = { token: (await ask("/console/token", { admin: true })).token, at: Date.now() };
    }
    return this.#adminToken.token;
  }

  #frame({ direction, transport, data: message }) {
    let kind = direction;
    if (direction === "in") {
      this.counts.received++;
      if (message.type === "connection_established") this.#welcome(message.data);
      else if (typeof message.id === "string" && !ANSWERS.has(message.type)) kind = this.#kind(message.id);
    }
    this.#tell("frame", { direction, transport, message, kind, at: Date.now() });
    this.#tell("change");
  }

  #kind(id) {
    if (this.#seen.has(id)) {
      this.counts.duplicates++;
      return "duplicate";
    }
    this.#seen.add(id);
    if (this.#seen.size > SEEN_IDS) this.#seen.delete(this.#seen.values().next().value);
    if (this.#owed === 0) return "in";
    this.#owed--;
    this.counts.replayed++;
    return "replayed";
  }

  #welcome({ user_id: userId, resumed, recovered, replayed }) {
    this.userId = userId;
    this.recovered = recovered;
    this.#owed = typeof replayed === "number" ? replayed : 0;
    if (resumed) this.counts.resumes++;
    this.#tell("back", { resumed, recovered, replayed: this.#owed });
  }

  #status({ state, transport, reason, retryIn }) {
    const before = this.state;
    this.state = state;
    this.transport = transport;
    this.reason = reason;
    this.retryAt = state === "waiting" && retryIn !== undefined ? Date.now() + retryIn * 1000 : undefined;
    if (state === "open") this.#ping();
    else this.latency = undefined;
    if (before === "open" && state !== "open") this.#tell("lost", { reason });
    if (state === "closed") {
      if (!this.#setup.gives_token) {
        sessionStorage.removeItem(STORED_TOKEN);
        this.state = "entry";
      }
      this.#tell("refused", { reason });
    }
    this.#tell("change");
  }

  async #ping() {
    if (this.state !== "open" || this.#pinging || document.hidden) return;
    this.#pinging = true;
    const began = performance.now();
    const client = this.#client;
    try {
      await client.ping();
      if (this.state === "open" && client === this.#client) this.latency = performance.now() - began;
    } catch {
      // Refused for its rate, or closed meanwhile: the frames show it, and the next one tells.
    } finally {
      this.#pinging = false;
    }
    this.#tell("change");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** GET, or with a `body` POST; the JSON that answers. Throws `Problem`. */
export async function ask(path, body, headers = {}) {
  const init =
    body === undefined
      ? { headers }
      : { method: "POST", body: JSON.stringify(body), headers: { ...headers, "content-type": "application/json" } };
  let response;
  try {
    response = await fetch(path, { ...init, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Problem("NETWORK", "");
  }
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(found.code ?? String(response.status), found.message ?? response.statusText);
  return found;
}
