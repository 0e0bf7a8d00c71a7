//! What each option of a sender does, over `file:`, which takes no server.

use std::time::Duration;

use flow_testkit::{Flow, wait};
use flow_tests::{queue, tree};

use crate::{Files, content, write_all};

/// A sender of `${HOME}/data` to `${HOME}/out` with these options, after it has sent what is there.
fn sent(options: &str, set_up: impl FnOnce(&Flow)) -> Flow {
    let flow = Flow::new();
    let files: Files = [("a/b/one.txt", "1"), ("a/two.txt", "22")]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into();
    write_all(&flow.path("data"), &files);
    set_up(&flow);
    let (data, out) = (flow.path("data"), flow.path("out"));
    flow.add_flow(
        "sender/out",
        &format!(
            "exchange: xs_in\nsendTo: file://{}\npost_exchange: xs_out\n{}\n",
            out.display(),
            options.replace("DATA", &data.display().to_string())
        ),
    );
    queue::declare(&flow, "xs_out");
    flow.run(&["foreground", "sender/out", "--once"]).expect(0);
    let data = data.display().to_string();
    flow.run(&[
        "post",
        "--set",
        "fileEvents=[create]",
        "--exchange",
        "xs_in",
        "--base-url",
        "http://h/top/",
        "--base-dir",
        &data,
        &data,
    ])
    .expect(0);
    flow.run(&["foreground", "sender/out", "--once"]);
    flow
}

/// Where the two files are, below `out`.
fn places(options: &str) -> Vec<String> {
    let flow = sent(&format!("baseDir: DATA\n{options}"), |_| {});
    content(&flow.path("out")).into_keys().collect()
}

#[test]
fn placement_says_where_things_are_there() {
    for (options, expected) in [
        ("", ["a/b/one.txt", "a/two.txt"]),
        ("mirror: off", ["one.txt", "two.txt"]),
        ("directory: in/x", ["in/x/a/b/one.txt", "in/x/a/two.txt"]),
        ("strip: 1", ["b/one.txt", "two.txt"]),
        ("strip: '.*b/'", ["a/two.txt", "one.txt"]),
        ("flatten: _\nmirror: off", ["a_b_one.txt", "a_two.txt"]),
        ("baseUrl_relPath: on", ["top/a/b/one.txt", "top/a/two.txt"]),
    ] {
        assert_eq!(places(options), expected, "{options}");
    }
    let rules = "filters:\n  - accept: '.*/([a-z]+)\\.txt'\n    directory: by/${1}\n    mirror: off\n    filename: x.txt\n";
    assert_eq!(places(rules), ["by/one/x.txt", "by/two/x.txt"]);
}

#[test]
fn an_absolute_directory_is_one_there() {
    let flow = sent("baseDir: DATA\ndirectory: ${HOME}/else", |_| {});
    let found: Vec<String> = content(&flow.path("else")).into_keys().collect();
    assert_eq!(found, ["a/b/one.txt", "a/two.txt"]);
    assert!(content(&flow.path("out")).is_empty());
}

#[test]
fn what_was_sent_is_announced_where_it_is() {
    let urls = |options: &str| -> Vec<String> {
        let flow = sent(&format!("baseDir: DATA\n{options}"), |_| {});
        let home = flow.home().display().to_string();
        let mut urls: Vec<String> = queue::queued(&flow, "xs_out")
            .iter()
            .map(|message| {
                let text = format!("{} {}", message.base_url, message.rel_path);
                text.replace(&home, "HOME")
            })
            .collect();
        urls.sort();
        urls
    };
    for (options, expected) in [
        (
            "",
            ["file://HOME/out a/b/one.txt", "file://HOME/out a/two.txt"],
        ),
        (
            "directory: in",
            [
                "file://HOME/out in/a/b/one.txt",
                "file://HOME/out in/a/two.txt",
            ],
        ),
        (
            "directory: in\npost_baseDir: in",
            [
                "file://HOME/out/in/ a/b/one.txt",
                "file://HOME/out/in/ a/two.txt",
            ],
        ),
        (
            "directory: in\npost_baseDir: in\npost_baseUrl: https://h/files/",
            ["https://h/files/ a/b/one.txt", "https://h/files/ a/two.txt"],
        ),
        (
            "post_baseUrl: https://h/files/",
            ["https://h/files/ a/b/one.txt", "https://h/files/ a/two.txt"],
        ),
    ] {
        assert_eq!(urls(options), expected, "{options}");
    }
}

