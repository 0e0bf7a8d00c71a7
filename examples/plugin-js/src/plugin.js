// Tells a chat what arrived, through an incoming webhook: one message for a batch, not one a file.

import { Failure, definePlugin, http, log, metrics, option } from "flow-plugin";

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

function sized(bytes) {
  let step = 0;
  while (bytes >= 1024 && step < SIZES.length - 1) {
    bytes /= 1024;
    step += 1;
  }
  return `${step === 0 ? bytes : bytes.toFixed(1)} ${SIZES[step]}`;
}

const nameOf = (message) => message.relPath.slice(message.relPath.lastIndexOf("/") + 1);

/** Names come from strangers: nothing in them may mention people, or look like markup. */
const plain = (text) => text.replace(/[\p{Cc}\p{Cf}]/gu, "").replace(/([\\`*_~|<>@[\]])/g, "\\$1");

export default definePlugin({
  name: "chat-notify",
  version: "0.1.0",
  summary: "tells a chat what arrived, through a webhook",
  options: {
    webhook: option.url({ doc: "The chat's address for incoming messages; whoever knows it can write there.", example: "https://chat.example.org/hooks/abc", secret: true }),
    title: option.text({ default: "New files", doc: "What a message begins with." }),
    field: option.text({ default: "text", doc: "The field of the JSON the chat reads: `text` or `content`.", example: "content" }),
    most: option.count({ default: 10, doc: "How many files a message names; the rest is counted." }),
    required: option.flag({ default: false, doc: "Whether files wait until the chat was told; else it is told at most once." }),
  },

  start() {
    if (this.options.most < 1) throw Failure.config("option `most`: a message names at least 1 file");
  },

  afterWork(worklist) {
    const messages = [...worklist.ok];
    if (messages.length === 0) return;
    try {
      this.tell(messages);
    } catch (error) {
      if (!(error instanceof Failure) || error.kind === "config") throw error;
      if (!this.options.required) {
        log.warn(`the chat was not told of ${messages.length} files: ${error.message}`);
        return;
      }
      for (const message of messages) worklist.fail(message, error);
    }
  },

  tell(messages) {
    const { webhook, title, field, most } = this.options;
    const lines = messages.slice(0, most).map((message) => {
      const size = message.size === null ? "" : ` (${sized(message.size)})`;
      return `- ${plain(nameOf(message))}${size}`;
    });
    if (messages.length > most) lines.push(`- and ${messages.length - most} more`);
    const response = http.post(webhook, { json: { [field]: [title, ...lines].join("\n") }, timeout: 10 });
    if (response.status === 401 || response.status === 403) throw Failure.auth(`the chat answered ${response.status}`);
    if (response.status === 429) {
      const retryAfter = Number(response.header("retry-after") ?? "60") || 60;
      throw Failure.temporary("the chat wants a pause", { retryAfter });
    }
    if (!response.ok) throw Failure.temporary(`the chat answered ${response.status}`);
    metrics.count("chat_messages");
  },
});
