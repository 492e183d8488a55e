/**
 * The JavaScript client of cidadao_rt: one ES module for browsers and Node 20, without dependencies or a build step.
 *
 * Three parts: the conversation (what was said and what is owed; no I/O, no clock), the transports (WebSocket, SSE
 * and polling, each with one way in and one way out), and the connection that opens, falls back, backs off and resumes.
 * The guide is docs/clients.md; the types are in client.d.ts.
 */

/** Ids of events that are remembered to drop duplicates; the oldest is forgotten. A replay has at most 10,000. */
const SEEN_IDS = 20_000;
/** Messages held for the first iterator of an app that has not listened yet; past it the oldest is let go. */
const HELD = 1_000;
/** Changes of subscriptions that are made again on a new session; past it the oldest is forgotten. */
const CHANGES = 128;
/** For so long the gateway knows a start by its correlation id (5 minutes, less a margin), in ms. */
const START_KNOWN_MS = 290_000;
/** A server may ask for so much patience, in ms; a longer wait is cut to it. */
const LONGEST_WAIT_MS = 300_000;
/** The gateway's own bounds of a message and of what it reads of one that it refuses for its rate, in bytes. */
const MESSAGE_BYTES = 65_536;
const ECHO_BYTES = 4_096;
/** What the timestamp and the correlation id add to a command. */
const ENVELOPE_BYTES = 91;
/** Seconds that a poll waits, and that pass before the next one where somebody else ends ours at once. */
const POLL_SECONDS = 25;
const POLL_PAUSE_SECONDS = 1;
/** Characters of one line of an event stream; a longer one is no stream of ours. */
const LINE_CHARS = 4_194_304;
/** After a WebSocket's error its close is waited for so long, in ms. */
const GRACE_MS = 500;
/** A request that had no answer may reach the gateway for so long, and then takes the session from its own client. */
const LATE_MS = 120_000;
/** Seconds before a refresh of the token that failed is tried again. */
const RENEW_AGAIN_SECONDS = 5;

