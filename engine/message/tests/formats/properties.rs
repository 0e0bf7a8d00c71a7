//! What holds for every message and every text.

use flow_message::{
    Blocks, FileOp, Identity, Inline, InlineEncoding, Message, Timestamp, Topic, topic_matches, v03,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Map, Value};

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000i32)
        .prop_flat_map(|(far, nanos)| {
            prop_oneof![
                3 => (0..4_102_444_800i64).prop_map(move |s| Timestamp::from_unix(s, nanos)),
                1 => Just(Timestamp::from_unix(far, nanos)),
            ]
        })
        .boxed()
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9/._ -]{0,24}", any::<String>()]
}

pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Digits no machine number can hold: the text has to survive.
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|text| serde_json::from_str(&text).expect("a JSON number")),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            object("[a-z_]{1,8}", inner).prop_map(Value::Object),
        ]
    })
}

pub(crate) fn object(
    keys: &'static str,
    values: impl Strategy<Value = Value> + 'static,
) -> impl Strategy<Value = Map<String, Value>> {
    vec((keys, values), 0..6).prop_map(|pairs| pairs.into_iter().collect())
}

fn file_op() -> impl Strategy<Value = FileOp> {
    (
        of(text()),
        of(text()),
        of(text()),
        any::<bool>(),
        any::<bool>(),
        object("x[a-z]{1,6}", json()),
    )
        .prop_map(|(link, hlink, rename, remove, directory, extra)| FileOp {
            link,
            hlink,
            rename,
            remove,
            directory,
            extra,
        })
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let first = (
        timestamp(),
        text(),
        text(),
        of(text()),
        of((text(), text())),
        of(any::<u64>()),
    );
    let second = (
        of(0u32..=0o7777),
        of(timestamp()),
        of(timestamp()),
        of(text()),
        of(file_op()),
    );
    let encoding = prop_oneof![
        Just(InlineEncoding::Utf8),
        Just(InlineEncoding::Base64),
        Just(InlineEncoding::Iso8859_1)
    ];
    // No named field starts with `x`, and names start with a letter so that none is the marker
    // by which serde_json hands long numbers around.
    let third = (
        of((encoding, text())),
        of(object("[0-9a-z]{1,6}", json())),
        of(text()),
        of(text()),
        object("x[A-Za-z_]{0,8}", json()),
    );
    (first, second, third).prop_map(|(first, second, third)| {
        let mut message = Message::new(first.0, first.1, first.2);
        message.retrieve_path = first.3;
        message.identity = first.4.map(|(method, value)| Identity { method, value });
        message.size = first.5;
        (message.mode, message.mtime, message.atime) = (second.0, second.1, second.2);
        (message.content_type, message.file_op) = (second.3, second.4);
        message.content = third.0.map(|(encoding, value)| Inline { encoding, value });
        message.blocks = third.1.map(|value| Blocks { value });
        (message.rename, message.source, message.extra) = (third.2, third.3, third.4);
        message
    })
}

/// A topic exchange by its definition, to compare the fast matcher with.
fn matches(pattern: &[&str], topic: &[&str]) -> bool {
    match pattern.split_first() {
        None => topic.is_empty(),
        Some((&"#", rest)) => (0..=topic.len()).any(|taken| matches(rest, &topic[taken..])),
        Some((word, rest)) => topic
            .split_first()
            .is_some_and(|(first, left)| (*word == "*" || word == first) && matches(rest, left)),
    }
}

