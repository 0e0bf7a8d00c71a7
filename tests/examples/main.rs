//! The example plugins, built with the tools their authors use and run in real flows.

mod mistakes;
mod ports;
mod project;
mod web;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use flow_testkit::Flow;
use project::Project;

const PYTHON: [&str; 4] = [
    "python",
    "../../plugins/sdk-python/build.py",
    "-o",
    "build/csv-to-json.wasm",
];

#[test]
fn csv_becomes_json_in_python() {
    let project = Project::of("plugin-python");
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, "build/csv-to-json.wasm", &PYTHON);
    let shown = flow.run(&["plugin", "show", "csv-to-json"]).expect(0);
    for part in [
        "csv-to-json 0.1.0 - turns CSV files into JSON, one object per row",
        "entry points  after_work, lifecycle",
        "imports       content, log, metrics",
        "encoding: choice (utf-8, cp1252) [default: utf-8]",
        "numbers: flag [default: on]",
        "limit: size [default: 50MiB]",
    ] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
    flow.add_flow("flow/tables", &project.flow("flow/tables"));
    flow.write(
        "tables/people.csv",
        "name;age\nAnna;31\nBö;007\n".as_bytes(),
    );
    flow.write("tables/broken.csv", b"name;age\nAnna\n");
    flow.write("tables/note.txt", b"no table\n");
    let done = flow
        .run(&["foreground", "flow/tables", "--once", "--trace"])
        .expect(0);
    let made = fs::read_to_string(flow.path("json/people.json")).expect("it was made");
    let expected =
        "[\n{\"name\": \"Anna\", \"age\": 31},\n{\"name\": \"Bö\", \"age\": \"007\"}\n]\n";
    assert_eq!(made, expected);
    assert!(!flow.path("json/broken.json").exists());
    let why = "not readable as CSV: line 2 has another number of fields than the heading";
    assert!(done.stderr.contains(why), "{}", done.stderr);
}

const JS: [&str; 4] = [
    "node",
    "../../plugins/sdk-js/build.mjs",
    "-o",
    "build/chat-notify.wasm",
];

/// Answers requests, and hands on their bodies: a chat's webhook.
fn chat() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("it listens").port();
    let (told, said) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            let body = loop {
                let read = stream.read(&mut chunk).expect("a request");
                request.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head.to_ascii_lowercase();
                let length = length.split_once("content-length: ").map_or("0", |it| it.1);
                let length = length.split("\r\n").next().and_then(|it| it.parse().ok());
                if read == 0 || body.len() >= length.unwrap_or(0) {
                    break body.to_owned();
                }
            };
            if told.send(body).is_err() {
                return;
            }
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .expect("the client waits");
        }
    });
    (port, said)
}

#[test]
fn a_chat_hears_of_a_batch_from_javascript() {
    let project = Project::of("plugin-js");
    let mut flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, "build/chat-notify.wasm", &JS);
    let (port, said) = chat();
    flow.env(
        "CHAT_WEBHOOK",
        &format!("http://127.0.0.1:{port}/hooks/abc"),
    );
    flow.add_flow("flow/arrivals", &project.flow("flow/arrivals"));
    flow.write("arrivals/a.txt", b"12345");
    flow.write("arrivals/b.txt", b"");
    flow.run(&["foreground", "flow/arrivals", "--once"])
        .expect(0);
    // Files may be shared between lanes, each with an instance that tells the chat.
    let mut lines = Vec::new();
    for said in said.try_iter() {
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let text = said["text"].as_str().expect("a text");
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, ["- a.txt (5 B)", "- b.txt (0 B)", "New in arrivals"]);
}

#[test]
fn a_mistake_in_javascript_names_its_line() {
    let project = Project::of("plugin-js");
    let flow = Flow::new();
    let source = "import { definePlugin } from \"flow-plugin\";\n\
                  export default definePlugin({\n  name: \"chat-notify\",\n  version: \"0.1.0\",\n  \
                  summary: \"is wrong\",\n  afterAccept(worklist) {\n    \
                  worklist.incoming[0].size.toFixed(undefined.x);\n  },\n});\n";
    let project = project.with("src/plugin.js", source);
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, "build/chat-notify.wasm", &JS);
    flow.add_flow(
        "flow/wrong",
        "pollUrl: file:///\npath: ${HOME}/in\ncallbacks:\n  - plugin: chat-notify\n",
    );
    flow.write("in/a.txt", b"12345");
    let done = flow.run(&["foreground", "flow/wrong", "--once"]);
    assert!(
        done.stderr.contains("TypeError")
            && done.stderr.contains("at afterAccept (src/plugin.js:7)"),
        "{}",
        done.stderr
    );
}

#[test]
fn near_files_pass_in_rust() {
    let project = Project::of("plugin-rust");
    let flow = Flow::new();
    // Kept, so that the kit is compiled once.
    let target = flow.cache_dir().join("geofence");
    let target = target.to_str().expect("it is text");
    let component = format!("{target}/wasm32-wasip2/release/geofence.wasm");
    let words = "cargo build --locked --release --target wasm32-wasip2 --target-dir";
    let build: Vec<&str> = words.split(' ').chain([target]).collect();
    project.install(&flow, &component, &build);
    flow.add_flow(
        "flow/near",
        "pollUrl: file:///\npath: ${HOME}/in\ncallbacks:\n  - plugin: headers\n    \
         extract: ['(?<latitude>-?[0-9.]+)_(?<longitude>-?[0-9.]+)[.]txt$']\n  \
         - plugin: geofence\n    center: '45.5,-73.6'\n    radius: 50\n",
    );
    for name in ["45.6_-73.6", "48.85_2.35", "nowhere"] {
        flow.write(&format!("in/{name}.txt"), b"x");
    }
    let done = flow
        .run(&["foreground", "flow/near", "--once", "--trace"])
        .expect(0);
    for part in [
        "45.6_-73.6.txt  geofence after_accept: update",
        "in after_accept: 5508 km away, 50 are allowed (404)",
        "in after_accept: it does not say where it is (422)",
    ] {
        assert!(done.stderr.contains(part), "{part}\n{}", done.stderr);
    }
}

#[test]
fn the_python_example_passes_its_own_tests() {
    let told = Project::of("plugin-python").run("pytest", &["-q", "-p", "no:cacheprovider"]);
    assert!(told.contains(" passed"), "{told}");
}

#[test]
fn the_python_kit_passes_its_own_tests() {
    let project = Project::of("plugin-python");
    let kit = project.path("../../plugins/sdk-python");
    let rootdir = format!("--rootdir={}", kit.display());
    let config = kit.join("pyproject.toml");
    let arguments = ["-q", "-p", "no:cacheprovider", &rootdir, "-c"];
    let tests = kit.join("tests");
    let paths = [&config, &tests].map(|path| path.to_str().expect("it is text"));
    let told = project.run("pytest", &[&arguments[..], &paths[..]].concat());
    assert!(told.contains(" passed"), "{told}");
}

#[test]
fn the_javascript_example_and_kit_pass_their_own_tests() {
    let project = Project::of("plugin-js");
    let tests = [
        "tests/plugin.test.js",
        "../../plugins/sdk-js/tests/kit.test.js",
        "../../plugins/sdk-js/tests/given.test.js",
    ];
    let told = project.run("node", &[&["--test"], &tests[..]].concat());
    assert!(told.contains("# fail 0"), "{told}");
}
