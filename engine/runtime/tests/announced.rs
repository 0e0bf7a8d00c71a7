//! What goes no further, announced (`post_failed`) to those who wait for it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use flow_message::Inline;
use flow_runtime::Shelf;
use flow_runtime::ports::{Failure, Rejection, Verdict};
use serde_json::Value;
use support::{Bench, Plugin, message};

fn judge(path: &str) -> Verdict {
    match path {
        "unwanted" | "gone" => Verdict::Reject(Rejection {
            code: 410,
            reason: format!("{path} here"),
        }),
        "broken" => Verdict::Fail(Failure::Permanent("no mail".into())),
        "busy" => Verdict::Fail(Failure::temporary("busy")),
        "wait" => Verdict::Wait {
            after: Duration::from_secs(1),
            reason: "not yet".into(),
        },
        _ => Verdict::Keep,
    }
}

fn bench(announces: bool) -> Bench {
    let mut bench = Bench::new();
    bench.flow.retry.attempts = 2;
    bench.flow.retry.wait_max = Duration::from_secs(60);
    if let Some(output) = &mut bench.flow.output {
        output.failed = announces;
    }
    bench.plugin(Plugin {
        after_accept: Some(Arc::new(|batch, _| {
            let kept = |item: &flow_runtime::ports::Item| match item.message.rel_path.as_str() {
                "unwanted" => judge("unwanted"),
                _ => Verdict::Keep,
            };
            Ok(batch.iter().map(kept).collect())
        })),
        after_work: Some(Arc::new(|batch, _, _| {
            let paths = batch.iter().map(|item| item.message.rel_path.as_str());
            Ok(paths.map(judge).collect())
        })),
        ..Plugin::default()
    });
    for path in ["fine", "unwanted", "gone", "broken", "busy", "wait"] {
        let mut message = message(path);
        message.content = Some(Inline::of(b"hello"));
        bench.world.enqueue(path, message);
    }
    bench
}

/// Paths posted, with why where that is said.
fn posted(bench: &Bench) -> Vec<(String, Option<String>)> {
    let world = bench.world.lock();
    let posts = world.posted.iter().map(|post| {
        let failed = post.message.extra.get("failed").and_then(Value::as_str);
        assert_eq!(post.message.content.is_none(), failed.is_some());
        (post.message.rel_path.clone(), failed.map(str::to_owned))
    });
    posts.collect()
}

fn said(path: &str, why: &str) -> (String, Option<String>) {
    (path.into(), Some(why.into()))
}

#[tokio::test(start_paused = true)]
async fn what_goes_no_further_is_announced_once_that_is_certain() {
    let mut bench = bench(true);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.dead, counts.rejected, counts.retrying), (1, 2, 2));
    let first = [
        ("fine".into(), None),
        said("gone", "gone here"),
        said("broken", "no mail"),
    ];
    assert_eq!(posted(&bench), first);
    // Tried for the last time; what waits has done so for long enough.
    bench.offset = Duration::from_secs(3600);
    bench.once().await.unwrap();
    let mut later = posted(&bench).split_off(first.len());
    later.sort();
    assert_eq!(
        later,
        [
            said("busy", "busy (given up after 2 tries)"),
            said(
                "wait",
                "not yet (given up after waiting for 3600s, `waitMax`)"
            ),
        ]
    );
    // They are kept as without it.
    assert_eq!(bench.store().count(Shelf::Dead).unwrap(), 3);
    assert_eq!(bench.world.lock().acked.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_it_unless_asked() {
    let bench = bench(false);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.dead, counts.rejected), (1, 2));
    assert_eq!(posted(&bench), [("fine".into(), None)]);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_announced_goes_back() {
    let mut bench = bench(true);
    bench.options.once = false;
    bench.world.lock().post_failures = vec![Failure::temporary("connection refused"); 1000];
    bench.until(|world| !world.pauses.is_empty()).await.unwrap();
    assert_eq!(bench.store().count(Shelf::Dead).unwrap(), 0);
    assert_eq!(bench.world.lock().released, ["fine", "gone", "broken"]);
    // And is announced at the next start.
    bench.world.lock().post_failures.clear();
    bench.options.once = true;
    bench.once().await.unwrap();
    let mut announced = posted(&bench);
    announced.sort();
    assert_eq!(
        announced,
        [
            said("broken", "no mail"),
            ("fine".into(), None),
            said("gone", "gone here"),
        ]
    );
}
