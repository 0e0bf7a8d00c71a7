//! Flows that send: what their transfer is given, in which order, and what is told afterwards.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::fs;
use std::sync::{Arc, Mutex};

use flow_config::{SafeUrl, Template};
use flow_message::{FileOp, Message};
use flow_runtime::Shelf;
use flow_runtime::ports::{Edit, Failure, Fate, Route, Verdict, Worked};
use support::{Bench, Plugin, message, read_all};

/// What a transfer saw, a line each.
type Seen = Arc<Mutex<Vec<String>>>;

fn lines(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut *seen.lock().unwrap())
}

/// A flow that sends to `fake://there/`, from `base` in its files.
fn bench(seen: &Seen) -> Bench {
    let mut bench = Bench::new();
    bench.flow.send_to = Some(SafeUrl::parse("fake://there/").unwrap());
    bench.flow.filters.accept_unmatched = true;
    bench.flow.filters.placement.mirror = true;
    bench.flow.base_dir = Some(Template::parse("base").unwrap());
    fs::create_dir_all(bench.files().join("base/d")).unwrap();
    bench.plugin(transfer(seen));
    bench
}

fn transfer(seen: &Seen) -> Plugin {
    let (seen, told) = (Arc::clone(seen), Arc::clone(seen));
    Plugin {
        send: Some(Arc::new(move |batch, content, _| {
            Ok(batch
                .iter()
                .map(|item| {
                    let to = item.location.as_ref().unwrap().path();
                    let to = to.to_str().unwrap().to_owned();
                    let mut line = format!("send {to}");
                    if let Some(op) = &item.message.file_op {
                        line.push_str(if op.remove { " remove" } else { " op" });
                        if let Some(other) = &item.other {
                            line.push_str(&format!(" {}", other.path().display()));
                        }
                    } else {
                        match read_all(content, item.id) {
                            Ok(text) => line.push_str(&format!(" {text}")),
                            Err(failure) => return Worked::Fail(failure),
                        }
                    }
                    seen.lock().unwrap().push(line);
                    Worked::Done(vec![
                        Edit::BaseUrl("fake://there/".into()),
                        Edit::RelPath(to),
                    ])
                })
                .collect())
        })),
        settled: Some(Arc::new(move |outcomes, _| {
            for outcome in outcomes {
                let url = outcome.item.message.url();
                let safe = outcome.fate == Fate::Posted;
                let name = url.rsplit('/').next().unwrap_or_default();
                let line = format!("told {name} {safe} {}", url.starts_with("file:/"));
                told.lock().unwrap().push(line);
            }
            Ok(())
        })),
        ..Plugin::default()
    }
}

fn put(bench: &Bench, path: &str, text: &str) -> Message {
    let file = bench.files().join("base").join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    message(path)
}

fn operation(path: &str, change: impl FnOnce(&mut FileOp)) -> Message {
    let mut message = message(path);
    let mut op = FileOp::default();
    change(&mut op);
    message.file_op = Some(op);
    message
}

#[tokio::test(start_paused = true)]
async fn files_are_sent_where_the_rules_place_them_and_announced_there() {
    let seen = Seen::default();
    let mut bench = bench(&seen);
    bench.flow.filters.placement.directory = Some(Template::parse("in/x").unwrap());
    let one = put(&bench, "d/one", "1");
    bench.world.enqueue("a", one);
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.sent, counts.posted, counts.fetched), (1, 1, 0));
    assert_eq!(lines(&seen), ["send in/x/d/one 1", "told one true true"]);
    let world = bench.world.lock();
    assert_eq!(world.posted[0].message.url(), "fake://there/in/x/d/one");
    assert_eq!(world.acked, ["a"]);
    // Nothing is made here.
    drop(world);
    assert_eq!(bench.tree().into_keys().collect::<Vec<_>>(), ["base/d/one"]);
}

