/**
 * The JavaScript and TypeScript side of flow's plugin contract.
 *
 * A plugin is one object with a method for each entry point it serves:
 *
 * ```js
 * import { definePlugin, option } from "flow-plugin";
 *
 * export default definePlugin({
 *   name: "no-temporary",
 *   version: "0.1.0",
 *   summary: "leaves out files that are still being written",
 *   options: { suffix: option.text({ default: ".tmp", doc: "What the names of such files end in." }) },
 *
 *   afterAccept(worklist) {
 *     for (const message of worklist.incoming) {
 *       if (message.relPath.endsWith(this.options.suffix)) worklist.reject(message, 404, "still being written");
 *     }
 *   },
 * });
 * ```
 *
 * What a plugin may reach is read off what it uses: a call of `http` or `fetch` asks for HTTP.
 * What is here is synchronous, as a call of the host returns when it is done. Methods may be `async`; all they
 * await is done when the call is, and nothing goes on after it.
 */

/** Text as `string`; numbers, lists and objects as what their JSON says. */
export type HeaderValue = string | number | boolean | HeaderValue[] | { [key: string]: HeaderValue } | null;

/** A fingerprint of content, e.g. method `sha512` with the base64 of the digest. */
export interface Identity {
  method: string;
  value: string;
}

/** A message in hand: a notification that data exists. Assign to its fields to change it. */
export interface Message {
  /** Names this message in this call. Not stable over calls. */
  readonly id: number;
  /** The same at every attempt: an idempotency key for the far side of an effect. */
  readonly key: string;
  /** How often this message was tried before; 0 the first time. */
  readonly attempt: number;
  /** When it was announced: UTC, `YYYYMMDDThhmmss.fraction`; see {@link parseTime}. */
  pubTime: string;
  /** Root of retrieval. Never carries a password. */
  baseUrl: string;
  /** Path below `baseUrl`. */
  relPath: string;
  /** Path or query to fetch where it differs from `relPath`. */
  retrievePath: string | null;
  /** Bytes. */
  size: number | null;
  /** As `pubTime`. */
  mtime: string | null;
  /** MIME type. */
  contentType: string | null;
  /** Fingerprint of the content, as announced. */
  identity: Identity | null;
  /** Where the content is, or will be, stored here; null where the flow stores nothing. */
  directory: string | null;
  /** Under which name: one path element. */
  filename: string | null;
  /** Every other header: `get`, `set`, `delete`. */
  readonly headers: Map<string, HeaderValue>;
  /** `baseUrl` and `relPath` as one URL. */
  readonly url: string;
  /** Its content, to read. In `afterWork` and `send`. */
  open(): Reader;
  /** Its content, to write. In `download`. */
  create(): Writer<number>;
  /** New content made from this one, stored by the name `relPath` ends in; null where the flow's filters do not want it. In `afterWork`. */
  derive(relPath: string, contentType?: string | null): Writer<NewMessage> | null;
}

/** A message a plugin makes. The same thing always has to get the same `relPath`. */
export interface NewMessage {
  baseUrl: string;
  relPath: string;
  /** Left out: now. */
  pubTime?: string;
  retrievePath?: string | null;
  size?: number | null;
  mtime?: string | null;
  contentType?: string | null;
  identity?: Identity | null;
  headers?: Record<string, HeaderValue>;
  /** The handle of content written in this call; what {@link Writer.finish} of a derived one returns has it. */
  content?: number | null;
}

/** The batch in hand, in sr3's words. Use the methods, or move messages between the lists. */
export interface Worklist {
  /** Accepted by the flow's rules, not fetched yet (`afterAccept`). May be changed while it is gone through. */
  incoming: Message[];
  /** Whose content is here (`afterWork`). */
  ok: Message[];
  /** Going no further, on purpose. */
  rejected: Message[];
  /** To be tried again. */
  failed: Message[];
  /** It goes no further, on purpose. Codes as in sr3's reports: 304 duplicate, 404 no match, 413 too large, 415 wrong type, … */
  reject(message: Message, code: number, reason: string): void;
  /**
   * It did not work; text means it is worth another try, after `retryAfter` seconds if given. So does an
   * error that is no {@link Failure}: a mistake, whose stack is logged.
   */
  fail(message: Message, failure: Error | string, options?: { retryAfter?: number }): void;
  /** Not now, though nothing is wrong: it comes again after so many seconds (a day at most), and loses no try. */
  wait(message: Message, reason: string, after: number): void;
  /** These go on instead of it. */
  replace(message: Message, ...messages: NewMessage[]): void;
  /** It goes on, and these with it. The message itself can't be changed in the same call. */
  add(message: Message, ...messages: NewMessage[]): void;
}

