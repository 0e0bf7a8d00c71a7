//! `flow plugin test` with a plugin that is there already: what differs is said, with its line.

use flow_testkit::{Finished, Flow};

use super::guest;

/// Runs one test of a shipped plugin, as if it were a project's.
fn tried(plugin: &str, test: &str) -> Finished {
    let flow = Flow::new();
    let built = flow
        .binary()
        .ancestors()
        .nth(2)
        .expect("below a target directory");
    let wasm = built
        .join("plugins/wasm32-wasip2/release")
        .join(format!("{}.wasm", plugin.replace('-', "_")));
    let bytes = std::fs::read(&wasm)
        .unwrap_or_else(|error| panic!("{} is built with flow: {error}", wasm.display()));
    tried_in(&flow, plugin, &bytes, test)
}

fn tried_in(flow: &Flow, plugin: &str, component: &[u8], test: &str) -> Finished {
    flow.write(&format!("p/{plugin}.wasm"), component);
    let said = format!("name = \"{plugin}\"\nsteps = []\ncomponent = \"{plugin}.wasm\"\n");
    flow.write("p/flow-plugin.toml", said.as_bytes());
    flow.write("p/tests/one.yaml", test.as_bytes());
    flow.run(&["plugin", "test", "p"])
}

#[track_caller]
fn differs(plugin: &str, test: &str, shown: &[&str]) {
    shows(tried(plugin, test), shown);
}

#[track_caller]
fn shows(finished: Finished, shown: &[&str]) {
    let finished = finished.expect(1);
    for text in shown {
        assert!(
            finished.stdout.contains(text),
            "no `{text}` in\n{}",
            finished.stdout
        );
    }
}

#[test]
fn the_clock_stands_where_the_test_puts_it() {
    let test = "\
options: { delay: 60s }
clock: 2026-01-01T00:10:00Z
steps:
  - after_accept:
      - { relPath: old, pubTime: '20260101T000000.0' }
      - { relPath: new, pubTime: '20260101T000930.0' }
    expect:
      - keep
      - wait: { after: 30s, reason: <any> }
";
    tried("delay", test).expect(0);
    let test = test.replace("after: 30s", "after: 31s");
    differs(
        "delay",
        &test,
        &["p/tests/one.yaml:9: ", "- \"31s\"", "+ \"30s\""],
    );
}

/// clamd, asked about `hello`.
const SCANNED: &str = "\
options: { clamd: 'tcp://scanner.example:3310' }
connections:
  - to: scanner.example:3310
    script:
      - expect: { base64: @SENT@ }
      - send: { base64: @ANSWER@ }
steps:
  - after_work:
      - { relPath: a.bin, content: hello }
    expect:
      - update: { virusScan: clean }
";

#[test]
fn a_connection_goes_as_its_script_says() {
    let sent = "eklOU1RSRUFNAAAAAAVoZWxsbwAAAAA=";
    let clean = SCANNED
        .replace("@SENT@", sent)
        .replace("@ANSWER@", "c3RyZWFtOiBPSwA=");
    tried("clamav", &clean).expect(0);
    let infected = SCANNED
        .replace("@SENT@", sent)
        .replace("@ANSWER@", "c3RyZWFtOiBFaWNhciBGT1VORAA=");
    differs(
        "clamav",
        &infected,
        &[
            "p/tests/one.yaml:11: after_work, number 1",
            "+ reject: {code: ",
        ],
    );
    let other = clean.replace("content: hello", "content: holla");
    differs(
        "clamav",
        &other,
        &["p/tests/one.yaml:5: said on the connection"],
    );
}

#[test]
fn a_peer_that_is_not_expected_and_one_that_is_not_asked_are_differences() {
    let test = "\
options: { clamd: 'tcp://scanner.example:3310' }
http:
  - request: GET https://example.org/never
    respond: 200
steps:
  - after_work:
      - { relPath: a.bin, content: hello }
    expect:
      - temporary: <any>
";
    differs(
        "clamav",
        test,
        &[
            "p/tests/one.yaml:3: this request was never made\n      - GET https://example.org/never",
            "p/tests/one.yaml:6: a connection that the test does not know\n      + scanner.example:3310",
        ],
    );
}

/// A message's content, sent by `http` while it is read.
const UPLOADED: &str = "\
options: { target: 'https://office.example' }
http:
  - request: POST https://office.example/a.csv
    headers: { idempotency-key: <any>, x-attempt: '0' }
    body: @BODY@
    respond: { status: 201, body: receipt 7 }
steps:
  - send:
      - { relPath: a.csv, content: @CONTENT@ }
    expect:
      - done: { receipt: receipt 7 }
";

