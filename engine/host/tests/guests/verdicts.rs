//! Verdicts: what reaches the engine, and what of it is refused.

use flow_config::OptionValue;
use flow_message::{FileOp, Identity, Inline, InlineEncoding, Timestamp};
use flow_runtime::ports::{Edit, Failure, Rejection, Verdict};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{NOW, callback, flow, items, judged, plugin_failure, plugins, state, told};

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

async fn verdict(path: &str) -> Verdict {
    let mut judge = callback(&flow("judge", &[])).await;
    let mut verdicts = judged(&mut judge, &["keep", path])
        .await
        .expect("an answer");
    assert!(
        matches!(verdicts.remove(0), Verdict::Keep),
        "others are not touched"
    );
    verdicts.remove(0)
}

async fn permanent(path: &str) -> String {
    match verdict(path).await {
        Verdict::Fail(Failure::Permanent(text)) => text,
        other => panic!("not failed for good: {other:?}"),
    }
}

#[tokio::test]
async fn every_edit_arrives() {
    let Verdict::Update(edits) = verdict("update").await else {
        panic!("no update")
    };
    assert_eq!(
        edits,
        [
            Edit::PubTime(time("20261122T010203.5")),
            // A base URL never carries a password.
            Edit::BaseUrl("https://user@example.org/".into()),
            Edit::RelPath("a/b.txt".into()),
            Edit::RetrievePath(Some("?id=1".into())),
            Edit::Size(Some(42)),
            Edit::Mtime(None),
            Edit::ContentType(Some("text/plain".into())),
            Edit::Identity(Some(Identity {
                method: "arbitrary".into(),
                value: "x".into()
            })),
            Edit::Filename("b (1).txt".into()),
            Edit::Header("list".into(), Some(json!([1, 2]))),
            Edit::Header("gone".into(), None),
        ]
    );
    let Verdict::Update(edits) = verdict("below").await else {
        panic!("no update")
    };
    assert_eq!(edits, [Edit::Directory("/data/in/deeper".into())]);
}

#[tokio::test]
async fn rejections_and_failures_keep_their_kind() {
    let Verdict::Reject(rejection) = verdict("reject").await else {
        panic!("not rejected")
    };
    assert_eq!(
        rejection,
        Rejection {
            code: 415,
            reason: "not mail".into()
        }
    );
    for (path, expected) in [
        (
            "temporary",
            Failure::Temporary {
                reason: "later".into(),
                retry_after: Some(Duration::from_secs(2)),
            },
        ),
        ("permanent", Failure::Permanent("never".into())),
        ("auth", Failure::Auth("who?".into())),
        ("config", Failure::Config("set it".into())),
    ] {
        let Verdict::Fail(failure) = verdict(path).await else {
            panic!("not failed")
        };
        assert_eq!(failure, expected, "{path}");
    }
    let Verdict::Wait { after, reason } = verdict("wait").await else {
        panic!("not waiting")
    };
    assert_eq!(after, Duration::from_secs(90));
    assert_eq!(reason, "not before noon");
}

#[tokio::test]
async fn new_messages_are_complete() {
    let Verdict::Replace(messages) = verdict("replace").await else {
        panic!("not replaced")
    };
    let [one, two] = messages.as_slice() else {
        panic!("not two: {messages:?}")
    };
    assert_eq!(
        (
            one.message.rel_path.as_str(),
            one.message.size,
            one.message.mode
        ),
        ("one", Some(7), Some(0o640))
    );
    assert_eq!(
        one.message.file_op,
        Some(FileOp {
            link: Some("x".into()),
            ..FileOp::default()
        })
    );
    assert_eq!(one.message.extra.get("note"), Some(&json!("kept")));
    assert_eq!(one.message.extra.len(), 1, "typed fields are not headers");
    assert_eq!(one.message.pub_time, time(NOW), "none was given: now");
    assert_eq!(two.message.pub_time, time("20200101T000000"));
    let Verdict::Add(messages) = verdict("add").await else {
        panic!("not added")
    };
    assert_eq!(messages[0].message.rel_path, "more");
}

#[tokio::test]
async fn unsafe_names_fail_their_message_for_good() {
    assert_eq!(
        permanent("unsafe").await,
        "plugin `judge` chose the name `../../etc/passwd`, which is refused: a name is one path element, without separators [plugin/unsafe-path]"
    );
    assert_eq!(
        permanent("escape").await,
        "plugin `judge` chose the name `a/../../b`, which is refused: `..` leads out of where content is stored [plugin/unsafe-path]"
    );
    assert_eq!(
        permanent("directory").await,
        "plugin `judge` chose the directory `/etc/cron.d`, which is refused [plugin/unsafe-path]\n  \
         = note: a plugin may choose directories below those the flow names\n  \
         = hint: add a `directory` to the flow that it is below"
    );
}

#[tokio::test]
async fn values_that_are_none_fail_their_message_for_good() {
    assert_eq!(
        permanent("time").await,
        "plugin `judge` answered wrongly in `after_accept`: `yesterday` is not a time of the form `20261122T015207.5` (UTC) [plugin/wrong-value]"
    );
    assert!(
        permanent("json")
            .await
            .contains("header `x` is no JSON: EOF while parsing an object")
    );
    assert_eq!(
        permanent("named").await,
        "plugin `judge` answered wrongly in `after_accept`: `size` is a field of its own, not a header [plugin/wrong-value]"
    );
    assert_eq!(
        permanent("inline").await,
        "plugin `judge` answered wrongly in `after_accept`: field `content`: expected an object, found a string; \
         write `{\"encoding\": \"utf-8\", \"value\": \"text\"}`, or `base64` for bytes [plugin/wrong-value]"
    );
    assert_eq!(
        permanent("forged").await,
        "plugin `judge` answered wrongly in `after_accept`: content 7 was not finished in this call, or went to another message already [plugin/forged-id]"
    );
}