/** Content being read from its start. Iterate over it for chunks of at most 64 KiB. */
export interface Reader extends Iterable<Uint8Array> {
  /** Bytes. */
  readonly size: number;
  /** The next bytes, at most `max` and at most 64 KiB; empty at the end. */
  read(max?: number): Uint8Array;
  /** All of it, in memory. */
  bytes(): Uint8Array;
  /** All of it, as UTF-8. */
  text(): string;
  close(): void;
}

/** Content being written. Nobody sees it before it is finished. */
export interface Writer<Finished> {
  /** Appends; text as UTF-8. */
  write(data: string | Uint8Array): this;
  /** Ends it; only call it where the end of the content was seen. For derived content: the message that announces it. */
  finish(): Finished;
  /** Throws it away. */
  abandon(): void;
}

/** What went wrong, by what the engine does about it. Throw one. Anything else thrown is a mistake in the plugin, and counts as temporary. */
export class Failure extends Error {
  readonly kind: "temporary" | "permanent" | "auth" | "config" | "interrupted";
  readonly retryAfter: number | null;
  /** Worth another try, after so many seconds if the peer asked for a delay. */
  static temporary(reason: string | Error, options?: { retryAfter?: number }): Failure;
  /** Never going to work for this message: it goes to the dead letters. */
  static permanent(reason: string | Error): Failure;
  /** Credentials were refused. Trying again burns the account, so the flow pauses. */
  static auth(reason: string | Error): Failure;
  /** An option, a grant or the setup is wrong: a person has to change something. */
  static config(reason: string | Error): Failure;
  /** The host wants the instance back (in `wake`): return, nothing is wrong. */
  static interrupted(): Failure;
}

/** Thrown in `download` and `send`: this message goes no further, on purpose. */
export class Rejected extends Error {
  constructor(code: number, reason: string);
  readonly code: number;
}

/** Where an instance runs. */
export interface Context {
  /** `kind/name`. */
  readonly flow: string;
  readonly kind: string;
  /** Which of several equal instances this is, from 0. Instance 0 gathers. */
  readonly instance: number;
  /** Whether this flow fetches content, or only announces it. */
  readonly downloads: boolean;
  readonly pollUrl: string | null;
}

/** What became of a message this plugin gathered or downloaded. */
export interface Outcome {
  readonly message: Message;
  readonly fate: "posted" | "rejected" | "retrying" | "dead";
  readonly reason: string;
}

/** A request somebody makes to this flow. */
export interface HttpRequest {
  readonly method: string;
  /** Below the flow's own path, without the query. */
  readonly path: string;
  readonly query: string;
  readonly headers: [string, string][];
  readonly body: Uint8Array;
  /** Address of the peer. */
  readonly peer: string;
  /** A header, whatever its case. */
  header(name: string): string | null;
  text(): string;
  json(): any;
}

/** Headers of HTTP: an object, or pairs where a name comes more than once. */
export type HttpHeaders = Record<string, string | number> | Iterable<[string, string | number]>;

/** The answer. */
export interface HttpResponse {
  status?: number;
  headers?: HttpHeaders;
  body?: string | Uint8Array;
}

declare const value: unique symbol;

/** An option, made by {@link option}. */
export interface Option<Value> {
  readonly [value]?: Value;
}

interface Declared {
  /** One sentence, units included. */
  doc: string;
  /** A value to show in the manual, as a flow writes it. */
  example?: string;
  /** Never printed. */
  secret?: boolean;
}

