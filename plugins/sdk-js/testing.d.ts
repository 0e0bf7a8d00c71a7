/** A host in memory, for a plugin's own tests in Node, without WebAssembly. */

import type { Context, HeaderValue, HttpResponse, Message, NewMessage, Option, Plugin, Running, Worklist } from "./index.js";

/** An HTTP request the plugin made. */
export interface Request {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: Uint8Array;
  timeoutMs: number | null;
}

/** What became of the messages of a call; everything by relPath. */
export interface Judged {
  worklist: Worklist;
  verdicts: Record<string, "keep" | "update" | "reject" | "fail" | "replace" | "add" | "wait">;
  rejections: Record<string, [code: number, reason: string]>;
  failures: Record<string, string>;
  /** The relPaths of messages made. */
  made: string[];
}

/** What a call gives: awaited where the method is `async`. */
type Called<Method, Result> = Method extends (...given: any[]) => Promise<any> ? Promise<Result> : Result;

/** The plugin's world: set it up before, look at it after. The newest one made is the host, also of `fetch`. */
export class Host {
  /** Content by relPath: what `open` gives, and what `download` wrote. */
  content: Record<string, string | Uint8Array>;
  /** Content derived, by the relPath it was derived as. */
  derived: Record<string, Uint8Array>;
  /** Whether the flow's filters want a derived name. */
  wanted: (relPath: string) => boolean;
  state: Record<string, Uint8Array>;
  credentials: Record<string, { user: string; password: string; options?: Record<string, string> }>;
  tokens: Record<string, string>;
  /** Answers HTTP requests; throw a `Failure` to have no answer come. */
  answer: (request: Request) => { status?: number; headers?: Record<string, string>; body?: string | Uint8Array };
  requests: Request[];
  /** Gives the peer's side of a connection. */
  dial: (hostname: string, port: number, tls: boolean) => { read(max: number): Uint8Array; write(data: Uint8Array): void };
  logged: [level: string, text: string][];
  counted: Record<string, number>;
  submitted: NewMessage[];
  lines: [peer: number, text: string][];

  /** Starts a plugin; options as a flow writes them (`"10MiB"`) or as they are read. */
  start<P extends Plugin & { options?: Record<string, Option<any>> }>(
    plugin: P,
    options?: { [Name in keyof P["options"]]?: unknown },
    context?: Partial<Context>,
  ): Called<P["start"], P & Running<P["options"]>>;
  /** A message to give to the plugin. */
  message(relPath: string, fields?: Partial<Omit<Message, "headers">> & { headers?: Record<string, HeaderValue> }): Message;
  /** Calls the entry point with these messages. */
  afterAccept<P extends Plugin>(plugin: P, ...messages: Message[]): Called<P["afterAccept"], Judged>;
  /** Calls the entry point with these messages, whose content is in `content`. */
  afterWork<P extends Plugin>(plugin: P, ...messages: Message[]): Called<P["afterWork"], Judged>;
  /** Makes a request to it. */
  request<P extends Plugin>(
    plugin: P,
    fields?: { method?: string; path?: string; query?: string; headers?: Record<string, string>; body?: string | Uint8Array; peer?: string },
  ): Called<P["request"], HttpResponse>;
  /** Downloads one message and returns its content. */
  download<P extends Plugin>(plugin: P, message: Message): Called<P["download"], string | Uint8Array>;
}
