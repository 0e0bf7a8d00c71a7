//! Values of the wrong type, given in real components: each is a failure that names the author's line
//! and what to write, and the instance lives on. Names that are nearly those of entry points: refused
//! when the plugin is built.

use std::fs;
use std::process::Command;

use flow_testkit::Flow;

use super::project::Project;

/// One mistake in each step, all in one instance: `calls` counts on through them.
const PYTHON: &str = r#""""wrong: gives values of types that the contract does not have."""

from flow_plugin import Gathered, HttpRequest, HttpResponse, NewMessage, Plugin, Worklist, state, submit


class Wrong(Plugin):
    """gives values of the wrong type"""

    name = "wrong"
    version = "0.1.0"
    calls = 0

    def after_work(self, worklist: Worklist) -> None:
        self.calls += 1
        for message in worklist.ok:
            what = message.rel_path
            if what == "code":
                worklist.reject(message, "422", "why")
            if what == "reason":
                worklist.reject(message, 422, None)
            if what == "size":
                message.size = "5"
            if what == "header":
                message.headers["x"] = b"bytes"
            if what == "state":
                state.put("k", 5)
            if what == "list":
                worklist.rejected = 5
            message.headers["calls"] = self.calls

    def gather(self, limit: int) -> list[NewMessage] | Gathered:
        return None if limit == 1 else ["a"]

    def request(self, request: HttpRequest) -> HttpResponse | None:
        if request.path == "/status":
            return HttpResponse("200")
        if request.path == "/list":
            submit.submit([NewMessage("https://h/", "a")])
        if request.path == "/pairs":
            content = {"encoding": "utf-8", "value": "text"}
            submit.submit(NewMessage("https://h/", "a", headers={"content": content}))
            return HttpResponse(200, {"a": "b"}, b"x")
        return None
"#;

const JS: &str = r#"import { definePlugin, state, submit } from "flow-plugin";

export default definePlugin({
  name: "wrong",
  version: "0.1.0",
  summary: "gives values of the wrong type",
  calls: 0,

  afterWork(worklist) {
    this.calls += 1;
    for (const message of worklist.ok) {
      const what = message.relPath;
      if (what === "code") {
        worklist.reject(message, "422", "why");
      }
      if (what === "reason") {
        worklist.reject(message, 422);
      }
      if (what === "size") {
        message.size = "5";
      }
      if (what === "header") {
        message.headers.set("x", undefined);
      }
      if (what === "state") {
        state.put("k", 5);
      }
      if (what === "list") {
        worklist.rejected = 5;
      }
      message.headers.set("calls", this.calls);
    }
  },

  gather(limit) {
    return limit === 1 ? null : ["a"];
  },

  request(request) {
    if (request.path === "/status") {
      return { status: "200" };
    }
    if (request.path === "/list") {
      submit([{ baseUrl: "https://h/", relPath: "a" }]);
    }
    if (request.path === "/pairs") {
      const content = { encoding: "utf-8", value: "text" };
      submit({ baseUrl: "https://h/", relPath: "a", headers: { content } });
      return { headers: [["a", "b"]], body: "x" };
    }
    return undefined;
  },
});
"#;

/// What is wrong, as a step; and how what is said of it goes on, in Python and in JavaScript. `@` stands
/// for the place of the line that has the text behind it.
const MISTAKES: [(&str, &str, &str); 10] = [
    (
        "after_work: [{ relPath: code }]",
        "`code` of `worklist.reject` is a whole number, and not '422', of type str; write 422 @\"422\"",
        "`code` of `worklist.reject` is a whole number, and not \"422\", of type string; write 422 @\"422\"",
    ),
    (
        "after_work: [{ relPath: reason }]",
        "`reason` of `worklist.reject` is text, and not None @422, None",
        "`reason` of `worklist.reject` is text, and not undefined @422);",
    ),
    (
        "after_work: [{ relPath: size }]",
        "`size` of a message is a whole number, and not '5', of type str; write 5 @.size =",
        "`size` of a message is a whole number, and not \"5\", of type string; write 5 @.size =",
    ),
    (
        "after_work: [{ relPath: header }]",
        "header `x` is text, or something JSON has, and not b'bytes', of type bytes; write `.decode()` behind it @b\"bytes\"",
        "header `x` is text, or something JSON has, and not undefined @undefined)",
    ),
    (
        "after_work: [{ relPath: state }]",
        "a value of the state is bytes or text, and not 5, of type int @\"k\", 5",
        "a value of the state is text, or bytes in a Uint8Array, and not 5, of type number @\"k\", 5",
    ),
    (
        "after_work: [{ relPath: list }]",
        "`worklist.rejected` is a list of messages, and not 5, of type int",
        "`worklist.rejected` is an array of messages, and not 5",
    ),
    (
        "gather: 1",
        "`gather` (plugin.py:31) returned None; return a list of NewMessage, or Gathered([…], more=True)",
        "`gather` returned null; return an array of messages, or { messages, more: true }",
    ),
    (
        "gather: 2",
        "each message of `gather` is a NewMessage, and not 'a', of type str; write NewMessage(base_url, rel_path)",
        "each message of `gather` is an object, and not \"a\", of type string; write { baseUrl, relPath }",
    ),
    (
        "request: { method: GET, path: /status }",
        "`status` of an HttpResponse is a whole number, and not '200', of type str; write 200 @\"200\"",
        "`status` of an answer is a whole number, and not \"200\", of type string; write 200",
    ),
    (
        "request: { method: GET, path: /list }",
        "each message of `submit.submit` is a NewMessage, and not [",
        "each message of `submit` is an object, and not [{",
    ),
];

