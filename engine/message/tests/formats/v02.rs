//! Captured v02 messages, what differs from sr3 on purpose, and what must be refused.

use flow_message::codec::{decode, detect, encode, header};
use flow_message::{
    BlockMethod, Context, DecodeError, FileOp, Format, Identity, Incoming, Message, Transport, v03,
};
use serde_json::{Value, json};

const BODY: &str = "20261122015207.0105447769 http://localhost:8000/ a/b/foo.txt";

/// sha512 of `hello sarracenia\n` begins so; the rest of the digest is not what is tested.
const SUM: &str = "s,d205fa9a8115957bf0349f93da51e6d0";

fn with(headers: &Value) -> Result<Message, DecodeError> {
    let headers = headers.as_object().expect("an object").clone();
    let headers: Vec<(String, Value)> = headers.into_iter().collect();
    decode(
        &Incoming {
            content_type: Some("text/plain"),
            headers: &headers,
            body: BODY.as_bytes(),
            topic: Some("v02.post.a.b"),
        },
        None,
    )
}

fn read(headers: &Value) -> Message {
    with(headers).expect("a message")
}

fn of_body(body: &[u8]) -> Result<Message, DecodeError> {
    let incoming = Incoming {
        body,
        ..Incoming::default()
    };
    decode(&incoming, Some(Format::V02))
}

fn of_any(body: &[u8]) -> Result<Message, DecodeError> {
    let incoming = Incoming {
        body,
        ..Incoming::default()
    };
    decode(&incoming, None)
}

#[test]
fn a_captured_message_is_read_and_leaves_as_it_came() {
    let headers = json!({
        "source": "tsource", "mode": "644", "mtime": "20261122015206.670848846",
        "atime": "20261122015206.670848846", "contentType": "text/plain",
        "parts": "1,17,1,0,0", "sum": SUM, "to_clusters": "DDI",
    });
    let message = read(&headers);
    assert_eq!(message.pub_time.to_string(), "20261122T015207.010544776");
    assert_eq!(message.url(), "http://localhost:8000/a/b/foo.txt");
    assert_eq!((message.size, message.mode), (Some(17), Some(0o644)));
    assert_eq!(
        message.mtime.expect("set").to_string(),
        "20261122T015206.670848846"
    );
    let identity = message.identity.as_ref().expect("set");
    assert_eq!(
        (identity.method.as_str(), identity.value.as_str()),
        ("sha512", "0gX6moEVlXvwNJ+T2lHm0A==")
    );
    assert_eq!(
        Value::Object(message.extra.clone()),
        json!({"to_clusters": "DDI"})
    );

    let wire = encode(&message, Format::V02, &Context::amqp("v02.post")).expect("written");
    assert_eq!(wire.body, BODY.replace("447769", "44776").as_bytes());
    assert_eq!(wire.content_type, "text/plain");
    assert_eq!(wire.topic.as_str(), "v02.post.a.b");
    let sent: Value = Value::Object(wire.headers.into_iter().collect());
    assert_eq!(sent, headers);
}

#[test]
fn sums_say_what_happened() {
    let op = |headers: Value| read(&headers).file_op.unwrap_or_default();
    assert!(op(json!({"sum": "R,00"})).remove);
    assert!(op(json!({"sum": "m,00"})).directory);
    let removed = op(json!({"sum": "r,00"}));
    assert!(removed.remove && removed.directory);
    assert_eq!(
        op(json!({"sum": "L,00", "link": "x"})).link.as_deref(),
        Some("x")
    );
    let renamed = read(&json!({"sum": SUM, "oldname": "old"}));
    assert_eq!(renamed.file_op.expect("set").rename.as_deref(), Some("old"));
    assert!(renamed.identity.is_some());
    let moved = op(json!({"sum": "m,00", "oldname": "old"}));
    assert!(moved.directory && moved.rename.is_some() && moved.extra.is_empty());
    let link = op(json!({"sum": "L,00", "oldname": "old", "link": "x"}));
    assert!(link.link.is_some() && link.rename.is_some());

    for (sum, method, value) in [
        ("0,0042", "random", "0042"),
        ("a,any, thing", "arbitrary", "any, thing"),
        ("z,d", "cod", "md5"),
        ("z,s", "cod", "sha512"),
        (
            "d,D41D8CD98F00B204E9800998ECF8427E",
            "md5",
            "1B2M2Y8AsgTpgAmY7PhCfg==",
        ),
    ] {
        let identity = read(&json!({"sum": sum})).identity.expect(sum);
        assert_eq!(
            (&*identity.method, &*identity.value),
            (method, value),
            "{sum}"
        );
    }
    let none = read(&json!({"sum": "n,d41d8cd98f00b204e9800998ecf8427e"}));
    assert_eq!((none.identity, none.extra.get("sum")), (None, None));
}