const ANSWERS = new Set([
  "connection_established",
  "pong",
  "subscribed",
  "unsubscribed",
  "authenticated",
  "going_away",
]);
const FINAL = new Set(["completed", "failed", "cancelled"]);
const OWN_EVENTS = new Set(["message", "status", "frame"]);
const MOVED = "Session resumed elsewhere";
const TOKEN_REASONS = new Set(["Authentication required", "Invalid token", "Token expired"]);
/** Codes of an `error` before the welcome that waiting may cure. */
const PASSING = new Set(["CONNECTION_LIMIT", "OVERLOADED", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR"]);

/** The gateway answered a command with an `error`, or the client could not keep the command. */
export class CommandError extends Error {
  constructor({ code, message, details = {} }) {
    super(message);
    this.name = "CommandError";
    this.code = code;
    this.details = details;
  }
}

/** The client is closed and does not come back; `code` is the WebSocket close code, or the one that fits. */
export class ClosedError extends Error {
  constructor(code, reason) {
    super(reason || `Closed with ${code}`);
    this.name = new.target.name;
    this.code = code;
    this.reason = reason;
  }
}

/** The gateway refused the token, or what was asked for when connecting; trying again would not help. */
export class RefusedError extends ClosedError {}

// -- The conversation -------------------------------------------------------------------------------------------------

/** What was received and what is owed, whatever carries it. Every `now` is in ms. */
class Conversation {
  sessionId;
  recovered;
  pending = new Map();
  #cursor;
  /** Where to resume while the subscriptions of a lost session are not back: later ids prove nothing about them. */
  #floor;
  #seen = new Set();
  #changes = [];
  #welcome;

  constructor(sessionId, cursor) {
    this.sessionId = sessionId;
    this.#cursor = cursor;
  }

  get cursor() {
    return this.#floor ?? this.#cursor;
  }

  /** The stream has come to `id` without an event. */
  reach(id) {
    if (typeof id === "string" && id) this.#cursor = id;
  }

  /** Commands of the app that are without an answer. */
  get waiting() {
    let count = 0;
    for (const command of this.pending.values()) if (!command.internal) count++;
    return count;
  }

  /**
   * Take in one message, from the stream or in reply to a command by POST (`replyTo` is its type). `deliver` is what
   * the app is to see, if anything; `settle` tells its command; `failed` is the error of a subscription that could not
   * be made again.
   */
  receive(message, replyTo) {
    const { type, data = {}, id, correlation_id: correlationId } = message;
    const command = this.pending.get(correlationId);
    const before = this.cursor;
    // What is replied beside the stream says nothing about where the stream is, except that it was set back.
    if (!replyTo || type === "subscribed") this.reach(id);
    if (type === "connection_established") return this.#greet(message, before);
    const isEvent = typeof id === "string" && !ANSWERS.has(type);
    // It is only a part, and not in its place: everything since the floor comes again.
    if (isEvent && this.#floor !== undefined && this.recovered) return {};
    const known = isEvent && this.#seen.has(id);
    if (isEvent) this.#remember(id);
    let deliver = known || ANSWERS.has(type) ? undefined : message;
    // The answer came as an event before it could be replied; what follows a subscription is no answer but news.
    if (!command && type === "investigation_update" && replyTo && !replyTo.startsWith("subscribe")) return {};
    if (!command) return { deliver: this.#blame(message) ? undefined : deliver };
    if (command.type === "agent_chat" && type !== "agent_chat" && type !== "error") {
      command.taken = true;
      return { deliver, chunk: type === "agent_chat_chunk" ? command : undefined };
    }
    if (command.internal) return this.#restored(command, message);
    this.pending.delete(correlationId);
    if (type === "pong") this.#provesEarlierChats(command);
    if (type === "subscribed" || type === "unsubscribed") this.#change(command);
    // An answer that is no event is for whoever asked; as an event it is for everybody.
    if (!isEvent) deliver = undefined;
    if (type === "error") return { deliver, settle: () => command.reject(new CommandError(data)) };
    return { deliver, settle: () => command.resolve(message) };
  }

  /** Keep a command until it is answered. */
  add(command) {
    this.pending.set(command.id, command);
  }

  /** Note when a command is sent. Who asks for the past gets it again, seen or not, and once from now on. */
  sent(command, now) {
    command.sentAt ??= now;
    if (command.data.after !== undefined && !command.internal) this.#seen.clear();
  }

  /** The gateway has taken this command, so that its answer will come as an event of the session. */
  taken(id) {
    const command = this.pending.get(id);
    if (command) command.taken = true;
  }

  /**
   * What to send on a new connection, in order: lost subscriptions, then all that is unanswered. Only a chat that was
   * taken by a session that goes on is waited for. Starts whose id the gateway may have forgotten are given up.
   */
  owed(now) {
    const { resumed, recovered } = this.#welcome.data;
    const commands = [];
    for (const command of this.pending.values()) {
      if (command.type === "agent_chat" && command.taken && resumed && recovered) continue;
      if (command.type === "start_investigation" && now - command.sentAt > START_KNOWN_MS) {
        const message = "No answer for five minutes: whether it was started is not known";
        this.giveUp(command, { code: "INTERNAL_ERROR", message, details: { unknown: true } });
        continue;
      }
      command.taken = false;
      commands.push(command);
    }
    return commands;
  }

  /** Reject one command. */
  giveUp(command, error) {
    this.pending.delete(command.id);
    command.reject(new CommandError(error));
  }

  /** Give up every command longer than `bytes`: a frame past the hard bound has cost the connection. */
  giveUpLongerThan(bytes) {
    for (const command of [...this.pending.values()]) {
      if (command.bytes > bytes) {
        const details = { limit: bytes };
        this.giveUp(command, { code: "MESSAGE_TOO_LARGE", message: `Message is larger than ${bytes} bytes`, details });
      }
    }
  }

  #greet(message, before) {
    this.#welcome = message;
    this.sessionId = message.data.session_id;
    this.recovered = message.data.recovered;
    if (!message.data.resumed) this.#restore(before);
    return { welcome: true, deliver: this.recovered ? undefined : message };
  }

  /** A new session follows the default: make the app's own changes again, and have all since `before` sent again. */
  #restore(before) {
    for (const command of [...this.pending.values()]) if (command.internal) this.pending.delete(command.id);
    const last = this.#changes.findLastIndex(({ type }) => type === "subscribe");
    const again = this.#changes.map(({ type, data }, index) => {
      const rewinds = index === last && before !== undefined;
      return newCommand(type, rewinds ? { ...data, after: before } : data, { internal: true });
    });
    this.#floor = last >= 0 ? before : undefined;
    // They stand before what waits, which may rely on them.
    this.pending = new Map([...again.map((command) => [command.id, command]), ...this.pending]);
  }

  #restored(command, message) {
    if (message.type === "error") return { failed: message.data };
    this.pending.delete(command.id);
    if (command.data.after === undefined) return { deliver: message };
    this.#floor = undefined;
    if (message.data.recovered || !this.recovered) return { deliver: message };
    this.recovered = false;
    return { deliver: { ...this.#welcome, data: { ...this.#welcome.data, recovered: false, replayed: 0 } } };
  }

  #change({ type, data }) {
    let change = { type, data: { ...data } };
    if (data.investigation_id !== undefined) {
      change = { type: type.split("_")[0], data: { investigation_ids: [data.investigation_id] } };
    }
    delete change.data.after;
    const text = JSON.stringify(change);
    this.#changes = this.#changes.filter((earlier) => JSON.stringify(earlier) !== text).slice(1 - CHANGES);
    this.#changes.push(change);
  }

  #provesEarlierChats(pong) {
    for (const command of this.pending.values()) {
      if (command.sequence < pong.sequence && command.sentAt !== undefined) command.taken = true;
    }
  }

  /** Some errors cannot name their command, because the gateway did not read so far. */
  #blame({ type, data, correlation_id: correlationId }) {
    if (type !== "error" || correlationId != null) return false;
    const sent = [...this.pending.values()].filter((command) => command.sentAt !== undefined && !command.internal);
    const limit = data.code === "MESSAGE_TOO_LARGE" ? data.details?.limit : ECHO_BYTES;
    if (data.code !== "MESSAGE_TOO_LARGE" && data.code !== "RATE_LIMIT_EXCEEDED") return false;
    const command = sent.find(({ bytes }) => bytes > limit);
    if (command) this.giveUp(command, data);
    return command !== undefined;
  }

  #remember(id) {
    this.#seen.add(id);
    if (this.#seen.size > SEEN_IDS) this.#seen.delete(this.#seen.values().next().value);
  }
}

let sequence = 0;

/** A command as it waits for its answer. */
function newCommand(type, data, { internal = false, resolve = () => {}, reject = () => {}, onChunk } = {}) {
  const random = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bytes = new TextEncoder().encode(JSON.stringify({ type, data })).length + ENVELOPE_BYTES;
  return { id, type, data, bytes, internal, resolve, reject, onChunk, taken: false, sequence: sequence++ };
}

/** An event stream to `{data, id}` and `{retry}`. Source: the HTML standard, "Interpreting an event stream". */
export class EventStreamParser {
  #rest = "";
  #afterReturn = false;
  #data = [];
  #id;

  /** Parse a piece of decoded text; yields what is complete. Throws `RangeError` for an endless line. */
  *push(text) {
    if (!text) return;
    const ended = text.endsWith("\r");
    // A line feed that belongs to a carriage return of the piece before ends no line of its own.
    if (this.#afterReturn && text[0] === "\n") text = text.slice(1);
    this.#afterReturn = ended;
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    if (this.#rest.length > LINE_CHARS) throw new RangeError("A line of the event stream is too long");
    for (const line of lines) {
      if (line) yield* this.#field(line);
      else yield* this.#block();
    }
  }

  *#field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    if (name === "id" && !value.includes("\0")) this.#id = value;
    if (name === "retry" && /^[0-9]+$/.test(value)) yield { retry: Number(value) };
  }

  *#block() {
    yield { id: this.#id, data: this.#data.length ? this.#data.join("\n") : undefined };
    // A browser would keep the id; here it must not undo that the cursor was set back meanwhile.
    this.#id = undefined;
    this.#data = [];
  }
}

/** When a JWT ends, in ms since 1970; undefined where the token does not say. */
function expiry(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : undefined;
  } catch {
    return undefined; // Not every token is a JWT.
  }
}

