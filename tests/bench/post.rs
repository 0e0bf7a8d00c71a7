//! Announcing a tree of small files with their sha512: `flow` beside sr3_post and sr3_cpost, the C
//! implementation, over RabbitMQ.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::broker::Broker;
use crate::compare::{Run, compare, subject};
use crate::measure::measure;
use crate::sr3::Sr3;
use crate::{Load, place};

/// Bytes of a file.
const SIZE: usize = 1_000;
/// Files of a directory.
const TOGETHER: usize = 500;

/// Runs it and prints its table.
pub(crate) fn run(load: &Load) -> Result<()> {
    let broker = Broker::start()?;
    broker.declare("posts", "xs_post")?;
    let directory = tempfile::tempdir_in(place())?;
    let tree = directory.path().join("tree");
    fill(&tree, load.count, SIZE)?;
    let tree = tree.display().to_string();
    let flow = broker.installation();
    let url = broker.url();
    flow.add_flow(
        "post/bench",
        &format!(
            "path: {tree}\npost_broker: {url}\npost_exchange: xs_post\n\
             post_baseUrl: http://127.0.0.1/\npost_baseDir: {tree}\n"
        ),
    );
    let sr3 = Sr3::installed(&broker)?;
    if let Some(sr3) = &sr3 {
        let common = format!(
            "post_exchange xs_post\npost_baseUrl http://127.0.0.1/\n\
             post_baseDir {tree}\nlogLevel warning\n"
        );
        let python = format!("post_broker {url}\n{common}batch 1000\n");
        sr3.configure("post/bench", &python)?;
        let plain = broker.plain_url().replace("/%2F", "/");
        sr3.configure("cpost/bench", &format!("post_broker {plain}\n{common}"))?;
    }
    compare(
        load,
        "files",
        vec![
            subject("sr3_post", || {
                let Some(sr3) = &sr3 else { return Ok(None) };
                // sr3 keeps the digests in attributes of the files, where that works.
                let command = sr3.post(&["-c", "bench", &tree]);
                posted(&broker, load.count, command).map(Some)
            }),
            subject("sr3_cpost", || {
                let Some(sr3) = &sr3 else { return Ok(None) };
                let Some(command) = sr3.cpost(&["-c", "bench", &tree]) else {
                    return Ok(None);
                };
                posted(&broker, load.count, command).map(Some)
            }),
            subject("flow foreground post/…", || {
                let command = flow.command(&["foreground", "post/bench", "--log-level", "warn"]);
                posted(&broker, load.count, command).map(Some)
            }),
        ],
    )
}

/// A tree of files that differ.
pub(crate) fn fill(tree: &Path, count: usize, size: usize) -> Result<()> {
    for number in 0..count {
        let directory = tree.join(format!("{:04}", number / TOGETHER));
        if number.is_multiple_of(TOGETHER) {
            std::fs::create_dir_all(&directory)?;
        }
        let mut content = format!("{number}\n").into_bytes();
        content.resize(size, b'x');
        std::fs::write(directory.join(format!("file-{number:06}")), content)?;
    }
    Ok(())
}

/// From the start of the program to its end.
fn posted(broker: &Broker, count: usize, mut command: Command) -> Result<Run> {
    broker.purge("posts")?;
    let waiting = broker.wait("posts", count)?;
    let started = SystemTime::now();
    let (_directory, log) = crate::broker::log()?;
    let measured = measure(&mut command, &log)?;
    let arrived = waiting
        .end(started)
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(arrived.first.is_some(), "nothing was posted");
    Ok(Run {
        first: arrived.first,
        ..measured.of(count)
    })
}
