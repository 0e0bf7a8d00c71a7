//! Content that travels in messages: put in where they are posted, taken out where they arrive.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use flow_config::{InlineAs, InlinePolicy, Kind, Template};
use flow_message::{FileOp, Identity, Inline, InlineEncoding, Message};
use flow_runtime::ports::Fate;
use support::plugins::downloader;
use support::{Bench, message};

fn inline(byte_max: u64, encoding: InlineAs, only: bool) -> InlinePolicy {
    InlinePolicy {
        byte_max,
        encoding,
        only,
    }
}

fn utf8(value: &str) -> Inline {
    Inline {
        encoding: InlineEncoding::Utf8,
        value: value.into(),
    }
}

fn contents(bench: &Bench) -> Vec<Option<Inline>> {
    let world = bench.world.lock();
    world
        .posted
        .iter()
        .map(|post| post.message.content.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_downloaded_travels_on_in_its_message() {
    for (byte_max, expected) in [(12, Some(utf8("content of a"))), (11, None)] {
        let mut bench = Bench::new();
        bench.flow.download = true;
        bench.flow.inline = Some(inline(byte_max, InlineAs::Guess, false));
        bench.plugin(downloader());
        bench.world.enqueue("a", message("a"));
        bench.once().await.unwrap();
        assert_eq!(contents(&bench), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn files_announced_here_travel_if_they_are_what_was_announced() {
    let mut bench = Bench::new();
    bench.flow.inline = Some(inline(100, InlineAs::Binary, false));
    std::fs::create_dir_all(bench.files()).unwrap();
    let announce = |name: &str, change: fn(&mut Message)| {
        let path = bench.files().join(name);
        std::fs::write(&path, "hello").unwrap();
        let mut message = message(path.to_str().unwrap().trim_start_matches('/'));
        message.base_url = "file:///".into();
        message.size = Some(5);
        change(&mut message);
        bench.world.enqueue(name, message);
    };
    announce("a", |_| {});
    announce("longer", |message| message.size = Some(6));
    announce("other", |message| {
        message.identity = Some(Identity {
            method: "md5".into(),
            value: "AAAAAAAAAAAAAAAAAAAAAA==".into(),
        });
    });
    announce("gone", |message| {
        message.size = None;
        message.file_op = Some(FileOp {
            remove: true,
            ..FileOp::default()
        });
    });
    bench.once().await.unwrap();
    let hello = Inline {
        encoding: InlineEncoding::Base64,
        value: "aGVsbG8=".into(),
    };
    assert_eq!(contents(&bench), [Some(hello), None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_announces_elsewhere_is_read_here() {
    let mut bench = Bench::new();
    bench.flow.name.kind = Kind::Watch;
    bench.flow.inline = Some(inline(100, InlineAs::Guess, false));
    let output = bench.flow.output.as_mut().unwrap();
    let root = bench.directory.path().join("tree");
    output.base_dir = Some(Template::parse(root.to_str().unwrap()).unwrap());
    output.base_url = Some(Template::parse("http://example.com/").unwrap());
    std::fs::create_dir_all(root.join("a")).unwrap();
    std::fs::write(root.join("a/f"), "hello").unwrap();
    let announced = |path: &str| {
        let mut message = message(path);
        message.base_url = "http://example.com/".into();
        message.size = Some(5);
        message
    };
    bench.world.enqueue("a", announced("a/f"));
    bench.once().await.unwrap();
    assert_eq!(contents(&bench), [Some(utf8("hello"))]);
    // In a flow that is told paths by others it is none of its files.
    bench.flow.name.kind = Kind::Flow;
    bench.world.enqueue("b", announced("/a/f"));
    bench.once().await.unwrap();
    assert_eq!(contents(&bench)[1], None);
}

#[tokio::test(start_paused = true)]
async fn what_must_travel_and_can_not_is_rejected() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.inline = Some(inline(13, InlineAs::Text, true));
    bench.plugin(downloader());
    for path in ["a", "long/path"] {
        bench.world.enqueue(path, message(path));
    }
    let mut removed = message("gone");
    removed.file_op = Some(FileOp {
        remove: true,
        ..FileOp::default()
    });
    bench.world.enqueue("gone", removed);
    let summary = bench.once().await.unwrap();
    assert_eq!((summary.posted, summary.rejected), (2, 1));
    assert_eq!(contents(&bench), [Some(utf8("content of a")), None]);
    let world = bench.world.lock();
    let (path, fate) = world
        .fates
        .iter()
        .find(|(_, fate)| matches!(fate, Fate::Rejected(_)))
        .unwrap();
    assert_eq!(path, "long/path");
    assert!(
        matches!(fate, Fate::Rejected(rejection) if rejection.code == 413),
        "{fate:?}"
    );
}

/// A message with content inside.
fn carrying(path: &str, value: &str, size: u64) -> Message {
    let mut message = message(path);
    message.content = Some(utf8(value));
    message.size = Some(size);
    message
}

#[tokio::test(start_paused = true)]
async fn content_inside_is_stored_if_it_is_what_was_announced_and_fetched_if_not() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.plugin(downloader());
    bench.world.enqueue("good", carrying("good", "inside", 6));
    bench.world.enqueue("short", carrying("short", "insid", 6));
    let mut forged = carrying("forged", "inside", 6);
    forged.identity = Some(Identity {
        method: "md5".into(),
        value: "AAAAAAAAAAAAAAAAAAAAAA==".into(),
    });
    bench.world.enqueue("forged", forged);
    let mut garbled = carrying("garbled", "%%%", 2);
    garbled.content.as_mut().unwrap().encoding = InlineEncoding::Base64;
    bench.world.enqueue("garbled", garbled);
    let summary = bench.once().await.unwrap();
    assert_eq!(summary.posted, 4);
    let tree = bench.tree();
    assert_eq!(tree["good"], "inside");
    for fetched in ["short", "forged", "garbled"] {
        assert_eq!(tree[fetched], format!("content of {fetched}"));
    }
    let inside: Vec<bool> = contents(&bench).iter().map(Option::is_some).collect();
    assert_eq!(inside, [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_length_inside_is_taken_where_that_is_accepted() {
    let mut bench = Bench::new();
    bench.flow.download = true;
    bench.flow.transfer.accept_size_wrong = true;
    bench.plugin(downloader());
    bench.world.enqueue("a", carrying("a", "insid", 6));
    bench.once().await.unwrap();
    assert_eq!(bench.tree()["a"], "insid");
}