#[test]
fn content_that_is_uploaded_is_compared_as_any_body() {
    let courier = guest::component("courier");
    let tried = |content: &str, body: &str| {
        let test = UPLOADED.replace("@CONTENT@", content);
        let flow = Flow::new();
        flow.write("p/tests/large.bin", &vec![b'x'; (16 << 20) + 1]);
        tried_in(&flow, "courier", &courier, &test.replace("@BODY@", body))
    };
    tried("hello", "hello").expect(0);
    tried("hello", "~^hel+o$").expect(0);
    tried("'{\"b\": [1], \"a\": 2}'", "{ a: 2, b: [1] }").expect(0);
    tried("{ base64: /wA= }", "{ base64: /wA= }").expect(0);
    tried("hello", "<any>").expect(0);
    shows(
        tried("hello", "hallo"),
        &[
            "p/tests/one.yaml:5: body of the request\n      - hallo\n      + hello",
            "nothing answers POST https://office.example/a.csv in this test",
        ],
    );
    shows(
        tried("'{\"a\": 1, \"b\": 2}'", "{ a: 1, b: 3 }"),
        &["p/tests/one.yaml:5: body of the request, `b`\n      - 3\n      + 2"],
    );
    shows(
        tried("{ base64: /wA= }", "{ base64: /wE= }"),
        &["p/tests/one.yaml:5: body of the request", "/wE=", "/wA="],
    );
    shows(
        tried("{ file: large.bin }", "<any>"),
        &["a test compares bodies up to 16 MiB, and this has 16777217 bytes"],
    );
}

#[test]
fn a_body_streamed_over_wasi_http_is_compared_as_any_body() {
    let test = "\
options: { method: POST, target: 'https://office.example/in', body: hello }
http:
  - request: POST https://office.example/in
    body: @BODY@
    respond: { status: 202, headers: { x-answer: yes }, body: taken }
steps:
  - gather: 10
    expect:
      messages:
        - { relPath: answer/202, baseUrl: 'test://guest/', size: 5, body: taken, x-answer: yes }
";
    let web = guest::component("web");
    let tried = |body: &str| tried_in(&Flow::new(), "web", &web, &test.replace("@BODY@", body));
    tried("hello").expect(0);
    shows(
        tried("hallo"),
        &["p/tests/one.yaml:4: body of the request\n      - hallo\n      + hello"],
    );
}

#[test]
fn a_plugin_that_only_answers_requests_needs_no_listener_in_a_test() {
    let test = "\
steps:
  - request: { method: POST, path: /in/a, body: hello }
    expect: { status: 202, headers: <any>, body: taken, submitted: [{ relPath: in/a, baseUrl: 'test://guest/', text: hello }] }
  - request: { method: GET, path: /busy }
    expect: { temporary: { reason: too much to do, after: 7s } }
";
    let desk = guest::component("desk");
    tried_in(&Flow::new(), "desk", &desk, test).expect(0);
}

#[test]
fn what_is_written_down_keeps_patterns_that_fit() {
    let test = "\
steps:
  - request: { method: POST, path: /in/a, body: hello }
    expect:
      status: 200
      headers: <any>
      body: '~^ta.*n$'
      submitted:
        - { relPath: '~^in/', baseUrl: '~^ftp:', text: <any> }
";
    let desk = guest::component("desk");
    let flow = Flow::new();
    tried_in(&flow, "desk", &desk, test).expect(1);
    let updated = flow.run(&["plugin", "test", "p", "--update"]).expect(0);
    assert_eq!(updated.stdout, "updated p/tests/one.yaml\n");
    let text = std::fs::read_to_string(flow.path("p/tests/one.yaml")).expect("it is there");
    let expected = "\
steps:
  - request: { method: POST, path: /in/a, body: hello }
    expect:
      status: 202
      headers: \"<any>\"
      body: \"~^ta.*n$\"
      submitted:
        - text: \"<any>\"
          baseUrl: \"test://guest/\"
          relPath: \"~^in/\"
";
    assert_eq!(text, expected);
    flow.run(&["plugin", "test", "p"]).expect(0);
}

#[test]
fn a_test_that_makes_no_sense_says_where() {
    let wrong = |test: &str, shown: &[&str]| differs("delay", test, shown);
    wrong(
        "options: { delay: 60 }\nsteps: []\n",
        &[
            "FAILED  p/tests/one.yaml",
            "needs a unit",
            "p/tests/one.yaml:1:19",
        ],
    );
    wrong("options: { dely: 60s }\n", &["did you mean `delay`?"]);
    wrong("steps: []\n", &["there are no `steps`"]);
    wrong(
        "stepps: []\n",
        &["p/tests/one.yaml:1: a test of a plugin has no `stepps`"],
    );
    wrong(
        "steps:\n  - after_acept: []\n",
        &["p/tests/one.yaml:2: a step has no `after_acept`"],
    );
    wrong(
        "steps:\n  - after_accept:\n      - path: a\n",
        &["p/tests/one.yaml:3: a message has a `relPath`"],
    );
    wrong(
        "steps:\n  - gather: 3\n",
        &["p/tests/one.yaml:2: the plugin does not export `gather`"],
    );
    wrong("steps: [\n", &["p/tests/one.yaml"]);
    wrong("", &["the file is empty"]);
}
