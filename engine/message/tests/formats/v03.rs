//! Captured v03 messages, and messages that must be refused.

use flow_message::{DecodeError, InlineEncoding, Message, v03};
use serde_json::{Value, json};

const FILE: &str = concat!(
    r#"{"pubTime":"20261122T015207.001299381","baseUrl":"http://localhost:8000/","#,
    r#""relPath":"a/b/foo.txt","source":"tsource","#,
    r#""identity":{"method":"sha512","value":"0gX6moEVlXvwNJ+T2lHm0A=="},"mode":"644","size":17,"#,
    r#""mtime":"20261122T015206.670848846","atime":"20261122T015206.670848846","#,
    r#""contentType":"text/plain"}"#
);

fn decode(text: &str) -> Message {
    v03::decode(text.as_bytes()).expect(text)
}

#[test]
fn a_captured_message_leaves_byte_for_byte() {
    let message = decode(FILE);
    assert_eq!(message.url(), "http://localhost:8000/a/b/foo.txt");
    assert_eq!(message.file_name(), "foo.txt");
    assert_eq!((message.size, message.mode), (Some(17), Some(0o644)));
    assert_eq!(message.source.as_deref(), Some("tsource"));
    assert_eq!(
        message.identity.as_ref().expect("an identity").method,
        "sha512"
    );
    assert!(message.extra.is_empty());
    assert_eq!(
        String::from_utf8(v03::encode(&message)).expect("UTF-8"),
        FILE
    );
}

#[test]
fn digits_below_a_nanosecond_are_cut() {
    let message = decode(&FILE.replace("07.001299381", "07.00129938126"));
    assert_eq!(message.pub_time.to_string(), "20261122T015207.001299381");
}

/// Every kind of event sr3 was seen to send, made from the plain one by replacing fields.
#[test]
fn captured_events_round_trip() {
    let cases = [
        (
            "symlink",
            json!({"identity": null, "size": null, "fileOp": {"link": "foo.txt"}}),
        ),
        ("hard link", json!({"fileOp": {"hlink": "a/b/foo.txt"}})),
        (
            "remove",
            json!({"identity": null, "size": null, "mode": null, "fileOp": {"remove": ""}}),
        ),
        (
            "mkdir",
            json!({"identity": null, "size": null, "mode": "755", "fileOp": {"directory": ""},
                "contentType": "text/directory"}),
        ),
        (
            "rmdir",
            json!({"identity": null, "size": null, "fileOp": {"remove": "", "directory": ""}}),
        ),
        ("rename", json!({"fileOp": {"rename": "old/path"}})),
        (
            "renamed directory",
            json!({"fileOp": {"rename": "old/path", "directory": ""}}),
        ),
        (
            "renamed link",
            json!({"fileOp": {"link": "foo.txt", "rename": "old/path"}}),
        ),
        (
            "inlined",
            json!({"content": {"encoding": "utf-8", "value": "hello sarracenia\n"}}),
        ),
    ];
    for (name, changes) in cases {
        let mut wire: Value = serde_json::from_str(FILE).expect("JSON");
        let object = wire.as_object_mut().expect("an object");
        for (key, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                object.shift_remove(key);
            } else {
                object.insert(key.clone(), value.clone());
            }
        }
        let message = decode(&wire.to_string());
        assert_eq!(v03::to_value(&message), wire, "{name}");
    }
}

