//! Downloads, uploads and polls against OpenSSH.

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
use flow_runtime::ports::{Callback, Edit, Worked};
use flow_testkit::Sftp;
use flow_transfer::{Carrier, PollOptions, Settings, Ssh, Tls};
use support::{
    carrier_with, download, download_one, edits, gather_all, message, noise, poll, send, settings,
    words,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// `sftp://me@localhost:port/`
fn base(server: &Sftp, scheme: &str) -> String {
    format!("{scheme}://{}@localhost:{}/", server.user(), server.port())
}

fn carrier(server: &Sftp, settings: Settings, options: &str) -> Carrier {
    let key = server.key_file();
    let lines: Vec<String> = ["sftp", "scp"]
        .iter()
        .map(|scheme| {
            let base = base(server, scheme);
            format!("{base} ssh_keyfile={}{options}", key.display())
        })
        .collect();
    carrier_with(settings, &lines.join("\n"))
}

fn plain(server: &Sftp) -> Carrier {
    carrier(server, settings(), "")
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
async fn many_files_of_all_sizes() {
    let server = Sftp::start();
    let contents: Vec<Vec<u8>> = (0..60).map(|n| noise(n * n * 97)).collect();
    for (number, content) in contents.iter().enumerate() {
        server.write(&format!("d{}/f {number}", number % 7), content);
    }
    let big = noise(9_000_001);
    server.write("big", &big);
    for options in ["", ", sftp_compat_mode"] {
        let carrier = carrier(&server, settings(), options);
        let announced =
            (0..60).map(|n| message(&base(&server, "sftp"), &format!("d{}/f {n}", n % 7)));
        let (done, got) = download(&carrier, announced.collect()).await;
        for (id, content) in (0..).zip(&contents) {
            assert_eq!(words(&done[id as usize]), "done", "{id}");
            assert!(got.finished(id).as_ref() == Some(content), "{id}");
        }
        let (done, got) = download_one(&carrier, message(&base(&server, "sftp"), "big")).await;
        assert_eq!(words(&done), "done");
        assert!(got.unwrap() == big);
        let mtime = fs::metadata(server.landing().join("big")).unwrap().mtime();
        let mtime = Edit::Mtime(Some(Timestamp::from_unix(mtime, 0)));
        assert!(edits(&done).contains(&mtime), "{done:?}");
    }
}

#[tokio::test]
async fn where_paths_start() {
    let server = Sftp::start();
    server.write("in/a", b"home");
    let carrier = plain(&server);
    let (_, got) = download_one(&carrier, message(&base(&server, "sftp"), "in/a")).await;
    assert_eq!(got.unwrap(), b"home");
    let root = format!("{}{}", base(&server, "scp"), server.landing().display());
    let (done, got) = download_one(&carrier, message(&root, "in/a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"home".to_vec()))
    );
}

#[tokio::test]
async fn what_can_not_be_fetched_says_why() {
    let mut server = Sftp::start();
    server.write("dir/a", b"x");
    let carrier = plain(&server);
    let (base, port) = (base(&server, "sftp"), server.port().to_string());
    let shown = |done: &Worked| {
        words(done)
            .replace(&port, "P")
            .replace(&format!("{}@", server.user()), "me@")
    };
    let (done, _) = download_one(&carrier, message(&base, "gone")).await;
    assert_eq!(
        shown(&done),
        "410 fetching `/gone`: the server says `No such file`"
    );
    let (done, _) = download_one(&carrier, message(&base, "dir")).await;
    assert_eq!(
        shown(&done),
        "permanent: fetching `/dir`: it is no plain file"
    );
    let line = format!("{base} ssh_keyfile={}", server.stranger_key().display());
    let own = carrier_with(support::owning(&base), &line);
    let (done, _) = download_one(&own, message(&base, "dir/a")).await;
    assert_eq!(
        shown(&done),
        "auth: `sftp://me@localhost:P/` refuses the login; tried: the key of `ssh_keyfile`"
    );
    let line = format!("{base} ssh_keyfile=/nowhere/key");
    let (done, _) = download_one(&carrier_with(settings(), &line), message(&base, "dir/a")).await;
    assert!(
        shown(&done).starts_with("config: `ssh_keyfile` /nowhere/key"),
        "{}",
        shown(&done)
    );
    let line = base.replace('@', ":secret@");
    let (done, _) = download_one(&carrier_with(settings(), &line), message(&base, "dir/a")).await;
    assert!(
        shown(&done).ends_with("refuses the login; tried: the password"),
        "{}",
        shown(&done)
    );
    let user = server.user().to_owned();
    server.stop();
    let fresh = carrier_with(
        settings(),
        &format!("{base} ssh_keyfile={}", server.key_file().display()),
    );
    let (done, _) = download_one(&fresh, message(&base, "dir/a")).await;
    assert_eq!(
        words(&done)
            .replace(&port, "P")
            .replace(&format!("{user}@"), "me@"),
        "temporary: no connection to `sftp://me@localhost:P/`: Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn keys_of_the_user_are_tried_where_none_is_named() {
    let server = Sftp::start();
    server.write("a", b"x");
    let settings = Settings {
        ssh: Ssh {
            keys: vec!["/nowhere".into(), server.stranger_key(), server.key_file()],
            ..Ssh::default()
        },
        ..settings()
    };
    let carrier = carrier_with(settings, &base(&server, "sftp"));
    let (done, got) = download_one(&carrier, message(&base(&server, "sftp"), "a")).await;
    assert_eq!((words(&done).as_str(), got), ("done", Some(b"x".to_vec())));
}

#[tokio::test]
async fn servers_are_who_they_were() {
    let mut server = Sftp::start();
    server.write("a", b"x");
    let home = tempfile::tempdir().unwrap();
    let known_hosts = home.path().join("known_hosts");
    let with = |server: &Sftp, rigour: TlsRigour| {
        let settings = Settings {
            tls: Tls {
                rigour,
                ca_file: None,
            },
            ssh: Ssh {
                known_hosts: Some(known_hosts.clone()),
                ..Ssh::default()
            },
            ..settings()
        };
        carrier(server, settings, "")
    };
    let announced = message(&base(&server, "sftp"), "a");
    let strict = with(&server, TlsRigour::Strict);
    let (done, _) = download_one(&strict, announced.clone()).await;
    assert!(
        words(&done).starts_with("config: `localhost` port "),
        "{}",
        words(&done)
    );
    assert!(!known_hosts.exists());

    let normal = with(&server, TlsRigour::Normal);
    assert_eq!(
        words(&download_one(&normal, announced.clone()).await.0),
        "done"
    );
    let line = format!("[localhost]:{} {}", server.port(), server.host_key());
    assert_eq!(fs::read_to_string(&known_hosts).unwrap().trim(), line);
    assert_eq!(
        words(&download_one(&strict, announced.clone()).await.0),
        "done"
    );

    server.change_host_key();
    let lax = with(&server, TlsRigour::Lax);
    let (done, _) = download_one(&lax, announced).await;
    assert!(
        words(&done).starts_with("config: `localhost` port ")
            && words(&done).contains(" has another key than "),
        "{}",
        words(&done)
    );
}

#[tokio::test]
async fn content_arrives_whole_with_mode_and_time() {
    let server = Sftp::start();
    let content = noise(3_000_000);
    for inflight in [
        Inflight::None,
        Inflight::Dot,
        Inflight::Suffix(".tmp".into()),
        Inflight::Directory("tmp/".into()),
        Inflight::Umask,
    ] {
        let settings = Settings {
            inflight: inflight.clone(),
            perm_directory: Some(0o750),
            ..settings()
        };
        let carrier = carrier(&server, settings, "");
        let announce = |path: &str| {
            let mut announced = message("file:///src", path);
            announced.mode = Some(0o640);
            announced.mtime = Some(time());
            announced
        };
        let below = format!("{inflight:?}").replace(['"', '/'], "_");
        let to = format!("{}{below}", base(&server, "sftp")).replace(['(', ')'], "_");
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
        let directory = server
            .landing()
            .join(below.replace(['(', ')'], "_"))
            .join("a/b c");
        assert!(
            fs::read(directory.join("2")).unwrap() == content,
            "{inflight:?}"
        );
        let found = fs::metadata(directory.join("2")).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o640);
        assert_eq!(found.mtime(), time().as_second());
        let above = fs::metadata(&directory).unwrap();
        assert_eq!(above.permissions().mode() & 0o777, 0o750);
        let expected: &[&str] = match inflight {
            Inflight::Directory(_) => &["1", "2", "tmp"],
            _ => &["1", "2"],
        };
        assert_eq!(names(&directory), expected);
    }
}

#[tokio::test]
async fn operations_are_carried_out() {
    let server = Sftp::start();
    let carrier = plain(&server);
    let to = base(&server, "sftp");
    let here = server.landing();
    let run = async |path: &str, op: FileOp| {
        let mut message: Message = message("file:///src", path);
        message.file_op = Some(op);
        words(&send(&carrier, &to, vec![message], b"").await[0])
    };
    let directory = |remove| FileOp {
        directory: true,
        remove,
        ..FileOp::default()
    };
    server.write("old", b"x");
    server.write("full/x", b"x");
    let op = FileOp {
        rename: Some("old".into()),
        ..FileOp::default()
    };
    assert_eq!(run("sub/new", op).await, "done");
    assert_eq!(fs::read(here.join("sub/new")).unwrap(), b"x");
    let op = |target: &str| FileOp {
        link: Some(target.into()),
        ..FileOp::default()
    };
    // The second replaces the first.
    assert_eq!(run("sub/link", op("none")).await, "done");
    assert_eq!(run("sub/link", op("new")).await, "done");
    assert_eq!(
        fs::read_link(here.join("sub/link")).unwrap(),
        Path::new("new")
    );
    let op = FileOp {
        hlink: Some("sub/new".into()),
        ..FileOp::default()
    };
    assert_eq!(run("hard", op).await, "done");
    assert_eq!(fs::metadata(here.join("hard")).unwrap().nlink(), 2);
    assert_eq!(run("made/deep", directory(false)).await, "done");
    assert!(here.join("made/deep").is_dir());
    assert_eq!(run("made/deep", directory(true)).await, "done");
    assert_ne!(run("full", directory(true)).await, "done");
    let op = FileOp {
        remove: true,
        ..FileOp::default()
    };
    assert_eq!(run("sub/new", op).await, "done");
    assert_eq!(names(&here.join("sub")), ["link"]);
    assert_eq!(names(&here), ["full", "hard", "made", "sub"]);
}

#[tokio::test]
async fn listings_are_walked() {
    let server = Sftp::start();
    for number in 0..500 {
        server.write(&format!("in/many/f {number}"), &[b'x'; 10]);
    }
    server.write("in/sub/deep/y", b"four");
    let carrier = plain(&server);
    let options = || PollOptions {
        recursive: true,
        ..PollOptions::default()
    };
    let url = format!("{}in", base(&server, "sftp"));
    let found = gather_all(&mut poll(&carrier, &url, options()), 64).await;
    assert_eq!(found.len(), 501);
    let deep = found.iter().find(|m| m.rel_path == "sub/deep/y").unwrap();
    let there = fs::metadata(server.landing().join("in/sub/deep/y")).unwrap();
    assert_eq!(deep.size, Some(4));
    assert_eq!(deep.mtime, Some(Timestamp::from_unix(there.mtime(), 0)));
    let mut missing = poll(&carrier, &format!("{url}/gone"), options());
    let failure = missing.gather(10, support::state()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "listing `/in/gone`: the server says `No such file`"
    );
}

/// Passes connections on to `port`; the first is cut once it has brought `most` bytes.
async fn cutting(port: u16, most: u64) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut limit = Some(most);
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let limit = limit.take().unwrap_or(u64::MAX);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let mut from_server = from_server.take(limit);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    own
}

#[tokio::test]
async fn a_transfer_that_breaks_goes_on_where_it_was() {
    let server = Sftp::start();
    let content = noise(8 << 20);
    server.write("big", &content);
    let port = cutting(server.port(), 3 << 20).await;
    let base = format!("sftp://{}@localhost:{port}/", server.user());
    let line = format!("{base} ssh_keyfile={}", server.key_file().display());
    let settings = Settings {
        timeout: std::time::Duration::from_secs(60),
        ..settings()
    };
    let carrier = carrier_with(settings, &line);
    let started = std::time::Instant::now();
    let (done, got) = download_one(&carrier, message(&base, "big")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
    // It noticed the cut, and did not wait for a timeout.
    assert!(started.elapsed().as_secs() < 30);
}

#[tokio::test]
async fn the_agent_is_asked() {
    let server = Sftp::start();
    server.write("a", b"x");
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::task::spawn_blocking({
        let (socket, key) = (socket.clone(), server.key_file());
        move || {
            let limit = std::time::Duration::from_secs(20);
            flow_testkit::wait::until("the agent to take a key", limit, || {
                let added = std::process::Command::new("ssh-add")
                    .arg("-q")
                    .arg(&key)
                    .env("SSH_AUTH_SOCK", &socket)
                    .stderr(std::process::Stdio::null())
                    .status();
                added.unwrap().success().then_some(())
            });
        }
    })
    .await
    .unwrap();
    let settings = Settings {
        ssh: Ssh {
            agent: Some(socket),
            ..Ssh::default()
        },
        ..settings()
    };
    let carrier = carrier_with(settings, &base(&server, "sftp"));
    let (done, got) = download_one(&carrier, message(&base(&server, "sftp"), "a")).await;
    let _ = agent.kill();
    let _ = agent.wait();
    assert_eq!((words(&done).as_str(), got), ("done", Some(b"x".to_vec())));
}
