//! Watching real directories by looking again and again.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where something goes wrong"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use flow_local::{Digest, OnStart};
use support::{Bench, Memory};

async fn polling() -> Bench {
    Bench::new(|options| options.force_polling = true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_changed_and_gone_is_found() {
    let mut bench = polling().await;
    fs::create_dir_all(bench.path("in/d/sub")).unwrap();
    bench.write("in/d/sub/x", "1");
    bench.write("in/y", "1");
    symlink("y", bench.path("in/z")).unwrap();
    let mut said = bench.next(5).await;
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/d/sub/x 1",
            "file in/y 1",
            "link in/z to y",
            "mkdir in/d",
            "mkdir in/d/sub"
        ]
    );
    assert_eq!(bench.rest().await, Vec::<String>::new());
    bench.write("in/y", "12");
    assert_eq!(bench.next(1).await, ["file in/y 2"]);
    bench.rename("in/y", "in/yy");
    assert_eq!(bench.next(2).await, ["remove in/y", "file in/yy 2"]);
    fs::remove_dir_all(bench.path("in/d")).unwrap();
    assert_eq!(
        bench.next(3).await,
        ["remove in/d/sub/x", "rmdir in/d/sub", "rmdir in/d"]
    );
    assert_eq!(bench.rest().await, Vec::<String>::new());
    // Nothing is remembered of what is gone.
    let folders = bench
        .state
        .rows()
        .into_keys()
        .filter(|key| key.starts_with("poll/"));
    assert_eq!(folders.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_becomes_something_else_goes_and_comes() {
    let mut bench = polling().await;
    fs::create_dir(bench.path("in/a")).unwrap();
    bench.write("in/a/x", "1");
    bench.write("in/b", "1");
    bench.next(3).await;
    fs::remove_dir_all(bench.path("in/a")).unwrap();
    fs::remove_file(bench.path("in/b")).unwrap();
    bench.write("in/a", "12");
    fs::create_dir(bench.path("in/b")).unwrap();
    let mut said = bench.next(5).await;
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/a 2",
            "mkdir in/b",
            "remove in/a/x",
            "remove in/b",
            "rmdir in/a"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_happened_meanwhile() {
    let mut bench = polling().await;
    bench.write("in/kept", "1");
    bench.write("in/going", "1");
    bench.write("in/changing", "1");
    bench.next(3).await;
    fs::remove_file(bench.path("in/going")).unwrap();
    bench.write("in/changing", "12");
    bench.write("in/new", "1");
    bench.restart(|_| {});
    let mut said = bench.next(3).await;
    said.sort_unstable();
    assert_eq!(
        said,
        ["file in/changing 2", "file in/new 1", "remove in/going"]
    );
    fs::remove_file(bench.path("in/new")).unwrap();
    bench.restart(|options| options.on_start = OnStart::Everything);
    let mut said = bench.next(3).await;
    said.sort_unstable();
    assert_eq!(
        said,
        ["file in/changing 2", "file in/kept 1", "remove in/new"]
    );
    assert_eq!(bench.rest().await, Vec::<String>::new());
    bench.write("in/unsaid", "1");
    bench.restart(|options| options.on_start = OnStart::Nothing);
    assert_eq!(bench.rest().await, Vec::<String>::new());
    bench.write("in/said", "1");
    assert_eq!(bench.next(1).await, ["file in/said 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_before_the_first_walk_is_announced_and_what_was_there_is_not() {
    let mut bench = polling().await;
    fs::create_dir_all(bench.path("in/old/deep")).unwrap();
    bench.write("in/old/deep/kept", "1");
    bench.write("in/old/rewritten", "1");
    bench.again();
    bench.write("in/old/deep/new", "1");
    bench.write("in/old/rewritten", "12");
    fs::create_dir(bench.path("in/made")).unwrap();
    // A crash before the first walk ended forgets nothing of it.
    bench.limit = 1;
    let first = bench.next(1).await;
    bench.restart(|_| {});
    bench.limit = 500;
    let mut said = bench.next(2).await;
    said.extend(bench.rest().await);
    said.extend(first);
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "file in/old/deep/new 1",
            "file in/old/rewritten 2",
            "mkdir in/made"
        ]
    );
    assert!(!bench.state.rows().contains_key("poll.since"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_page_loses_nothing_and_repeats_only_that_page() {
    const NUMBER: usize = 2_500;
    let mut bench = polling().await;
    bench.limit = 400;
    fs::create_dir(bench.path("in/d")).unwrap();
    for index in 0..NUMBER {
        bench.write(&format!("in/d/{index}"), "");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut told = BTreeSet::new();
    let mut twice = 0;
    let mut crashes = 0;
    while told.len() < NUMBER + 1 {
        let before = bench.state.rows();
        let page = bench.gather().await;
        crashes += 1;
        if crashes % 2 == 1 {
            // The page was posted, but its transaction was not.
            twice += page.len();
            bench.state = Memory::of(before);
            bench.restart(|_| {});
        }
        told.extend(page);
    }
    let mut all = Vec::new();
    loop {
        let page = bench.gather().await;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert!(all.len() <= twice, "{} > {twice}", all.len());
    assert_eq!(told.len(), NUMBER + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_unmounted_root_is_no_removal() {
    let mut bench = polling().await;
    bench.write("in/x", "1");
    bench.next(1).await;
    bench.rename("in", "away");
    assert_eq!(bench.rest().await, Vec::<String>::new());
    bench.rename("away", "in");
    bench.write("in/y", "1");
    assert_eq!(bench.next(1).await, ["file in/y 1"]);
    // Another device, and nothing on it.
    let mut rows = bench.state.rows();
    for (key, value) in &mut rows {
        if key.starts_with("poll.device/") {
            *value = b"0".to_vec();
        }
    }
    bench.state = Memory::of(rows);
    bench.rename("in", "away");
    fs::create_dir(bench.path("in")).unwrap();
    assert_eq!(bench.rest().await, Vec::<String>::new());
    fs::remove_dir(bench.path("in")).unwrap();
    bench.rename("away", "in");
    bench.write("in/z", "1");
    assert_eq!(bench.next(1).await, ["file in/z 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_directory_comes_in_pages_and_is_remembered_in_parts() {
    const NUMBER: usize = 12_000;
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("in")).unwrap();
    for index in 0..NUMBER {
        fs::File::create(directory.path().join(format!("in/{index}"))).unwrap();
    }
    let mut bench = Bench::over(directory, |options| {
        options.force_polling = true;
        options.on_start = OnStart::Everything;
        options.announcing.digest = Digest::None;
    })
    .await;
    bench.limit = 5_000;
    let said: BTreeSet<String> = bench.next(NUMBER).await.into_iter().collect();
    assert_eq!(said.len(), NUMBER);
    let rows = bench.state.rows();
    let largest = rows.values().map(Vec::len).max().unwrap();
    assert!(largest < 100_000, "{largest}");
    bench.rest().await;
    bench.write("in/one more", "1");
    assert_eq!(bench.next(1).await, ["file in/one more 1"]);
    let changed = bench
        .state
        .rows()
        .iter()
        .filter(|(key, row)| rows.get(*key) != Some(row))
        .count();
    assert!(changed <= 2, "{changed} rows were written for one file");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_and_a_file_can_be_watched_by_itself() {
    let mut bench = Bench::new(|options| {
        options.force_polling = true;
        options.announcing.follow_symlinks = true;
        let file = options.paths[0].with_file_name("one");
        options.paths.push(file);
    })
    .await;
    fs::create_dir(bench.path("else")).unwrap();
    bench.write("else/x", "1");
    symlink("../else", bench.path("in/l")).unwrap();
    symlink(".", bench.path("in/loop")).unwrap();
    let mut said = bench.next(3).await;
    said.sort_unstable();
    assert_eq!(
        said,
        ["file else/x 1", "link in/l to ../else", "link in/loop to ."]
    );
    bench.write("one", "12");
    assert_eq!(bench.next(1).await, ["file one 2"]);
    bench.write("else/y", "1");
    assert_eq!(bench.next(1).await, ["file else/y 1"]);
}