/// A test of each mistake, and then of what is right; `said` picks the language's column.
fn trial(source: &str, file: &str, said: impl Fn(&(&str, &str, &str)) -> String) -> String {
    let mut text = "steps:\n".to_owned();
    for mistake in &MISTAKES {
        let said = said(mistake);
        let (words, marked) = said.split_once('@').unwrap_or((&said, ""));
        let line = source.lines().position(|line| line.contains(marked));
        let place = match marked {
            "" => String::new(),
            _ => format!("{file}:{}", line.expect("the source has it") + 1),
        };
        let pattern = format!(
            "~^TypeError: {}.*{}",
            regex_of(words.trim()),
            regex_of(&place)
        );
        let pattern = pattern.replace('\'', "''");
        text.push_str(&format!(
            "  - {}\n    expect: {{ temporary: '{pattern}' }}\n",
            mistake.0
        ));
    }
    // The same object was called each time.
    text.push_str(
        "  - after_work: [{ relPath: right }]\n    expect: [{ update: { calls: 7 } }]\n\
         \x20 - request: { method: GET, path: /pairs }\n    expect:\n      status: 200\n      headers: { a: b }\n      body: x\n      submitted:\n        - \
         { relPath: a, baseUrl: 'https://h/', content: { encoding: utf-8, value: text } }\n",
    );
    text
}

fn regex_of(text: &str) -> String {
    text.chars().fold(String::new(), |mut regex, one| {
        if !(one.is_alphanumeric() || "' `,;:=/\"<>…".contains(one)) {
            regex.push('\\');
        }
        regex.push(one);
        regex
    })
}

#[track_caller]
fn tried(flow: &Flow, test: &str) {
    let made = flow.config_dir().join("plugins/wrong.wasm");
    flow.write("p/wrong.wasm", &fs::read(made).expect("it was installed"));
    flow.write(
        "p/flow-plugin.toml",
        b"name = \"wrong\"\nsteps = []\ncomponent = \"wrong.wasm\"\n",
    );
    flow.write("p/tests/mistakes.yaml", test.as_bytes());
    let tried = flow.run(&["plugin", "test", "p"]);
    assert_eq!(tried.stdout, "ok      p/tests/mistakes.yaml, 12 steps\n");
}

#[test]
fn values_of_the_wrong_type_are_failures_that_name_the_line_in_python() {
    let project = Project::of("plugin-python").with("src/plugin.py", PYTHON);
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    let build = "../../plugins/sdk-python/build.py";
    project.install(
        &flow,
        "build/wrong.wasm",
        &["python", build, "-o", "build/wrong.wasm"],
    );
    tried(&flow, &trial(PYTHON, "plugin.py", |it| it.1.to_owned()));
}

#[test]
fn values_of_the_wrong_type_are_failures_that_name_the_line_in_javascript() {
    let project = Project::of("plugin-js").with("src/plugin.js", JS);
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    let build = "../../plugins/sdk-js/build.mjs";
    project.install(
        &flow,
        "build/wrong.wasm",
        &["node", build, "-o", "build/wrong.wasm"],
    );
    tried(&flow, &trial(JS, "src/plugin.js", |it| it.2.to_owned()));
}

/// What a build that has to fail says.
#[track_caller]
fn refused(project: &Project, command: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = format!("{}:{path}", project.path(".venv/bin").display());
    let ran = Command::new(command[0])
        .args(&command[1..])
        .env("PATH", own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(project.path(""))
        .output()
        .unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success(), "{said}");
    said
}

#[test]
fn a_method_that_is_nearly_an_entry_point_is_refused() {
    let python = |name: &str| {
        let source = PYTHON.replace("def request", &format!("def {name}"));
        let project = Project::of("plugin-python").with("src/plugin.py", &source);
        refused(&project, &["python", "../../plugins/sdk-python/build.py"])
    };
    let said = python("on_request");
    assert_eq!(
        said,
        "error: Wrong has a method `on_request`, which is never called: did you mean `request`? \
         A helper of your own that is called so, call `_on_request`\n"
    );
    let js = |source: &str| {
        let project = Project::of("plugin-js").with("src/plugin.js", source);
        refused(&project, &["node", "../../plugins/sdk-js/build.mjs"])
    };
    let said = js(&JS.replace("  afterWork(", "  after_work("));
    assert!(
        said.starts_with("error: the plugin has a method `after_work`, which is never called: did you mean `afterWork`?"),
        "{said}"
    );
    let alone = "import { definePlugin } from \"flow-plugin\";\nexport default definePlugin({ name: \"a\", \
                 version: \"1\", summary: \"b\", work() {} });\n";
    assert_eq!(
        js(alone),
        "error: the plugin has no entry point, only `work`; write a method such as `afterAccept`\n"
    );
}
