//! WIS2 notification messages: a real one's shape, what differs from sr3 on purpose, and what must
//! be refused.

use crate::vectors::{WIS_TOPIC, context};
use flow_message::codec::{decode, encode};
use flow_message::{
    Context, EncodeError, FileOp, Format, Identity, Inline, InlineEncoding, Message, Timestamp,
    Transport, wis,
};
use serde_json::{Value, json};

fn feature() -> Value {
    json!({
        "id": "31e9d66a-cd83-4174-9429-b932f1abe1be",
        "type": "Feature",
        "conformsTo": ["http://wis.wmo.int/spec/wnm/1/conf/core"],
        "geometry": {"type": "Point", "coordinates": [6.146255135536194, 46.223296618227444]},
        "properties": {
            "data_id": "wis2/ca-eccc-msc/data/core/weather/x",
            "datetime": null,
            "pubtime": "2026-11-22T01:52:07.001299Z",
            "integrity": {"method": "sha512", "value": "A2KNxvks"},
            "content": {"encoding": "utf-8", "value": "TAC", "size": 3},
            "mystery": [1.10],
        },
        "links": [
            {"rel": "via", "href": "https://example.org/about"},
            {"rel": "update", "href": "https://example.org:8443/get/x.bufr?v=2", "type": "application/bufr",
             "length": 457, "security": {"a": 1}},
        ],
    })
}

fn read(feature: &Value) -> Message {
    wis::decode(feature.to_string().as_bytes(), Some(WIS_TOPIC)).expect("a message")
}

fn written(message: &Message) -> Value {
    let wire = encode(message, Format::Wis, &context(Format::Wis, Transport::Mqtt));
    serde_json::from_slice(&wire.expect("written").body).expect("JSON")
}

#[test]
fn a_notification_is_read_and_leaves_as_it_came() {
    let message = read(&feature());
    assert_eq!(message.pub_time.to_string(), "20261122T015207.001299");
    assert_eq!(message.base_url, "https://example.org:8443");
    assert_eq!(message.retrieve_path.as_deref(), Some("/get/x.bufr?v=2"));
    assert_eq!(message.rel_path, format!("{WIS_TOPIC}/x.bufr"));
    assert_eq!(message.size, Some(457));
    assert_eq!(message.content_type.as_deref(), Some("application/bufr"));
    assert_eq!(message.identity.as_ref().expect("set").method, "sha512");
    assert_eq!(message.content.as_ref().expect("set").value, "TAC");
    assert_eq!(
        message.extra["data_id"],
        "wis2/ca-eccc-msc/data/core/weather/x"
    );
    assert!(
        !message.extra.contains_key("conformsTo"),
        "sr3 would take a v03 body with it for wis"
    );
    assert_eq!(written(&message), feature());
}

#[test]
fn a_plain_one_leaves_no_trace_of_its_links() {
    let mut plain = feature();
    plain["links"] = json!([{"rel": "canonical", "href": "http://h/x", "length": 1}]);
    let message = read(&plain);
    assert!(!message.extra.contains_key("links"));
    assert_eq!(written(&message)["links"], plain["links"]);
    // A file that moved: the link follows it.
    let mut moved = read(&feature());
    moved.base_url = "https://mirror.example.org/".into();
    moved.retrieve_path = None;
    moved.rel_path = "a b/x#1.bufr".into();
    moved.size = None;
    let links = &written(&moved)["links"];
    assert_eq!(links[0], feature()["links"][0]);
    assert_eq!(
        links[1]["href"],
        "https://mirror.example.org/a%20b/x%231.bufr"
    );
    assert!(links[1].get("length").is_none());
}

#[test]
fn a_deletion_is_a_removal_in_both_directions() {
    let mut deleted = feature();
    deleted["links"] = json!([{"rel": "deletion", "href": "http://h/x"}]);
    let mut message = read(&deleted);
    assert!(message.file_op.as_ref().expect("set").remove);
    assert_eq!(written(&message)["links"], deleted["links"]);
    message.file_op = Some(FileOp {
        rename: Some("old".into()),
        ..FileOp::default()
    });
    assert_eq!(read(&written(&message)).file_op, message.file_op);
}

#[test]
fn an_id_is_made_once() {
    let mut message = Message::new(Timestamp::from_unix(1_795_312_327, 0), "http://h", "a/x");
    let id = written(&message)["id"].clone();
    assert_eq!(id, written(&message)["id"]);
    let text = id.as_str().expect("text");
    assert_eq!(text.len(), 36);
    assert_eq!(text.as_bytes()[14], b'8', "RFC 9562 version 8: {text}");
    message.size = Some(1);
    assert_ne!(id, written(&message)["id"]);
    message.extra.insert("id".into(), "mine".into());
    assert_eq!(written(&message)["id"], "mine");
}

#[test]
fn identity_and_content_are_written_as_the_standard_has_them() {
    let mut message = Message::new(Timestamp::from_unix(1_795_312_327, 0), "http://h", "a/x");
    message.identity = Some(Identity {
        method: "md5".into(),
        value: "1B2M2Y8AsgTpgAmY7PhCfg==".into(),
    });
    message.content = Some(Inline {
        encoding: InlineEncoding::Iso8859_1,
        value: "caf\u{e9}".into(),
    });
    let properties = &written(&message)["properties"];
    assert!(properties.get("integrity").is_none());
    assert_eq!(
        properties["content"],
        json!({"encoding": "base64", "value": "Y2Fm6Q==", "size": 4})
    );
    // Packed content is left to the link.
    let mut packed = feature();
    packed["properties"]["content"]["encoding"] = "gzip".into();
    assert_eq!(read(&packed).content, None);
}

