// Options of a plugin: what each is, and how its value is read.

function maker(kind) {
  return (declared) => {
    const { default: fallback, optional = false, list = false, secret = false, doc, example, choices = [] } = declared;
    return { kind, fallback, optional, list, secret, doc, example, choices };
  };
}

export const option = {
  flag: maker("flag"),
  count: maker("count"),
  size: maker("size"),
  duration: maker("duration"),
  text: maker("text"),
  url: maker("url"),
  regex: maker("regex"),
  choice: (choices, declared) => maker("choice")({ ...declared, choices }),
};

/** A default as a flow would write it. */
function written(fallback) {
  if (fallback === undefined || fallback === null) return null;
  if (typeof fallback === "boolean") return fallback ? "on" : "off";
  if (Array.isArray(fallback)) return `[${fallback.map((item) => `'${String(item).replaceAll("'", "''")}'`).join(", ")}]`;
  return String(fallback);
}

/** The options as the contract describes them. */
export function specs(options) {
  return Object.entries(options).map(([name, it]) => {
    const fallback = written(it.fallback);
    return {
      name,
      kind: it.kind,
      default: fallback,
      required: fallback === null && !it.optional && !it.list,
      repeated: it.list,
      secret: it.secret,
      choices: it.choices,
      doc: it.doc,
      example: it.example ?? null,
    };
  });
}

/** What the host gives, by name, as the plugin reads it: times are seconds. */
export function read(options, given) {
  return Object.fromEntries(
    Object.entries(options).map(([name, it]) => {
      const setting = given.get(name);
      if (setting === undefined) return [name, it.list ? [] : null];
      return [name, setting.tag === "duration" ? setting.val / 1000 : setting.val];
    }),
  );
}
