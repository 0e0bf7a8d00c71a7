//! From a watched tree over RabbitMQ to real servers.

use std::time::Duration;

use flow_testkit::{Cutter, Flow, Ftp, FtpManner, RabbitMq, Sftp, wait, without_password};
use flow_tests::tree;

use crate::{SOON, arrives, content, samples, spawn, stop, write_all};

/// A broker, and its URL without a password; `credentials` gets a line for it.
fn rabbit(credentials: &mut String) -> (RabbitMq, String) {
    let broker = RabbitMq::start();
    let url = broker.url("/");
    credentials.push_str(&format!("{url}\n"));
    (broker, without_password(&url))
}

/// The line of credentials for a server.
fn sftp_line(server: &Sftp, port: u16) -> String {
    let (user, key) = (server.user(), server.key_file());
    format!(
        "sftp://{user}@127.0.0.1:{port}/ ssh_keyfile={}\n",
        key.display()
    )
}

#[test]
fn a_watched_tree_is_sent_over_sftp_and_announced_from_there() {
    let flow = Flow::new();
    let server = Sftp::start();
    let mut credentials = sftp_line(&server, server.port());
    let (_broker, amqp) = rabbit(&mut credentials);
    flow.credentials(&credentials);
    let root = flow.path("data");
    std::fs::create_dir(&root).expect("a directory");
    let url = format!("sftp://{}@127.0.0.1:{}/", server.user(), server.port());
    flow.add_flow(
        "watch/tree",
        &format!(
            "path: {root}\npost_broker: {amqp}\npost_exchange: xs_local\n\
             post_baseUrl: http://nobody.example/\npost_baseDir: {root}\n",
            root = root.display()
        ),
    );
    flow.add_flow(
        "sender/out",
        &format!(
            "broker: {amqp}\nexchange: xs_local\nbaseDir: {root}\nsendTo: {url}\n\
             directory: in/${{SOURCE}}\npost_broker: {amqp}\npost_exchange: xs_sent\n",
            root = root.display()
        ),
    );
    flow.add_flow(
        "subscribe/back",
        &format!("broker: {amqp}\nexchange: xs_sent\ndirectory: ${{HOME}}/back\nmirror: on\n"),
    );
    let mut back = spawn(&flow, "subscribe/back");
    back.wait_for("started", SOON);
    let mut sender = spawn(&flow, "sender/out");
    sender.wait_for("started", SOON);
    let watch = spawn(&flow, "watch/tree");
    flow_tests::watches(&watch, SOON);
    let mut files = samples(60);
    write_all(&root, &files);
    let there = server.landing().join("in/flow");
    arrives(&there, &files, &[&watch, &sender]);
    let prefixed = |files: &crate::Files| -> crate::Files {
        files
            .iter()
            .map(|(name, bytes)| (format!("in/flow/{name}"), bytes.clone()))
            .collect()
    };
    arrives(&flow.path("back"), &prefixed(&files), &[&sender, &back]);

    // Operations follow, in their order.
    let moved = files.remove("large.bin").expect("it is there");
    files.insert("radar/moved.bin".into(), moved);
    std::fs::rename(root.join("large.bin"), root.join("radar/moved.bin")).expect("a rename");
    files.remove("radar/CASBV/scan 000.gif");
    std::fs::remove_file(root.join("radar/CASBV/scan 000.gif")).expect("a removal");
    std::os::unix::fs::symlink("moved.bin", root.join("radar/link")).expect("a link");
    files.insert("radar/link".into(), files["radar/moved.bin"].clone());
    arrives(&there, &files, &[&watch, &sender]);
    let link = std::fs::read_link(there.join("radar/link")).expect("it is a link");
    assert_eq!(link.to_str(), Some("moved.bin"));
    arrives(&flow.path("back"), &prefixed(&files), &[&sender, &back]);
    assert_eq!(
        tree::unfinished(&server.landing()),
        [""; 0].map(std::path::PathBuf::from)
    );
    stop(vec![watch, sender, back]);
}

#[test]
fn what_a_server_that_was_away_missed_is_sent_to_it_over_ftp() {
    let flow = Flow::new();
    let server = Ftp::start(FtpManner::Plain);
    let wire = Cutter::to(server.port());
    let url = format!("ftp://{}@127.0.0.1:{}/", Ftp::USER, wire.port());
    let mut credentials = format!(
        "ftp://{}:{}@127.0.0.1:{}/\n",
        Ftp::USER,
        Ftp::PASSWORD.replace('#', "%23").replace('&', "%26"),
        wire.port()
    );
    let (_broker, amqp) = rabbit(&mut credentials);
    flow.credentials(&credentials);
    let root = flow.path("data");
    std::fs::create_dir(&root).expect("a directory");
    flow.add_flow(
        "watch/tree",
        &format!(
            "path: {root}\npost_broker: {amqp}\npost_exchange: xs_local\n\
             fileEvents: [create, modify]\n",
            root = root.display()
        ),
    );
    // `file:` URLs say where files are; the tree there begins below `baseDir`.
    flow.add_flow(
        "sender/out",
        &format!(
            "broker: {amqp}\nexchange: xs_local\nbaseDir: {root}\nsendTo: {url}\ninflight: .tmp\n\
             delete_source: on\n",
            root = root.display()
        ),
    );
    let mut sender = spawn(&flow, "sender/out");
    sender.wait_for("started", SOON);
    let watch = spawn(&flow, "watch/tree");
    flow_tests::watches(&watch, SOON);
    wire.close();
    let files = samples(20);
    write_all(&root, &files);
    sender.wait_for("retrying", SOON);
    assert_eq!(content(&server.landing()).len(), 0);
    assert_eq!(
        content(&root).len(),
        files.len(),
        "nothing is removed before"
    );
    wire.open();
    arrives(&server.landing(), &files, &[&watch, &sender]);
    wait::until("the sources are removed", SOON, || {
        tree::files(&root).is_empty().then_some(())
    });
    assert!(tree::unfinished(&server.landing()).is_empty());
    stop(vec![watch, sender]);
    let dead = flow.run(&["retry", "list", "sender/out", "--dead", "--format", "json"]);
    assert_eq!(dead.expect(0).stdout.trim(), "[]");
}

#[test]
fn a_wire_that_breaks_in_the_middle_leaves_whole_files() {
    let flow = Flow::new();
    let server = Sftp::start();
    let wire = Cutter::to(server.port());
    flow.credentials(&sftp_line(&server, wire.port()));
    let files = samples(40);
    let root = flow.path("data");
    write_all(&root, &files);
    flow.add_flow(
        "sender/out",
        &format!(
            "exchange: xs_local\nsendTo: sftp://{}@127.0.0.1:{}/\nbaseDir: {}\n",
            server.user(),
            wire.port(),
            root.display()
        ),
    );
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
    wire.cut_after(400_000);
    let sender = spawn(&flow, "sender/out");
    for _ in 0..5 {
        wait::pause(Duration::from_millis(150));
        wire.cut();
    }
    arrives(&server.landing(), &files, &[&sender]);
    assert!(wire.cuts() > 0);
    stop(vec![sender]);
}
