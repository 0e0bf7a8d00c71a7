//! Operations on files: what happened at the origin happens here, in its order.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use flow_config::{FileEvent, Filters, Placement, Rule, Template};
use flow_message::{FileOp, Identity, Message};
use flow_runtime::ports::{Fate, Worked};
use proptest::prelude::*;
use ring::digest::{SHA512, digest};
use support::{Bench, Plugin, fill, message};

/// Downloads the text the message carries in its field `text`.
fn origin() -> Plugin {
    Plugin {
        download: Some(Arc::new(|batch, content, _| {
            batch
                .iter()
                .map(|item| {
                    let text = item.message.extra["text"].as_str().unwrap().to_owned();
                    fill(content, item.id, &text)?;
                    Ok(Worked::Done(Vec::new()))
                })
                .collect()
        })),
        settled: Some(Arc::new(|_, _| Ok(()))),
        ..Plugin::default()
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.filters = mirrored();
    bench.plugin(origin());
    fs::create_dir_all(bench.files()).unwrap();
    bench
}

fn mirrored() -> Filters {
    Filters {
        accept_unmatched: true,
        placement: Placement {
            mirror: true,
            ..Placement::default()
        },
        ..Filters::default()
    }
}

fn put(path: &str, text: &str) -> Message {
    let mut message = message(path);
    message.size = Some(text.len() as u64);
    let digest = digest(&SHA512, text.as_bytes());
    message.identity = Some(Identity::of_digest("sha512", digest.as_ref()));
    message.extra.insert("text".into(), text.into());
    message
}

fn operation(path: &str, change: impl FnOnce(&mut FileOp)) -> Message {
    let mut message = message(path);
    let mut op = FileOp::default();
    change(&mut op);
    message.file_op = Some(op);
    message
}

fn rename(old: &str, new: &str, text: &str) -> Message {
    let mut message = put(new, text);
    message.file_op = Some(FileOp {
        rename: Some(old.into()),
        ..FileOp::default()
    });
    message
}

fn remove(path: &str) -> Message {
    operation(path, |op| op.remove = true)
}

fn mkdir(path: &str) -> Message {
    operation(path, |op| op.directory = true)
}

fn rmdir(path: &str) -> Message {
    operation(path, |op| (op.directory, op.remove) = (true, true))
}

fn link(path: &str, target: &str) -> Message {
    operation(path, |op| op.link = Some(target.into()))
}

fn hlink(path: &str, target: &str, text: &str) -> Message {
    let mut message = put(path, text);
    message.file_op = Some(FileOp {
        hlink: Some(target.into()),
        ..FileOp::default()
    });
    message
}

/// Everything below `root`: directories, links and files.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let kind = fs::symlink_metadata(&path).unwrap();
            let what = if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                open.push(path.clone());
                "directory".into()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(name.to_owned(), what);
        }
    }
    found
}

