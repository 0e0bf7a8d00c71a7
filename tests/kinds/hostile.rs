//! Messages as nobody should send them, over RabbitMQ: each ends with a reason that is kept and
//! counted, and those between them get through.

use std::collections::BTreeMap;

use flow_testkit::{Flow, RabbitMq, without_password};
use flow_tests::tree;
use flow_tests::wire::{Raw, Wire};
use serde_json::Value;

use super::content;

const FLOW: &str = "subscribe/all";
/// What a good message says before and after its path.
const GOOD: &str = r#""pubTime":"20261122T120000.5","baseUrl":"http://127.0.0.1:1/","relPath":"#;
const INLINE: &str = r#","size":2,"content":{"encoding":"utf-8","value":"ok"}"#;

/// A body of v03 as it stands.
fn body(text: impl Into<Vec<u8>>) -> Raw {
    Raw::v03("v03.x", text)
}

/// A good message, its content in it, with more fields.
fn good(path: &str, more: &str) -> Raw {
    body(format!("{{{GOOD}{path:?}{INLINE}{more}}}"))
}

/// A message of v02 with these headers.
fn v02(text: &str, headers: &[(&str, &str)]) -> Raw {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Raw {
        topic: "v02.post.x".to_owned(),
        content_type: "text/plain".to_owned(),
        headers: headers.iter().map(own).collect(),
        body: text.as_bytes().to_vec(),
    }
}

