//! Recordings and replays.

use flow_testkit::Dovecot;
use flow_testkit::generate::{Generated, mails};
use flow_tests::{Access, MailFlow, Scene};

use super::{other_trap, shovel, text};

#[test]
fn a_mail_session_is_played_back_without_the_server_and_goes_the_same_way() {
    let scene = Scene::new();
    let sent: Vec<Generated> = mails(6, 5_000, 71).collect();
    scene.deliver(&sent);
    scene.set(
        &MailFlow::new(Access::Imaps)
            .everything()
            .mail_option("after: seen"),
    );
    let run = scene
        .flow
        .run(&["foreground", Scene::FLOW, "--once", "--record", "mail.rec"])
        .expect(0);
    assert!(
        run.stderr.contains("flow replay mail.rec"),
        "{}",
        run.stderr
    );

    let recording = text(&scene.flow, "mail.rec");
    assert!(
        recording.starts_with("{\"flowRecording\":1,"),
        "{}",
        &recording[..80]
    );
    assert!(!recording.contains(Dovecot::PASSWORD));
    for entry_point in ["gather", "download", "after_work", "settled"] {
        assert!(
            recording.contains(&format!("\"entryPoint\":\"{entry_point}\"")),
            "no {entry_point}"
        );
    }

    // Elsewhere: no flow, no credentials, no server.
    let Scene { server, flow } = scene;
    drop(server);
    let elsewhere = flow_testkit::Flow::new();
    elsewhere.write("mail.rec", recording.as_bytes());
    let played = elsewhere.run(&["replay", "mail.rec"]).expect(0);
    assert_eq!(played.stdout, "");
    assert!(
        played.stderr.contains("went as recorded"),
        "{}",
        played.stderr
    );
    let traced = elsewhere.run(&["replay", "mail.rec", "--trace"]).expect(0);
    assert!(traced.stdout.contains("mail download"), "{}", traced.stdout);
    assert!(
        traced.stdout.contains("asked: connect 127.0.0.1:"),
        "{}",
        traced.stdout
    );

    // What the plugin wrote is compared as well.
    let other = recording.replacen("\"wrote\":{\"text\":\"A", "\"wrote\":{\"text\":\"B", 1);
    elsewhere.write("other.rec", other.as_bytes());
    if other != recording {
        let played = elsewhere.run(&["replay", "other.rec"]).expect(1);
        assert!(
            played.stdout.contains("wrote to 127.0.0.1:"),
            "{}",
            played.stdout
        );
    }
    drop(flow);
}

#[test]
fn a_changed_plugin_shows_where_it_differs() {
    let flow = shovel(&["one", "two"]);
    flow.run(&["foreground", "shovel/x", "--once", "--record", "x.rec"])
        .expect(0);
    flow.run(&["replay", "x.rec"]).expect(0);
    flow.write("other.wasm", &other_trap());
    let played = flow
        .run(&["replay", "x.rec", "--plugin", "trap=other.wasm"])
        .expect(1);
    assert!(
        played
            .stdout
            .contains("`one` update header calls: 1, now gone")
            && played.stdout.contains("`one` update header count: new, 1"),
        "{}",
        played.stdout
    );
    assert!(
        played
            .stderr
            .contains("plugin `trap` is another build than was recorded")
            && played.stderr.contains("calls of shovel/x went another way"),
        "{}",
        played.stderr
    );
}

#[test]
fn what_is_no_recording_is_neither_read_nor_written_over() {
    let flow = shovel(&[]);
    flow.write("precious", b"keep me\n");
    let refused = flow
        .run(&["foreground", "shovel/x", "--once", "--record", "precious"])
        .expect(2);
    assert!(
        refused.stderr.contains("another file of this name"),
        "{}",
        refused.stderr
    );
    assert_eq!(text(&flow, "precious"), "keep me\n");
    let refused = flow.run(&["replay", "precious"]).expect(2);
    assert!(
        refused.stderr.contains("it is no recording"),
        "{}",
        refused.stderr
    );
    let newer = "{\"flowRecording\":99}\n";
    flow.write("newer.rec", newer.as_bytes());
    let refused = flow.run(&["replay", "newer.rec"]).expect(2);
    assert!(
        refused.stderr.contains("it is of version 99"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_crash_names_its_message_and_the_command_that_shows_it_again() {
    let flow = shovel(&["one", "boom", "two"]);
    let run = flow
        .run(&["foreground", "shovel/x", "--once", "--record", "x.rec"])
        .expect(1);
    for words in [
        "plugin `trap` crashed in `after_accept`",
        "open_the_envelope",
        "it was called with 3 messages, `one` to `two` of http://h/",
        "to see it again: `flow replay ",
    ] {
        assert!(
            run.stderr.contains(words),
            "`{words}` is not in\n{}",
            run.stderr
        );
    }
    // Once, on lines of their own; what became of the messages refers to it.
    let (begin, indent) = ("ERROR shovel/x  plugin `trap` crashed in", " ".repeat(20));
    for (words, times) in [
        (begin, 1),
        ("the envelope was empty", 1),
        ("open_the_envelope", 1),
        ("plugin `trap` crashed in `after_accept`", 4),
        (&format!("\n{indent}  = note: it was in: "), 1),
        ("\\u{a}", 0),
    ] {
        assert_eq!(
            run.stderr.matches(words).count(),
            times,
            "`{words}` in\n{}",
            run.stderr
        );
    }
    let at = run
        .stderr
        .split("--at ")
        .nth(1)
        .expect("the command names the call");
    let at: String = at.chars().take_while(char::is_ascii_digit).collect();
    let played = flow.run(&["replay", "x.rec", "--at", &at]).expect(1);
    assert!(
        played
            .stdout
            .contains("alone, 1 of the 3 messages crash it: `boom`"),
        "{}",
        played.stdout
    );
    assert!(
        played.stdout.contains("the envelope was empty"),
        "{}",
        played.stdout
    );

    let flow = shovel(&["boom"]);
    let run = flow.run(&["foreground", "shovel/x", "--once"]).expect(1);
    for words in [
        "it was called with `boom` of http://h/",
        "to see it again: `flow foreground shovel/x --record FILE`, then `flow replay FILE`",
    ] {
        assert!(
            run.stderr.contains(words),
            "`{words}` is not in\n{}",
            run.stderr
        );
    }
}