#[test]
fn topics_are_given_and_never_derived() {
    let mut message = Message::new(Timestamp::from_unix(0, 0), "http://h", "a/x");
    let none = Context::mqtt("xpublic", "");
    let error = encode(&message, Format::Wis, &none).expect_err("no topic");
    assert_eq!(error, EncodeError::Topic("wis"));
    assert_eq!(
        error.to_string(),
        "wis needs a topic of its own, and neither `topic` nor the message has one"
    );
    message.extra.insert("topic".into(), "origin/a".into());
    let topic = |context: &Context<'_>| {
        let wire = encode(&message, Format::Wis, context).expect("written");
        wire.topic.as_str().to_owned()
    };
    assert_eq!(topic(&none), "origin/a");
    assert_eq!(topic(&Context::amqp("")), "origin.a");
    assert_eq!(topic(&none.with_topic(Some("cache/a"))), "cache/a");
    message.base_url = "file:".into();
    assert_eq!(
        encode(&message, Format::Wis, &none)
            .expect_err("no host")
            .to_string(),
        "wis can't carry field `baseUrl`: `file:` is no URL with a host, which a link has to be"
    );
}

#[test]
fn times_are_read_in_every_form() {
    for (text, expected) in [
        ("2026-11-22T01:52:07Z", "20261122T015207"),
        ("2026-11-22T03:52:07.5+02:00", "20261122T015207.5"),
        ("2026-11-22T01:52:07", "20261122T015207"),
        (
            "2026-11-22t01:52:07.123456789987654321z",
            "20261122T015207.123456789",
        ),
        ("20261122T015207.5Z", "20261122T015207.5"),
        ("20261122T015207.5", "20261122T015207.5"),
    ] {
        let time = Timestamp::parse_rfc3339(text).expect(text);
        assert_eq!(time.to_string(), expected, "{text}");
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
    }
    for text in [
        "",
        "now",
        "2026-11-22",
        "2026-13-22T01:52:07Z",
        "20261122T015267Z",
        "2026é",
    ] {
        assert!(Timestamp::parse_rfc3339(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_notification_is_refused_with_the_reason() {
    let base = feature();
    let refused = |change: &dyn Fn(&mut Value), topic: Option<&str>| {
        let mut feature = base.clone();
        change(&mut feature);
        let error = wis::decode(feature.to_string().as_bytes(), topic);
        error.expect_err("refused").to_string()
    };
    let set = |path: &'static str, value: Value| {
        move |feature: &mut Value| *feature.pointer_mut(path).expect(path) = value.clone()
    };
    let topic = Some(WIS_TOPIC);
    for (text, expected) in [
        (refused(&|_| (), None), "field `topic` is missing"),
        (refused(&|_| (), Some("")), "field `topic` is missing"),
        (
            refused(&set("/properties", json!(1)), topic),
            "field `properties`: expected an object, found a number",
        ),
        (
            refused(&set("/properties", json!(null)), topic),
            "field `properties` is missing",
        ),
        (
            refused(&set("/properties/pubtime", json!("soon")), topic),
            "field `properties.pubtime`: `soon` is not a time such as `2026-11-22T01:52:07Z`",
        ),
        (
            refused(&set("/properties/pubtime", json!(5)), topic),
            "field `properties.pubtime`: expected a string, found a number",
        ),
        (
            refused(&set("/properties/pubtime", json!(null)), topic),
            "field `properties.pubtime` is missing",
        ),
        (
            refused(&set("/links", json!({})), topic),
            "field `links`: expected a list, found an object",
        ),
        (
            refused(&set("/links", json!([])), topic),
            "field `links`: none of them is an object",
        ),
        (
            refused(&set("/links", json!(null)), topic),
            "field `links` is missing",
        ),
        (
            refused(&set("/links/1/href", json!("x.bufr")), topic),
            "field `links.href`: `x.bufr` is no URL with a host",
        ),
        (
            refused(&set("/links/1/href", json!("http:///x")), topic),
            "field `links.href`: `http:///x` is no URL with a host",
        ),
        (
            refused(&set("/links/1/href", json!(7)), topic),
            "field `links.href`: expected a string, found a number",
        ),
        (
            refused(&set("/links/1/length", json!("many")), topic),
            "field `size`: `many` is not a count of bytes",
        ),
        (
            refused(&set("/properties/integrity", json!("x")), topic),
            "field `integrity`: expected an object, found a string",
        ),
    ] {
        assert_eq!(text, expected);
    }
    assert_eq!(
        wis::decode(b"[]", topic).expect_err("a list").to_string(),
        "not a JSON object: the body is a list"
    );
    let body = feature().to_string();
    let wire = flow_message::Incoming {
        content_type: Some("application/json"),
        headers: &[],
        body: body.as_bytes(),
        topic,
    };
    assert_eq!(decode(&wire, None), Ok(read(&feature())));
}