#[tokio::test]
async fn a_message_arrives_whole() {
    let mut judge = callback(&flow("judge", &[])).await;
    let mut batch = items(&["debug"]);
    let message = Arc::make_mut(&mut batch[0].message);
    message.mtime = Some(time("20260101T000000.25"));
    message.size = Some(9);
    message.mode = Some(0o644);
    message.source = Some("me".into());
    message.identity = Some(Identity {
        method: "md5".into(),
        value: "v".into(),
    });
    message.file_op = Some(FileOp {
        remove: true,
        ..FileOp::default()
    });
    message.content = Some(Inline {
        encoding: InlineEncoding::Utf8,
        value: "hi".into(),
    });
    message.extra.insert("list".into(), json!([1, "é"]));
    message.extra.insert("text".into(), json!("plain"));
    let verdicts = judge
        .after_accept(&batch, state())
        .await
        .expect("an answer");
    let seen = told(&verdicts[0], "debug");
    for part in [
        r#"id: 1, key: "key-debug", attempt: 0, pub-time: "20261122T120000", base-url: "test://origin.example/", rel-path: "debug""#,
        r#"size: Some(9), mtime: Some("20260101T000000.25")"#,
        r#"Identity { method: "md5", value: "v" }"#,
        r#"directory: Some("/data/in"), filename: Some("x")"#,
        r#"Header { name: "source", value: Value::Text("me") }"#,
        r#"Header { name: "mode", value: Value::Text("644") }"#,
        r#"Header { name: "fileOp", value: Value::Json("{\"remove\":\"\"}") }"#,
        r#"Header { name: "content", value: Value::Json("{\"encoding\":\"utf-8\",\"value\":\"hi\"}") }"#,
        r#"Header { name: "list", value: Value::Json("[1,\"é\"]") }"#,
        r#"Header { name: "text", value: Value::Text("plain") }"#,
    ] {
        assert!(seen.contains(part), "{part}\n  is not in\n{seen}");
    }
}

#[tokio::test]
async fn start_brings_typed_options() {
    let mut flow = flow("judge", &[("mode", "b")]);
    let options = &mut flow.callbacks[0].options;
    options.insert("enabled".into(), OptionValue::Flag(true));
    options.insert(
        "pause".into(),
        OptionValue::Duration(Duration::from_millis(1500)),
    );
    options.insert("largest".into(), OptionValue::Size(10 << 20));
    options.insert("tries".into(), OptionValue::Count(-3));
    options.insert(
        "token".into(),
        OptionValue::Secret(flow_config::Secret::new("hunter2")),
    );
    options.insert(
        "word".into(),
        OptionValue::List(vec!["a".into(), "b".into()]),
    );
    let mut judge = callback(&flow).await;
    assert_eq!(judge.start().await, Ok(Some(3)));
    let seen = told(
        &judged(&mut judge, &["context"]).await.expect("an answer")[0],
        "context",
    );
    for part in [
        r#"flow: "poll/test", kind: "poll", instance: 0, downloads: false, poll-url: Some("test://me@origin.example/")"#,
        r#"("enabled", Setting::Flag(true))"#,
        r#"("pause", Setting::Duration(1500))"#,
        r#"("largest", Setting::Size(10485760))"#,
        r#"("tries", Setting::Count(-3))"#,
        r#"("token", Setting::Text("hunter2"))"#,
        r#"("mode", Setting::Text("b"))"#,
        r#"("word", Setting::List(["a", "b"]))"#,
    ] {
        assert!(seen.contains(part), "{part}\n  is not in\n{seen}");
    }
    let busy = Failure::Temporary {
        reason: "busy".into(),
        retry_after: Some(Duration::from_millis(1500)),
    };
    assert_eq!(judge.housekeeping(state()).await, Err(busy));
}

#[tokio::test]
async fn a_wrong_number_of_answers_fails_the_call() {
    let mut miscount = callback(&flow("miscount", &[])).await;
    assert_eq!(
        plugin_failure(judged(&mut miscount, &["a", "b", "c"]).await),
        "plugin `miscount` gave 2 answers in `after_accept`; it was asked for 3 [plugin/wrong-count]\n  \
         = hint: this is for the plugin's author to correct"
    );
    let mut flood = callback(&flow("flood", &[])).await;
    assert_eq!(
        plugin_failure(flood.gather(5, state()).await),
        "plugin `flood` gave 6 answers in `gather`; it was asked for at most 5 [plugin/wrong-count]\n  \
         = hint: this is for the plugin's author to correct"
    );
}

#[tokio::test]
async fn what_a_plugin_does_not_export_has_no_effect() {
    let mut dial = callback(&flow("dial", &[])).await;
    assert!(matches!(
        judged(&mut dial, &["a"]).await.expect("an answer")[0],
        Verdict::Keep
    ));
    let mut noop = callback(&flow("noop", &[])).await;
    assert_eq!(noop.start().await, Ok(None));
    assert!(
        noop.gather(10, state())
            .await
            .expect("an answer")
            .messages
            .is_empty()
    );
    assert_eq!(noop.settled(&[], state()).await, Ok(()));
    assert_eq!(noop.housekeeping(state()).await, Ok(()));
    noop.stop().await;
}

#[test]
fn a_flow_with_an_unknown_plugin_has_no_callbacks() {
    let error = plugins(&flow("nope", &[])).err().expect("there is none");
    assert!(
        error.to_string().starts_with(
            "there is no plugin `nope` [plugin/unknown]\n  = note: there are `ambient`, "
        ),
        "{error}"
    );
}
