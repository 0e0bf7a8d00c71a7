//! Uploads to and polls of directories of this machine.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use flow_config::{FileEvent, FileEvents, Inflight, SafeUrl};
use flow_message::{FileOp, Message, Timestamp};
use flow_runtime::ports::{Callback, Edit, Item, Location, Worked};
use flow_transfer::{Carrier, PollOptions, Settings};
use support::{Memory, carrier, edits, gather_all, message, noise, settings, state, words};

fn file_url(path: &Path) -> SafeUrl {
    SafeUrl::parse(&format!("file://{}", path.display())).unwrap()
}

/// An item that is not placed: it goes where its `relPath` says.
fn unplaced(id: u64, message: Message) -> Item {
    Item {
        location: None,
        ..support::item(id, message)
    }
}

async fn send(carrier: &Carrier, to: &Path, items: Vec<Item>, content: &[u8]) -> Vec<Worked> {
    let memory = Arc::new(Memory::default());
    for item in &items {
        memory.give(item.id, content);
    }
    let mut lane = carrier.uploader(&file_url(to)).unwrap();
    lane.send(&items, memory, state()).await.unwrap()
}

async fn send_one(carrier: &Carrier, to: &Path, message: Message, content: &[u8]) -> Worked {
    send(carrier, to, vec![unplaced(1, message)], content)
        .await
        .remove(0)
}

