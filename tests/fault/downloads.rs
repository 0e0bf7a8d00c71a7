//! Downloads over HTTP: the flow that fetches is killed, or its disk takes no more.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use flow_testkit::generate::Random;
use flow_testkit::{Flow, Nginx, wait};
use flow_tests::{queue, tree};

use crate::kill::{MOST_KILLS, seed};

const FLOW: &str = "subscribe/get";
/// More than this goes into no file, while the disk is full.
const ROOM: usize = 4 << 20;

/// A web server with files of these sizes, all of them announced to a flow that fetches them.
fn announced(sizes: &[usize]) -> (Nginx, Flow, BTreeMap<String, String>) {
    let web = Nginx::start();
    let mut files = BTreeMap::new();
    for (number, size) in sizes.iter().enumerate() {
        let bytes: Vec<u8> = (0..*size)
            .map(|at| (at * 7 + at / 256 + number) as u8)
            .collect();
        web.write(&format!("tree/{number:03}.bin"), &bytes);
    }
    files.extend(tree::digests(&web.root().join("tree")));
    let flow = Flow::new();
    queue::declare(&flow, "xs_got");
    flow.add_flow(
        FLOW,
        "exchange: xs_new\ndirectory: ${HOME}/got\nmirror: off\nbatch: 10\n\
         post_exchange: xs_got\npost_baseDir: ${HOME}/got\n",
    );
    flow.run(&["foreground", FLOW, "--once"]).expect(0);
    let (base, root) = (web.http(), web.root());
    let (root, below) = (root.display().to_string(), root.join("tree"));
    let below = below.display().to_string();
    flow.run(&[
        "post",
        "--exchange",
        "xs_new",
        "--base-url",
        &base,
        "--base-dir",
        &root,
        &below,
    ])
    .expect(0);
    (web, flow, files)
}

/// Every file is there, whole, and announced once; nothing else is.
#[track_caller]
fn check(flow: &Flow, files: &BTreeMap<String, String>) {
    let got = flow.path("got");
    assert_eq!(tree::unfinished(&got), Vec::<std::path::PathBuf>::new());
    assert!(tree::digests(&got) == *files, "the trees differ");
    let mut posted = queue::names(flow, "xs_got");
    posted.retain(|name| name.ends_with(".bin"));
    posted.sort_unstable();
    assert_eq!(posted, files.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn a_flow_killed_while_it_fetches_loses_nothing() {
    let sizes: Vec<usize> = (0..300)
        .map(|number| (number * number * 17) % 900_000)
        .collect();
    let (_web, flow, files) = announced(&sizes);
    let seed = seed();
    let mut random = Random::new(seed);
    let mut kills = 0;
    loop {
        let running = flow.spawn(&["foreground", FLOW, "--once"]);
        wait::pause(Duration::from_millis(random.below(150 + 25 * kills) as u64));
        let ended = running.kill();
        for (name, digest) in tree::digests(&flow.path("got")) {
            let whole = files.get(&name) == Some(&digest);
            assert!(whole || name.starts_with('.'), "{name} is half done");
        }
        if ended.signal.is_none() {
            ended.expect(0);
            break;
        }
        kills += 1;
        assert!(kills < MOST_KILLS, "{kills} kills: {}", ended.stderr);
    }
    check(&flow, &files);
    println!(
        "{} files, {kills} kills, FLOW_TEST_SEED={seed}",
        files.len()
    );
    assert!(kills >= 3, "only {kills} kills: this proves little");
}

#[test]
fn a_full_disk_costs_no_download() {
    let sizes: Vec<usize> = (0..40)
        .map(|number| if number % 10 == 3 { ROOM + 1 } else { 10_000 })
        .collect();
    let large = sizes.iter().filter(|size| **size > ROOM).count();
    let (_web, flow, files) = announced(&sizes);
    // As no file system has to be made for it: no file grows beyond so many blocks of 512 bytes.
    let once = flow.command(&["foreground", FLOW, "--once"]);
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", ROOM / 512);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &script])
        .arg(once.get_program())
        .args(once.get_args());
    for (name, value) in once.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.output().expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some(), "it ends by itself: {said}");
    let got = tree::digests(&flow.path("got"));
    assert_eq!(got.len(), files.len() - large, "what fits is there: {said}");
    assert!(
        got.iter()
            .all(|(name, digest)| files.get(name) == Some(digest))
    );
    let waiting = flow
        .run(&["retry", "list", FLOW, "--format", "json"])
        .expect(0);
    let waiting: serde_json::Value = serde_json::from_str(&waiting.stdout).expect("JSON");
    let waiting = waiting.to_string();
    assert_eq!(
        waiting.matches("File too large").count(),
        large,
        "{waiting}"
    );
    // Then there is room again.
    flow.run(&["retry", "requeue", FLOW, "--all"]).expect(0);
    flow.run(&["foreground", FLOW, "--once"]).expect(0);
    check(&flow, &files);
}
