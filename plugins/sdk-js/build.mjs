// Makes the component: `node vendor/flow-plugin/sdk-js/build.mjs -o NAME.wasm`, as `flow plugin
// build` runs it.
//
// The world is made for each plugin: it exports the entry points the plugin has methods for, and
// imports the host interfaces its code still uses once esbuild has left out the rest, so that a
// component asks for what it uses and no more.

import { existsSync } from "node:fs";
import { appendFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const SDK = dirname(fileURLToPath(import.meta.url));
const INTERFACES = ["log", "metrics", "connection", "http", "state", "content", "secret", "submit", "lines"];
const GRANTS = { connection: "connect", http: "http", secret: "secrets" };
const CONTRACT = "0.1.0";
// What `fetch` is made of.
const WASI_HTTP = ["wasi:http/types@0.2.0", "wasi:http/outgoing-handler@0.2.0"];
// componentize-qjs runs the component once, in a world that has streams and no `wasi:http`, and whose
// stand-ins for what it lacks don't know those streams. So all that `fetch` imports goes by another
// name until then, of the same length.
const ALIAS = { from: "wasi:", to: "flow:", packages: ["clocks", "http", "io"] };
const aliased = (text) => text.replace(new RegExp(`${ALIAS.from}(${ALIAS.packages.join("|")})\\b`, "g"), `${ALIAS.to}$1`);

// What the contract leaves to WASI beside `wasi:http`: chance. Any 0.2 of it is the host's.
const RANDOM = "package wasi:random@0.2.0;\ninterface random {\n    get-random-bytes: func(len: u64) -> list<u8>;\n}\n";

/** Something the author of the plugin can correct. */
class Problem extends Error {}

// The tools are the project's, also where the SDK lies elsewhere and is linked.
const project = createRequire(join(process.cwd(), "package.json"));

async function tool(name) {
  try {
    return await import(pathToFileURL(project.resolve(name)).href);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Problem(`${name} is missing: npm install`);
  }
}

/** Puts the component's imports in the place of the host that tests have. */
const hostImports = {
  name: "host-imports",
  setup(build) {
    build.onResolve({ filter: /\/host\/[a-z]+\.js$/ }, ({ path }) => {
      const name = path.slice(path.lastIndexOf("/") + 1, -".js".length);
      if (name === "random") return { path: "wasi:random/random@0.2.0", external: true };
      return { path: `flow:plugin/${name}@${CONTRACT}`, external: true, sideEffects: false };
    });
    build.onResolve({ filter: /^wasi:/ }, ({ path }) => ({ path: aliased(path), external: true, sideEffects: false }));
  },
};

async function bundle(esbuild, entry, outfile, options) {
  const alias = { "flow-plugin": join(SDK, "src/index.js") };
  try {
    return await esbuild.build({
      stdin: { contents: entry, resolveDir: process.cwd(), sourcefile: "component.js" },
      bundle: true,
      format: "esm",
      charset: "utf8",
      legalComments: "none",
      logLevel: "silent",
      outfile,
      alias,
      ...options,
    });
  } catch (error) {
    if (error.errors === undefined) throw error;
    const told = await esbuild.formatMessages(error.errors, { kind: "error" });
    throw new Problem(told.join("").trim());
  }
}

function source(given) {
  const found = given ? [given] : ["src/plugin.ts", "src/plugin.js"].filter((path) => existsSync(path));
  if (found.length !== 1 || !existsSync(found[0])) {
    throw new Problem(`there is no ${given ?? "src/plugin.js, nor src/plugin.ts"}`);
  }
  return `./${relative(process.cwd(), resolve(found[0]))}`;
}

/** The plugin, loaded into this process to see what it is. */
async function look(esbuild, entry, work) {
  const file = join(work, "look.mjs");
  const contents = `export { default as plugin } from ${JSON.stringify(entry)};
export { ENTRY_POINTS } from ${JSON.stringify(join(SDK, "src/export.js"))};
export { methods, misnamed } from ${JSON.stringify(join(SDK, "src/names.js"))};
export { specs } from ${JSON.stringify(join(SDK, "src/options.js"))};`;
  await bundle(esbuild, contents, file, { platform: "node" });
  let loaded;
  try {
    loaded = await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    throw new Problem(`${entry} does not load: ${error.stack ?? error}`);
  }
  const { plugin, ENTRY_POINTS, methods, misnamed, specs } = loaded;
  if (typeof plugin !== "object" || plugin === null) {
    throw new Problem(`${entry} exports no plugin; write \`export default definePlugin({ … })\``);
  }
  for (const what of ["name", "version", "summary"]) {
    if (typeof plugin[what] !== "string") throw new Problem(`the plugin has no \`${what}\`; write \`${what}: "…"\``);
  }
  if (plugin.doc !== undefined && typeof plugin.doc !== "string") throw new Problem("`doc` of the plugin is text; write `doc: \"…\"`, or a README.md");
  if (!Array.isArray(plugin.schemes ?? []) || (plugin.schemes ?? []).some((scheme) => typeof scheme !== "string")) {
    throw new Problem("`schemes` of the plugin is an array of texts; write `schemes: [\"…\"]`");
  }
  for (const spec of specs(plugin.options ?? {})) {
    if (typeof spec.doc !== "string") throw new Problem(`option \`${spec.name}\` has no \`doc\`, a sentence that says what it is`);
  }
  const entries = ENTRY_POINTS.filter(([method]) => typeof plugin[method] === "function");
  const wrong = misnamed(plugin);
  if (wrong.length > 0) throw new Problem(wrong.join("\n       "));
  if (entries.length === 0) {
    const there = methods(plugin).map((name) => `\`${name}\``).join(", ");
    throw new Problem(`the plugin has no entry point, ${there === "" ? "no method" : `only ${there}`}; write a method such as \`afterAccept\``);
  }
  return { plugin, entries };
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of one segment of a source map. */
function vlq(segment) {
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const character of segment) {
    const digit = BASE64.indexOf(character);
    value |= (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) === 0) {
      numbers.push(value & 1 ? -(value >> 1) : value >> 1);
      [value, shift] = [0, 0];
    }
  }
  return numbers;
}

