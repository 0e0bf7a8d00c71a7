// Methods whose names are nearly those of entry points: nobody would ever call them.
//
// A helper of the plugin's own may be called anything; one that is told apart by a letter or by its
// spelling alone is more likely a mistake than a choice. A name that begins with `_` is never one.

import { ENTRY_POINTS } from "./export.js";

const ENTRIES = ENTRY_POINTS.map(([method]) => method);
/** What else is called by name. */
const OTHERS = ["start", "stop", "housekeeping", "closed"];
/** What sr3 and habit call them. */
const ALIASES = { poll: "gather", aftergather: "afterAccept", afterpost: "settled", sent: "send", sends: "send", posts: "post" };
const EVENTS = { message: "afterAccept", file: "afterWork", part: "afterWork" };

/** The name without what habits differ in. */
const plain = (name) => name.replace(/^on(?=_|[A-Z])/, "").replaceAll("_", "").toLowerCase();

/** How many letters are wrong, missing, too many or swapped with the next. */
function distance(one, other) {
  let [last, before, row] = [[], [], Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= one.length; i++) {
    [last, before, row] = [before, row, [i]];
    for (let j = 1; j <= other.length; j++) {
      row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) row[j] = Math.min(row[j], last[j - 2] + 1);
    }
  }
  return row[other.length];
}

/** The method somebody meant who wrote this name; null for one that is right, or is something else. */
export function meant(name) {
  if (ENTRIES.includes(name) || OTHERS.includes(name) || name.startsWith("_")) return null;
  const given = plain(name);
  const same = [...ENTRIES, ...OTHERS].find((known) => plain(known) === given);
  if (same !== undefined) return same;
  // What is short is near to too many words: `make`, `lines`, `host`.
  const near = ENTRIES.find((known) => known.length >= 6 && distance(given, plain(known)) <= (known.length >= 9 ? 2 : 1));
  return near ?? ALIASES[given] ?? (name.startsWith("on") ? EVENTS[given] : undefined) ?? null;
}

/** The methods of a plugin. */
export const methods = (plugin) => Object.keys(plugin).filter((name) => typeof plugin[name] === "function");

/** What to say about each method that is nearly an entry point. */
export const misnamed = (plugin) =>
  methods(plugin)
    .map((name) => [name, meant(name)])
    .filter(([, known]) => known !== null)
    .map(([name, known]) => `the plugin has a method \`${name}\`, which is never called: did you mean \`${known}\`? A helper of your own that is called so, call \`_${name}\``);
