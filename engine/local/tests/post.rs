//! Posting paths once, from real directories.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where something goes wrong"
)]

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_local::{Digest, FileEvents, Post, PostOptions, Xattr};
use flow_runtime::ports::{Callback as _, Failure};
use support::{Memory, announcing, post, text, try_post};

fn tree() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    (directory, base)
}

fn texts(messages: &[flow_message::Message]) -> Vec<String> {
    messages.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_becomes_messages_in_order() {
    let (_directory, base) = tree();
    fs::create_dir_all(base.join("in/b")).unwrap();
    fs::write(base.join("in/b/2.txt"), "abc").unwrap();
    fs::write(base.join("in/1.txt"), "").unwrap();
    std::os::unix::fs::symlink("1.txt", base.join("in/link")).unwrap();
    std::os::unix::fs::symlink("nowhere", base.join("in/zero")).unwrap();
    fs::set_permissions(base.join("in/b/2.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    for limit in [1, 2, 100] {
        let messages = post(vec![base.join("in")], announcing(&base), limit).await;
        assert_eq!(
            texts(&messages),
            [
                "mkdir in",
                "file in/1.txt 0",
                "mkdir in/b",
                "file in/b/2.txt 3",
                "link in/link to 1.txt",
                "link in/zero to nowhere",
            ]
        );
        let file = &messages[3];
        assert_eq!(file.url(), "https://data.example.com/in/b/2.txt");
        assert_eq!(file.mode, Some(0o640));
        assert!(file.mtime.is_some() && file.atime.is_some());
        let identity = file.identity.as_ref().unwrap();
        assert_eq!(identity.method, "sha512");
        // SHA-512 of `abc`, FIPS 180-2 appendix C.
        assert!(
            identity
                .value
                .starts_with("3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05oh")
        );
        assert_eq!(messages[0].content_type.as_deref(), Some("text/directory"));
        assert_eq!(messages[4].content_type.as_deref(), Some("text/link"));
        assert_eq!((&messages[4].identity, messages[4].size), (&None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_wanted_events_are_announced() {
    let (_directory, base) = tree();
    fs::create_dir(base.join("d")).unwrap();
    fs::write(base.join("d/x"), "1").unwrap();
    std::os::unix::fs::symlink("x", base.join("d/y")).unwrap();
    let with = |change: fn(&mut FileEvents)| {
        let mut announcing = announcing(&base);
        change(&mut announcing.events);
        post(vec![base.join("d")], announcing, 10)
    };
    let messages = with(|events| events.mkdir = false).await;
    assert_eq!(texts(&messages), ["file d/x 1", "link d/y to x"]);
    let messages = with(|events| events.link = false).await;
    assert_eq!(texts(&messages), ["mkdir d", "file d/x 1"]);
    let messages = with(|events| events.create = false).await;
    assert_eq!(texts(&messages), ["mkdir d", "link d/y to x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_where_wanted_and_loops_end() {
    let (_directory, base) = tree();
    fs::create_dir_all(base.join("in/a")).unwrap();
    fs::create_dir_all(base.join("else/b")).unwrap();
    fs::write(base.join("else/b/x"), "1").unwrap();
    fs::write(base.join("else/y"), "22").unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, base.join(name)).unwrap();
    link("../../in", "in/a/loop");
    link("../else/b", "in/b");
    link("../else/y", "in/y");
    link("../else/b", "in/again");
    let mut follow = announcing(&base);
    follow.follow_symlinks = true;
    let messages = post(vec![base.join("in")], follow, 100).await;
    let mut found = texts(&messages);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "file else/b/x 1",
            "file else/y 2",
            "link in/a/loop to ../../in",
            "link in/again to ../else/b",
            "link in/b to ../else/b",
            "link in/y to ../else/y",
            "mkdir else/b",
            "mkdir in",
            "mkdir in/a",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_identity() {
    let (_directory, base) = tree();
    fs::write(base.join("x"), "abc").unwrap();
    let of = async |digest: Digest| {
        let mut announcing = announcing(&base);
        announcing.digest = digest;
        let messages = post(vec![base.join("x")], announcing, 1).await;
        let identity = messages[0].identity.clone();
        identity.map(|identity| (identity.method, identity.value))
    };
    let pair = |method: &str, value: &str| Some((method.to_owned(), value.to_owned()));
    // RFC 1321 A.5: 900150983cd24fb0d6963f7d28e17f72.
    assert_eq!(
        of(Digest::Md5).await,
        pair("md5", "kAFQmDzST7DWlj99KOF/cg==")
    );
    assert_eq!(
        of(Digest::OnDownload("md5".into())).await,
        pair("cod", "md5")
    );
    assert_eq!(
        of(Digest::Arbitrary("v1".into())).await,
        pair("arbitrary", "v1")
    );
    assert_eq!(of(Digest::None).await, None);
    let (method, value) = of(Digest::Random).await.unwrap();
    assert_eq!((method.as_str(), value.len()), ("random", 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_kept_in_attributes_and_believed_until_the_file_changes() {
    let (_directory, base) = tree();
    let path = base.join("x");
    fs::write(&path, "abc").unwrap();
    let with = async |xattr: Xattr| {
        let mut announcing = announcing(&base);
        announcing.xattr = xattr;
        let messages = post(vec![path.clone()], announcing, 1).await;
        messages[0].identity.clone().unwrap().value
    };
    let honest = with(Xattr::ReadWrite).await;
    let identity = br#"{"method":"sha512","value":"remembered"}"#;
    let set = || {
        rustix::fs::setxattr(
            &path,
            "user.sr_identity",
            identity,
            rustix::fs::XattrFlags::REPLACE,
        )
    };
    set().expect("the digest was kept; the file system of the tests has attributes");
    assert_eq!(with(Xattr::Read).await, "remembered");
    assert_eq!(with(Xattr::Off).await, honest);
    // Another method was asked for then.
    let mut md5 = announcing(&base);
    md5.xattr = Xattr::Read;
    md5.digest = Digest::Md5;
    let messages = post(vec![path.clone()], md5, 1).await;
    assert_ne!(messages[0].identity.clone().unwrap().value, "remembered");
    let file = fs::File::options().append(true).open(&path).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    file.set_modified(later).unwrap();
    assert_eq!(with(Xattr::Read).await, honest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_announced_is_counted_and_the_rest_is_posted() {
    let (_directory, base) = tree();
    fs::write(base.join("a"), "1").unwrap();
    fs::write(base.join("z"), "1").unwrap();
    fs::write(base.join(std::ffi::OsStr::from_bytes(b"m\xff")), "1").unwrap();
    let paths = vec![
        base.join("missing"),
        base.clone(),
        PathBuf::from("/elsewhere"),
    ];
    let (messages, failure) = try_post(paths, announcing(&base), 10).await;
    assert_eq!(texts(&messages), ["file a 1", "file z 1"]);
    let expected = "3 paths could not be announced, as was said of each; everything else was";
    assert_eq!(failure, Some(Failure::Permanent(expected.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_list_does_not_hold_back_what_is_known() {
    let (_directory, base) = tree();
    fs::write(base.join("a"), "1").unwrap();
    fs::write(base.join("b"), "1").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut post = Post::new(PostOptions {
        name: "post".to_owned(),
        paths: Box::new(receiver.into_iter()),
        announcing: announcing(&base),
    });
    let state: Arc<Memory> = Arc::default();
    sender.send(Ok(base.join("a"))).unwrap();
    let page = post.gather(10, Arc::<Memory>::clone(&state)).await.unwrap();
    assert_eq!(texts(&page.messages), ["file a 1"]);
    assert!(page.more);
    sender.send(Ok(base.join("b"))).unwrap();
    drop(sender);
    let page = post.gather(10, Arc::<Memory>::clone(&state)).await.unwrap();
    assert_eq!(texts(&page.messages), ["file b 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_come_in_pages_and_the_first_soon() {
    let (_directory, base) = tree();
    for index in 0..3_000 {
        fs::write(base.join(format!("{index:05}")), index.to_string()).unwrap();
    }
    let mut random = announcing(&base);
    let ordered = texts(&post(vec![base.clone()], random.clone(), 700).await);
    let expected: Vec<String> = (0..3_000)
        .map(|index: u32| format!("file {index:05} {}", index.to_string().len()))
        .collect();
    assert_eq!(ordered, expected);
    random.randomize = true;
    let mut mixed = texts(&post(vec![base.clone()], random, 700).await);
    assert_ne!(mixed, expected);
    mixed.sort_unstable();
    assert_eq!(mixed, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_hashed_has_no_wrong_digest() {
    let (_directory, base) = tree();
    let path = base.join("x");
    fs::write(&path, vec![0; 4 << 20]).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            use std::io::Write as _;
            let mut file = fs::File::options().append(true).open(path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(&[1; 64]).unwrap();
            }
        })
    };
    let messages = post(vec![path.clone()], announcing(&base), 1).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    let message = &messages[0];
    let identity = message.identity.as_ref().unwrap();
    if identity.method == "cod" {
        assert_eq!(identity.value, "sha512");
    } else {
        // It stood still for long enough; then the digest is that of the size announced.
        let size = usize::try_from(message.size.unwrap()).unwrap();
        let copy = base.join("copy");
        fs::write(&copy, &fs::read(&path).unwrap()[..size]).unwrap();
        let messages = post(vec![copy], announcing(&base), 1).await;
        assert_eq!(messages[0].identity.as_ref(), Some(identity));
    }
}
