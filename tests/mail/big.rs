//! A mail of 200 MB streams through, and memory does not notice.

#![expect(clippy::print_stdout, reason = "the figure is what one wants to know")]

use std::cell::Cell;
use std::time::Duration;

use flow_testkit::generate::{Part, sha256_file, write_big_mail};
use flow_testkit::{Dovecot, wait};
use flow_tests::{Access, MailFlow, Scene, queue};

const SIZE: u64 = 200_000_000;
/// What the issue allows; the figure is the kernel's high-water mark of the whole process.
const MEMORY_LIMIT: u64 = 120 << 20;

#[track_caller]
fn check(access: Access) {
    let scene = Scene::new();
    scene.set(&MailFlow::new(access));
    // Compiling the plugins is no part of what is measured.
    scene.once();

    let part = Cell::new(None::<Part>);
    scene.server.write_mail(Dovecot::USER, "INBOX", |out| {
        part.set(Some(write_big_mail(out, SIZE, 81)?));
        Ok(())
    });
    let part = part.take().expect("the mail was written");

    let running = scene.flow.spawn(&["foreground", Scene::FLOW]);
    let posted = || {
        let peak = running.peak_memory();
        assert!(
            peak.is_some_and(|peak| peak > 0),
            "it ended:\n{}",
            running.stderr()
        );
        (!queue::queued(&scene.flow, "xs_files").is_empty()).then_some(())
    };
    wait::until(
        "the big mail to be posted",
        Duration::from_secs(300),
        posted,
    );
    let peak = running.peak_memory().expect("it is still running");
    running.terminate();
    running.finish(Duration::from_secs(30)).expect(0);

    let file = scene.flow.path("parts").join(&part.name);
    assert_eq!(file.metadata().expect("it is stored").len(), part.size);
    assert_eq!(sha256_file(&file).expect("it can be read"), part.sha256);
    println!(
        "{access:?}: {} MB mail, peak memory {:.1} MiB",
        SIZE / 1_000_000,
        peak as f64 / 1_048_576.0
    );
    assert!(
        peak < MEMORY_LIMIT,
        "peak memory {:.1} MiB",
        peak as f64 / 1_048_576.0
    );
}

#[test]
fn over_imaps() {
    check(Access::Imaps);
}

#[test]
fn over_pop3() {
    check(Access::Pop);
}
