// Compiled, never run: what an editor knows about a plugin.
import { definePlugin, option } from "flow-plugin";
import { Host } from "flow-plugin/testing";

const plugin = definePlugin({
  name: "typed",
  version: "1",
  summary: "is checked by the compiler",
  options: {
    suffix: option.text({ default: ".tmp", doc: "A text." }),
    limit: option.size({ default: "1MiB", doc: "Bytes." }),
    names: option.text({ list: true, doc: "Names." }),
    maybe: option.count({ optional: true, doc: "A number." }),
    mode: option.choice(["a", "b"], { default: "a", doc: "A choice." }),
  },
  afterAccept(worklist) {
    const limit: number = this.options.limit;
    const names: string[] = this.options.names;
    const maybe: number | null = this.options.maybe;
    const mode: "a" | "b" = this.options.mode;
    for (const message of worklist.incoming) {
      if (message.relPath.endsWith(this.options.suffix)) worklist.reject(message, 404, `${limit} ${names} ${maybe} ${mode}`);
      // @ts-expect-error a code is a number
      worklist.reject(message, "404", "x");
      this.helper(message.relPath);
    }
    // @ts-expect-error there is no such option
    this.options.other;
  },
  helper(text: string): string {
    return text + this.context.flow;
  },
});

const host = new Host();
const started = host.start(plugin, { suffix: ".part" });
host.afterAccept(started, host.message("a.part"));

const asking = definePlugin({
  name: "asking",
  version: "1",
  summary: "awaits",
  async send(message) {
    const answer = await Promise.resolve(message.key);
    answer.length;
  },
  async afterWork(worklist) {
    await Promise.all(worklist.ok);
  },
});
const judged: Promise<{ made: string[] }> = host.afterWork(host.start(asking), host.message("a"));
judged.then(({ made }) => made.length);