interface Maker<Value, Default> {
  /** With a default, as a flow would write it. */
  (declared: Declared & { default: Default }): Option<Value>;
  /** A list; empty if unset. */
  (declared: Declared & { list: true; default?: Default[] }): Option<Value[]>;
  /** May be unset. */
  (declared: Declared & { optional: true }): Option<Value | null>;
  /** The flow has to set it. */
  (declared: Declared): Option<Value>;
}

/** Makes options. The host checks what the flow writes before the plugin starts. */
export const option: {
  flag: Maker<boolean, boolean>;
  count: Maker<number, number>;
  /** Written with a unit (`10MiB`), read in bytes. */
  size: Maker<number, string>;
  /** Written with a unit (`30s`), read in seconds. */
  duration: Maker<number, string>;
  text: Maker<string, string>;
  /** Its host is granted to the plugin by itself. */
  url: Maker<string, string>;
  /** Checked by the host, whose expressions are those of Rust; read as text. */
  regex: Maker<string, string>;
  choice<const Choice extends string>(choices: readonly Choice[], declared: Declared & { default?: Choice }): Option<Choice>;
};

type Values<Options> = { readonly [Name in keyof Options]: Options[Name] extends Option<infer Value> ? Value : never };

/** Methods may be `async`: all they await is done when the call is. */
type Awaitable<Value> = Value | Promise<Value>;

/** What a plugin is made of. A method that is not written is an entry point the plugin does not have. */
export interface Plugin {
  /** Lower case with hyphens, as the component's file. */
  name: string;
  version: string;
  /** One line. */
  summary: string;
  /** The manual, Markdown; README.md if left out. */
  doc?: string;
  /** URL schemes `download` or `send` serves. */
  schemes?: string[];
  /** How many instances may work at the same time, where that is limited. */
  maxInstances?: number;

  /** Called first, with the options set. No connection is needed yet: dial when asked. */
  start?(): Awaitable<void>;
  /** Upkeep, every `housekeeping` interval, between batches. */
  housekeeping?(): Awaitable<void>;
  /** The last call. */
  stop?(): Awaitable<void>;

  /** Asks the origin what is new, changing nothing there: at most `limit`, oldest first. */
  gather?(limit: number): Awaitable<NewMessage[] | { messages: NewMessage[]; more?: boolean }>;
  /** Waits for the origin to call: true when there may be something, false after `timeout` seconds, or when it can't push. */
  wake?(timeout: number): Awaitable<boolean>;
  /** Side effects at the origin, once it is safe. Has to stand being called twice. */
  settled?(outcomes: Outcome[]): Awaitable<void>;
  /** Decides about `worklist.incoming` before anything is fetched. */
  afterAccept?(worklist: Worklist): Awaitable<void>;
  /** Fetches one message's content into `message.create()`. Throw {@link Rejected} or a {@link Failure} for what can't be had. */
  download?(message: Message): Awaitable<void>;
  /** Delivers one message. `message.key` is the idempotency key to give to the peer. */
  send?(message: Message): Awaitable<void>;
  /** Looks at `worklist.ok`, whose content is here: decodes, converts, scans. */
  afterWork?(worklist: Worklist): Awaitable<void>;
  /** Posts one message to something that is no broker; returning means it is durable there. */
  post?(message: Message): Awaitable<void>;
  /** Answers an HTTP request. Answer 2xx only after {@link submit} returned. */
  request?(request: HttpRequest): Awaitable<HttpResponse>;
  /**
   * One line of a helper protocol, without its end; answers go out through `lines.write(peer, …)`,
   * now or in any later call. No number of a peer is used twice.
   */
  line?(peer: number, text: string): Awaitable<void>;
  /** No more lines of this peer will come. */
  closed?(peer: number): Awaitable<void>;
}

/** What `this` is in the methods of a plugin. */
export interface Running<Options> {
  readonly options: Values<Options>;
  readonly context: Context;
}

/** A plugin: what it is, and a method for each entry point it serves. */
export function definePlugin<const Options extends Record<string, Option<any>> = {}, Own extends object = {}>(
  plugin: Plugin & { options?: Options } & Own & ThisType<Running<Options> & Omit<Own, "options">>,
): Plugin & { options?: Options } & Own;

