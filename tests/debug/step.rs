//! `--step` and `--break`, with commands from a file.

use std::io::Write;
use std::process::Stdio;

use super::{posted, shovel};

#[test]
fn an_edit_by_hand_has_effect_on_what_is_posted() {
    let flow = shovel(&["one"]);
    flow.write(
        "commands",
        b"?\nfrobnicate\nh\nc\nset header seen=by hand\nc\nset relPath two\np\nc\nc\n",
    );
    let run = flow
        .run(&[
            "foreground",
            "shovel/x",
            "--once",
            "--step",
            "--commands",
            "commands",
        ])
        .expect(0);
    for line in [
        "stopped before accept: one  (http://h/)",
        "c, continue         to the next stop",
        "`frobnicate` is no command; `?` lists them",
        "stopped before after_accept of trap: one",
        "stopped before post: one",
        "\"relPath\": \"two\"",
        "stopped before settle: one",
        "it ends: done",
    ] {
        assert!(
            run.stderr.contains(line),
            "`{line}` is not in\n{}",
            run.stderr
        );
    }
    let posted = posted(&flow);
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].0, "two");
    assert_eq!(posted[0].1["seen"], "by hand");
    assert_eq!(posted[0].1["calls"], "1");
}

#[test]
fn a_break_stops_at_its_entry_point_and_paths_only() {
    let flow = shovel(&["one.txt", "two.pdf", "three.pdf"]);
    let mut child = flow
        .command(&[
            "foreground",
            "shovel/x",
            "--once",
            "--break",
            "after_accept:\\.pdf$",
            "--commands",
            "-",
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("asked for");
    stdin
        .write_all(b"reject not this one\ne\n")
        .expect("it reads");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{stderr}");
    assert_eq!(
        stderr.matches("stopped before after_accept").count(),
        2,
        "{stderr}"
    );
    assert!(
        !stderr.contains("stopped before after_accept of trap: one.txt"),
        "{stderr}"
    );
    let names: Vec<String> = posted(&flow).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["one.txt", "three.pdf"]);

    let wrong = flow
        .run(&["foreground", "shovel/x", "--break", "lunch"])
        .expect(2);
    assert!(
        wrong.stderr.contains("a flow stops before gather, accept,"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn who_quits_loses_nothing() {
    let flow = shovel(&["one", "two", "three"]);
    flow.write("commands", b"c\nquit\n");
    let run = flow
        .run(&[
            "foreground",
            "shovel/x",
            "--break",
            "after_accept",
            "--commands",
            "commands",
        ])
        .expect(0);
    assert!(
        run.stderr.contains("comes again at the next start"),
        "{}",
        run.stderr
    );
    assert!(posted(&flow).is_empty(), "nothing is posted by halves");
    flow.run(&["foreground", "shovel/x", "--once"]).expect(0);
    let names: Vec<String> = posted(&flow).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["one", "three", "two"]);
}

#[test]
fn without_a_terminal_somebody_has_to_say_where_the_answers_are() {
    let flow = shovel(&[]);
    let refused = flow.run(&["foreground", "shovel/x", "--step"]).expect(2);
    assert!(
        refused.stderr.contains("[cli/no-terminal]") && refused.stderr.contains("--commands FILE"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_failed_by_hand_is_tried_again_and_a_dry_run_can_be_stepped_through() {
    let flow = shovel(&["one"]);
    flow.write("commands", b"c\nx\ne\n");
    let dry = [
        "foreground",
        "shovel/x",
        "--once",
        "--dry-run",
        "--step",
        "--commands",
        "commands",
    ];
    let run = flow.run(&dry).expect(0);
    assert!(
        run.stderr.contains("stopped before after_accept"),
        "{}",
        run.stderr
    );
    assert!(posted(&flow).is_empty());

    flow.write("commands", b"fail out of paper\n");
    let failing = [
        "foreground",
        "shovel/x",
        "--once",
        "--break",
        "post",
        "--commands",
        "commands",
    ];
    let run = flow.run(&failing).expect(1);
    assert!(run.stderr.contains("out of paper"), "{}", run.stderr);
    let listed = flow.run(&["retry", "list", "shovel/x"]).expect(0);
    assert!(listed.stdout.contains("out of paper"), "{}", listed.stdout);
}