/** Where each line of the bundle comes from, for what of it is the plugin's own. */
function lineTable({ mappings, sources }, work) {
  const files = sources.map((path) => relative(process.cwd(), resolve(work, path)));
  const own = files.map((path) => !resolve(path).startsWith(SDK) && path !== "component.js" && !path.startsWith(".."));
  const lines = {};
  let [file, line] = [0, 0];
  mappings.split(";").forEach((segments, at) => {
    for (const segment of segments.split(",")) {
      const [, files = 0, steps = 0] = vlq(segment);
      file += files;
      line += steps;
      if (segment !== "" && own[file]) lines[at + 1] ??= [file, line + 1];
    }
  });
  return { files, lines };
}

function component(entry, manifest, entries) {
  const names = ["describe", "lifecycle", ...entries.map(([, , name]) => name)];
  return `import ${JSON.stringify(join(SDK, "src/component.js"))};
import { exportsOf } from ${JSON.stringify(join(SDK, "src/export.js"))};
import plugin from ${JSON.stringify(entry)};
const all = exportsOf(plugin, ${JSON.stringify(manifest)});
export const { ${names.join(", ")} } = all;`;
}

/** Gives imports their names back, in a component or module between two places of `bytes`. */
function rename(bytes, start, end) {
  const layer = bytes[start + 6];
  let at = start + 8;
  while (at < end) {
    const id = bytes[at];
    let [size, shift] = [0, 0];
    do {
      at += 1;
      size |= (bytes[at] & 0x7f) << shift;
      shift += 7;
    } while (bytes[at] & 0x80);
    const [from, to] = [at + 1, at + 1 + size];
    // Modules and components are in components. What a module computes with is left alone.
    if (layer === 1 && (id === 1 || id === 4)) rename(bytes, from, to);
    else if (layer === 1 || (id !== 10 && id !== 11)) renameNames(bytes.subarray(from, to));
    at = to;
  }
}