#[test]
fn what_makes_no_sense_is_kept_and_leaves_as_it_came() {
    for (name, value) in [
        ("sum", "s,xyz"),
        ("sum", "d,abc"),
        ("sum", "d,"),
        ("sum", "sé"),
        ("sum", ""),
        ("sum", "Q,some plugin"),
        ("sum", "z,Q"),
        ("sum", "L,0123"),
        ("parts", "1,2,3"),
        ("parts", "x,1,1,0,0"),
        ("parts", "1,99999999999999999999,1,0,0"),
        ("parts", "1,1,1,0,0,0"),
    ] {
        let message = read(&json!({name: value}));
        assert_eq!(
            (&message.identity, &message.file_op, message.size),
            (&None, &None, None)
        );
        assert_eq!(message.extra[name], value, "{name}={value}");
        let wire = encode(&message, Format::V02, &Context::amqp("v02.post")).expect("written");
        assert!(
            wire.headers.contains(&(name.into(), value.into())),
            "{name}={value}"
        );
        assert_eq!(decode(&wire.incoming(), None).expect("read"), message);
    }
}

#[test]
fn parts_of_a_file_become_blocks() {
    let message = read(&json!({"parts": "i,10,3,5,2", "sum": SUM}));
    let layout = message
        .blocks
        .as_ref()
        .expect("set")
        .layout()
        .expect("good");
    assert_eq!((layout.method, layout.size), (BlockMethod::Inplace, 10));
    assert_eq!(
        (layout.count, layout.remainder, layout.number),
        (Some(3), Some(5), Some(2))
    );
    assert_eq!(message.size, None);
    // A v03 body with this header, which an early sr3 wrote.
    let body = r#"{"pubTime":"20261122T015207","baseUrl":"b","relPath":"r","parts":"p,10,3,5,2"}"#;
    let old = v03::decode(body.as_bytes()).expect("read");
    let layout = old.blocks.as_ref().expect("set").layout().expect("good");
    assert_eq!(layout.method, BlockMethod::Partitioned);
    assert!(!old.extra.contains_key("parts"));
    let body = body.replace("p,10,3,5,2", "1,10,1,0,0");
    assert_eq!(v03::decode(body.as_bytes()).expect("read").size, Some(10));
    let body = body.replace("1,10,1,0,0", "1,10");
    assert_eq!(
        v03::decode(body.as_bytes())
            .expect_err("broken")
            .to_string(),
        "field `parts`: `1,10` is not a list such as `1,17,1,0,0`"
    );
}

#[test]
fn what_sr3_loses_is_sent() {
    let mut message = read(&json!({}));
    let header = |message: &Message, name: &str| {
        let wire = encode(message, Format::V02, &Context::amqp("v02.post")).expect("written");
        let found = wire.headers.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str().expect("text").to_owned())
    };
    message.file_op = Some(FileOp {
        link: Some("target".into()),
        ..FileOp::default()
    });
    assert_eq!(header(&message, "link").as_deref(), Some("target"));
    assert!(header(&message, "sum").expect("set").starts_with("L,"));
    message.file_op = Some(FileOp {
        remove: true,
        directory: true,
        ..FileOp::default()
    });
    assert!(header(&message, "sum").expect("set").starts_with("r,"));
    message.file_op = None;
    message.identity = Some(Identity {
        method: "blake3".into(),
        value: "?".into(),
    });
    // md5 of the name, by md5sum.
    assert_eq!(
        header(&message, "sum").as_deref(),
        Some("n,4fd8cc85ca9eebd2fa3c550069ce2846")
    );
}

#[test]
fn bodies_may_be_untidy() {
    for body in [
        "20261122015207.5 http://h/ a%20b/c\n",
        "20261122015207.5 http://h/ a%20b/c \r\n",
        "  20261122015207.5  http://h/  a%20b/c  and more",
        "20261122T015207.5 http://h/ a%20b/c",
    ] {
        let message = of_body(body.as_bytes()).expect(body);
        assert_eq!(
            (
                message.pub_time.to_string().as_str(),
                message.rel_path.as_str()
            ),
            ("20261122T015207.5", "a b/c"),
            "{body}"
        );
    }
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    for (body, expected) in [
        ("", "not a v02 body, which is `time baseUrl relPath`: ``"),
        (
            "20261122015207 http://h/",
            "not a v02 body, which is `time baseUrl relPath`: `20261122015207 http://h/`",
        ),
        (
            "now http://h/ x",
            "field `pubTime`: `now` is not a time of the form `20261122T015207.5` (UTC)",
        ),
        (
            "20261122015207 http://h/ a\0b",
            "field `relPath`: holds a NUL, which no path or URL can",
        ),
    ] {
        assert_eq!(
            of_body(body.as_bytes()).expect_err(body).to_string(),
            expected
        );
    }
    assert_eq!(
        of_body(b"20261122015207 http://h/ \xff")
            .expect_err("Latin-1")
            .to_string(),
        "not a v02 body, which is `time baseUrl relPath`: not UTF-8 from byte 25"
    );
    let body = br#"{"pubTime":"20261122T015207","baseUrl":"b","relPath":"r","rename":"a\u0000"}"#;
    assert_eq!(
        of_any(body).expect_err("a NUL").to_string(),
        "field `rename`: holds a NUL, which no path or URL can"
    );
    for (headers, expected) in [
        (
            json!({"sum": 1}),
            "header `sum`: expected a string, found a number",
        ),
        (
            json!({"parts": ["1"]}),
            "header `parts`: expected a string, found a list",
        ),
        (
            json!({"link": true}),
            "header `link`: expected a string, found a boolean",
        ),
        (
            json!({"mtime": "x"}),
            "field `mtime`: `x` is not a time of the form `20261122T015207.5` (UTC)",
        ),
        (
            json!({"mode": 644}),
            "field `mode`: expected a string, found a number",
        ),
        (
            json!({"source": {}}),
            "field `source`: expected a string, found an object",
        ),
        (
            json!({"oldname": "a\0"}),
            "field `fileOp.rename`: holds a NUL, which no path or URL can",
        ),
        (
            json!({"identity": "x"}),
            "field `identity`: expected an object, found a string",
        ),
    ] {
        assert_eq!(with(&headers).expect_err("wrong").to_string(), expected);
    }
    assert_eq!(
        header("filename", b"caf\xe9")
            .expect_err("Latin-1")
            .to_string(),
        "header `filename`: not UTF-8 from byte 3"
    );
    assert_eq!(
        with(&json!({"x": "x".repeat(2 << 20)}))
            .expect_err("large")
            .to_string(),
        "headers of 2097153 bytes are too large: at most 1048576 are read"
    );
}

