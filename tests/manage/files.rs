//! What flows' files say, and what becomes of it: errors, changes, disabled flows.

use std::fs;

use flow_tests::queue;

use crate::scene::Scene;

#[test]
fn a_bad_flow_keeps_no_other_from_starting() {
    let scene = Scene::with(&["a"]);
    scene
        .flow
        .add_flow("watch/bad", "path: /tmp\nsleep: soon\n");
    let finished = scene.flow.run(&["start"]).expect(1);
    assert!(finished.stdout.contains("watch/a"), "{}", finished.stdout);
    assert!(
        finished.stderr.contains("watch/bad.yaml:2:8"),
        "the findings are told: {}",
        finished.stderr
    );
    let states = scene.states();
    assert_eq!(states["watch/a"], "running");
    assert_eq!(states["watch/bad"], "failed");
    scene.flow.run(&["status"]).expect(1);
    assert!(scene.log("watch/bad").contains("not started"));
    // Mended, it starts with the next reload; the other is left alone.
    scene.watch("bad", "");
    let reloaded = scene.outcomes(&["reload"], 0);
    assert_eq!(reloaded["watch/a"], "unchanged");
    assert_eq!(reloaded["watch/bad"], "started");
    scene.flow.run(&["status"]).expect(0);
}

#[test]
fn a_reload_restarts_only_what_changed() {
    let scene = Scene::with(&["a", "b", "c", "d"]);
    scene.run(&["start"], 0);
    let since = |name: &str| {
        let status = scene.status();
        let flows = status["flows"].as_array().expect("an array").clone();
        let flow = flows.into_iter().find(|flow| flow["flow"] == name);
        flow.expect("it is there")["since"].clone()
    };
    let (a, b) = (since("watch/a"), since("watch/b"));
    scene.watch("b", "fileEvents: [create]\n");
    scene.flow.add_flow("watch/c", "nonsense: yes\n");
    fs::remove_file(scene.flow.config_dir().join("watch/d.yaml")).expect("it is there");
    scene.watch("e", "");
    let reloaded = scene.outcomes(&["reload"], 1);
    let expected = [
        ("watch/a", "unchanged"),
        ("watch/b", "restarted"),
        ("watch/c", "kept"),
        ("watch/d", "removed"),
        ("watch/e", "started"),
    ];
    for (name, result) in expected {
        assert_eq!(reloaded[name], result, "{name}: {reloaded:?}");
    }
    assert_eq!(since("watch/a"), a, "it was left alone");
    assert_ne!(since("watch/b"), b, "it was restarted");
    assert_eq!(scene.states()["watch/c"], "running", "as it was");
    assert!(!scene.states().contains_key("watch/d"));
    // One by name.
    scene.watch("c", "");
    let reloaded = scene.outcomes(&["reload", "watch/c"], 0);
    assert_eq!(reloaded.len(), 1);
    assert_eq!(
        reloaded["watch/c"], "unchanged",
        "it says what it said at first"
    );
}

#[test]
fn a_disabled_flow_is_passed_over_and_refused_by_name() {
    let scene = Scene::with(&["a", "b"]);
    let marker = scene.flow.state_dir().join("flows/watch/b.disabled");
    fs::create_dir_all(marker.parent().expect("it has one")).expect("writable");
    fs::write(&marker, "").expect("writable");
    let refused = scene.flow.run(&["start", "watch/a", "watch/b"]).expect(2);
    assert!(
        refused.stderr.contains("cli/disabled"),
        "{}",
        refused.stderr
    );
    assert_eq!(scene.pid(), None, "nothing was started");
    let started = scene.outcomes(&["start", "watch/*"], 0);
    assert_eq!(started["watch/a"], "started");
    assert_eq!(started["watch/b"], "disabled");
    assert_eq!(scene.states()["watch/b"], "disabled");
    fs::remove_file(marker).expect("it is there");
    assert_eq!(scene.outcomes(&["start", "b"], 0)["watch/b"], "started");
}

#[test]
fn names_that_are_none_are_explained() {
    let scene = Scene::new();
    let finished = scene.flow.run(&["start"]).expect(2);
    assert!(
        finished.stderr.contains("cli/no-flows"),
        "{}",
        finished.stderr
    );
    scene.watch("a", "");
    for command in ["start", "stop", "status", "log", "restart"] {
        let finished = scene.flow.run(&[command, "watch/b"]).expect(2);
        assert!(
            finished.stderr.contains("cli/unknown-flow"),
            "{command}: {}",
            finished.stderr
        );
    }
    scene.flow.run(&["reload"]).expect(1);
}

#[test]
fn a_post_is_done_once_and_not_again_with_a_reload() {
    let scene = Scene::with(&["a"]);
    scene.queue("xs_p");
    scene.flow.write("out/one.txt", b"one");
    scene
        .flow
        .add_flow("post/p", "path: ${HOME}/out/one.txt\npost_exchange: xs_p\n");
    scene.run(&["start"], 0);
    scene.until("post/p", "stopped");
    let posted = || queue::queued(&scene.flow, "xs_p").len();
    assert_eq!(posted(), 1);
    assert_eq!(scene.outcomes(&["reload"], 0)["post/p"], "unchanged");
    scene.run(&["sanity"], 0);
    let restarted = scene.outcomes(&["restart"], 0);
    assert!(!restarted.contains_key("post/p"), "{restarted:?}");
    assert_eq!(posted(), 1);
}
