//! Topics on each transport.

use flow_message::{Message, Timestamp, Topic, Transport};

fn derive(transport: Transport, prefix: &str, path: &str) -> String {
    let message = Message::new(Timestamp::from_unix(0, 0), "file:", path);
    let (topic, cut) = Topic::derive(transport, "xs_me", prefix, &message);
    assert!(!cut, "{path}");
    topic.as_str().to_owned()
}

#[test]
fn topics_are_prefix_and_directories() {
    for (prefix, path, amqp, mqtt) in [
        ("v03", "a/b/foo.txt", "v03.a.b", "xs_me/v03/a/b"),
        (
            "v02.post",
            "a/b/foo.txt",
            "v02.post.a.b",
            "xs_me/v02/post/a/b",
        ),
        ("v03", "foo.txt", "v03", "xs_me/v03"),
        ("v03", "", "v03", "xs_me/v03"),
        ("", "a/x", "a", "xs_me/a"),
        ("v03", "/a//b/x", "v03.a.b", "xs_me/v03/a/b"),
        (
            "v03",
            "c#d/e*f/g+h/i.j/x",
            "v03.c%23d.e%22f.g+h.i.j",
            "xs_me/v03/c%23d/e*f/g%2Bh/i.j",
        ),
        ("v03", "n\0l/été/x", "v03.n\0l.été", "xs_me/v03/n%00l/été"),
    ] {
        assert_eq!(derive(Transport::Amqp, prefix, path), amqp);
        assert_eq!(derive(Transport::Mqtt, prefix, path), mqtt);
    }
}

#[test]
fn long_topics_lose_their_end_between_characters() {
    let message = Message::new(Timestamp::from_unix(0, 0), "file:", "é".repeat(200) + "/x");
    let (topic, cut) = Topic::derive(Transport::Amqp, "", "v3", &message);
    assert!(cut);
    assert_eq!(topic.as_str().len(), 255);
    let (topic, cut) = Topic::derive(Transport::Amqp, "", "v03", &message);
    assert!(cut);
    assert_eq!(
        topic.as_str().len(),
        254,
        "a character of two bytes would be cut"
    );
    let (_, cut) = Topic::given(Transport::Amqp, &"x".repeat(255));
    assert!(!cut);
    let (topic, cut) = Topic::given(Transport::Mqtt, &"x".repeat(70_000));
    assert!(cut && topic.as_str().len() == 65_535);
}

#[test]
fn escapes_are_undone() {
    for (transport, topic, plain) in [
        (Transport::Amqp, "v03.c%23d.e%22f.e%2Af", "v03.c#d.e*f.e*f"),
        (
            Transport::Mqtt,
            "x/v03/c%23d/g%2Bh/e%2Af",
            "x/v03/c#d/g+h/e%2Af",
        ),
    ] {
        assert_eq!(transport.unescape(topic), plain);
    }
}