#[test]
fn what_a_broker_would_choke_on_is_not_sent() {
    let refused = |change: &dyn Fn(&mut Message), transport| {
        let mut message = read(&json!({}));
        change(&mut message);
        let context = crate::vectors::context(Format::V02, transport);
        encode(&message, Format::V02, &context)
            .expect_err("refused")
            .to_string()
    };
    let add = |key: &str, value: Value| {
        let key = key.to_owned();
        move |message: &mut Message| drop(message.extra.insert(key.clone(), value.clone()))
    };
    use Transport::{Amqp, Mqtt};
    let long = "n".repeat(300);
    for (text, expected) in [
        (
            refused(&|message| message.rel_path.clear(), Amqp),
            "v02 can't carry field `relPath`: it is empty, and the body is words between blanks",
        ),
        (
            refused(&|message| message.base_url.push('\n'), Amqp),
            "v02 can't carry field `baseUrl`: it ends in a line break, as a body may too",
        ),
        (
            refused(&add("note", "x".repeat(200_000).into()), Amqp),
            "the headers of this message have 200055 bytes, and a broker takes 120000: send v03 instead",
        ),
        (
            refused(&add("note", "x".repeat(70_000).into()), Mqtt),
            "v02 can't carry field `note`: it has 70000 bytes, and MQTT takes 65535",
        ),
        (
            refused(&add("note", "a\0".into()), Mqtt),
            "v02 can't carry field `note`: it holds a NUL, on which an MQTT broker hangs up",
        ),
    ] {
        assert_eq!(text, expected);
    }
    let name = refused(&add(&long, 1.into()), Amqp);
    assert!(
        name.ends_with("…`: its name has 300 bytes, and AMQP takes 255"),
        "{name}"
    );
}

#[test]
fn formats_are_told_apart_as_sr3_does() {
    let v02 = b"20261122015207 http://h/ x".as_slice();
    let v03 = br#" {"pubTime":"20261122T015207","baseUrl":"b","relPath":"r"}"#.as_slice();
    let wis = br#"{"conformsTo":["http://wis.wmo.int/spec/wnm/1/conf/core"],"properties":{}}"#;
    let old_wis = br#"{"version":"v04","properties":{}}"#.as_slice();
    let json = Some("application/json");
    for (body, content_type, topic, expected) in [
        (v02, Some("text/plain"), None, Format::V02),
        (v02, None, None, Format::V02),
        (v02, json, Some("v02.post.a"), Format::V02),
        (v02, json, Some("xpublic/v02/post/a"), Format::V02),
        (v03, json, None, Format::V03),
        (
            v03,
            Some("Application/JSON; charset=utf-8"),
            None,
            Format::V03,
        ),
        (v03, Some("text/plain"), None, Format::V03),
        (v03, None, Some("v02.post"), Format::V03),
        (wis, json, None, Format::Wis),
        (wis, None, None, Format::Wis),
        (old_wis, json, None, Format::Wis),
        (b"[1]", json, None, Format::V03),
        (b"", json, None, Format::V03),
    ] {
        let incoming = Incoming {
            content_type,
            headers: &[],
            body,
            topic,
        };
        let text = String::from_utf8_lossy(body);
        assert_eq!(
            detect(&incoming),
            expected,
            "{text} {content_type:?} {topic:?}"
        );
    }
    // A v03 message that carries the marks as fields of its own is still v03.
    let marked = br#"{"pubTime":"20261122T015207","baseUrl":"b","relPath":"r","version":"v04"}"#;
    let incoming = Incoming {
        body: marked,
        ..Incoming::default()
    };
    assert_eq!(detect(&incoming), Format::V03);
    assert_eq!(
        decode(&incoming, None).expect("v03").extra["version"],
        "v04"
    );
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert_eq!(
        "v04".parse::<Format>().expect_err("unknown").to_string(),
        "`v04` is no message format: there are v03, v02 and wis"
    );
}
