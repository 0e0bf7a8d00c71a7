//! What a person reads when something is wrong, word for word, and how streams and exit codes keep
//! their promises.
//!
//! Snapshots are the full text of a command: exit code, stdout, stderr. Only what differs from run
//! to run is filtered (directories, ports, times). To accept a change after reading it:
//! `INSTA_UPDATE=always cargo test -p flow-tests --test cli`.

mod bad_config;
mod bad_server;
mod catalogue;
mod posting;
mod streams;

use flow_testkit::{Finished, Flow};

/// Dovecot says how long it took: `(0.001 + 0.000 secs)`.
fn without_times(line: &str) -> String {
    let Some((start, rest)) = line.split_once(" secs)") else {
        return line.to_owned();
    };
    match start.rsplit_once('(') {
        Some((start, _)) => format!("{start}[TIMES]{rest}"),
        None => line.to_owned(),
    }
}

/// The whole answer of a command, ready to be compared.
fn said(flow: &Flow, finished: &Finished) -> String {
    let code = finished
        .code
        .map_or("none".to_owned(), |code| code.to_string());
    let text = format!(
        "exit code: {code}\n----- stdout -----\n{}----- stderr -----\n{}",
        finished.stdout, finished.stderr
    );
    // How long a pause still takes depends on how long everything before it took.
    let mut filtered = String::new();
    for line in flow.filter(&text).lines() {
        match line.split_once("goes on in ") {
            Some((start, _)) => filtered.push_str(&format!("{start}goes on in [ELAPSED]")),
            None => filtered.push_str(&without_times(line)),
        }
        filtered.push('\n');
    }
    filtered
}