// -- Transports -------------------------------------------------------------------------------------------------------
//
// Each is made with `request` (where, and as whom) and `on`: `data(message or array, replyTo?)`, `reach(id)`,
// `taken(id)`, and once `close({code, reason, retryMs?, unauthorized?, unreachable?, unfit?})`: the token was refused;
// nobody answered; somebody answered who is no gateway. After its own `close()` it says no more.

class WebSocketTransport {
  #socket;
  #grace;

  constructor(request, on) {
    const socket = new request.WebSocket(request.webSocketUrl());
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        this.close(true);
        on.close({ code: 1007, reason: "Not JSON" });
        return;
      }
      on.data(message);
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(this.#grace);
      const text = String(reason) || `The WebSocket closed with ${code}`;
      on.close({ code, reason: text, unauthorized: code === 1008 && TOKEN_REASONS.has(text) });
    };
    // A close follows, and it knows more; but Node's own WebSocket leaves it out where a handshake was cut.
    socket.onerror = () => {
      this.#grace ??= setTimeout(() => {
        this.close(true);
        on.close({ code: 1006, reason: "The WebSocket broke" });
      }, GRACE_MS);
    };
  }

  send(message) {
    // On one that is closing it would be lost as well, and a browser complains; the close that follows has it sent again.
    if (this.#socket.readyState > 1) return;
    this.#socket.send(JSON.stringify(message));
  }

  close(abruptly = false) {
    clearTimeout(this.#grace);
    this.#socket.onmessage = this.#socket.onclose = null;
    if (abruptly && this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close(1000);
  }
}

/** What the two that listen over HTTP share: requests that end with the transport, and commands by POST, in order. */
class HttpTransport {
  ended = false;
  #requests = new Set();
  #posts = Promise.resolve();
  #wake = () => {};

  constructor(request, on) {
    this.request = request;
    this.on = on;
  }

  send(message) {
    this.#posts = this.#posts.then(() => this.#post(message));
  }

  close() {
    this.ended = true;
    for (const controller of this.#requests) controller.abort();
    this.#wake();
  }

  end(close) {
    if (this.ended) return;
    this.close();
    this.on.close(close);
  }

  /** Fetch, and `read` the response; all of it within `seconds`. Throws what `fetch` throws. */
  async ask(path, params, seconds, read, init = {}) {
    const { controller = new AbortController(), ...wanted } = init;
    this.#requests.add(controller);
    const timer = seconds === Infinity ? undefined : setTimeout(() => controller.abort(), seconds * 1000);
    try {
      const headers = { ...wanted.headers, authorization: `Bearer ${this.request.token()}` };
      const { signal } = controller;
      const rest = { ...wanted, headers, signal, cache: "no-store", credentials: "omit" };
      return await read(await this.request.fetch(this.request.httpUrl(path, params), rest));
    } finally {
      clearTimeout(timer);
      this.#requests.delete(controller);
    }
  }

  /** A command was answered, which may have set the cursor back. */
  replied() {}

  /** Wait, unless the transport ends. */
  pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #post(message) {
    if (this.ended) return;
    const params = new URLSearchParams({ session_id: this.request.sessionId() });
    const init = { method: "POST", body: JSON.stringify(message), headers: { "content-type": "application/json" } };
    try {
      await this.ask(
        "/api/v1/messages",
        params,
        this.request.silence,
        (response) => this.#answer(message, response),
        init,
      );
    } catch (error) {
      this.end({ code: 1006, reason: `A command did not get through: ${error.message}`, unreachable: true });
    }
  }

  async #answer(message, response) {
    const body = parsed(await response.text());
    if (this.ended) return;
    if (Array.isArray(body?.replies)) {
      this.on.taken(message.correlation_id);
      for (const reply of body.replies) this.on.data(reply, message.type);
      this.replied();
    } else if (response.status === 401 || response.status >= 500 || body?.code === "NOT_FOUND") {
      // Nobody has read the command. A session that is unknown by now: the next connection gets another.
      const close = closeOf(response, body);
      this.end(body?.code === "NOT_FOUND" ? { code: 1006, reason: body.message } : close);
    } else {
      const code = body?.code ?? (response.status === 413 ? "MESSAGE_TOO_LARGE" : "INTERNAL_ERROR");
      const data = { code, message: body?.message ?? `HTTP ${response.status}`, details: body?.details ?? {} };
      this.on.data({ type: "error", data, correlation_id: message.correlation_id }, message.type);
    }
  }
}

class EventStreamTransport extends HttpTransport {
  constructor(request, on) {
    super(request, on);
    const params = request.httpParams();
    if (request.cursor() !== undefined) params.set("last_event_id", request.cursor());
    const init = { headers: { accept: "text/event-stream" } };
    this.ask("/api/v1/events", params, Infinity, (response) => this.#read(response), init).catch((error) =>
      this.end({ code: 1006, reason: `The event stream broke: ${error.message}`, unreachable: !this.#responded }),
    );
  }

  #responded = false;
  #welcomed = false;
  #refusal;
  #retryMs;

  async #read(response) {
    this.#responded = true;
    if (response.status !== 200) return this.end(closeOf(response, parsed(await response.text())));
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
      return this.end({ code: 1006, reason: "The answer is no event stream", unfit: true });
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventStreamParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.ended) break;
      for (const item of parser.push(decoder.decode(value, { stream: true }))) {
        if (item.retry !== undefined) this.#retryMs = item.retry;
        if (item.data !== undefined) this.#take(JSON.parse(item.data));
        if (this.ended) return undefined;
        if (item.id) this.on.reach(item.id);
      }
    }
    const code = this.#refusal === undefined || PASSING.has(this.#refusal.code) ? 1001 : 1008;
    return this.end({ code, reason: this.#refusal?.message ?? "The stream ended", retryMs: this.#retryMs });
  }

  #take(message) {
    // Over SSE what would be a refused WebSocket is one error and the end.
    if (message.type === "error" && !this.#welcomed) this.#refusal = message.data;
    else this.#welcomed = true;
    // The end of a stream has no code: this error stands for the close that a WebSocket would get.
    const moved = [message].flat().find(({ type, data }) => type === "error" && data.message === MOVED);
    if (moved) this.end({ code: 1000, reason: MOVED });
    else this.on.data(message);
  }
}

class PollTransport extends HttpTransport {
  constructor(request, on) {
    super(request, on);
    this.#run().catch((error) =>
      this.end({ code: 1006, reason: `A poll did not come back: ${error.message}`, unreachable: true }),
    );
  }

  #asked = {};

  /** A poll that waits past where the cursor was set back to would say nothing for a while. */
  replied() {
    if (this.#asked.after !== this.request.cursor()) this.#asked.controller?.abort();
  }

  async #run() {
    let wait = 0; // The first says at once how things stand.
    while (!this.ended) {
      const params = this.request.httpParams();
      const controller = new AbortController();
      const asked = { session: this.request.sessionId(), after: this.request.cursor(), at: Date.now(), controller };
      if (asked.after !== undefined) params.set("after", asked.after);
      params.set("timeout", wait);
      this.#asked = asked;
      const read = (response) => this.#read(response, asked, wait === 0);
      const seconds = wait + this.request.openSeconds;
      let events = 1;
      try {
        events = await this.ask("/api/v1/events/poll", params, seconds, read, { controller });
      } catch (error) {
        if (this.ended || asked.after === this.request.cursor()) throw error;
      }
      // A poll that ends at once without an event was ended by another of this session: two must not race.
      const isRace = !events && wait > 0 && Date.now() - asked.at < POLL_PAUSE_SECONDS * 1000;
      if (isRace) await this.pause(POLL_PAUSE_SECONDS);
      wait = POLL_SECONDS;
    }
  }

  /** Pass a page on; the number of events in it. */
  async #read(response, asked, isFirst) {
    const page = parsed(await response.text());
    if (this.ended) return 0;
    if (response.status !== 200 || !Array.isArray(page?.events)) {
      this.end(closeOf(response, page));
      return 0;
    }
    // A subscription has set us back meanwhile: the next poll starts there, and brings this page again.
    if (asked.after !== this.request.cursor()) return 1;
    const { events, cursor, recovered, session_id } = page;
    const resumed = session_id === asked.session;
    if (isFirst || !recovered || !resumed) {
      // What a stream would have begun with.
      const data = { session_id, resumed, recovered, replayed: events.length };
      this.on.data({ type: "connection_established", data, id: recovered ? (asked.after ?? cursor) : cursor });
    }
    if (!this.ended) this.on.data(events);
    if (!this.ended) this.on.reach(cursor);
    if (events.some(({ type }) => type === "going_away")) this.end({ code: 1001, reason: "The server is going away" });
    return events.length;
  }
}

