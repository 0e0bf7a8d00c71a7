//! Downloads, uploads and polls against pyftpdlib: as it is, as an old server, and with TLS.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use flow_config::{Inflight, TlsRigour};
use flow_message::{FileOp, Message, Timestamp};
use flow_runtime::ports::{Edit, Worked};
use flow_testkit::{Ftp, FtpManner};
use flow_transfer::{Carrier, PollOptions, Settings, Tls};
use support::{
    carrier_with, download, download_one, edits, gather_all, message, noise, poll, send, settings,
    words,
};

/// `ftp://alice@localhost:port/`
fn base(server: &Ftp, scheme: &str) -> String {
    format!("{scheme}://{}@localhost:{}/", Ftp::USER, server.port())
}

/// The line of `credentials.conf` for [`base`].
fn line(server: &Ftp, scheme: &str, options: &str) -> String {
    let port = server.port();
    format!(
        "{scheme}://{}:s3cret%23Wonder&land@localhost:{port}/ {options}",
        Ftp::USER
    )
}

fn plain(server: &Ftp, options: &str) -> Carrier {
    carrier_with(settings(), &line(server, "ftp", options))
}

fn set_time(path: &Path, time: Timestamp) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time.as_second() as u64);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}

fn time() -> Timestamp {
    "20200102T030405".parse().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn many_files_over_kept_connections() {
    for (manner, options) in [(FtpManner::Plain, ""), (FtpManner::Old, "passive, binary")] {
        let server = Ftp::start(manner);
        let contents: Vec<Vec<u8>> = (0..60).map(|n| noise(n * n * 97)).collect();
        for (number, content) in contents.iter().enumerate() {
            server.write(&format!("d{}/f {number}", number % 7), content);
        }
        set_time(&server.landing().join("d3/f 3"), time());
        let messages =
            (0..60).map(|n| message(&base(&server, "ftp"), &format!("d{}/f {n}", n % 7)));
        let carrier = plain(&server, options);
        let (done, got) = download(&carrier, messages.collect()).await;
        for (id, content) in (0..).zip(&contents) {
            assert_eq!(words(&done[id as usize]), "done", "{manner:?} {id}");
            assert!(
                got.finished(id).as_ref() == Some(content),
                "{manner:?} {id}"
            );
        }
        assert!(
            edits(&done[3]).contains(&Edit::Mtime(Some(time()))),
            "{:?}",
            done[3]
        );
        let commands = server.commands();
        let count = |command: &str| {
            let command = format!(" {command} ");
            commands
                .iter()
                .filter(|line| line.contains(&command))
                .count()
        };
        assert_eq!(count("RETR"), 60, "{manner:?} {options} {commands:#?}");
        assert!(count("USER") <= 16, "{} connections", count("USER"));
        assert_eq!(count("PASV"), 60);
    }
}

#[tokio::test]
async fn the_server_opens_data_connections_if_wanted() {
    let server = Ftp::start(FtpManner::Plain);
    let content = noise(100_000);
    server.write("a", &content);
    let carrier = plain(&server, "active");
    let (done, got) = download_one(&carrier, message(&base(&server, "ftp"), "a")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
    let commands = server.commands();
    let has = |command: &str| commands.iter().any(|line| line.contains(command));
    assert!(has(" PORT ") && !has(" PASV"), "{commands:?}");
}

#[tokio::test]
async fn where_paths_start() {
    let server = Ftp::start(FtpManner::Plain);
    server.write("a", b"home");
    fs::write(server.root().join("a"), b"root").unwrap();
    let carrier = plain(&server, "");
    let (_, got) = download_one(&carrier, message(&base(&server, "ftp"), "a")).await;
    assert_eq!(got.unwrap(), b"home");
    let (_, got) = download_one(
        &carrier,
        message(&format!("{}/", base(&server, "ftp")), "a"),
    )
    .await;
    assert_eq!(got.unwrap(), b"root");
    // Without a user one is anonymous.
    let nobody = format!("ftp://localhost:{}/", server.port());
    let (done, got) = download_one(&carrier_with(settings(), ""), message(&nobody, "a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"home".to_vec()))
    );
}

#[tokio::test]
async fn what_can_not_be_fetched_says_why() {
    let mut server = Ftp::start(FtpManner::Plain);
    server.write("dir/a", b"x");
    let carrier = plain(&server, "");
    let shown = |done: &Worked| words(done).replace(&server.port().to_string(), "P");
    let (done, _) = download_one(&carrier, message(&base(&server, "ftp"), "gone")).await;
    assert_eq!(
        shown(&done),
        "410 fetching `/home/gone`: the server says `550 No such file or directory.`"
    );
    let (done, _) = download_one(&carrier, message(&base(&server, "ftp"), "dir")).await;
    assert_eq!(
        shown(&done),
        "permanent: fetching `/home/dir`: it is a directory"
    );
    let wrong = line(&server, "ftp", "").replace("Wonder", "Blunder");
    let wrong = carrier_with(support::owning(&base(&server, "ftp")), &wrong);
    let (done, _) = download_one(&wrong, message(&base(&server, "ftp"), "a")).await;
    assert_eq!(
        shown(&done),
        "auth: logging in to `ftp://alice@localhost:P/`: the server says \
         `530 Authentication failed.`"
    );
    let both = plain(&server, "active, passive");
    let (done, _) = download_one(&both, message(&base(&server, "ftp"), "a")).await;
    assert!(
        shown(&done).starts_with("config: the line for"),
        "{}",
        shown(&done)
    );
    // The connection that was kept is gone, and so is the server.
    let (base, port) = (base(&server, "ftp"), server.port().to_string());
    server.stop();
    let (done, _) = download_one(&carrier, message(&base, "dir/a")).await;
    assert_eq!(
        words(&done).replace(&port, "P"),
        "temporary: no connection to `ftp://alice@localhost:P/`: Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn a_transfer_that_breaks_goes_on_where_it_was() {
    for manner in [FtpManner::Plain, FtpManner::Old] {
        let server = Ftp::start(manner);
        let content = noise(3 << 20);
        server.write("half-x", &content);
        set_time(&server.landing().join("half-x"), time());
        let carrier = plain(&server, "");
        let (done, got) = download_one(&carrier, message(&base(&server, "ftp"), "half-x")).await;
        assert_eq!(words(&done), "done");
        assert!(got.unwrap() == content, "{manner:?}");
        let commands = server.commands();
        let rest = commands.iter().find(|line| line.contains(" REST "));
        let offset: usize = rest.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(offset > 0 && offset <= content.len() / 2, "{offset}");
    }
}

#[tokio::test]
async fn tls_asked_for_and_from_the_first_byte() {
    for (manner, scheme, options) in [
        (FtpManner::Tls, "ftps", ""),
        (FtpManner::Tls, "ftp", "tls, prot_p"),
        (FtpManner::Implicit, "ftps", "implicit_ftps"),
    ] {
        let server = Ftp::start(manner);
        let content = noise(1 << 20);
        server.write("in/a", &content);
        let base = base(&server, scheme);
        let with = |tls: Tls| {
            let settings = Settings { tls, ..settings() };
            carrier_with(settings, &line(&server, scheme, options))
        };
        let carrier = with(Tls {
            ca_file: Some(server.ca_file()),
            ..Tls::default()
        });
        let (done, got) = download_one(&carrier, message(&base, "in/a")).await;
        assert_eq!(words(&done), "done", "{manner:?}");
        assert!(got.unwrap() == content);
        let sent = send(
            &carrier,
            &base,
            vec![message("file:///", "out/b")],
            &content,
        )
        .await;
        assert_eq!(words(&sent[0]), "done", "{manner:?}");
        assert!(fs::read(server.landing().join("out/b")).unwrap() == content);
        let found = gather_all(&mut poll(&carrier, &base, PollOptions::default()), 10).await;
        assert_eq!(found.len(), 2);
        let commands = server.commands();
        assert!(commands.iter().any(|line| line.ends_with(" PROT P")));

        let lax = with(Tls {
            rigour: TlsRigour::Lax,
            ca_file: None,
        });
        assert_eq!(
            words(&download_one(&lax, message(&base, "in/a")).await.0),
            "done"
        );
        let (done, _) = download_one(&with(Tls::default()), message(&base, "in/a")).await;
        let said = words(&done);
        assert!(
            said.starts_with("temporary: no safe connection to `ftp")
                && said.contains(
                    ": its certificate is signed by an authority this machine does not trust"
                ),
            "{said}"
        );
    }
}

#[tokio::test]
async fn content_arrives_whole_with_mode_and_time() {
    let content = noise(700_000);
    for manner in [FtpManner::Plain, FtpManner::Old] {
        for inflight in [
            Inflight::None,
            Inflight::Dot,
            Inflight::Suffix(".tmp".into()),
            Inflight::Directory("tmp/".into()),
        ] {
            let server = Ftp::start(manner);
            let settings = Settings {
                inflight: inflight.clone(),
                perm_directory: Some(0o750),
                ..settings()
            };
            let carrier = carrier_with(settings, &line(&server, "ftp", ""));
            let announce = |path: &str| {
                let mut announced = message("file:///src", path);
                announced.mode = Some(0o640);
                announced.mtime = Some(time());
                announced
            };
            let to = format!("{}to", base(&server, "ftp"));
            let announced = ["a/b c/1", "a/b c/2", "a/3"].map(announce).to_vec();
            // Twice: what is there is replaced.
            for _ in 0..2 {
                let done = send(&carrier, &to, announced.clone(), &content).await;
                assert!(done.iter().all(|done| words(done) == "done"), "{done:?}");
                assert_eq!(
                    edits(&done[0]),
                    [
                        Edit::BaseUrl(to.clone()),
                        Edit::RelPath("a/b c/1".into()),
                        Edit::RetrievePath(None)
                    ]
                );
            }
            let directory = server.landing().join("to/a/b c");
            assert!(fs::read(directory.join("2")).unwrap() == content);
            let found = fs::metadata(directory.join("2")).unwrap();
            if manner == FtpManner::Plain {
                assert_eq!(found.permissions().mode() & 0o777, 0o640);
                assert_eq!(found.mtime(), time().as_second());
                let above = fs::metadata(&directory).unwrap();
                assert_eq!(above.permissions().mode() & 0o777, 0o750);
            }
            let expected: &[&str] = match inflight {
                Inflight::Directory(_) => &["1", "2", "tmp"],
                _ => &["1", "2"],
            };
            assert_eq!(names(&directory), expected);
        }
    }
}

#[tokio::test]
async fn an_upload_that_can_not_be_hidden_is_refused() {
    let server = Ftp::start(FtpManner::Plain);
    let settings = Settings {
        inflight: Inflight::Umask,
        ..settings()
    };
    let carrier = carrier_with(settings, &line(&server, "ftp", ""));
    let sent = send(
        &carrier,
        &base(&server, "ftp"),
        vec![message("file:///", "a")],
        b"x",
    )
    .await;
    assert!(
        words(&sent[0]).starts_with("config: FTP can't"),
        "{}",
        words(&sent[0])
    );
    assert!(names(&server.landing()).is_empty());
}

#[tokio::test]
async fn operations_are_carried_out() {
    let server = Ftp::start(FtpManner::Plain);
    let carrier = plain(&server, "");
    let to = base(&server, "ftp");
    let operation = |path: &str, op: FileOp| -> Vec<Message> {
        let mut message = message("file:///src", path);
        message.file_op = Some(op);
        vec![message]
    };
    let directory = |remove| FileOp {
        directory: true,
        remove,
        ..FileOp::default()
    };
    server.write("old", b"x");
    server.write("full/x", b"x");
    let rename = FileOp {
        rename: Some("old".into()),
        ..FileOp::default()
    };
    let done = send(&carrier, &to, operation("sub/new", rename), b"").await;
    assert_eq!(words(&done[0]), "done");
    assert_eq!(fs::read(server.landing().join("sub/new")).unwrap(), b"x");
    let done = send(&carrier, &to, operation("made/deep", directory(false)), b"").await;
    assert_eq!(words(&done[0]), "done");
    assert!(server.landing().join("made/deep").is_dir());
    let done = send(&carrier, &to, operation("made/deep", directory(true)), b"").await;
    assert_eq!(words(&done[0]), "done");
    let done = send(&carrier, &to, operation("full", directory(true)), b"").await;
    assert_ne!(words(&done[0]), "done");
    let done = send(
        &carrier,
        &to,
        operation(
            "sub/new",
            FileOp {
                remove: true,
                ..FileOp::default()
            },
        ),
        b"",
    )
    .await;
    assert_eq!(words(&done[0]), "done");
    assert!(names(&server.landing().join("sub")).is_empty());
    assert_eq!(names(&server.landing()), ["full", "made", "sub"]);
}

#[tokio::test]
async fn listings_of_both_kinds_are_walked() {
    for manner in [FtpManner::Plain, FtpManner::Old] {
        let server = Ftp::start(manner);
        for number in 0..500 {
            server.write(&format!("in/many/f {number}"), &[b'x'; 10]);
        }
        server.write("in/sub/deep/y", b"four");
        server.write("in/-a", b"1");
        set_time(&server.landing().join("in/sub/deep/y"), time());
        let carrier = plain(&server, "");
        let options = || PollOptions {
            recursive: true,
            ..PollOptions::default()
        };
        let url = format!("{}in", base(&server, "ftp"));
        let found = gather_all(&mut poll(&carrier, &url, options()), 64).await;
        assert_eq!(found.len(), 502);
        let deep = found.iter().find(|m| m.rel_path == "sub/deep/y").unwrap();
        assert_eq!(deep.size, Some(4));
        // A listing for people has the day only for what is old.
        let day = time().as_second() / 86_400;
        assert_eq!(deep.mtime.unwrap().as_second() / 86_400, day);
        if manner == FtpManner::Plain {
            assert_eq!(deep.mtime, Some(time()));
        }
        assert!(found.iter().any(|m| m.rel_path == "-a"));
        let missing = poll(&carrier, &format!("{url}/gone"), options());
        let failure = gather_failure(missing).await;
        assert!(failure.contains("the server says `5"), "{failure}");
    }
}

async fn gather_failure(mut poll: flow_transfer::Poll) -> String {
    use flow_runtime::ports::Callback;
    poll.gather(10, support::state())
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn ends_of_lines_are_converted_if_wanted() {
    let server = Ftp::start(FtpManner::Plain);
    server.write("a", b"one\ntwo\n");
    let carrier = plain(&server, "ascii");
    let (done, got) = download_one(&carrier, message(&base(&server, "ftp"), "a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"one\ntwo\n".to_vec()))
    );
    let sent = send(
        &carrier,
        &base(&server, "ftp"),
        vec![message("file:///", "b")],
        b"x\ny\n",
    )
    .await;
    assert_eq!(words(&sent[0]), "done");
    assert_eq!(fs::read(server.landing().join("b")).unwrap(), b"x\ny\n");
    assert!(
        server
            .commands()
            .iter()
            .any(|line| line.contains(" TYPE A"))
    );
}