#[test]
fn events_are_read_into_their_fields() {
    let with = |field: &str| decode(&FILE.replace(r#""size":17"#, field));
    let op = with(r#""fileOp":{"remove":"","directory":"","mystery":[1]}"#)
        .file_op
        .expect("set");
    assert!(op.remove && op.directory);
    assert_eq!(Value::Object(op.extra), json!({"mystery": [1]}));
    let op = with(r#""fileOp":{"link":"x","rename":"old"}"#)
        .file_op
        .expect("set");
    assert_eq!(
        (op.link.as_deref(), op.rename.as_deref()),
        (Some("x"), Some("old"))
    );
    for (written, encoding) in [
        (r#""encoding":"base64","#, InlineEncoding::Base64),
        (r#""encoding":"binary","#, InlineEncoding::Base64),
        (r#""encoding":"iso-8859-1","#, InlineEncoding::Iso8859_1),
        (r#""encoding":"text","#, InlineEncoding::Utf8),
        ("", InlineEncoding::Utf8),
    ] {
        let content = with(&format!(r#""content":{{{written}"value":"eA=="}}"#)).content;
        assert_eq!(content.expect("set").encoding, encoding, "{written}");
    }
}

#[test]
fn older_spellings_are_read_and_never_written() {
    let old = FILE
        .replace("identity", "integrity")
        .replace(r#""size":17"#, r#""size":"17","retPath":"x?y=1""#);
    let message = decode(&old);
    assert_eq!(message.size, Some(17));
    assert_eq!(message.retrieve_path.as_deref(), Some("x?y=1"));
    let written = v03::to_value(&message);
    assert_eq!(written["retrievePath"], "x?y=1");
    assert_eq!(written["identity"]["method"], "sha512");
    assert_eq!(written["size"], json!(17));
    assert!(written.get("integrity").is_none() && written.get("retPath").is_none());
}

#[test]
fn unknown_fields_keep_their_digits_and_order() {
    let body = concat!(
        r#"{"pubTime":"20261122T015207","baseUrl":"file:","relPath":"x","zeta":1.10,"#,
        r#""alpha":123456789012345678901234567890,"to_clusters":"ALL","n":null,"e":1e+400,"#,
        r#""geometry":{"type":"Point","coordinates":[-75.70,45.40]}}"#
    );
    assert_eq!(
        String::from_utf8(v03::encode(&decode(body))).expect("UTF-8"),
        body
    );
}

#[test]
fn extra_never_replaces_a_named_field() {
    let mut message = decode(FILE);
    message.identity = None;
    for key in ["relPath", "size", "content", "integrity", "retPath"] {
        message.extra.insert(key.into(), json!("smuggled"));
    }
    message.extra.insert("mine".into(), json!("kept"));
    let back = v03::decode(&v03::encode(&message)).expect("still a message");
    assert_eq!(back.rel_path, "a/b/foo.txt");
    assert_eq!(Value::Object(back.extra), json!({"mine": "kept"}));
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let base = r#"{"pubTime":"20261122T015207","baseUrl":"file:","relPath":"x""#;
    let cases = [
        (
            r#"{"baseUrl":"b","relPath":"r"}"#.to_owned(),
            "field `pubTime` is missing",
        ),
        (
            r#"{"pubTime":"20261122T015207","relPath":"r"}"#.to_owned(),
            "field `baseUrl` is missing",
        ),
        (
            r#"{"pubTime":"20261122T015207","baseUrl":"b","relPath":null}"#.to_owned(),
            "field `relPath` is missing",
        ),
        (
            r#"{"pubTime":"yesterday","baseUrl":"b","relPath":"r"}"#.to_owned(),
            "field `pubTime`: `yesterday` is not a time of the form `20261122T015207.5` (UTC)",
        ),
        (
            format!("{base},\"size\":-1}}"),
            "field `size`: `-1` is not a count of bytes",
        ),
        (
            format!("{base},\"size\":1.5}}"),
            "field `size`: `1.5` is not a count of bytes",
        ),
        (
            format!("{base},\"size\":[]}}"),
            "field `size`: expected a number, found a list",
        ),
        (
            format!("{base},\"mode\":\"999\"}}"),
            "field `mode`: `999` is not an octal mode such as `644`",
        ),
        (
            format!("{base},\"mode\":644}}"),
            "field `mode`: expected a string, found a number",
        ),
        (
            format!("{base},\"identity\":\"sha\"}}"),
            "field `identity`: expected an object, found a string",
        ),
        (
            format!("{base},\"identity\":{{\"method\":\"md5\"}}}}"),
            "field `identity`: `value` is missing",
        ),
        (
            format!("{base},\"identity\":{{\"value\":\"md5\"}}}}"),
            "field `identity`: `method` is missing",
        ),
        (
            format!("{base},\"content\":{{\"encoding\":\"rot13\",\"value\":\"\"}}}}"),
            "field `content`: unknown encoding `rot13`",
        ),
        (
            format!("{base},\"fileOp\":true}}"),
            "field `fileOp`: expected an object, found a boolean",
        ),
        (
            format!("{base},\"identity\":5}}"),
            "field `identity`: expected an object, found a number",
        ),
        (
            format!("{base},\"identity\":{{\"method\":[],\"value\":\"\"}}}}"),
            "field `identity.method`: expected a string, found a list",
        ),
        (
            format!("{base},\"fileOp\":{{\"link\":7}}}}"),
            "field `fileOp.link`: expected a string, found a number",
        ),
        (
            format!("{base},\"source\":{{\"a\":1}}}}"),
            "field `source`: expected a string, found an object",
        ),
        (
            format!("{base},\"mode\":\"\u{1b}[2J{}\"}}", "7".repeat(99))
                .replace('\u{1b}', "\\u001b"),
            concat!(
                "field `mode`: `\\u{1b}[2J777777777777777777777777777777777777777777777777777777777777",
                "…` is not an octal mode such as `644`"
            ),
        ),
        (
            "[1]".to_owned(),
            "not a JSON object: the body is a JSON value, but not an object",
        ),
    ];
    for (body, expected) in cases {
        let error = v03::decode(body.as_bytes()).expect_err(&body);
        assert_eq!(error.to_string(), expected, "{body}");
    }
    for body in ["", "{", "20261122015207 http://x/ a/b", "{\"a\":1}x"] {
        assert!(
            matches!(v03::decode(body.as_bytes()), Err(DecodeError::Syntax(_))),
            "{body} was read"
        );
    }
    assert!(matches!(
        v03::decode(&[0xff, 0xfe]),
        Err(DecodeError::Syntax(_))
    ));
    let deep = format!(
        "{base},\"x\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(matches!(
        v03::decode(deep.as_bytes()),
        Err(DecodeError::Syntax(_))
    ));
}