/// What can't be read, and a part of the reason that is kept with it.
fn unreadable() -> Vec<(Raw, &'static str)> {
    let huge = format!("{{{GOOD}\"x\",\"x\":\"{}\"}}", "x".repeat(17 << 20));
    let mut invalid = b"{\"pubTime\":\"20261122T120000\",\"relPath\":\"".to_vec();
    invalid.extend(b"\xff\xfe\",\"baseUrl\":\"http://h/\"}");
    let wrong = |fields: &str| body(format!("{{{GOOD}{fields}}}"));
    let missing = body(r#"{"relPath":"x","baseUrl":"http://h/"}"#);
    let deep = body(format!("{}1", "[".repeat(100_000)));
    vec![
        (body(""), "not a JSON object: EOF"),
        (body("{\"pubTime\":"), "not a JSON object: EOF"),
        (body("[1, 2]"), "but not an object"),
        (body("null"), "but not an object"),
        (deep, "recursion limit"),
        (body(invalid), "not UTF-8 from byte 40"),
        (body(huge), "bytes are too large"),
        (missing, "`pubTime` is missing"),
        (wrong("7"), "`relPath`: expected a string"),
        (wrong(r#""nul\u0000l""#), "`relPath`: holds a NUL"),
        (wrong(r#""x","size":{}"#), "`size`: expected a number"),
        (wrong(r#""x","size":-1"#), "`size`: `-1` is not"),
        (wrong(r#""x","mtime":"yesterday""#), "`mtime`: `yesterday`"),
        (
            wrong(r#""x","identity":"sha512""#),
            "`identity`: expected an object",
        ),
        (wrong(r#""x","fileOp":[]"#), "`fileOp`: expected an object"),
        (v02("only two", &[]), "not a v02 body"),
        (v02("yesterday http://h/ x", &[]), "`pubTime`: `yesterday`"),
    ]
}

/// What can be read, and not be carried out.
fn impossible() -> Vec<Raw> {
    vec![
        good("../../up", ""),
        good("a/../../../up", ""),
        good("/etc/../../up", ""),
        good("..", ""),
        good("op", r#","fileOp":{"teleport":"away"}"#),
        good("link", r#","fileOp":{"link":"../../../etc/passwd"}"#),
        good("renamed", r#","fileOp":{"rename":"../../../etc/passwd"}"#),
    ]
}

/// What is strange and no reason to lose a message: with content "ok" at these paths. `file` is one
/// with that content.
fn strange(file: &str) -> Vec<(Raw, String)> {
    let mut all = Vec::new();
    for (number, time) in ["19700101T000000", "21260101T000000.123456789"]
        .iter()
        .enumerate()
    {
        // Clocks that are wrong are nobody's fault.
        let path = format!("clock/{number}");
        let text = String::from_utf8(good(&path, "").body).expect("it is text");
        all.push((body(text.replace("20261122T120000.5", time)), path));
    }
    let long = format!(r#","x":"{}""#, "x".repeat(1 << 20));
    all.push((good("long/header", &long), "long/header".to_owned()));
    // Each says nothing of the content, which is then not compared.
    for (number, sum) in ["sixty", "q,abc", "s,no-hex", ",", "d,"].iter().enumerate() {
        let text = format!("2026112212000{number}.5 file:/ {file}");
        all.push((v02(&text, &[("sum", sum)]), file.to_owned()));
    }
    all
}

#[test]
fn what_nobody_should_send_ends_with_a_reason_and_holds_nothing_up() {
    let server = RabbitMq::start();
    let url = server.url("/");
    let flow = Flow::new();
    flow.credentials(&format!("{url}\n"));
    let address = without_password(&url);
    flow.add_flow(
        FLOW,
        &format!(
            "broker: {address}\nexchange: xs_all\nqueueName: q_all\nsubtopic: '#'\n\
             directory: ${{HOME}}/in/got\nmirror: on\nattempts: 1\nlogReject: on\nbatch: 7\n"
        ),
    );
    flow.write("source", b"ok");
    let source = flow.path("source").display().to_string();
    let source = source.trim_start_matches('/');
    let wire = Wire::open(&url);
    wire.queue("q_all", "xs_all");
    let (unreadable, impossible) = (unreadable(), impossible());
    let mut expected = BTreeMap::new();
    let mut all = Vec::new();
    let bad = unreadable.iter().map(|(raw, _)| raw).chain(&impossible);
    for (number, raw) in bad.enumerate() {
        let name = format!("good/{number}");
        all.extend([raw.clone(), good(&name, "")]);
        expected.insert(name, b"ok".to_vec());
    }
    for (raw, name) in strange(source) {
        all.push(raw);
        expected.insert(name, b"ok".to_vec());
    }
    let sent = all.len();
    wire.post("xs_all", all);

    let ended = flow.run(&["foreground", FLOW, "--once"]).expect(1);
    let said = &ended.stderr;
    assert_eq!(content(&flow.path("in/got")), expected, "{said}");
    let found = tree::files(&flow.path("in"));
    assert_eq!(found.len(), expected.len(), "nothing elsewhere: {found:?}");
    assert_eq!(wire.depth("q_all"), 0, "nothing is stuck");
    // Each is counted,
    let counts = [
        format!("{sent} gathered"),
        format!("{} rejected", impossible.len()),
        format!("{} given up", unreadable.len()),
    ];
    for count in counts {
        assert!(said.contains(&count), "no `{count}` in {said}");
    }
    // and has its reason: in the log, or with the dead letters.
    for raw in &impossible {
        let raw: Value = serde_json::from_slice(&raw.body).expect("it is JSON");
        let path = raw["relPath"].as_str().expect("a path");
        let path = path.trim_start_matches('/');
        let line = said
            .lines()
            .find(|line| line.contains(&format!("rejected  {path} ")));
        let line = line.unwrap_or_else(|| panic!("{path} is not in {said}"));
        assert!(line.contains(": "), "{line}");
    }
    let dead = flow.run(&["retry", "list", FLOW, "--dead", "--format", "json"]);
    let dead: Value = serde_json::from_str(&dead.stdout).expect("it is JSON");
    let reasons = dead.as_array().expect("a list").iter();
    let mut reasons: Vec<&str> = reasons.filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons.len(), unreadable.len(), "{reasons:?}");
    for (_, wanted) in &unreadable {
        let at = reasons.iter().position(|reason| reason.contains(wanted));
        let at = at.unwrap_or_else(|| panic!("`{wanted}` is not in {reasons:?}"));
        reasons.remove(at);
    }
}