fn operation(path: &str, op: FileOp) -> Message {
    let mut message = message("file:///src", path);
    message.file_op = Some(op);
    message
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
async fn content_arrives_whole_with_mode_and_time() {
    let home = tempfile::tempdir().unwrap();
    let time: Timestamp = "20200102T030405.5".parse().unwrap();
    let content = noise(3_000_000);
    for (inflight, fsync) in [
        (Inflight::None, false),
        (Inflight::Dot, true),
        (Inflight::Suffix(".tmp".into()), false),
        (Inflight::Directory("tmp/".into()), false),
        (Inflight::Umask, false),
    ] {
        let to = home
            .path()
            .join(format!("{inflight:?}").replace(['"', '/'], "_"));
        let carrier = carrier(Settings {
            inflight: inflight.clone(),
            perm_directory: Some(0o750),
            fsync,
            ..settings()
        });
        let mut announced = message("file:///src", "/a//b/c.txt");
        announced.mode = Some(0o640);
        announced.mtime = Some(time);
        announced.size = Some(3_000_000);
        let done = send_one(&carrier, &to, announced, &content).await;
        assert_eq!(
            edits(&done),
            [
                Edit::BaseUrl(file_url(&to).to_string()),
                Edit::RelPath("a//b/c.txt".into()),
                Edit::RetrievePath(None)
            ]
        );
        let path = to.join("a/b/c.txt");
        assert!(fs::read(&path).unwrap() == content, "{inflight:?}");
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o640, "{inflight:?}");
        assert_eq!(Timestamp::from(found.modified().unwrap()), time);
        let mode = fs::metadata(to.join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        let expected: &[&str] = match inflight {
            Inflight::Directory(_) => &["c.txt", "tmp"],
            _ => &["c.txt"],
        };
        assert_eq!(names(&to.join("a/b")), expected);
    }
}

#[tokio::test]
async fn what_is_placed_goes_there_and_what_leads_away_does_not() {
    let home = tempfile::tempdir().unwrap();
    let carrier = carrier(settings());
    let place = |directory: &str, filename: &str| Item {
        location: Some(Location {
            directory: directory.into(),
            filename: filename.into(),
        }),
        ..support::item(1, message("file:///src", "x"))
    };
    let to = home.path().join("out");
    let below = place("in/deep", "y");
    let absolute = place(home.path().join("else").to_str().unwrap(), "z");
    let done = send(&carrier, &to, vec![below], b"1").await;
    assert!(edits(&done[0]).contains(&Edit::RelPath("in/deep/y".into())));
    assert!(to.join("in/deep/y").is_file());
    let done = send(&carrier, &to, vec![absolute], b"2").await;
    assert!(edits(&done[0]).contains(&Edit::BaseUrl("file:///".into())));
    assert!(home.path().join("else/z").is_file());

    for path in ["../x", "a/../../x", "a\0b", "a\nb"] {
        let mut hostile = message("file:///src", "x");
        hostile.rel_path = path.into();
        let item = Item {
            message: hostile.into(),
            ..unplaced(1, message("file:///src", "x"))
        };
        let done = send(&carrier, &to, vec![item], b"3").await;
        assert!(
            words(&done[0]).starts_with("permanent: `"),
            "{}",
            words(&done[0])
        );
    }
    let done = send(&carrier, &to, vec![place("../..", "x")], b"3").await;
    assert!(words(&done[0]).contains("leads out of its directory"));
    assert_eq!(names(home.path()), ["else", "out"]);
}

#[tokio::test]
async fn what_does_not_match_is_not_sent() {
    let home = tempfile::tempdir().unwrap();
    let mut announced = message("file:///src", "a");
    announced.size = Some(7);
    let done = send_one(&carrier(settings()), home.path(), announced.clone(), b"12").await;
    assert!(
        words(&done).starts_with("permanent: the file here has 2 bytes"),
        "{}",
        words(&done)
    );
    assert_eq!(names(home.path()), Vec::<String>::new());
    let lax = carrier(Settings {
        accept_size_wrong: true,
        ..settings()
    });
    let done = send_one(&lax, home.path(), announced, b"12").await;
    assert_eq!(words(&done), "done");
}

#[tokio::test]
async fn file_operations_are_carried_out() {
    let home = tempfile::tempdir().unwrap();
    let to = home.path();
    let carrier = carrier(settings());
    let op = FileOp::default;
    let put = |path: &'static str| send_one(&carrier, to, message("file:///src", path), b"data");
    assert_eq!(words(&put("d/old").await), "done");
    for (path, op, expected) in [
        (
            "d/new",
            FileOp {
                rename: Some("d/old".into()),
                ..op()
            },
            "done",
        ),
        (
            "d/link",
            FileOp {
                link: Some("new".into()),
                ..op()
            },
            "done",
        ),
        (
            "e/up",
            FileOp {
                link: Some("../d/new".into()),
                ..op()
            },
            "done",
        ),
        (
            "d/hard",
            FileOp {
                hlink: Some("d/new".into()),
                ..op()
            },
            "done",
        ),
        (
            "made",
            FileOp {
                directory: true,
                ..op()
            },
            "done",
        ),
        (
            "made",
            FileOp {
                directory: true,
                remove: true,
                ..op()
            },
            "done",
        ),
        (
            "d/link",
            FileOp {
                remove: true,
                ..op()
            },
            "done",
        ),
        (
            "never/there",
            FileOp {
                remove: true,
                ..op()
            },
            "done",
        ),
        (
            "d/x",
            FileOp {
                rename: Some("d/none".into()),
                ..op()
            },
            // What nobody sent before is sent now, as content.
            "done",
        ),
        (
            "d/y",
            FileOp {
                rename: Some("d/none".into()),
                directory: true,
                ..op()
            },
            "410 ",
        ),
        (
            "d/again",
            FileOp {
                hlink: Some("d/none".into()),
                ..op()
            },
            "done",
        ),
        (
            "d",
            FileOp {
                directory: true,
                remove: true,
                ..op()
            },
            "500 ",
        ),
        (
            "d/evil",
            FileOp {
                link: Some("/etc".into()),
                ..op()
            },
            "422 ",
        ),
        (
            "d/evil",
            FileOp {
                link: Some("../../etc".into()),
                ..op()
            },
            "422 ",
        ),
        (
            "d/evil",
            FileOp {
                rename: Some("../../etc/passwd".into()),
                ..op()
            },
            "permanent: ",
        ),
        (
            "d/evil",
            FileOp {
                hlink: Some("../../etc/passwd".into()),
                ..op()
            },
            "permanent: ",
        ),
        ("d/what", op(), "503 "),
    ] {
        let done = send_one(&carrier, to, operation(path, op), b"data").await;
        assert!(
            words(&done).starts_with(expected),
            "{path}: {}",
            words(&done)
        );
    }
    assert_eq!(names(to), ["d", "e"]);
    assert_eq!(names(&to.join("d")), ["again", "hard", "new", "x"]);
    for name in ["e/up", "d/x", "d/again"] {
        assert_eq!(fs::read(to.join(name)).unwrap(), b"data");
    }
    assert_eq!(fs::metadata(to.join("d/hard")).unwrap().nlink(), 2);

    let picky = support::carrier(Settings {
        file_events: FileEvents::default()
            .iter()
            .filter(|event| *event != FileEvent::Delete)
            .collect(),
        ..settings()
    });
    let done = send_one(
        &picky,
        to,
        operation(
            "d/new",
            FileOp {
                remove: true,
                ..op()
            },
        ),
        b"",
    )
    .await;
    assert_eq!(
        words(&done),
        "202 what `d/new` is about is not in `fileEvents`"
    );
    assert!(to.join("d/new").exists());
}

#[tokio::test]
async fn a_directory_removed_meanwhile_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let carrier = carrier(settings());
    let mut lane = carrier.uploader(&file_url(home.path())).unwrap();
    for _ in 0..2 {
        let memory = Arc::new(Memory::default());
        memory.give(1, b"x");
        let items = [unplaced(1, message("file:///src", "a/b/c"))];
        let done = lane.send(&items, memory, state()).await.unwrap();
        assert_eq!(words(&done[0]), "done");
        fs::remove_dir_all(home.path().join("a")).unwrap();
    }
}

