/** Types of the JavaScript client of cidadao_rt. The guide is docs/clients.md. */

export type TransportName = "websocket" | "sse" | "poll";
export type ConnectionType = "general" | "investigation" | "analysis" | "notifications";
export type InvestigationStatus = "started" | "processing" | "completed" | "failed" | "cancelled";

/** One message of the gateway. `id` is a cursor, and stands on what is kept and replayed. */
export interface Message<Data = any> {
  type: string;
  data: Data;
  timestamp?: string;
  id?: string;
  correlation_id?: string | null;
  user_id?: string | null;
}

export interface InvestigationUpdate {
  investigation_id: string;
  status: InvestigationStatus;
  progress: number;
  [key: string]: any;
}

export interface ChatAnswer {
  agent: string;
  agent_name: string;
  role: "assistant";
  message: string;
  suggested_actions: string[];
  investigation_id?: string;
  [key: string]: any;
}

export interface Denied {
  code: string;
  event?: string;
  investigation_id?: string;
}

/** `null` means all. */
export interface Subscribed {
  events: string[] | null;
  investigation_ids: string[] | null;
  denied: Denied[];
  id?: string;
  recovered?: boolean;
  replayed?: number;
}

export interface Unsubscribed {
  events: string[] | null;
  investigation_ids: string[] | null;
}

export interface Status {
  state: "connecting" | "open" | "waiting" | "closed";
  transport: TransportName | null;
  /** Of an `open` one: whether nothing was missed. */
  recovered?: boolean;
  reason?: string;
  /** Seconds to the next attempt of a `waiting` one; absent while it waits for a slow consumer. */
  retryIn?: number;
}

export interface Frame {
  direction: "in" | "out";
  transport: TransportName | null;
  data: Message;
}

/** A WebSocket constructor: the browser's, or that of npm's `ws`. */
export type WebSocketConstructor = new (url: string) => {
  send(data: string): void;
  close(code?: number, reason?: string): void;
};

/** Seconds, unless it says otherwise. */
export interface Options {
  /** A JWT, or a function that gives one; it is called for every attempt, and before the present one runs out. */
  token?: string | (() => string | Promise<string>);
  /** Default "general". */
  connectionType?: ConnectionType;
  /** Types to follow from the beginning; absent: those of the connection type. */
  events?: string[];
  investigationIds?: string[];
  /** In the order in which they are tried; default `["websocket", "sse", "poll"]`. */
  transports?: TransportName[];
  /** Resume an earlier session, for example of the page before this one. */
  sessionId?: string;
  /** Where to continue. */
  lastEventId?: string;
  /** Several messages in one frame. */
  batch?: boolean;
  /** Let the gateway skip progress that later progress has overtaken, while this client is behind. */
  conflate?: boolean;
  /** "/ws" (default), "/ws/investigations/{id}" or "/ws/chat?agent=…". */
  path?: string;
  /** Default: the global one. Without one, WebSocket is not tried. */
  WebSocket?: WebSocketConstructor;
  fetch?: typeof fetch;
  /** Commands without an answer; the next is rejected at once. Default 100. */
  maxPending?: number;
  /** Messages that a `for await` has not taken; then the connection is given up until half is taken. Default 10,000. */
  maxBuffered?: number;
  /** Default 5. */
  ackSeconds?: number;
  /** Default 30; twice as long without a frame, and the connection is taken for dead. */
  heartbeatSeconds?: number;
  /** Default 1: the first wait is at random up to this; it doubles with each failure. */
  backoffSeconds?: number;
  /** Default 30. */
  backoffMaxSeconds?: number;
  /** Default 10: for the token, and then for the first message. */
  openSeconds?: number;
  /** Default 300: how often WebSocket is tried again while another transport is in use. */
  webSocketAgainSeconds?: number;
}

/** The gateway answered with an `error`, or the client could not keep the command (`OVERLOADED`). */
export class CommandError extends Error {
  constructor(error: { code: string; message: string; details?: Record<string, any> });
  readonly code: string;
  readonly details: Record<string, any>;
}

/** The client is closed and does not come back; `code` is a WebSocket close code. */
export class ClosedError extends Error {
  constructor(code: number, reason: string);
  readonly code: number;
  readonly reason: string;
}

/** The gateway refused the token, or what was asked for. */
export class RefusedError extends ClosedError {}

/** An investigation that was started here; iterating gives its messages up to the final one, once. */
export class Investigation implements AsyncIterable<Message> {
  private constructor();
  readonly id: string;
  readonly status: InvestigationStatus;
  /** 0 to 100. */
  readonly progress: number;
  cancel(): Promise<InvestigationUpdate>;
  [Symbol.asyncIterator](): AsyncIterator<Message>;
}

interface ClientEvents {
  message: CustomEvent<Message>;
  status: CustomEvent<Status>;
  frame: CustomEvent<Frame>;
  investigation_update: CustomEvent<Message<InvestigationUpdate>>;
  agent_chat: CustomEvent<Message<ChatAnswer>>;
}

/** What `connect` returns. Its events bear the type of the message; `detail` is the message. */
export class Client extends EventTarget implements AsyncIterable<Message> {
  constructor(url: string | URL, options?: Options);
  /** Fulfilled by the first welcome; rejected with `ClosedError` where none will come. */
  readonly opened: Promise<void>;
  readonly state: Status["state"];
  readonly transport: TransportName | null;
  readonly sessionId: string | undefined;
  /** The last id received: where a later client can continue. */
  readonly cursor: string | undefined;
  /** Of the newest welcome: whether nothing was missed. */
  readonly recovered: boolean | undefined;

  startInvestigation(
    query: string,
    options?: { filters?: Record<string, any>; agents?: string[] },
  ): Promise<Investigation>;
  cancelInvestigation(id: string): Promise<InvestigationUpdate>;
  chat(
    agent: string | null | undefined,
    message: string,
    options?: { context?: { investigation_id?: string }; onChunk?: (content: string, index: number) => void },
  ): Promise<ChatAnswer>;
  subscribe(what?: { events?: string[]; investigationIds?: string[]; after?: string }): Promise<Subscribed>;
  unsubscribe(what?: { events?: string[]; investigationIds?: string[] }): Promise<Unsubscribed>;
  ping(): Promise<Message>;
  /** Any command; of an `ack`, which nobody answers, undefined. */
  send(type: string, data?: Record<string, any>): Promise<Message | undefined>;
  /** Lose the connection and come back. */
  cut(): void;
  close(): void;

  [Symbol.asyncIterator](): AsyncIterator<Message>;
  addEventListener<K extends keyof ClientEvents>(
    type: K,
    listener: (event: ClientEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: ((event: CustomEvent<Message>) => void) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Connect to a gateway, by its base URL (http, https, ws or wss; a `/ws` at its end is let go). */
export function connect(url: string | URL, options?: Options): Client;