function renameNames(section) {
  for (const one of ALIAS.packages) {
    const [name, written] = [Buffer.from(`${ALIAS.to}${one}/`), Buffer.from(`${ALIAS.from}${one}/`)];
    for (let at = section.indexOf(name); at >= 0; at = section.indexOf(name, at)) written.copy(section, at);
  }
}

async function build({ output, wit, work, entry: given }) {
  const esbuild = await tool("esbuild");
  const { componentize } = await tool("componentize-qjs");
  const folder = wit ?? [join(SDK, "../wit"), join(SDK, "wit")].find((path) => existsSync(join(path, "worlds.wit")));
  if (folder === undefined) throw new Problem("the contract's folder `wit` is not beside the SDK; name it with --wit");
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const entry = source(given);
  const { plugin, entries } = await look(esbuild, entry, work);
  const doc = plugin.doc ?? (existsSync("README.md") ? await readFile("README.md", "utf8") : "");
  const { name, version, summary, schemes = [] } = plugin;
  const manifest = { name, version, summary, doc, schemes, grants: [] };

  // Twice: what it imports is known after the first time, and part of what it says.
  const file = join(work, "component.js");
  // The component's engine never runs what its own promises put off: `async` becomes what uses ours.
  const supported = { "async-await": false, "async-generator": false, "for-await": false };
  const fetch = { inject: [join(SDK, "src/fetch.js")], define: { "globalThis.fetch": "fetch" } };
  const options = { ...fetch, supported, platform: "neutral", target: "es2023", mainFields: ["module", "main"], metafile: true, sourcemap: "external", plugins: [hostImports] };
  const { metafile } = await bundle(esbuild, component(entry, manifest, entries), file, options);
  const used = Object.values(metafile.outputs).flatMap((made) => made.imports.map(({ path }) => path));
  const imports = INTERFACES.filter((one) => used.includes(`flow:plugin/${one}@${CONTRACT}`));
  const grants = imports.filter((one) => one in GRANTS).map((one) => GRANTS[one]);
  const fetches = used.includes(aliased(WASI_HTTP[0]));
  manifest.grants = [...new Set(fetches ? [...grants, GRANTS.http] : grants)];
  await bundle(esbuild, component(entry, manifest, entries), file, options);

  const table = lineTable(JSON.parse(await readFile(`${file}.map`, "utf8")), work);
  const jsSource = `${await readFile(file, "utf8")}\nglobalThis.flowPluginLines = ${JSON.stringify(table)};\n`;

  const world = ["describe", "lifecycle", ...entries.map(([, one]) => one)].map((one) => `    export ${one};`);
  const asked = ["wasi:random/random@0.2.0", ...imports, ...(fetches ? WASI_HTTP.map(aliased) : [])];
  world.unshift(...asked.map((one) => `    import ${one};`));
  await cp(folder, join(work, "wit"), { recursive: true });
  await mkdir(join(work, "wit/deps/random"), { recursive: true });
  await writeFile(join(work, "wit/deps/random/random.wit"), RANDOM);
  for (const one of fetches ? ALIAS.packages : []) {
    await mkdir(join(work, "wit/deps", one), { recursive: true });
    const text = await readFile(join(folder, "wasi", `${one}.wit`), "utf8");
    await writeFile(join(work, "wit/deps", one, `${one}.wit`), aliased(text));
  }
  await appendFile(join(work, "wit/worlds.wit"), `world project {\n${world.join("\n")}\n}\n`);
  // `sync`: without the asynchronous ABI, which the contract does not use and the host does not have.
  const made = await componentize({ witPath: join(work, "wit"), world: "project", jsSource, sync: true });
  rename(made.component, 0, made.component.length);
  await writeFile(output, made.component);
}

const { values } = parseArgs({
  options: {
    output: { type: "string", short: "o", default: "plugin.wasm" },
    entry: { type: "string" },
    wit: { type: "string" },
    work: { type: "string", default: "build/component" },
  },
});
try {
  await build(values);
} catch (error) {
  process.stderr.write(`error: ${error instanceof Problem ? error.message : (error.stack ?? error)}\n`);
  process.exitCode = 1;
}