#[test]
fn what_is_there_stays_with_overwrite_off() {
    let there = |flow: &Flow| {
        let old = [("a/two.txt".to_owned(), b"old".to_vec())].into();
        write_all(&flow.path("out"), &old);
    };
    let flow = sent("baseDir: DATA\noverwrite: off", there);
    let found = content(&flow.path("out"));
    assert_eq!(found["a/two.txt"], b"old");
    assert_eq!(found["a/b/one.txt"], b"1");
    assert_eq!(queue::names(&flow, "xs_out"), ["one.txt"]);
    let flow = sent("baseDir: DATA", there);
    assert_eq!(content(&flow.path("out"))["a/two.txt"], b"22");
    assert_eq!(queue::names(&flow, "xs_out"), ["one.txt", "two.txt"]);
}

#[test]
fn sources_go_once_what_was_sent_is_safe() {
    let flow = sent("baseDir: DATA\ndelete_source: on", |_| {});
    assert_eq!(content(&flow.path("out")).len(), 2);
    assert!(tree::files(&flow.path("data")).is_empty());
    let flow = sent("baseDir: DATA", |_| {});
    assert_eq!(content(&flow.path("data")).len(), 2);
}

#[test]
fn events_that_are_not_wanted_are_not_carried_out() {
    let flow = sent("baseDir: DATA\nfileEvents: [mkdir]", |_| {});
    assert!(content(&flow.path("out")).is_empty());
    assert!(queue::queued(&flow, "xs_out").is_empty());
}

#[test]
fn modes_and_times_are_carried_over_as_the_flow_says() {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    let set = |flow: &Flow| {
        let path = flow.path("data/a/two.txt");
        let file = std::fs::File::open(&path).expect("it was written");
        file.set_modified(old).expect("times can be set");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("modes too");
    };
    let look = |flow: &Flow| {
        let found = std::fs::metadata(flow.path("out/a/two.txt")).expect("it was sent");
        let mode = found.permissions().mode() & 0o777;
        (mode, found.modified().expect("it has one") == old)
    };
    let flow = sent("baseDir: DATA", set);
    assert_eq!(look(&flow), (0o604, true));
    let flow = sent(
        "baseDir: DATA\npermCopy: off\ntimeCopy: off\npermDefault: '640'\npermDirDefault: '750'",
        set,
    );
    assert_eq!(look(&flow), (0o640, false));
    let directory = std::fs::metadata(flow.path("out/a")).expect("it was made");
    assert_eq!(directory.permissions().mode() & 0o777, 0o750);
}

#[test]
fn what_is_not_here_is_given_up_with_the_reason() {
    let gone = "baseDir: DATA/nowhere\nattempts: 1";
    let flow = sent(gone, |_| {});
    let dead = flow
        .run(&["retry", "list", "sender/out", "--dead"])
        .expect(0)
        .stdout;
    assert!(dead.contains("No such file or directory"), "{dead}");
    assert!(dead.contains("given up after 1 tr"), "{dead}");
    // Without `baseDir` nothing says where it would be.
    let flow = sent("", |_| {});
    let dead = flow
        .run(&["retry", "list", "sender/out", "--dead"])
        .expect(0)
        .stdout;
    assert!(dead.contains("`baseDir` would say where"), "{dead}");
    assert!(content(&flow.path("out")).is_empty());
}

#[test]
fn what_changed_while_it_waited_is_left_to_the_message_about_that() {
    let flow = Flow::new();
    let path = flow.path("data/x");
    write_all(
        &flow.path("data"),
        &[("x".to_owned(), b"1".to_vec())].into(),
    );
    flow.add_flow(
        "sender/out",
        &format!(
            "exchange: xs_in\nsendTo: file://{}\n",
            flow.path("out").display()
        ),
    );
    flow.run(&["foreground", "sender/out", "--once"]).expect(0);
    let text = path.display().to_string();
    flow.run(&["post", "--exchange", "xs_in", &text]).expect(0);
    // The clock of files moves in steps.
    wait::pause(Duration::from_millis(30));
    std::fs::write(&path, "more").expect("it can be written");
    flow.run(&["post", "--exchange", "xs_in", &text]).expect(0);
    let ran = flow.run(&["foreground", "sender/out", "--once"]).expect(0);
    assert!(
        ran.stderr.contains("it has changed since"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 rejected"), "{}", ran.stderr);
    let home = flow.home().display().to_string();
    let there = flow
        .path("out")
        .join(home.trim_start_matches('/'))
        .join("data/x");
    assert_eq!(std::fs::read(there).expect("it was sent"), b"more");
}

#[test]
fn a_flow_does_not_fetch_and_send_at_once() {
    let flow = Flow::new();
    flow.add_flow(
        "flow/both",
        "exchange: xs_in\nsendTo: file:///tmp/x\ndownload: on\ndirectory: /tmp/y\n",
    );
    let checked = flow.run(&["check"]).expect(1);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(
        said.contains("`download`") && said.contains("`sendTo`"),
        "{said}"
    );
}