#[tokio::test(start_paused = true)]
async fn callbacks_look_at_what_was_sent_and_can_still_read_it() {
    let seen = Seen::default();
    let mut bench = bench(&seen);
    let looked = Arc::clone(&seen);
    bench.plugin(Plugin {
        after_work: Some(Arc::new(move |batch, content, _| {
            let look = |item: &flow_runtime::ports::Item| {
                let text = read_all(content, item.id)?;
                let line = format!("looked at {} {text}", item.message.url());
                looked.lock().unwrap().push(line);
                Ok(Verdict::Keep)
            };
            batch.iter().map(look).collect()
        })),
        ..Plugin::default()
    });
    // The one that looks comes first in the chain: it looks afterwards all the same.
    bench.plugins.reverse();
    let one = put(&bench, "one", "1");
    bench.world.enqueue("a", one);
    bench.once().await.unwrap();
    assert_eq!(
        lines(&seen),
        [
            "send one 1",
            "looked at fake://there/one 1",
            "told one true true"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn operations_are_sent_in_their_order_one_after_the_other() {
    let seen = Seen::default();
    let mut bench = bench(&seen);
    bench.flow.concurrency = 4;
    for number in 0..20 {
        let path = format!("d/{number}");
        let message = put(&bench, &path, "x");
        bench.world.enqueue(&format!("put {number}"), message);
    }
    for number in 0..20 {
        let gone = operation(&format!("d/{number}"), |op| op.remove = true);
        bench.world.enqueue(&format!("remove {number}"), gone);
    }
    let rmdir = operation("d", |op| (op.remove, op.directory) = (true, true));
    bench.world.enqueue("rmdir", rmdir);
    let renamed = operation("new", |op| op.rename = Some("e/old".into()));
    bench.world.enqueue("rename", renamed);
    bench.once().await.unwrap();
    let seen = lines(&seen);
    let place = |wanted: &str| seen.iter().position(|line| line == wanted).unwrap();
    let last = |part: &str| seen.iter().rposition(|line| line.ends_with(part)).unwrap();
    assert!(last(" x") < place("send d/0 remove"));
    assert!((0..19).all(|number| {
        place(&format!("send d/{number} remove")) < place(&format!("send d/{} remove", number + 1))
    }));
    assert!(place("send d/19 remove") < place("send d remove"));
    assert!(place("send d remove") < place("send new op e/old"));
    let world = bench.world.lock();
    let posted = world.posted.last().unwrap();
    let op = posted.message.file_op.as_ref().unwrap();
    assert_eq!(op.rename.as_deref(), Some("e/old"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_here_waits_and_what_nothing_leads_to_is_given_up() {
    let seen = Seen::default();
    let mut bench = bench(&seen);
    bench.world.enqueue("gone", message("gone"));
    bench.once().await.unwrap();
    let waits = bench.store().show(Shelf::Retry, "gone").unwrap().unwrap();
    assert!(waits.reason.contains("No such file"), "{}", waits.reason);
    bench.flow.base_dir = None;
    bench.world.enqueue("lost", message("lost"));
    bench.once().await.unwrap();
    let lost = bench.store().show(Shelf::Dead, "lost").unwrap().unwrap();
    assert!(lost.reason.contains("`baseDir`"), "{}", lost.reason);
    // Nothing was sent, and the transfer is told both.
    let told = lines(&seen);
    assert!(
        told.len() == 2 && told[0] == "told gone false true" && told[1].starts_with("told lost "),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn content_in_the_message_needs_no_file() {
    let seen = Seen::default();
    let bench = bench(&seen);
    let mut inline = message("note");
    inline.content = Some(flow_message::Inline::of(b"hello"));
    inline.size = Some(5);
    bench.world.enqueue("a", inline);
    bench.once().await.unwrap();
    assert_eq!(lines(&seen)[0], "send note hello");
}

#[tokio::test(start_paused = true)]
async fn routes_are_asked_for_only_where_they_are_wanted() {
    let route = Route {
        exchange: "xs_north".into(),
        topic: "v02.post.d".into(),
    };
    let mut bench = Bench::new();
    bench.world.lock().route = None;
    bench.world.enqueue("a", message("a/b"));
    bench.once().await.unwrap();
    assert!(!bench.world.lock().asked_routes);
    bench.flow.output.as_mut().unwrap().topic_copy = true;
    bench.flow.source = flow_config::SourceStamp::FromExchange;
    bench.world.lock().route = Some(route);
    bench.world.enqueue("b", message("a/b"));
    bench.once().await.unwrap();
    let world = bench.world.lock();
    assert!(world.asked_routes);
    assert_eq!(world.posted[0].topic.as_str(), "v03.a");
    assert_eq!(world.posted[1].topic.as_str(), "v02.post.d");
    assert_eq!(world.posted[1].message.source.as_deref(), Some("north"));
    assert!(world.posted[1].message.extra.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_of_this_machine_is_where_its_retrieve_path_says() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.filters.accept_unmatched = true;
    fs::create_dir_all(bench.files()).unwrap();
    let origin = bench.directory.path().join("origin");
    fs::create_dir(&origin).unwrap();
    fs::write(origin.join("real"), "r").unwrap();
    let mut announced = message("name");
    announced.base_url = format!("file:{}/", origin.display());
    announced.retrieve_path = Some("real".into());
    bench.world.enqueue("a", announced);
    bench.once().await.unwrap();
    assert_eq!(bench.tree()["name"], "r");
    assert_eq!(bench.world.lock().posted[0].message.retrieve_path, None);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_names_what_is_here_already_moves_it() {
    for overwrite in [true, false] {
        let mut bench = Bench::new();
        bench.flow.download = true;
        bench.flow.overwrite = overwrite;
        bench.flow.filters.accept_unmatched = true;
        bench.plugin(Plugin {
            after_work: Some(Arc::new(|batch, _, _| {
                let edit = || Verdict::Update(vec![Edit::Filename("new".into())]);
                Ok(batch.iter().map(|_| edit()).collect())
            })),
            ..Plugin::default()
        });
        let files = bench.files();
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("old"), "content").unwrap();
        let mut own = message("old");
        own.base_url = format!("file:{}/", files.display());
        bench.world.enqueue("a", own.clone());
        bench.once().await.unwrap();
        if overwrite {
            assert_eq!(bench.tree()["new"], "content");
            assert!(!files.join("old").exists());
            let posted = bench.world.lock().posted[0].message.clone();
            assert!(posted.rel_path.ends_with("files/new"));
            // Again, as after a crash.
            bench.world.enqueue("b", own);
            bench.once().await.unwrap();
            assert_eq!(bench.tree()["new"], "content");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_thrown_away_makes_no_file() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.transfer.delete_destination = true;
    bench.flow.filters.accept_unmatched = true;
    fs::create_dir_all(bench.files()).unwrap();
    bench.plugin(support::plugins::downloader());
    bench.world.enqueue("a", message("a"));
    let counts = bench.once().await.unwrap();
    assert_eq!((counts.fetched, counts.posted), (1, 1));
    assert!(bench.tree().is_empty());
    let world = bench.world.lock();
    assert_eq!(world.posted[0].message.url(), "fake://origin/a");
    assert_eq!(world.posted[0].message.size, Some(12));
    assert!(world.posted[0].message.identity.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_pauses_the_flow() {
    let mut bench = Bench::new();
    bench.flow.send_to = Some(SafeUrl::parse("fake://there/").unwrap());
    bench.flow.filters.accept_unmatched = true;
    bench.plugin(Plugin {
        send: Some(Arc::new(|batch, _, _| {
            let refused = || Worked::Fail(Failure::Auth("530".into()));
            Ok(batch.iter().map(|_| refused()).collect())
        })),
        ..Plugin::default()
    });
    let mut inline = message("a");
    inline.content = Some(flow_message::Inline::of(b"x"));
    bench.world.enqueue("a", inline);
    assert!(bench.once().await.is_err());
    let entry = bench.store().show(Shelf::Retry, "a").unwrap().unwrap();
    assert_eq!(entry.attempt, 0);
}