/** What an HTTP answer other than the one hoped for comes to, in the terms of a WebSocket's end. */
function closeOf(response, body) {
  const after = response.headers.get("retry-after");
  const seconds =
    after === null ? NaN : /^[0-9]+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
  const retryMs = Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined;
  const reason = body?.message ?? `HTTP ${response.status}`;
  if (response.status === 401) return { code: 1008, reason, unauthorized: true };
  if (response.status === 429 || response.status >= 502) {
    return { code: 1013, reason, retryMs, unreachable: body?.code === undefined };
  }
  if (body?.code !== undefined) return { code: PASSING.has(body.code) ? 1013 : 1008, reason, retryMs };
  return { code: 1006, reason, retryMs, unfit: true };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const TRANSPORTS = { websocket: WebSocketTransport, sse: EventStreamTransport, poll: PollTransport };

// -- The connection ---------------------------------------------------------------------------------------------------

/** Messages on their way to one `for await`. `watch` is told when one was `taken`, and when the consumer has `left`. */
class Channel {
  #items = [];
  #takers = [];
  #end;
  #watch;
  #dropped = 0;

  /** `taken` is the cursor before the first message. */
  constructor(watch, taken) {
    this.#watch = watch;
    this.taken = taken;
  }

  get length() {
    return this.#items.length;
  }

  /** The order of the oldest message that was not taken. */
  get oldest() {
    return this.#items[0]?.order ?? Infinity;
  }

  push(item) {
    if (this.#end) return;
    this.#items.push(item);
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ done: false, value: this.#shift() });
  }

  /** Let go of the oldest. */
  drop() {
    this.#items.shift();
    this.#dropped++;
  }

  /** Somebody iterates; they may want to know that it is not from the beginning. */
  begin() {
    const count = this.#dropped;
    if (count) console.warn(`cidadao_rt: ${count} messages came before anybody iterated, and were let go`);
    this.#dropped = 0;
  }

  /** No more will come; after what is left the consumer is told of `error`, if there is one. */
  end(error) {
    this.#end ??= { error };
    for (const taker of this.#takers.splice(0)) this.#finish(taker);
  }

  next() {
    return new Promise((resolve, reject) => {
      if (this.#items.length) resolve({ done: false, value: this.#shift() });
      else if (this.#end) this.#finish({ resolve, reject });
      else this.#takers.push({ resolve, reject });
    });
  }

  return(value) {
    this.#items = [];
    this.end();
    this.#watch.left(this);
    return Promise.resolve({ done: true, value });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #shift() {
    const { message, cursor } = this.#items.shift();
    this.taken = cursor;
    this.#watch.taken();
    return message;
  }

  #finish({ resolve, reject }) {
    const { error } = this.#end;
    this.#end = {};
    this.#watch.left(this);
    if (error) reject(error);
    else resolve({ done: true, value: undefined });
  }
}

/** An investigation that this client has started; `for await` gives its messages until the final one. */
export class Investigation {
  #client;
  #channel;
  #iterated;

  constructor(client, message, channel, iterated) {
    this.#client = client;
    this.#channel = channel;
    this.#iterated = iterated;
    this.id = message.data.investigation_id;
    this.status = message.data.status;
    this.progress = message.data.progress ?? 0;
  }

  /** Ask for it to be cancelled; resolves with the answer. */
  cancel() {
    return this.#client.cancelInvestigation(this.id);
  }

  [Symbol.asyncIterator]() {
    this.#iterated();
    this.#channel.begin();
    return this.#channel;
  }
}

/** What `connect` returns. */
export class Client extends EventTarget {
  #options;
  #base;
  #path;
  #conversation;
  #transports;
  #index = 0;
  #transport = null;
  #state = "connecting";
  #turn = 0;
  #attempts = 0;
  #failures = 0;
  #timers = new Map();
  #token;
  #refusedToken;
  #retryMs;
  #heardAt = 0;
  #openedAt = 0;
  #skewMs = 0;
  #fellBackAt;
  #probe;
  /** The session of the last attempt that was given up before its welcome, and when. */
  #unanswered;
  #acked;
  #order = 0;
  /** Of those who iterate: over everything, and over anything. */
  #iterators = new Set();
  #channels = new Set();
  #watch = {
    taken: () => this.#drained(),
    left: (channel) => {
      this.#iterators.delete(channel);
      if (this.#channels.delete(channel)) this.#drained();
    },
  };
  #held = new Channel(this.#watch);
  #investigations = new Map();
  #paused = false;
  #error;
  #opened = {};

  constructor(url, options = {}) {
    super();
    this.#options = {
      connectionType: "general",
      transports: ["websocket", "sse", "poll"],
      path: "/ws",
      WebSocket: globalThis.WebSocket,
      fetch: (...parameters) => globalThis.fetch(...parameters),
      maxPending: 100,
      maxBuffered: 10_000,
      ackSeconds: 5,
      heartbeatSeconds: 30,
      backoffSeconds: 1,
      backoffMaxSeconds: 30,
      openSeconds: 10,
      webSocketAgainSeconds: 300,
      ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    };
    this.#base = new URL(url, globalThis.location?.href);
    this.#base.pathname = this.#base.pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
    this.#path = new URL(this.#options.path, "http://path.invalid");
    this.#conversation = new Conversation(options.sessionId, options.lastEventId);
    this.#transports = this.#options.transports.filter((name) => name !== "websocket" || this.#options.WebSocket);
    if (!this.#transports.length) throw new TypeError("None of these transports works here");
    for (const name of this.#transports) if (!(name in TRANSPORTS)) throw new TypeError(`Unknown transport: ${name}`);
    this.opened = new Promise((resolve, reject) => (this.#opened = { resolve, reject }));
    this.opened.catch(() => {}); // Who does not ask for it need not be told.
    queueMicrotask(() => this.#attempt());
  }

  get sessionId() {
    return this.#conversation.sessionId;
  }

  get cursor() {
    return this.#conversation.cursor;
  }

  get recovered() {
    return this.#conversation.recovered;
  }

  get state() {
    return this.#state;
  }

  get transport() {
    return this.#transport && this.#transports[this.#index];
  }

  // What the app says

  /** Send one command; resolves with the message that answers it (of an `ack`, which has none, with undefined). */
  send(type, data = {}) {
    return this.#command(type, data);
  }

  ping() {
    return this.#command("ping", {});
  }

  async startInvestigation(query, { filters, agents } = {}) {
    let investigation;
    await this.#command("start_investigation", { query, filters, agents }, (message) => {
      investigation = this.#follow(message);
    });
    return investigation;
  }

  async cancelInvestigation(id) {
    return (await this.#command("cancel_investigation", { investigation_id: id })).data;
  }

  async chat(agent, message, { context, onChunk } = {}) {
    // Over HTTP nobody else knows whom the path of a chat has named.
    const named = agent ?? (this.#isChat() ? (this.#path.searchParams.get("agent") ?? "drummond") : undefined);
    return (await this.#command("agent_chat", { agent: named, message, context }, undefined, onChunk)).data;
  }

  async subscribe({ events, investigationIds, after } = {}) {
    return (await this.#command("subscribe", { events, investigation_ids: investigationIds, after })).data;
  }

  async unsubscribe({ events, investigationIds } = {}) {
    return (await this.#command("unsubscribe", { events, investigation_ids: investigationIds })).data;
  }

  /** Close for good: no timer and no socket stays behind, and what is unanswered is rejected. */
  close() {
    this.#end(new ClosedError(1000, "Closed by the app"));
  }

  /** Lose the connection as a bad network would, and come back. For tests and demonstrations. */
  cut() {
    if (this.#state === "open" || this.#state === "connecting")
      this.#lost(this.#turn, { code: 1006, reason: "Cut by the app", blameless: true }, true);
  }

  // What the app hears

  addEventListener(type, ...rest) {
    if (type !== "status" && type !== "frame") this.#held = null;
    super.addEventListener(type, ...rest);
  }

  /** Messages from now on; the first iterator also gets those held since the opening. */
  [Symbol.asyncIterator]() {
    const channel = this.#held ?? new Channel(this.#watch, this.cursor);
    this.#held = null;
    channel.begin();
    if (this.#state === "closed") channel.end(this.#error instanceof RefusedError ? this.#error : undefined);
    else this.#channels.add(channel) && this.#iterators.add(channel);
    return channel;
  }

  // Opening

  async #attempt() {
    if (this.#state === "closed") return;
    const turn = ++this.#turn;
    const { token, openSeconds } = this.#options;
    const name = this.#transports[this.#index];
    this.#become("connecting", { transport: name });
    const late = `within ${openSeconds} s`;
    this.#after("open", openSeconds, () =>
      this.#lost(turn, { code: 1006, reason: `No token ${late}`, blameless: true }),
    );
    let fresh;
    try {
      fresh = await (typeof token === "function" ? token() : token);
    } catch (error) {
      this.#lost(turn, { code: 1006, reason: `No token: ${error?.message ?? error}`, blameless: true });
      return;
    }
    if (turn !== this.#turn) return;
    if (this.#refusedToken !== undefined && fresh === this.#refusedToken.token) {
      this.#end(this.#refusedToken.error);
      return;
    }
    this.#token = fresh ?? "";
    this.#after("open", openSeconds, () => this.#lost(turn, { code: 1006, reason: `No welcome ${late}`, unfit: true }));
    const current =
      (act) =>
      (...given) =>
        turn === this.#turn && act(...given);
    try {
      this.#transport = new TRANSPORTS[name](this.#request(), {
        data: current((messages, replyTo) => this.#heard(turn, messages, replyTo)),
        reach: current((id) => this.#reach(id)),
        taken: current((id) => this.#conversation.taken(id)),
        close: (close) => this.#lost(turn, close),
      });
    } catch (error) {
      this.#lost(turn, { code: 1006, reason: error.message });
    }
  }

  #request() {
    const { fetch, WebSocket, openSeconds, heartbeatSeconds } = this.#options;
    return {
      fetch,
      WebSocket,
      openSeconds,
      silence: 2 * heartbeatSeconds,
      token: () => this.#token,
      sessionId: () => this.#conversation.sessionId,
      cursor: () => this.#conversation.cursor,
      webSocketUrl: () => this.#webSocketUrl(true),
      httpUrl: (path, params) => this.#url(/^ws/, "http", path, params),
      httpParams: () => this.#params(true),
    };
  }

  #webSocketUrl(resumes) {
    const params = this.#params(false);
    for (const [key, value] of this.#path.searchParams) params.set(key, value);
    params.set("token", this.#token);
    if (!resumes) params.delete("session_id");
    else if (this.cursor !== undefined) params.set("last_event_id", this.cursor);
    return this.#url(/^http/, "ws", this.#path.pathname, params);
  }

  #url(scheme, other, path, params) {
    const { protocol, host, pathname } = this.#base;
    return `${protocol.replace(scheme, other)}//${host}${pathname.replace(/\/$/, "")}${path}?${params}`;
  }

  /** The query of a connection. Over HTTP the path of a WebSocket becomes what it would follow. */
  #params(overHttp) {
    const { connectionType, batch, conflate } = this.#options;
    let { events, investigationIds } = this.#options;
    const params = new URLSearchParams();
    const bound = this.#boundTo();
    // Without a type, so that a session which began on that path can go on here.
    if (!bound && !this.#isChat()) params.set("connection_type", connectionType);
    if (overHttp && bound) investigationIds = [bound];
    if (overHttp && this.#isChat()) events ??= ["notification"];
    if (events) params.set("events", events.join(","));
    if (investigationIds) params.set("investigation_ids", investigationIds.join(","));
    if (this.sessionId !== undefined) params.set("session_id", this.sessionId);
    if (batch) params.set("batch", "1");
    if (conflate) params.set("conflate", "1");
    return params;
  }

  #boundTo() {
    const found = /\/ws\/investigations\/([^/]+)$/.exec(this.#path.pathname);
    return found && decodeURIComponent(found[1]);
  }

  #isChat() {
    return this.#path.pathname.endsWith("/ws/chat");
  }

  #welcomed({ data }) {
    const transport = this.#transports[this.#index];
    const { heartbeatSeconds } = this.#options;
    this.#clear("open");
    this.#refusedToken = this.#retryMs = undefined;
    if (this.#state !== "open") this.#openedAt = Date.now();
    if (transport === "websocket") {
      this.#failures = 0;
      this.#fellBackAt = undefined;
    } else if (this.#transports.includes("websocket")) {
      this.#fellBackAt ??= Date.now();
      this.#probeLater();
    }
    // A new session knows where it begins; what an earlier one dispatched may still be to acknowledge.
    if (!data.resumed) this.#acked = this.cursor;
    if (data.server_time) this.#skewMs = Date.parse(data.server_time) - Date.now();
    if (transport !== "poll") this.#after("heartbeat", heartbeatSeconds, () => this.#beat(transport));
    this.#renewLater(this.#token);
    this.#become("open", { transport, recovered: data.recovered });
    this.#opened.resolve();
    const turn = this.#turn;
    for (const command of this.#conversation.owed(Date.now())) if (turn === this.#turn) this.#write(command);
  }

  // Being open

  #heard(turn, messages, replyTo) {
    if (!replyTo) this.#heardAt = Date.now();
    for (const message of Array.isArray(messages) ? messages : [messages]) {
      // The app may have closed or cut in the middle of a batch; what is left is replayed, or nobody's.
      if (turn === this.#turn) this.#receive(message, replyTo);
    }
    if (turn === this.#turn) this.#ackSoon();
  }

  #reach(id) {
    this.#heardAt = Date.now();
    this.#conversation.reach(id);
    this.#ackSoon();
  }

  #receive(message, replyTo) {
    this.#tell("frame", { direction: "in", transport: this.transport, data: message });
    const { welcome, deliver, settle, chunk, failed } = this.#conversation.receive(message, replyTo);
    if (message.type === "going_away") this.#retryMs = waitMs(message.data?.retry_after_ms);
    if (welcome) {
      const bound = this.#boundTo();
      // A WebSocket would not have been opened.
      const denied = bound && message.data.denied?.some(({ investigation_id: id }) => id === bound);
      if (denied) return this.#lost(this.#turn, { code: 1008, reason: "Investigation not found" });
      this.#welcomed(message);
    }
    settle?.();
    // What the app throws is its own; it must not cost it the next message.
    if (chunk?.onChunk) queueMicrotask(() => chunk.onChunk(message.data.content, message.data.index));
    if (deliver) this.#deliver(deliver);
    if (failed) {
      const retryMs = failed.details?.retry_after === undefined ? undefined : failed.details.retry_after * 1000;
      this.#lost(this.#turn, { code: 1013, reason: `Subscriptions could not be restored: ${failed.message}`, retryMs });
    }
  }

  #deliver(message) {
    const item = { message, cursor: this.#conversation.cursor, order: this.#order++ };
    this.#held?.push(item);
    if (this.#held?.length > HELD) this.#held.drop();
    for (const channel of this.#iterators) channel.push(item);
    this.#update(message, item);
    this.#tell("message", message);
    if (!OWN_EVENTS.has(message.type)) this.#tell(message.type, message);
    if (this.#isFull() && this.#state !== "closed") this.#pause();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #become(state, { transport = null, recovered, reason, retryIn } = {}) {
    this.#state = state;
    this.#tell("status", { state, transport, recovered, reason, retryIn });
  }

  // Investigations

  #follow(message) {
    const id = message.data.investigation_id;
    const channel = new Channel(this.#watch, this.cursor);
    const iterated = () => this.#channels.add(channel);
    const follower = { channel, investigation: new Investigation(this, message, channel, iterated) };
    if (!this.#investigations.has(id)) this.#investigations.set(id, new Set());
    this.#investigations.get(id).add(follower);
    // The same state comes as an event as well, unless it is the end already.
    if (message.id === undefined && FINAL.has(message.data.status)) this.#update(message, { message });
    return follower.investigation;
  }

  #update({ type, data }, item) {
    const followers = this.#investigations.get(data?.investigation_id);
    if (!followers) return;
    for (const { channel, investigation } of followers) {
      if (type === "investigation_update") {
        investigation.status = data.status;
        investigation.progress = Math.max(investigation.progress, data.progress ?? 0);
      } else if (type === "progress_update") {
        investigation.progress = Math.max(investigation.progress, data.overall_progress ?? 0);
      }
      // A channel of `#channels` counts for the bound; one that nobody iterates keeps the newest.
      channel.push(item);
      if (!this.#channels.has(channel) && channel.length > HELD) channel.drop();
      if (FINAL.has(investigation.status)) channel.end();
    }
    if (type === "investigation_update" && FINAL.has(data.status)) this.#investigations.delete(data.investigation_id);
  }

  // Iteration, and what happens when it is too slow

  #isFull() {
    for (const { length } of this.#channels) if (length >= this.#options.maxBuffered) return true;
    return false;
  }

  /** Nothing is thrown away: the connection is given up, and resumed from the last id once half is taken. */
  #pause() {
    this.#paused = true;
    const error = tooSlow();
    for (const command of [...this.#conversation.pending.values()]) {
      // Whoever waits for an answer inside the slow loop would wait for ever.
      if (!command.internal) this.#conversation.giveUp(command, error);
    }
    this.#lost(this.#turn, { code: 1006, reason: error.message, blameless: true });
  }

  #drained() {
    this.#ackSoon();
    if (!this.#paused) return;
    for (const { length } of this.#channels) if (length > this.#options.maxBuffered / 2) return;
    this.#paused = false;
    this.#attempt();
  }

  // Acknowledging, heartbeat, token

  /** Up to where the app has everything: before the oldest message that some `for await` has not taken. */
  #processed() {
    let slowest;
    for (const channel of this.#channels) {
      if (channel.length && channel.oldest < (slowest?.oldest ?? Infinity)) slowest = channel;
    }
    return slowest ? slowest.taken : this.cursor;
  }

  #ackSoon() {
    if (this.#state !== "open" || this.#timers.has("ack") || this.#processed() === this.#acked) return;
    this.#after("ack", this.#options.ackSeconds, () => {
      const id = this.#processed();
      if (id !== undefined && id !== this.#acked) this.#say("ack", { id });
      this.#acked = id;
    });
  }

  #beat(transport) {
    const { heartbeatSeconds } = this.#options;
    // A little less than two, because timers are not exact.
    if (Date.now() - this.#heardAt > 1900 * heartbeatSeconds) {
      this.#lost(this.#turn, { code: 1006, reason: `Silent for ${2 * heartbeatSeconds} s` }, true);
      return;
    }
    if (transport === "websocket") this.#say("ping", {});
    this.#after("heartbeat", heartbeatSeconds, () => this.#beat(transport));
  }

  /** Ask for a fresh token when four fifths of what is left have passed, or a minute before the end. */
  #renewLater(token) {
    const ends = typeof this.#options.token === "function" ? expiry(token) : undefined;
    if (ends === undefined) return;
    const left = ends - Date.now() - this.#skewMs;
    const seconds = Math.max(0, left - Math.min(60_000, left / 5)) / 1000;
    // Timers of more than 24 days fire at once.
    if (seconds > 86_400) this.#after("renew", 86_400, () => this.#renewLater(token));
    else this.#after("renew", seconds, () => this.#renew());
  }

  async #renew() {
    const turn = this.#turn;
    let token;
    try {
      token = await this.#options.token();
      if (turn !== this.#turn) return;
      if (token === this.#token) throw new Error("The token is the same");
      await this.#command("authenticate", { token });
    } catch {
      // The old one still holds; when it ends, the gateway says so and a new connection asks again.
      if (turn === this.#turn && this.#state === "open") this.#after("renew", RENEW_AGAIN_SECONDS, () => this.#renew());
      return;
    }
    if (turn !== this.#turn) return;
    this.#token = token;
    this.#renewLater(token);
  }

  // Commands

  #command(type, data, onAnswer, onChunk) {
    return new Promise((resolve, reject) => {
      const { maxPending } = this.#options;
      const tooMany = { code: "OVERLOADED", message: `More than ${maxPending} commands are waiting` };
      if (this.#state === "closed") reject(this.#error);
      else if (this.#paused) reject(new CommandError(tooSlow()));
      else if (this.#conversation.waiting >= maxPending)
        reject(new CommandError({ ...tooMany, details: { limit: maxPending } }));
      else if (type === "ack") resolve(this.#say(type, data));
      else {
        const answered = (message) => {
          onAnswer?.(message);
          resolve(message);
        };
        const command = newCommand(type, data, { resolve: answered, reject, onChunk });
        this.#conversation.add(command);
        if (this.#state === "open") this.#write(command);
      }
    });
  }

  #write(command) {
    this.#conversation.sent(command, Date.now());
    this.#say(command.type, command.data, command.id);
  }

  /** Send without waiting for an answer; an ack that finds no connection is made good by the next one. */
  #say(type, data, id = newCommand(type, data).id) {
    const message = { type, data, timestamp: new Date().toISOString(), correlation_id: id };
    const shown = type === "authenticate" ? { ...message, data: { token: "…" } } : message;
    if (this.#state !== "open") return;
    this.#tell("frame", { direction: "out", transport: this.transport, data: shown });
    this.#transport?.send(message);
  }

  // Losing the connection

  #lost(turn, close, abruptly = false) {
    if (turn !== this.#turn || this.#state === "closed") return;
    const { token, backoffSeconds, backoffMaxSeconds, openSeconds } = this.#options;
    const wasOpen = this.#state === "open";
    const wasAsked = this.#transport !== null;
    this.#release(abruptly);
    if (close.code === 1006 && wasAsked && !wasOpen) this.#unanswered = { id: this.sessionId, at: Date.now() };
    if (close.code === 1000 && close.reason === MOVED && this.#isOwnDoing()) {
      // It may have been somebody else after all, so the session is not taken back.
      this.#conversation.sessionId = undefined;
      close = { code: 1006, reason: "An earlier attempt of this client, late, has taken the session", blameless: true };
    }
    if (close.code === 1000) return this.#end(new ClosedError(1000, close.reason));
    if (close.code === 1008) {
      const error = new RefusedError(1008, close.reason);
      if (!close.unauthorized || typeof token !== "function") return this.#end(error);
      this.#refusedToken = { token: this.#token, error };
    }
    if (close.code === 1009) this.#conversation.giveUpLongerThan(MESSAGE_BYTES);
    if (wasOpen && Date.now() - this.#openedAt >= openSeconds * 1000) this.#attempts = 0;
    const falls = !wasOpen && !close.blameless && this.#fallBack(close);
    const told = falls ? 0 : (this.#retryMs ?? waitMs(close.retryMs));
    const longest = Math.min(backoffMaxSeconds, backoffSeconds * 2 ** this.#attempts);
    const retryIn = told === undefined ? Math.random() * longest : told / 1000;
    if (!falls) this.#attempts++;
    this.#retryMs = undefined;
    if (!this.#paused) this.#after("retry", retryIn, () => this.#attempt());
    this.#become("waiting", {
      transport: this.#transports[this.#index],
      reason: close.reason,
      retryIn: this.#paused ? undefined : retryIn,
    });
  }

  /** Whether an attempt of our own, which we had given up, may have reached the gateway late and taken the session. */
  #isOwnDoing() {
    const { id, at } = this.#unanswered ?? {};
    return id !== undefined && id === this.sessionId && Date.now() - at < LATE_MS;
  }

  /** Choose the transport for the next attempt; whether it is another way that was not tried yet. */
  #fallBack(close) {
    const isLast = this.#index + 1 === this.#transports.length;
    if (this.#transports[this.#index] === "websocket") {
      // Any other code came from the gateway, so the way through is open.
      if (close.code !== 1006 || ++this.#failures < 2 || isLast) return false;
    } else if (close.unreachable || (close.unfit && isLast)) {
      // The server is away for everybody; when it is back, the best way may work again.
      this.#index = this.#failures = 0;
      return false;
    } else if (!close.unfit) {
      return false;
    }
    this.#index++;
    return true;
  }

  #probeLater() {
    if (this.#probe) return;
    const seconds = this.#options.webSocketAgainSeconds - (Date.now() - this.#fellBackAt) / 1000;
    this.#after("probe", Math.max(0, seconds), () => this.#tryWebSocket());
  }

  /** See with a connection of its own whether WebSocket gets through by now; only then is the stream given up. */
  #tryWebSocket() {
    const turn = this.#turn;
    this.#fellBackAt = Date.now();
    const found = (works) => {
      this.#clear("probe");
      this.#probe?.close();
      this.#probe = undefined;
      if (turn !== this.#turn) return;
      if (!works) return void this.#probeLater();
      this.#index = this.#transports.indexOf("websocket");
      this.#failures = 0;
      this.#lost(turn, { code: 1006, reason: "WebSocket gets through again", retryMs: 0, blameless: true });
    };
    const request = { ...this.#request(), webSocketUrl: () => this.#webSocketUrl(false) };
    this.#after("probe", this.#options.openSeconds, () => found(false));
    try {
      this.#probe = new WebSocketTransport(request, {
        data: () => found(true),
        close: ({ code }) => found(code !== 1006),
      });
    } catch {
      found(false); // Not even the attempt is allowed here.
    }
  }

  #end(error) {
    if (this.#state === "closed") return;
    this.#error = error;
    this.#release(false);
    this.#state = "closed";
    const told = error instanceof RefusedError ? error : undefined;
    for (const command of this.#conversation.pending.values()) command.reject(error);
    this.#conversation.pending.clear();
    for (const channel of [...this.#channels]) channel.end(told);
    for (const followers of this.#investigations.values()) for (const { channel } of followers) channel.end(told);
    this.#investigations.clear();
    this.#held?.end(told);
    this.#opened.reject(error);
    this.#become("closed", { reason: error.reason });
  }

  /** Let go of everything that belongs to the present attempt or connection. */
  #release(abruptly) {
    this.#turn++;
    for (const name of [...this.#timers.keys()]) this.#clear(name);
    this.#probe?.close();
    this.#probe = undefined;
    this.#transport?.close(abruptly);
    this.#transport = null;
  }

  #after(name, seconds, act) {
    this.#clear(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      act();
    }, seconds * 1000);
    this.#timers.set(name, timer);
  }

  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function tooSlow() {
  return { code: "OVERLOADED", message: "The consumer of the events is too slow", details: {} };
}

/** A server's wish in ms, cut to what is bearable; undefined for what is none. */
function waitMs(value) {
  return typeof value === "number" && value >= 0 ? Math.min(value, LONGEST_WAIT_MS) : undefined;
}

/** Connect to a gateway; returns at once, and goes on trying until it is refused or closed. */
export function connect(url, options) {
  return new Client(url, options);
}