proptest! {
    #[test]
    fn decode_undoes_encode(message in message()) {
        let wire = v03::encode(&message);
        let back = v03::decode(&wire).expect("what was encoded decodes");
        // Key order is no part of map equality, so it is looked at by itself.
        prop_assert_eq!(
            back.extra.keys().collect::<Vec<_>>(),
            message.extra.keys().collect::<Vec<_>>()
        );
        prop_assert_eq!(&back, &message);
        prop_assert_eq!(v03::encode(&back), wire);
    }

    #[test]
    fn no_body_panics(body in vec(any::<u8>(), 0..200)) {
        let _ = v03::decode(&body);
    }

    #[test]
    fn no_object_panics_and_what_is_read_survives(
        mut fields in object("[a-zA-Z]{1,12}", json()),
        named in vec((0usize..17, json()), 0..6),
        time in timestamp(),
    ) {
        const NAMES: [&str; 17] = [
            "pubTime", "baseUrl", "relPath", "retrievePath", "source", "identity", "mode", "size",
            "mtime", "atime", "contentType", "fileOp", "content", "blocks", "rename", "integrity",
            "retPath",
        ];
        fields.insert("pubTime".into(), time.to_string().into());
        fields.insert("baseUrl".into(), "file:".into());
        fields.insert("relPath".into(), "x".into());
        for (index, value) in named {
            fields.insert(NAMES[index].into(), value);
        }
        if let Ok(message) = v03::from_value(Value::Object(fields)) {
            prop_assert_eq!(v03::decode(&v03::encode(&message)).expect("read once"), message);
        }
    }

    #[test]
    fn times_print_and_read_back(time in timestamp()) {
        prop_assert_eq!(time.to_string().parse::<Timestamp>().expect("printed"), time);
        let floor = Timestamp::from_unix(time.as_second(), 0);
        prop_assert!(floor <= time && time.as_second() * 1000 <= time.as_millisecond());
    }

    #[test]
    fn no_text_panics_as_a_time(text in "\\PC{0,20}", digits in "[0-9T.é€]{6,24}") {
        let _ = text.parse::<Timestamp>();
        let _ = digits.parse::<Timestamp>();
    }

    #[test]
    fn topics_are_selected_as_defined(
        pattern in vec(prop_oneof!["[ab]", Just("*".to_owned()), Just("#".to_owned())], 1..7),
        topic in vec("[ab]", 0..7),
    ) {
        let words: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let names: Vec<&str> = topic.iter().map(String::as_str).collect();
        prop_assert_eq!(topic_matches(&pattern.join("."), &topic.join(".")), matches(&words, &names));
    }

    #[test]
    fn topics_hold_no_patterns(path in "[a-z#*/. ]{0,24}") {
        let message = Message::new(Timestamp::from_unix(0, 0), "file:", path);
        let topic = Topic::of("v03", &message);
        prop_assert!(topic.as_str().starts_with("v03"));
        prop_assert!(!topic.as_str().contains(['#', '*', '/']));
    }
}

#[test]
fn a_character_across_the_year_is_refused() {
    // Eight bytes whose fourth boundary cuts a character.
    assert!("123é567T000000".parse::<Timestamp>().is_err());
    assert!("20261122T0152é".parse::<Timestamp>().is_err());
}

#[test]
fn the_exponent_sr3_leaves_in_a_small_fraction_is_read_as_it_reads_it() {
    // What `timeflt2str` of metpx-sr3 3.3.1 prints, and what its `timestr2flt` makes of that.
    for (text, nanoseconds) in [
        ("20261124T174155.84532928e-05", 8_453),
        ("20261124T174155.00135803e-05", 13),
        ("20261124T174155.38418579e-07", 38),
        ("20261124T174155e-05", 0),
        ("20261124174155.84532928e-05", 8_453),
        ("20261124T174155.9e-99", 0),
    ] {
        let time: Timestamp = text.parse().expect(text);
        let second: Timestamp = "20261124T174155".parse().expect("a second");
        assert_eq!(
            time.as_nanosecond() - second.as_nanosecond(),
            nanoseconds,
            "{text}"
        );
    }
    for text in [
        "20261124T174155.8e+05",
        "20261124T174155.8e5",
        "20261124T174155.8E-05",
        "20261124T174155.8e-005",
        "20261124T174155.8e-05e-05",
        "20261124T174155e-0x",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}