/** A message's `pubTime` or `mtime`. */
export function parseTime(text: string): Date;
/** A time as messages carry it. */
export function formatTime(date: Date): string;
/** Text as UTF-8. */
export function encode(text: string): Uint8Array;
/** UTF-8 as text. */
export function decode(bytes: Uint8Array): string;

/** A connection to a server; the host dials and speaks TLS. Using it asks for the grant `connect`. */
export interface Stream {
  /** Waits for bytes and returns at most `max` of them; empty when the peer closed. */
  read(max?: number): Uint8Array;
  /** So many bytes; throws if the peer closed before. */
  readExactly(size: number): Uint8Array;
  /** A line without its end. */
  readLine(limit?: number): string;
  write(data: string | Uint8Array): void;
  /** Goes on in TLS, after the protocol's own STARTTLS. */
  startTls(): void;
  /** How long one read or write may take; null: the flow's `timeout`. */
  setTimeout(seconds: number | null): void;
  close(): void;
}
/** Opens a connection. */
export function connect(hostname: string, port: number, options?: { tls?: boolean }): Stream;

/** Hands messages to the flow and returns once they are durable. */
export function submit(...messages: NewMessage[]): void;

/**
 * HTTP requests through the host's client. Using it asks for the grant `http`.
 *
 * The global `fetch` is there too, over `wasi:http`: with bodies as streams, and for packages that expect it.
 */
export namespace http {
  interface Options {
    headers?: HttpHeaders;
    body?: string | Uint8Array;
    /** The body, as JSON. */
    json?: any;
    /** A message's content as the body, whatever its size. */
    content?: Reader;
    /** Seconds the whole exchange may take; the flow's `timeout` otherwise. */
    timeout?: number;
  }
  interface Response {
    readonly status: number;
    /** Whether the status is 2xx. */
    readonly ok: boolean;
    readonly headers: [string, string][];
    readonly body: Uint8Array;
    text(): string;
    json(): any;
    /** A header, whatever its case. */
    header(name: string): string | null;
  }
  /** Sends a request. Any response is a success here; without one a {@link Failure} is thrown. */
  function send(method: string, url: string, options?: Options): Response;
  function get(url: string, options?: Options): Response;
  function post(url: string, options?: Options): Response;
}

/** Durable key/value pairs, private to this callback of this flow and shared by its instances. They become durable together with the outcome of the messages in hand. */
export namespace state {
  function get(key: string): Uint8Array | null;
  function getText(key: string): string | null;
  function getJson(key: string): any;
  /** At most 1 KiB of key and 1 MiB of value; `ttl` in seconds. */
  function put(key: string, value: string | Uint8Array, options?: { ttl?: number }): void;
  function putJson(key: string, value: any, options?: { ttl?: number }): void;
  function remove(key: string): void;
  /** Writes `next` only if the value is still `old` (null: absent); says whether it did. */
  function swap(key: string, old: string | Uint8Array | null, next: string | Uint8Array | null): boolean;
  /** Every key that starts with `prefix`, in order. */
  function keys(prefix?: string): Generator<string>;
}

/** Credentials of the flow's `credentials.conf`. Using it asks for the grant `secrets`. */
export namespace secret {
  function credential(url: string): { user: string; password: string; options: Record<string, string> };
  /** A current OAuth 2 access token, kept fresh by the host. */
  function bearerToken(url: string): string;
}

/** The flow's log; `console` leads here too. Never put a secret here. */
export namespace log {
  function trace(text: string): void;
  function debug(text: string): void;
  function info(text: string): void;
  function warn(text: string): void;
  function error(text: string): void;
}

/** Numbers for `flow status` and the metrics. */
export namespace metrics {
  function count(name: string, by?: number): void;
  function gauge(name: string, value: number): void;
  function progress(what: string, done: number, total?: number, unit?: string): void;
}

/** Lines to whoever talks to this flow as a helper. */
export namespace lines {
  /** Writes one line to the peer, whole and flushed, without its end. Throws where the peer is gone. */
  function write(peer: number, text: string): void;
}
