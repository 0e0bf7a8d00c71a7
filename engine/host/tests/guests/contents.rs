//! Content: downloads, derived messages, and handles that are not the guest's to use.

use std::collections::HashMap;
use std::sync::Arc;

use flow_runtime::ports::{Edit, Failure, Verdict, Worked};

use crate::support::{Contents, callback, flow, items, state};

async fn fetched(paths: &[&str]) -> (Vec<Worked>, Vec<(String, String)>) {
    let mut fetch = callback(&flow("fetch", &[])).await;
    let contents = Contents::default();
    let written = contents.written.clone();
    let worked = fetch
        .download(&items(paths), Arc::new(contents), state())
        .await
        .expect("an answer");
    let written = written.lock().expect("not poisoned").clone();
    (worked, written)
}

fn for_good(worked: &Worked) -> &str {
    match worked {
        Worked::Fail(Failure::Permanent(text)) => text,
        other => panic!("not failed for good: {other:?}"),
    }
}

#[tokio::test]
async fn a_download_writes_its_content() {
    let (worked, written) = fetched(&["dropped", "whole"]).await;
    assert!(matches!(&worked[0], Worked::Reject(rejection) if rejection.code == 404));
    assert!(
        matches!(&worked[1], Worked::Done(edits) if *edits == [Edit::ContentType(Some("text/plain".into()))])
    );
    // Dropped unfinished, nothing is there.
    assert_eq!(written, [("message 2".to_owned(), "content".to_owned())]);
}

#[tokio::test]
async fn a_download_without_content_is_not_done() {
    let (worked, _) = fetched(&["nothing", "forged", "derive", "open"]).await;
    assert_eq!(
        for_good(&worked[0]),
        "plugin `fetch` answered wrongly in `download`: it says a download is done, but finished no content for it [plugin/no-content]"
    );
    assert_eq!(
        for_good(&worked[1]),
        "plugin `fetch` asked for the content of message 1002, which is none of this call [plugin/forged-id]"
    );
    assert_eq!(
        for_good(&worked[2]),
        "plugin `fetch` called `content.derive` in `download`; it is for `after_work` [plugin/wrong-moment]"
    );
    assert_eq!(
        for_good(&worked[3]),
        "plugin `fetch` called `content.open` in `download`; it is for `after_work` and `send` [plugin/wrong-moment]"
    );
}

fn contents(text: &str) -> Contents {
    Contents {
        there: (1..=4)
            .map(|id| (id, text.as_bytes().to_vec()))
            .collect::<HashMap<_, _>>(),
        ..Contents::default()
    }
}

async fn split(contents: Contents, path: &str) -> Verdict {
    let mut split = callback(&flow("split", &[])).await;
    let verdicts = split
        .after_work(&items(&[path]), Arc::new(contents), state())
        .await;
    verdicts.expect("an answer").remove(0)
}

fn failed(verdict: Verdict) -> String {
    match verdict {
        Verdict::Fail(Failure::Permanent(text)) => text,
        other => panic!("not failed for good: {other:?}"),
    }
}

#[tokio::test]
async fn content_is_read_and_derived() {
    // Longer than one read, so that reads are clamped and go on.
    let long = "x".repeat(200_000);
    let contents = Contents {
        unwanted: "1.txt",
        ..contents(&format!("one\ntwo\n{long}"))
    };
    let written = contents.written.clone();
    let Verdict::Replace(messages) = split(contents, "mail").await else {
        panic!("not replaced")
    };
    let made: Vec<_> = messages
        .iter()
        .map(|message| (message.message.rel_path.as_str(), message.content))
        .collect();
    assert_eq!(made, [("mail/0.txt", Some(101)), ("mail/2.txt", Some(102))]);
    let written = written.lock().expect("not poisoned");
    assert_eq!(written[0], ("mail/0.txt".to_owned(), "one".to_owned()));
    assert_eq!(written[1].1.len(), 200_000);
}

#[tokio::test]
async fn derived_content_has_safe_names() {
    for (name, why) in [
        ("name:../x", "`..` leads out of where content is stored"),
        ("name:a/..", "`..` leads out of where content is stored"),
        ("name:a/", "a name can't be empty"),
        (
            "name:a\\b",
            "a name is one path element, without separators",
        ),
        ("name:a\nb", "it has control characters"),
    ] {
        let text = failed(split(contents(""), name).await);
        let shown = name.trim_start_matches("name:").escape_debug().to_string();
        assert_eq!(
            text,
            format!(
                "plugin `split` chose the name `{shown}`, which is refused: {why} [plugin/unsafe-path]"
            )
        );
    }
    let long = format!("name:{}", "x".repeat(256));
    assert!(
        failed(split(contents(""), &long).await).contains("it has 256 bytes, 255 are possible")
    );
}

#[tokio::test]
async fn handles_can_not_be_made_up_or_used_twice() {
    assert_eq!(
        failed(split(contents(""), "forged-id").await),
        "plugin `split` asked for the content of message 1001, which is none of this call [plugin/forged-id]"
    );
    for path in ["forged-handle", "twice"] {
        let text = failed(split(contents(""), path).await);
        assert!(text.contains("was not finished in this call, or went to another message already [plugin/forged-id]"), "{text}");
    }
}

#[tokio::test]
async fn content_is_closed_when_its_call_ends() {
    let mut split = callback(&flow("split", &[])).await;
    split
        .after_work(&items(&["keep-reader"]), Arc::new(contents("abc")), state())
        .await
        .expect("an answer");
    let mut verdicts = split
        .after_work(&items(&["use-reader"]), Arc::new(contents("abc")), state())
        .await
        .expect("an answer");
    assert_eq!(
        failed(verdicts.remove(0)),
        "plugin `split` used a content reader of an earlier call [plugin/wrong-moment]\n  = note: content is open for one call only"
    );
}