/// Runs the flow on `messages`; how each ended: 201 where it was posted, else why not.
async fn run(bench: &Bench, messages: &[Message]) -> Vec<u16> {
    bench.world.lock().fates.clear();
    for message in messages {
        let key = bench.world.lock().next_tag.to_string();
        bench.world.lock().next_tag += 1;
        bench.world.enqueue(&key, message.clone());
    }
    bench.once().await.unwrap();
    let world = bench.world.lock();
    assert!(world.queue.is_empty(), "{:?}", world.queue);
    let fates = world.fates.iter();
    fates
        .map(|(path, fate)| match fate {
            Fate::Posted => 201,
            Fate::Rejected(rejection) => rejection.code,
            other => panic!("{path}: {other:?}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_happens_there_happens_here_in_order() {
    let bench = bench();
    let messages = [
        mkdir("empty"),
        mkdir("gone"),
        rmdir("gone"),
        put("d/a", "one"),
        rename("d/a", "d/b", "one"),
        put("d/a", "two"),
        put("d/c", "three"),
        remove("d/c"),
        link("d/l", "../d/a"),
        hlink("h", "d/b", "one"),
        put("old/x", "deep"),
        operation("new", |op| {
            (op.rename, op.directory) = (Some("old".into()), true);
        }),
        put("new/y", "late"),
    ];
    assert_eq!(run(&bench, &messages).await, [201; 13]);
    let tree = tree(&bench.files());
    let expected: BTreeMap<String, String> = [
        ("empty", "directory"),
        ("d", "directory"),
        ("d/a", "two"),
        ("d/b", "one"),
        ("d/l", "-> ../d/a"),
        ("h", "one"),
        ("new", "directory"),
        ("new/x", "deep"),
        ("new/y", "late"),
    ]
    .map(|(name, what)| (name.to_owned(), what.to_owned()))
    .into();
    assert_eq!(tree, expected);
    let inode = |name: &str| fs::metadata(bench.files().join(name)).unwrap().ino();
    assert_eq!(inode("h"), inode("d/b"));
}

#[tokio::test(start_paused = true)]
async fn an_old_name_with_its_whole_path_is_found_below_the_base_directory() {
    let mut bench = bench();
    bench.flow.base_dir = Some(Template::parse("/data").unwrap());
    let messages = [
        mkdir("d"),
        put("d/a", "one"),
        rename("/data/d/a", "d/b", "one"),
        hlink("d/c", "/data/d/b", "one"),
    ];
    assert_eq!(run(&bench, &messages).await, [201; 4]);
    let found = tree(&bench.files());
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(found, [("d", "directory"), ("d/b", "one"), ("d/c", "one")]);
}

#[tokio::test(start_paused = true)]
async fn nothing_outside_of_the_directory_is_touched() {
    let bench = bench();
    let outside = bench.directory.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("x"), "theirs").unwrap();
    symlink(&outside, bench.files().join("out")).unwrap();
    let codes = run(
        &bench,
        &[
            remove("out/x"),
            remove("../outside/x"),
            rename("out/x", "stolen", "theirs"),
            rename("../outside/x", "stolen", "theirs"),
            hlink("stolen", "out/x", "theirs"),
            link("evil", "../outside/x"),
            link("evil", "/etc/passwd"),
            link("evil", "out/x"),
            link("fine", "not/yet"),
            rmdir("out"),
        ],
    )
    .await;
    assert_eq!(codes, [422, 422, 422, 422, 422, 422, 422, 422, 201, 500]);
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "theirs");
    let tree = tree(&bench.files());
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["fine", "out"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_here_is_downloaded_or_done() {
    let bench = bench();
    let files = bench.files();
    fs::write(files.join("stale"), "other").unwrap();
    let codes = run(
        &bench,
        &[
            rename("never", "new", "text"),
            rename("stale", "fresh", "right"),
            hlink("hard", "never", "text"),
            remove("never"),
            rmdir("never"),
            mkdir("new dir"),
            mkdir("new dir"),
            rmdir("new"),
            remove("new dir"),
        ],
    )
    .await;
    assert_eq!(codes, [201, 201, 201, 201, 201, 201, 201, 500, 500]);
    assert_eq!(bench.world.lock().posted.len(), 7);
    let tree = tree(&files);
    let names: Vec<_> = tree.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let expected = [
        ("fresh", "right"),
        ("hard", "text"),
        ("new", "text"),
        ("new dir", "directory"),
    ];
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn what_exists_stays_where_nothing_is_overwritten() {
    let mut bench = bench();
    bench.flow.overwrite = false;
    let files = bench.files();
    for name in ["a", "b"] {
        fs::write(files.join(name), name).unwrap();
    }
    let codes = run(
        &bench,
        &[
            rename("a", "b", "a"),
            link("b", "a"),
            hlink("b", "a", "a"),
            link("c", "a"),
            link("c", "a"),
        ],
    )
    .await;
    assert_eq!(codes, [204, 204, 204, 201, 201]);
    assert_eq!(fs::read_to_string(files.join("b")).unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn events_left_out_are_not_carried_out() {
    let mut bench = bench();
    bench.flow.events = [FileEvent::Create, FileEvent::Modify].into_iter().collect();
    fs::write(bench.files().join("x"), "x").unwrap();
    assert_eq!(run(&bench, &[remove("x"), put("y", "y")]).await, [202, 201]);
    bench.flow.events = [FileEvent::Delete].into_iter().collect();
    assert_eq!(run(&bench, &[put("z", "z"), remove("x")]).await, [202, 201]);
    assert_eq!(tree(&bench.files()).keys().collect::<Vec<_>>(), ["y"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_the_rules_refuse_takes_the_old_one_away() {
    let mut bench = bench();
    bench.flow.filters.rules = vec![rule(r"^.*\.tmp$", false)].into();
    let codes = run(
        &bench,
        &[
            put("a", "a"),
            rename("a", "a.tmp", "a"),
            rename("b.tmp", "b", "b"),
            rename("c.tmp", "d.tmp", "b"),
        ],
    )
    .await;
    assert_eq!(codes, [201, 201, 201, 404]);
    assert_eq!(tree(&bench.files()).keys().collect::<Vec<_>>(), ["b"]);
    let world = bench.world.lock();
    let removal = &world.posted[1].message;
    assert!(removal.file_op.as_ref().unwrap().remove);
    assert!(removal.rel_path.ends_with("files/a"), "{removal:?}");
}

#[tokio::test(start_paused = true)]
async fn the_old_name_is_looked_up_in_the_rules_below_the_base_directory() {
    let mut bench = bench();
    bench.flow.base_dir = Some(Template::parse("/data").unwrap());
    bench.flow.filters.accept_unmatched = false;
    bench.flow.filters.rules = vec![rule(r"^[a-z]+://[^/]+/d/a$", true)].into();
    let messages = [put("d/a", "one"), rename("/data/d/a", "d/b", "one")];
    assert_eq!(run(&bench, &messages).await, [201, 201]);
    assert_eq!(tree(&bench.files()).keys().collect::<Vec<_>>(), ["d"]);
}

fn rule(regex: &str, accept: bool) -> Rule {
    Rule {
        text: regex.into(),
        regex: regex::Regex::new(regex).unwrap(),
        conditions: flow_config::Conditions::default(),
        accept,
        placement: Placement {
            mirror: true,
            ..Placement::default()
        },
        origin: "flow/test.yaml:1".into(),
    }
}

/// One thing that happens at the origin.
#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Remove(usize),
    Rename(usize, usize),
    Hard(usize, usize),
    Link(usize, usize),
    Directory(usize, bool),
}

const NAMES: [&str; 5] = ["a", "b", "d/a", "d/b", "e/f/a"];
const DIRECTORIES: [&str; 2] = ["x", "x/y"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let step = prop_oneof![
        4 => name.clone().prop_map(Step::Put),
        2 => name.clone().prop_map(Step::Remove),
        3 => (name.clone(), name.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => (name.clone(), name.clone()).prop_map(|(a, b)| Step::Hard(a, b)),
        1 => (name.clone(), name).prop_map(|(a, b)| Step::Link(a, b)),
        1 => (0..DIRECTORIES.len(), any::<bool>()).prop_map(|(a, b)| Step::Directory(a, b)),
    ];
    prop::collection::vec(step, 1..25)
}

/// Does `steps` below `root`; the messages that announce what could be done.
fn happen(root: &Path, steps: &[Step]) -> Vec<Message> {
    let mut messages = Vec::new();
    for name in NAMES {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    }
    for directory in ["d", "e", "e/f"] {
        messages.push(mkdir(directory));
    }
    let text_of = |name: &str| {
        let path = root.join(name);
        let plain = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        plain.then(|| fs::read_to_string(path).unwrap())
    };
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Put(name) => {
                let (name, text) = (NAMES[name], format!("text {number}"));
                let _ = fs::remove_file(root.join(name));
                fs::write(root.join(name), &text).unwrap();
                messages.push(put(name, &text));
            }
            Step::Remove(name) => {
                if fs::remove_file(root.join(NAMES[name])).is_ok() {
                    messages.push(remove(NAMES[name]));
                }
            }
            Step::Rename(old, new) if old != new => {
                let (old, new) = (NAMES[old], NAMES[new]);
                if let Some(text) = text_of(old) {
                    fs::rename(root.join(old), root.join(new)).unwrap();
                    // Two names of one file are both left by that.
                    let _ = fs::remove_file(root.join(old));
                    messages.push(rename(old, new, &text));
                }
            }
            Step::Hard(target, name) if target != name => {
                let (target, name) = (NAMES[target], NAMES[name]);
                if let Some(text) = text_of(target) {
                    let _ = fs::remove_file(root.join(name));
                    fs::hard_link(root.join(target), root.join(name)).unwrap();
                    messages.push(hlink(name, target, &text));
                }
            }
            Step::Link(target, name) => {
                let (target, name) = (format!("t{target}"), NAMES[name]);
                let _ = fs::remove_file(root.join(name));
                symlink(&target, root.join(name)).unwrap();
                messages.push(link(name, &target));
            }
            Step::Directory(name, true) => {
                let name = DIRECTORIES[name];
                fs::create_dir_all(root.join(name)).unwrap();
                messages.push(mkdir(name));
            }
            Step::Directory(name, false) => {
                let name = DIRECTORIES[name];
                if fs::remove_dir(root.join(name)).is_ok() {
                    messages.push(rmdir(name));
                }
            }
            Step::Rename(..) | Step::Hard(..) => {}
        }
    }
    messages
}

/// One process: its end waits for the system calls under way, as it does when a process is killed.
fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(life)
}

/// Runs workers that are killed after so many polls, and one that is not.
fn survive(bench: &Bench, kills: &[usize]) {
    for polls in kills {
        live(async {
            let worker = bench.once();
            tokio::pin!(worker);
            for _ in 0..*polls {
                tokio::select! {
                    biased;
                    result = &mut worker => {
                        result.unwrap();
                        break;
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        });
    }
    live(bench.once()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_there_is_here_in_the_end(
        steps in steps(),
        batch in 1usize..12,
        lanes in 1usize..4,
        kills in prop::collection::vec(1usize..60, 0..4),
    ) {
        let mut bench = bench();
        bench.flow.batch = batch;
        bench.flow.concurrency = lanes;
        let theirs = bench.directory.path().join("theirs");
        for (number, message) in happen(&theirs, &steps).into_iter().enumerate() {
            bench.world.enqueue(&number.to_string(), message);
        }
        survive(&bench, &kills);
        let world = bench.world.lock();
        prop_assert!(world.queue.is_empty());
        for (path, fate) in &world.fates {
            prop_assert!(!matches!(fate, Fate::Dead(_) | Fate::Retrying(_)), "{path} {fate:?}");
        }
        prop_assert_eq!(tree(&bench.files()), tree(&theirs));
    }
}
