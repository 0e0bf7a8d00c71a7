//! Watching real directories, told by the kernel.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where something goes wrong"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use flow_local::{Digest, FileEvents, OnStart, WatchOptions};
use flow_runtime::ports::Callback as _;
use support::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_announced_when_it_is_closed_and_not_before() {
    use std::io::Write as _;
    let mut bench = Bench::new(|_| {}).await;
    let mut open = fs::File::create(bench.path("in/slow")).unwrap();
    open.write_all(b"12").unwrap();
    bench.write("in/quick", "1");
    assert_eq!(bench.next(1).await, ["file in/quick 1"]);
    open.write_all(b"34").unwrap();
    drop(open);
    assert_eq!(bench.next(1).await, ["file in/slow 4"]);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_and_in_full() {
    let mut bench = Bench::new(|_| {}).await;
    bench.write("in/x", "123");
    assert_eq!(bench.next(1).await, ["file in/x 3"]);
    bench.write("in/x", "1234");
    assert_eq!(bench.next(1).await, ["file in/x 4"]);
    symlink("x", bench.path("in/link")).unwrap();
    symlink("nowhere", bench.path("in/dangling")).unwrap();
    assert_eq!(
        bench.next(2).await,
        ["link in/link to x", "link in/dangling to nowhere"]
    );
    bench.rename("in/x", "in/y");
    assert_eq!(bench.next(1).await, ["rename in/y from in/x"]);
    fs::hard_link(bench.path("in/y"), bench.path("in/hard")).unwrap();
    assert_eq!(bench.next(1).await, ["file in/hard 4"]);
    bench.rename("in/link", "in/link2");
    assert_eq!(bench.next(1).await, ["rename in/link2 from in/link to x"]);
    fs::create_dir(bench.path("in/d")).unwrap();
    assert_eq!(bench.next(1).await, ["mkdir in/d"]);
    bench.write("in/d/z", "1");
    assert_eq!(bench.next(1).await, ["file in/d/z 1"]);
    bench.rename("in/d", "in/e");
    assert_eq!(bench.next(1).await, ["renamedir in/e from in/d"]);
    bench.write("in/e/z", "12");
    assert_eq!(bench.next(1).await, ["file in/e/z 2"]);
    fs::remove_dir_all(bench.path("in/e")).unwrap();
    assert_eq!(bench.next(2).await, ["remove in/e/z", "rmdir in/e"]);
    fs::remove_file(bench.path("in/y")).unwrap();
    assert_eq!(bench.next(1).await, ["remove in/y"]);
    bench.write("in/y", "back");
    assert_eq!(bench.next(1).await, ["file in/y 4"]);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_event_what_is_renamed_is_removed_and_new() {
    let without = |options: &mut WatchOptions| {
        options.announcing.events = FileEvents {
            rename: false,
            ..FileEvents::default()
        };
    };
    let mut bench = Bench::new(without).await;
    bench.write("in/x", "123");
    assert_eq!(bench.next(1).await, ["file in/x 3"]);
    bench.rename("in/x", "in/y");
    assert_eq!(bench.next(2).await, ["remove in/x", "file in/y 3"]);
    fs::create_dir(bench.path("in/d")).unwrap();
    assert_eq!(bench.next(1).await, ["mkdir in/d"]);
    bench.write("in/d/z", "1");
    assert_eq!(bench.next(1).await, ["file in/d/z 1"]);
    bench.rename("in/d", "in/e");
    let mut told = bench.next(3).await;
    told.sort_unstable();
    assert_eq!(told, ["file in/e/z 1", "mkdir in/e", "rmdir in/d"]);
    // It is watched under its new name.
    bench.write("in/e/z", "12");
    assert_eq!(bench.next(1).await, ["file in/e/z 2"]);
    // What had no name yet is new, and nothing else.
    bench.write("in/.w.tmp", "1");
    bench.rename("in/.w.tmp", "in/w");
    let told = bench.next(1).await;
    assert_eq!(told.last().map(String::as_str), Some("file in/w 1"));
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_written_under_another_name_or_several_times_is_one_message() {
    let mut bench = Bench::new(|options| options.settle = Duration::from_millis(100)).await;
    bench.write("in/.x.tmp", "1");
    bench.rename("in/.x.tmp", "in/x");
    for index in 0..10 {
        bench.write("in/y", &"1".repeat(index));
    }
    bench.write("in/gone", "1");
    fs::remove_file(bench.path("in/gone")).unwrap();
    assert_eq!(bench.next(2).await, ["file in/x 1", "file in/y 9"]);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_elsewhere_is_new_and_what_leaves_is_gone() {
    let mut bench = Bench::new(|_| {}).await;
    fs::create_dir_all(bench.path("out/d/sub")).unwrap();
    bench.write("out/f", "1");
    bench.write("out/d/1", "1");
    bench.write("out/d/sub/2", "12");
    bench.rename("out/f", "in/f");
    assert_eq!(bench.next(1).await, ["file in/f 1"]);
    bench.rename("out/d", "in/d");
    let mut found = bench.next(4).await;
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "file in/d/1 1",
            "file in/d/sub/2 2",
            "mkdir in/d",
            "mkdir in/d/sub"
        ]
    );
    bench.write("in/d/sub/2", "123");
    assert_eq!(bench.next(1).await, ["file in/d/sub/2 3"]);
    bench.rename("in/d", "out/d");
    bench.rename("in/f", "out/f");
    assert_eq!(bench.next(2).await, ["rmdir in/d", "remove in/f"]);
    // Nobody is told of what happens there any more.
    bench.write("out/d/sub/2", "1234");
    bench.write("in/f", "12");
    assert_eq!(bench.next(1).await, ["file in/f 2"]);
    // A name used again at once: the removal comes first.
    bench.rename("in/f", "out/f");
    bench.write("in/f", "123");
    let said = bench.until("file in/f 3").await;
    assert!(said.is_empty() || said == ["remove in/f"], "{said:?}");
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_made_and_filled_at_once_are_told_once_and_in_full() {
    const EACH: usize = 5_000;
    let mut bench = Bench::new(|_| {}).await;
    let writers: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|writer| {
            let base = bench.path("in").join(writer);
            std::thread::spawn(move || {
                for index in 0..EACH {
                    let directory = base.join(format!("{}/{}", index / 250, index / 25));
                    fs::create_dir_all(&directory).unwrap();
                    fs::write(directory.join(index.to_string()), "x").unwrap();
                }
            })
        })
        .collect();
    let mut said: Vec<String> = Vec::new();
    let mut files = 0;
    let started = Instant::now();
    while files < 2 * EACH {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{files} after two minutes"
        );
        let page = bench.next_messages().await;
        files += page.iter().filter(|message| message.size.is_some()).count();
        said.extend(page.iter().map(support::text));
    }
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    said.extend(bench.rest().await);
    let mut expected = BTreeSet::new();
    for writer in ["a", "b"] {
        expected.insert(format!("mkdir in/{writer}"));
        for index in 0..EACH {
            let (one, two) = (index / 250, index / 25);
            expected.insert(format!("mkdir in/{writer}/{one}"));
            expected.insert(format!("mkdir in/{writer}/{one}/{two}"));
            expected.insert(format!("file in/{writer}/{one}/{two}/{index} 1"));
        }
    }
    let unique: BTreeSet<String> = said.iter().cloned().collect();
    let missing: Vec<_> = expected.difference(&unique).collect();
    let invented: Vec<_> = unique.difference(&expected).collect();
    assert_eq!((missing, invented), (vec![], vec![]));
    assert_eq!(said.len(), unique.len(), "something was told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_renames_leaves_a_follower_with_the_same_tree() {
    let mut bench = Bench::new(|_| {}).await;
    for index in 0..20 {
        bench.write(&format!("in/{index}"), &index.to_string());
    }
    let mut follower = std::collections::BTreeMap::new();
    let mut content = std::collections::BTreeMap::new();
    for message in bench.next(20).await {
        let mut words = message.split(' ').skip(1);
        let path = words.next().unwrap().to_owned();
        follower.insert(path.clone(), path);
    }
    for index in 0..20 {
        content.insert(format!("in/{index}"), format!("in/{index}"));
    }
    // Rotations through a spare name, without waiting for anything.
    let mut random = 7_usize;
    for _ in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        let a = format!("in/{}", (random >> 33) % 20);
        let b = format!("in/{}", (random >> 40) % 20);
        if a == b {
            continue;
        }
        for (from, to) in [
            (&a, "in/spare"),
            (&b, a.as_str()),
            (&"in/spare".to_owned(), b.as_str()),
        ] {
            bench.rename(from, to);
            let moved = content.remove(from.as_str()).unwrap();
            content.insert(to.to_owned(), moved);
        }
    }
    bench.write("in/last", "x");
    for message in bench.until("file in/last 1").await {
        let words: Vec<&str> = message.split(' ').collect();
        let ["rename", to, "from", from] = words.as_slice() else {
            panic!("{message}");
        };
        let moved = follower
            .remove(*from)
            .expect("it follows the order of things");
        follower.insert((*to).to_owned(), moved);
    }
    assert_eq!(follower, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_renamed_while_being_filled_lose_nothing() {
    let mut bench = Bench::new(|_| {}).await;
    let base = bench.path("in");
    let writer = std::thread::spawn(move || {
        for index in 0..200 {
            let (temporary, last) = (base.join(format!(".{index}")), base.join(index.to_string()));
            fs::create_dir_all(temporary.join("sub")).unwrap();
            fs::write(temporary.join("sub/x"), "1").unwrap();
            fs::rename(&temporary, &last).unwrap();
            fs::write(last.join("sub/y"), "1").unwrap();
        }
    });
    let mut follower = BTreeSet::new();
    let mut said = Vec::new();
    let started = Instant::now();
    let complete = |follower: &BTreeSet<String>| {
        (0..200).all(|index| {
            ["x", "y"]
                .iter()
                .all(|name| follower.contains(&format!("in/{index}/sub/{name}")))
        })
    };
    while !complete(&follower) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{:?} {said:?}",
            (0..200)
                .flat_map(|index| ["x", "y"].map(|name| format!("in/{index}/sub/{name}")))
                .filter(|path| !follower.contains(path))
                .collect::<Vec<_>>()
        );
        for message in bench.next_messages().await {
            said.push(support::text(&message));
            let op = message.file_op.clone().unwrap_or_default();
            if let (Some(from), true) = (&op.rename, op.directory) {
                let below = format!("{from}/");
                let moved: Vec<String> = follower
                    .iter()
                    .filter(|path| path.starts_with(&below))
                    .cloned()
                    .collect();
                for path in moved {
                    follower.remove(&path);
                    follower.insert(path.replacen(from, &message.rel_path, 1));
                }
            } else if message.size.is_some() {
                follower.insert(message.rel_path.clone());
            }
        }
    }
    writer.join().unwrap();
    assert_eq!(follower.len(), 400, "{follower:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_may_be_missing_come_go_and_be_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::over(directory, |_| {}).await;
    fs::create_dir(bench.path("in")).unwrap();
    bench.write("in/x", "1");
    let mut said = bench.next(2).await;
    assert_eq!(said, ["mkdir in", "file in/x 1"]);
    fs::remove_dir_all(bench.path("in")).unwrap();
    assert_eq!(bench.next(2).await, ["remove in/x", "rmdir in"]);
    fs::create_dir_all(bench.path("in/sub")).unwrap();
    bench.write("in/sub/y", "1");
    said = bench.next(3).await;
    assert_eq!(said, ["mkdir in", "mkdir in/sub", "file in/sub/y 1"]);
    bench.rename("in", "old");
    assert_eq!(bench.next(1).await, ["rmdir in"]);
    bench.write("old/sub/unseen", "1");
    bench.rename("old", "in");
    said = bench.next(4).await;
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/sub/unseen 1",
            "file in/sub/y 1",
            "mkdir in",
            "mkdir in/sub"
        ]
    );
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_can_be_watched_by_itself() {
    let mut bench = Bench::new(|options| {
        let file = options.paths[0].join("one");
        options.paths = vec![file];
    })
    .await;
    bench.write("in/other", "1");
    bench.write("in/one", "12");
    assert_eq!(bench.next(1).await, ["file in/one 2"]);
    bench.write("in/.tmp", "123");
    bench.rename("in/.tmp", "in/one");
    assert_eq!(bench.next(1).await, ["file in/one 3"]);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_directories_are_followed_where_wanted_and_loops_end() {
    let mut bench = Bench::new(|options| options.announcing.follow_symlinks = true).await;
    fs::create_dir_all(bench.path("else")).unwrap();
    bench.write("else/x", "1");
    symlink("..", bench.path("in/loop")).unwrap();
    let mut said = bench.next(3).await;
    said.sort_unstable();
    assert_eq!(said, ["file else/x 1", "link in/loop to ..", "mkdir else"]);
    bench.write("else/x", "12");
    assert_eq!(bench.next(1).await, ["file else/x 2"]);
    bench.write("in/y", "1");
    assert_eq!(bench.next(1).await, ["file in/y 1"]);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_wanted_events_are_announced() {
    let mut bench = Bench::new(|options| {
        options.announcing.events = FileEvents {
            create: true,
            delete: false,
            link: false,
            mkdir: false,
            modify: false,
            rename: false,
            rmdir: false,
        };
    })
    .await;
    fs::create_dir(bench.path("in/d")).unwrap();
    symlink("d", bench.path("in/l")).unwrap();
    bench.write("in/x", "1");
    assert_eq!(bench.next(1).await, ["file in/x 1"]);
    bench.write("in/x", "12");
    fs::remove_file(bench.path("in/x")).unwrap();
    fs::remove_dir(bench.path("in/d")).unwrap();
    bench.write("in/last", "1");
    assert_eq!(bench.until("file in/last 1").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn young_files_wait_until_they_are_old_enough() {
    let age = Duration::from_millis(700);
    let mut bench = Bench::new(|options| options.announcing.file_age_min = age).await;
    bench.write("in/x", "1");
    let written = Instant::now();
    bench.write("in/removed", "1");
    fs::remove_file(bench.path("in/removed")).unwrap();
    assert_eq!(bench.until("file in/x 1").await, Vec::<String>::new());
    // File times advance in steps.
    assert!(written.elapsed() > age - Duration::from_millis(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_text_is_left_out_and_the_rest_goes_on() {
    let mut bench = Bench::new(|_| {}).await;
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    fs::write(bench.path("in").join(name), "1").unwrap();
    bench.write("in/x", "1");
    assert_eq!(bench.next(1).await, ["file in/x 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_written_again_is_told_again_only_if_anything_changed() {
    let mut bench = Bench::new(|options| options.announcing.digest = Digest::None).await;
    bench.write("in/x", "1");
    assert_eq!(bench.next(1).await, ["file in/x 1"]);
    let modified = fs::metadata(bench.path("in/x"))
        .unwrap()
        .modified()
        .unwrap();
    // Opened for writing and closed: nothing changed, once it is old enough to tell.
    let wait = bench.rest().await;
    assert_eq!(wait, Vec::<String>::new());
    drop(
        fs::File::options()
            .append(true)
            .open(bench.path("in/x"))
            .unwrap(),
    );
    bench.write("in/y", "1");
    let said = bench.until("file in/y 1").await;
    assert!(said.len() <= 1, "{said:?}");
    drop(
        fs::File::options()
            .append(true)
            .open(bench.path("in/x"))
            .unwrap(),
    );
    bench.write("in/z", "1");
    assert_eq!(bench.until("file in/z 1").await, Vec::<String>::new());
    assert_eq!(
        fs::metadata(bench.path("in/x"))
            .unwrap()
            .modified()
            .unwrap(),
        modified
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_announces_nothing_what_changed_or_everything() {
    let mut bench = Bench::new(|_| {}).await;
    bench.write("in/before", "1");
    assert_eq!(bench.next(1).await, ["file in/before 1"]);
    // Longer than a restart looks back.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    bench.write("in/last", "1");
    assert_eq!(bench.next(1).await, ["file in/last 1"]);
    bench.watch.stop().await;
    fs::create_dir(bench.path("in/d")).unwrap();
    bench.write("in/d/new", "1");
    bench.rename("in/before", "in/renamed");
    bench.restart(|_| {});
    let mut said = bench.until("file in/d/new 1").await;
    said.extend(bench.rest().await);
    said.sort_unstable();
    said.retain(|text| text != "file in/last 1");
    assert_eq!(said, ["file in/renamed 1", "mkdir in/d"]);
    bench.restart(|options| options.on_start = OnStart::Everything);
    let mut said = bench.next(5).await;
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/d/new 1",
            "file in/last 1",
            "file in/renamed 1",
            "mkdir in",
            "mkdir in/d"
        ]
    );
    bench.restart(|options| options.on_start = OnStart::Nothing);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_before_the_first_look_is_announced_and_what_was_there_is_not() {
    let mut bench = Bench::new(|_| {}).await;
    fs::create_dir_all(bench.path("in/old/deep")).unwrap();
    bench.write("in/old/deep/kept", "1");
    bench.write("in/old/rewritten", "1");
    bench.write("in/old/renamed", "1");
    bench.again();
    bench.write("in/new", "1");
    bench.write("in/old/deep/new", "1");
    bench.write("in/old/rewritten", "12");
    bench.rename("in/old/renamed", "in/old/other");
    fs::create_dir(bench.path("in/made")).unwrap();
    bench.write("in/made/new", "1");
    let mut said = bench.next(6).await;
    said.extend(bench.rest().await);
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/made/new 1",
            "file in/new 1",
            "file in/old/deep/new 1",
            "file in/old/other 1",
            "file in/old/rewritten 2",
            "mkdir in/made"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_directory_comes_in_pages() {
    const NUMBER: usize = 30_000;
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("in")).unwrap();
    for index in 0..NUMBER {
        fs::File::create(directory.path().join(format!("in/{index}"))).unwrap();
    }
    let mut bench = Bench::over(directory, |options| {
        options.on_start = OnStart::Everything;
        options.announcing.digest = Digest::None;
    })
    .await;
    bench.limit = 777;
    let said: BTreeSet<String> = bench.next(NUMBER + 1).await.into_iter().collect();
    assert_eq!(said.len(), NUMBER + 1);
}

/// As root everything may be read, so the test runs itself once more as somebody else.
#[test]
fn a_directory_that_may_not_be_read_is_left_out_and_the_rest_goes_on() {
    const AGAIN: &str = "FLOW_LOCAL_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_none() && rustix::process::geteuid().is_root() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(directory.path(), all).unwrap();
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["--exact", "--nocapture"])
            .arg("a_directory_that_may_not_be_read_is_left_out_and_the_rest_goes_on")
            .env(AGAIN, "1")
            .env("TMPDIR", directory.path())
            .current_dir(directory.path())
            .output()
            .expect("setpriv is part of util-linux: apt-get install util-linux");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for polling in [false, true] {
            let mut bench = Bench::new(|options| options.force_polling = polling).await;
            let mode = std::os::unix::fs::PermissionsExt::from_mode;
            fs::create_dir(bench.path("in/closed")).unwrap();
            fs::set_permissions(bench.path("in/closed"), mode(0)).unwrap();
            bench.write("in/secret", "1");
            fs::set_permissions(bench.path("in/secret"), mode(0o200)).unwrap();
            let mut said = bench.next_messages().await;
            while said.len() < 2 {
                said.extend(bench.next_messages().await);
            }
            let mut texts: Vec<String> = said.iter().map(support::text).collect();
            texts.sort_unstable();
            assert_eq!(texts, ["file in/secret 1", "mkdir in/closed"]);
            let file = said.iter().find(|message| message.size.is_some()).unwrap();
            let identity = file.identity.as_ref().unwrap();
            assert_eq!(
                (identity.method.as_str(), identity.value.as_str()),
                ("cod", "sha512")
            );
            bench.write("in/x", "1");
            assert_eq!(bench.next(1).await, ["file in/x 1"]);
            fs::set_permissions(bench.path("in/closed"), mode(0o700)).unwrap();
        }
    });
}