#[tokio::test]
async fn a_link_in_the_way_is_replaced_and_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let to = home.path().join("out");
    fs::create_dir(&to).unwrap();
    for name in ["a", ".a"] {
        symlink(&victim, to.join(name)).unwrap();
    }
    let done = send_one(
        &carrier(settings()),
        &to,
        message("file:///src", "a"),
        b"new",
    )
    .await;
    assert_eq!(words(&done), "done");
    assert_eq!(fs::read(to.join("a")).unwrap(), b"new");
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
}

#[tokio::test]
async fn directories_are_polled_a_page_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    for directory in 0..5 {
        let path = home.path().join(format!("d{directory}/deep/er"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..700 {
            fs::write(path.join(format!("f{file}")), "x").unwrap();
        }
    }
    fs::write(home.path().join("locked"), "x").unwrap();
    fs::set_permissions(
        home.path().join("locked"),
        fs::Permissions::from_mode(0o244),
    )
    .unwrap();
    fs::write(home.path().join("open"), "four").unwrap();
    symlink("open", home.path().join("link")).unwrap();
    symlink("nowhere", home.path().join("dangling")).unwrap();
    symlink(".", home.path().join("circle")).unwrap();
    fs::write(home.path().join("odd\nname"), "x").unwrap();

    let carrier = carrier(settings());
    let url = file_url(home.path());
    let mut poll = carrier.poll(&url, PollOptions::default()).unwrap();
    let found = gather_all(&mut poll, 250).await;
    assert_eq!(found.len(), 5 * 700 + 1);
    let open = found.iter().find(|m| m.rel_path == "open").unwrap();
    assert_eq!(
        (open.size, open.base_url.as_str()),
        (Some(4), url.expose().as_str())
    );
    assert!(open.mode.is_some() && open.mtime.is_some());

    let options = PollOptions {
        follow_symlinks: true,
        recursive: false,
        mode_min: 0,
        ..PollOptions::default()
    };
    let mut poll = carrier.poll(&url, options).unwrap();
    let found = gather_all(&mut poll, 250).await;
    let mut names: Vec<_> = found.iter().map(|m| m.rel_path.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["link", "locked", "open"]);
}

#[tokio::test]
async fn sources_are_removed_only_once_safe() {
    use flow_runtime::ports::{Fate, Outcome};
    let home = tempfile::tempdir().unwrap();
    for name in ["posted", "failed"] {
        fs::write(home.path().join(name), name).unwrap();
    }
    let carrier = carrier(Settings {
        delete: true,
        ..settings()
    });
    let base = file_url(home.path()).to_string();
    let mut lane = carrier.downloader(&["file"]);
    assert!(lane.entry_points().settled);
    let items: Vec<Item> = ["posted", "failed"]
        .iter()
        .map(|name| support::item(u64::from(name.len() as u32), message(&base, name)))
        .collect();
    let items = vec![
        items[0].clone(),
        Item {
            id: 9,
            ..items[1].clone()
        },
    ];
    let content = Arc::new(Memory::default());
    let done = lane
        .download(&items, Arc::clone(&content) as _, state())
        .await
        .unwrap();
    assert!(done.iter().all(|done| matches!(done, Worked::Done(_))));
    assert_eq!(content.finished(9), Some(b"failed".to_vec()));
    assert!(
        edits(&done[0])
            .iter()
            .any(|e| matches!(e, Edit::Header(name, _) if name == "mode"))
    );
    let outcome = |item: &Item, fate| Outcome {
        item: item.clone(),
        fate,
    };
    let outcomes = [
        outcome(&items[0], Fate::Posted),
        outcome(&items[1], Fate::Retrying("later".into())),
    ];
    lane.settled(&outcomes, state()).await.unwrap();
    assert_eq!(names(home.path()), ["failed"]);
    // Told twice, as after a crash.
    lane.settled(&outcomes, state()).await.unwrap();
}
