//! A sender that is killed at any instant sends everything, and shows nothing half done.

use std::time::Duration;

use flow_testkit::{Flow, Ftp, FtpManner, Sftp, generate::Random, wait};
use flow_tests::{queue, tree};

use crate::{content, samples, write_all};

/// Most kills; a round that needs more makes no progress.
const MOST: usize = 150;

/// So many runs are killed as soon as another few files are there, however fast the machine is.
const SURE: usize = 5;

/// Kills the flow `sender/out` again and again until it has done its work; then everything is at
/// `landing`, and was announced once.
fn round(flow: &Flow, landing: &std::path::Path, seed: u64) {
    let files = samples(150);
    let root = flow.path("data");
    write_all(&root, &files);
    queue::declare(flow, "xs_sent");
    flow.run(&["foreground", "sender/out", "--once"]).expect(0);
    let path = root.display().to_string();
    flow.run(&[
        "post",
        "--set",
        "fileEvents=[create]",
        "-e",
        "xs_local",
        &path,
    ])
    .expect(0);
    let mut random = Random::new(seed);
    let mut kills = 0;
    loop {
        let running = flow.spawn(&["foreground", "sender/out", "--once"]);
        if kills < SURE {
            let there = files.len() / (SURE + 2) * kills + random.below(10);
            wait::until("a few more files", Duration::from_secs(30), || {
                (content(landing).len() > there).then_some(())
            });
        } else {
            wait::pause(Duration::from_millis(random.below(100 + 40 * kills) as u64));
        }
        let ended = running.kill();
        for (name, bytes) in content(landing) {
            assert!(files.get(&name) == Some(&bytes), "{name} is half done");
        }
        if ended.signal.is_none() {
            ended.expect(0);
            break;
        }
        kills += 1;
        assert!(
            kills < MOST,
            "no progress, the last run said:\n{}",
            ended.stderr
        );
    }
    assert!(content(landing) == files);
    let left = tree::unfinished(landing);
    assert!(left.is_empty(), "{left:?}");
    let mut announced: Vec<String> = queue::queued(flow, "xs_sent")
        .into_iter()
        .map(|message| message.rel_path)
        .collect();
    announced.sort();
    assert_eq!(announced, files.into_keys().collect::<Vec<_>>());
    assert!(kills >= 3, "only {kills} kills: this proves little");
}

#[test]
fn killed_while_it_sends_over_sftp() {
    let flow = Flow::new();
    let server = Sftp::start();
    let url = format!("sftp://{}@127.0.0.1:{}/", server.user(), server.port());
    flow.credentials(&format!(
        "{url} ssh_keyfile={}\n",
        server.key_file().display()
    ));
    flow.add_flow(
        "sender/out",
        &format!(
            "exchange: xs_local\nbatch: 10\nbaseDir: {}\nsendTo: {url}\npost_exchange: xs_sent\n",
            flow.path("data").display()
        ),
    );
    round(&flow, &server.landing(), 1);
}

#[test]
fn killed_while_it_sends_over_ftp() {
    let flow = Flow::new();
    let server = Ftp::start(FtpManner::Plain);
    let place = format!("127.0.0.1:{}/", server.port());
    let password = Ftp::PASSWORD.replace('#', "%23").replace('&', "%26");
    flow.credentials(&format!("ftp://{}:{password}@{place}\n", Ftp::USER));
    flow.add_flow(
        "sender/out",
        &format!(
            "exchange: xs_local\nbatch: 10\nbaseDir: {}\nsendTo: ftp://{}@{place}\npost_exchange: xs_sent\n",
            flow.path("data").display(),
            Ftp::USER
        ),
    );
    round(&flow, &server.landing(), 2);
}
