//! The typed views of what travels as it came: blocks, digests, inline content, and headers over
//! MQTT.

use flow_message::codec::encode;
use flow_message::{
    Block, BlockIdentity, BlockMethod, Blocks, Format, Identity, Inline, InlineEncoding, Message,
    Timestamp, Transport, v03,
};
use serde_json::{Value, json};

fn blocks(value: &Value) -> Blocks {
    let value = value.as_object().expect("an object").clone();
    Blocks { value }
}

#[test]
fn block_keys_become_numbers_and_leave_as_they_came() {
    let written = json!({
        "method": "inplace", "size": 10, "number": 1, "mystery": 1,
        "manifest": {
            "0": {"size": 10, "identity": "a"},
            "1": {"size": "5", "identity": {"method": "md5", "value": "b"}},
            "10": {"size": 0},
        },
    });
    let mut message = Message::new(Timestamp::from_unix(0, 0), "file:", "x");
    message.blocks = Some(blocks(&written));
    let message = v03::decode(&v03::encode(&message)).expect("read");
    assert_eq!(v03::to_value(&message)["blocks"], written);
    let layout = message.blocks.expect("set").layout().expect("good");
    assert_eq!((layout.method, layout.size), (BlockMethod::Inplace, 10));
    assert_eq!(layout.number, Some(1));
    let numbers: Vec<u64> = layout.manifest.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 10]);
    assert_eq!(
        layout.manifest[&0],
        Block {
            size: 10,
            identity: Some(BlockIdentity::Value("a".into())),
        }
    );
    assert_eq!(
        layout.manifest[&1],
        Block {
            size: 5,
            identity: Some(BlockIdentity::Whole(Identity {
                method: "md5".into(),
                value: "b".into(),
            })),
        }
    );
    let counting = blocks(&json!({"method": "separate", "size": 1, "number": -1}));
    assert_eq!(counting.layout().expect("good").number, None);
}

#[test]
fn blocks_that_make_no_sense_are_refused_with_the_reason() {
    for (value, expected) in [
        (json!({}), "field `blocks.method` is missing"),
        (
            json!({"method": 1}),
            "field `blocks.method`: expected a string, found a number",
        ),
        (
            json!({"method": "x"}),
            "field `blocks.method`: unknown method `x`",
        ),
        (
            json!({"method": "inplace"}),
            "field `blocks.size` is missing",
        ),
        (
            json!({"method": "inplace", "size": -1}),
            "field `blocks.size`: `-1` is not a count",
        ),
        (
            json!({"method": "inplace", "size": []}),
            "field `blocks.size`: expected a number, found a list",
        ),
        (
            json!({"method": "inplace", "size": 1, "number": -2}),
            "field `blocks.number`: `-2` is not a count",
        ),
        (
            json!({"method": "inplace", "size": 1, "manifest": []}),
            "field `blocks.manifest`: expected an object, found a list",
        ),
        (
            json!({"method": "inplace", "size": 1, "manifest": {"x": {"size": 1}}}),
            "field `blocks.manifest`: key `x` is not the number of a block",
        ),
        (
            json!({"method": "inplace", "size": 1, "manifest": {"1": 5}}),
            "field `blocks.manifest.size` is missing",
        ),
        (
            json!({"method": "inplace", "size": 1, "manifest": {"1": {"size": 1, "identity": 5}}}),
            "field `blocks.manifest.identity`: expected an object, found a number",
        ),
        (
            json!({"method": "inplace", "size": 1, "manifest": {"1": {"size": 1, "identity": {}}}}),
            "field `blocks.manifest.identity`: `method` or `value` is missing or no string",
        ),
    ] {
        let error = blocks(&value).layout().expect_err("refused");
        assert_eq!(error.to_string(), expected, "{value}");
    }
}

#[test]
fn a_digest_is_the_same_however_its_base64_is_written() {
    let digest: Vec<u8> = (0..64).collect();
    let identity = Identity::of_digest("sha512", &digest);
    assert_eq!(identity.value.len(), 88);
    // As sr3 leaves it after v02: a line break after 76 characters.
    let (first, second) = identity.value.split_at(76);
    for value in [
        identity.value.clone(),
        format!("{first}\n{second}"),
        identity.value.trim_end_matches('=').to_owned(),
    ] {
        let method = "sha512".into();
        assert_eq!(Identity { method, value }.digest(), Some(digest.clone()));
    }
    let method = "random".into();
    let value = "?!".into();
    assert_eq!(Identity { method, value }.digest(), None);
}

#[test]
fn inline_content_comes_back_whatever_it_was() {
    for bytes in [
        &b"hello sarracenia\n"[..],
        b"",
        b"\xff\x00\x01",
        "été\0".as_bytes(),
    ] {
        assert_eq!(Inline::of(bytes).bytes().as_deref(), Ok(bytes));
    }
    assert_eq!(Inline::of(b"text").encoding, InlineEncoding::Utf8);
    assert_eq!(Inline::of(b"\xff").encoding, InlineEncoding::Base64);
    let inline = |encoding, value: &str| Inline {
        encoding,
        value: value.into(),
    };
    let (base64, latin) = (InlineEncoding::Base64, InlineEncoding::Iso8859_1);
    assert_eq!(
        inline(base64, "aGVs\nbG8\r\n").bytes(),
        Ok(b"hello".to_vec())
    );
    assert_eq!(inline(latin, "caf\u{e9}").bytes(), Ok(b"caf\xe9".to_vec()));
    for (encoding, value, expected) in [
        (base64, "no base64!", "the inline content is no base64"),
        (latin, "文", "the inline content is no iso-8859-1"),
    ] {
        let error = inline(encoding, value).bytes().expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn over_mqtt_every_header_is_a_string() {
    let mut message = Message::new(Timestamp::from_unix(0, 0), "file:", "x");
    message.extra.insert("count".into(), json!(3));
    message
        .extra
        .insert("nested".into(), json!({"a": [1, null]}));
    for transport in [Transport::Amqp, Transport::Mqtt] {
        let context = crate::vectors::context(Format::V02, transport);
        let wire = encode(&message, Format::V02, &context).expect("written");
        let properties: Vec<(&str, String)> = wire.user_properties().collect();
        assert!(properties.contains(&("count", "3".into())));
        assert!(properties.contains(&("nested", r#"{"a":[1,null]}"#.into())));
        let typed = wire.headers.contains(&("count".into(), json!(3)));
        assert_eq!(typed, transport == Transport::Amqp);
    }
}
