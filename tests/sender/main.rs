//! Sending: the whole binary, files of this machine, and servers that take them.
//!
//! The oracle is always the tree that arrives: the same files, byte for byte, and nothing half done.

mod kill;
mod options;
mod servers;
mod stamps;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_testkit::{Flow, Running, wait};
use flow_tests::tree;

pub(crate) const SOON: Duration = Duration::from_secs(90);

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Files of a tree with their content, by path below it. What is hidden is not there yet.
pub(crate) fn content(root: &Path) -> Files {
    tree::files(root)
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root).expect("below the root");
            let name = name.to_string_lossy().into_owned();
            let hidden = name.rsplit('/').next().is_some_and(|n| n.starts_with('.'));
            let bytes = (!hidden).then(|| std::fs::read(&path).ok()).flatten()?;
            Some((name, bytes))
        })
        .collect()
}

/// So many files in some directories, some of them empty, and one that takes a while.
pub(crate) fn samples(count: usize) -> Files {
    let mut files = Files::new();
    for number in 0..count {
        let name = format!(
            "radar/{}/scan {number:03}.gif",
            ["CASBV", "CASET"][number % 2]
        );
        let bytes = (0..(number % 60) * 997)
            .map(|at| (at * 31 + number) as u8)
            .collect();
        files.insert(name, bytes);
    }
    files.insert(
        "large.bin".into(),
        (0..3_000_000u32).map(|n| (n / 7) as u8).collect(),
    );
    files
}

pub(crate) fn write_all(root: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(&path, bytes).expect("a file");
    }
}

/// Waits until a tree is as expected.
#[track_caller]
pub(crate) fn arrives(root: &Path, expected: &Files, flows: &[&Running]) {
    let end = Instant::now() + SOON;
    let mut found = content(root);
    while found != *expected && Instant::now() < end {
        wait::pause(Duration::from_millis(50));
        found = content(root);
    }
    if found == *expected {
        return;
    }
    let missing: Vec<_> = expected
        .iter()
        .filter(|(name, bytes)| found.get(*name) != Some(*bytes))
        .map(|(name, _)| name)
        .collect();
    let surplus: Vec<_> = found
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .collect();
    let told: Vec<String> = flows.iter().map(|flow| flow.stderr()).collect();
    panic!(
        "missing or different: {missing:?}\nnot expected: {surplus:?}\n{}",
        told.join("\n---\n")
    );
}

pub(crate) fn stop(flows: Vec<Running>) {
    for flow in &flows {
        flow.terminate();
    }
    for flow in flows {
        flow.finish(Duration::from_secs(30)).expect(0);
    }
}

pub(crate) fn spawn(flow: &Flow, name: &str) -> Running {
    flow.spawn(&["foreground", name, "--log-level", "debug"])
}
