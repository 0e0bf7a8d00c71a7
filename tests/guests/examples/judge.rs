//! Decides by the first element of relPath: every verdict, and edits no host may accept.
use guests::describe::{OptionKind, OptionSpec};
use guests::lifecycle::{Context, Started};
use guests::*;
use std::cell::RefCell;
struct Judge;
thread_local! { static SEEN: RefCell<String> = const { RefCell::new(String::new()) }; }
guests::describe!(
    Judge,
    guests::describe::Manifest {
        options: vec![
            OptionSpec {
                default: Some("yes".into()),
                ..option("enabled", OptionKind::Flag)
            },
            OptionSpec {
                default: Some("30s".into()),
                ..option("pause", OptionKind::Duration)
            },
            OptionSpec {
                default: Some("10MiB".into()),
                ..option("largest", OptionKind::Size)
            },
            OptionSpec {
                default: Some("a".into()),
                choices: vec!["a".into(), "b".into()],
                ..option("mode", OptionKind::Choice)
            },
            OptionSpec {
                repeated: true,
                ..option("word", OptionKind::Text)
            },
            OptionSpec {
                secret: true,
                ..option("token", OptionKind::Text)
            },
            option("tries", OptionKind::Count),
        ],
        ..manifest("judge")
    }
);
impl guests::lifecycle::Guest for Judge {
    fn start(context: Context) -> Result<Started, Failure> {
        SEEN.set(format!("{context:?}"));
        Ok(Started {
            max_instances: Some(3),
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        Err(Failure::Temporary(TemporaryFailure {
            reason: "busy".into(),
            retry_after_ms: Some(1500),
        }))
    }
    fn stop() {
        log::write(log::Level::Info, "stopped");
    }
}
fn judge(message: &Message) -> Verdict {
    let fail = Verdict::Fail;
    let update = |edit| Verdict::Update(vec![edit]);
    match message.rel_path.split('/').next().unwrap_or_default() {
        "keep" => Verdict::Keep,
        "context" => update(header("context", SEEN.with_borrow(Clone::clone))),
        "debug" => update(header("debug", format!("{message:?}"))),
        "update" => Verdict::Update(vec![
            Edit::PubTime("20261122T010203.5".into()),
            Edit::BaseUrl("https://user:secret@example.org/".into()),
            Edit::RelPath("a/b.txt".into()),
            Edit::RetrievePath(Some("?id=1".into())),
            Edit::Size(Some(42)),
            Edit::Mtime(None),
            Edit::ContentType(Some("text/plain".into())),
            Edit::Identity(Some(Identity {
                method: "arbitrary".into(),
                value: "x".into(),
            })),
            Edit::Filename("b (1).txt".into()),
            Edit::Header(("list".into(), Some(Value::Json("[1,2]".into())))),
            Edit::Header(("gone".into(), None)),
        ]),
        "reject" => Verdict::Reject(Rejection {
            code: 415,
            reason: "not mail".into(),
        }),
        "temporary" => fail(Failure::Temporary(TemporaryFailure {
            reason: "later".into(),
            retry_after_ms: Some(2000),
        })),
        "permanent" => fail(Failure::Permanent("never".into())),
        "auth" => fail(Failure::Auth("who?".into())),
        "config" => fail(Failure::Config("set it".into())),
        "replace" => Verdict::Replace(vec![
            NewMessage {
                size: Some(7),
                headers: vec![
                    Header {
                        name: "mode".into(),
                        value: Value::Text("640".into()),
                    },
                    Header {
                        name: "fileOp".into(),
                        value: Value::Json(r#"{"link":"x"}"#.into()),
                    },
                    Header {
                        name: "note".into(),
                        value: Value::Text("kept".into()),
                    },
                ],
                ..new_message("one")
            },
            NewMessage {
                pub_time: "20200101T000000".into(),
                ..new_message("two")
            },
        ]),
        "add" => Verdict::Add(vec![new_message("more")]),
        "wait" => Verdict::Wait(Waiting {
            reason: "not before noon".into(),
            after_ms: 90_000,
        }),
        "unsafe" => update(Edit::Filename("../../etc/passwd".into())),
        "escape" => update(Edit::RelPath("a/../../b".into())),
        "directory" => update(Edit::Directory("/etc/cron.d".into())),
        "below" => update(Edit::Directory("/data/in/deeper".into())),
        "time" => update(Edit::PubTime("yesterday".into())),
        "json" => update(Edit::Header(("x".into(), Some(Value::Json("{".into()))))),
        "named" => update(header("size", "12")),
        "inline" => Verdict::Add(vec![NewMessage {
            headers: vec![Header {
                name: "content".into(),
                value: Value::Text("text".into()),
            }],
            ..new_message("inline")
        }]),
        "forged" => Verdict::Add(vec![NewMessage {
            content: Some(7),
            ..new_message("forged")
        }]),
        _ => fail(Failure::Interrupted),
    }
}
impl guests::after_accept::Guest for Judge {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(judge).collect())
    }
}
guests::export!(Judge: describe, lifecycle, after_accept);
