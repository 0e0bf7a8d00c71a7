//! What goes wrong: kills, flows that fail, processes that hang.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use flow_testkit::wait;
use flow_tests::queue;

use crate::scene::{SOON, Scene, is_alive, kill, signal};

#[test]
fn a_killed_process_loses_nothing() {
    let scene = Scene::with(&["a"]);
    scene.queue("xs_a");
    scene.run(&["start"], 0);
    let mut wanted = Vec::new();
    for round in 0..4 {
        for number in 0..50 {
            let name = format!("{round}-{number:02}.txt");
            scene.put("a", &name);
            wanted.push(name);
        }
        let pid = scene.pid().expect("there is a process");
        kill(pid);
        wait::until("the process to be gone", SOON, || {
            (!is_alive(pid)).then_some(())
        });
        // The socket is left behind, and taken for what it is.
        assert!(scene.flow.state_dir().join("flow.sock").exists());
        assert_eq!(scene.states()["watch/a"], "missing");
        scene.run(&["start"], 0);
    }
    wanted.sort();
    // Some are announced twice, and the directory itself as well.
    wait::until("every file to be posted", SOON, || {
        let mut posted = queue::names(&scene.flow, "xs_a");
        posted.retain(|name| name.ends_with(".txt"));
        posted.sort();
        posted.dedup();
        (posted == wanted).then_some(())
    });
}

#[test]
fn sanity_starts_what_was_killed_and_not_what_was_stopped() {
    let scene = Scene::with(&["a", "b"]);
    scene.run(&["sanity"], 0);
    assert_eq!(scene.pid(), None, "nothing should run yet");
    scene.run(&["start"], 0);
    scene.run(&["stop", "watch/b"], 0);
    scene.run(&["sanity"], 0);
    let pid = scene.pid().expect("there is a process");
    kill(pid);
    wait::until("the process to be gone", SOON, || {
        (!is_alive(pid)).then_some(())
    });
    let mended = scene.outcomes(&["sanity"], 1);
    assert_eq!(mended.len(), 1, "{mended:?}");
    assert_eq!(mended["watch/a"], "started");
    assert_eq!(scene.states()["watch/b"], "stopped");
    scene.run(&["sanity"], 0);
    // Stopped while nobody is there: it stays stopped.
    kill(scene.pid().expect("there is a process"));
    wait::until("the process to be gone", SOON, || {
        scene.pid().is_none().then_some(())
    });
    scene.run(&["stop"], 0);
    scene.run(&["sanity"], 0);
    assert_eq!(scene.pid(), None);
}

#[test]
fn sanity_kills_a_process_that_does_not_answer() {
    let scene = Scene::with(&["a"]);
    scene.run(&["start"], 0);
    let pid = scene.pid().expect("there is a process");
    signal(pid, rustix::process::Signal::STOP);
    let mended = scene.flow.run(&["sanity"]).expect(1);
    let said = "did not answer and was killed";
    assert!(mended.stderr.contains(said), "{}", mended.stderr);
    assert!(scene.log("flow").contains(said));
    assert!(!is_alive(pid));
    assert_eq!(scene.states()["watch/a"], "running");
}

#[test]
fn a_failing_flow_waits_longer_each_time_and_stops_at_once() {
    let scene = Scene::with(&["a"]);
    // Its store can't be opened: that may pass, so it is tried again.
    let store = scene.flow.state_dir().join("flows/watch/b.db");
    fs::create_dir_all(&store).expect("writable");
    scene.watch("b", "");
    let started = scene.outcomes(&["start"], 1);
    assert_eq!(started["watch/a"], "started");
    assert_eq!(started["watch/b"], "waiting");
    wait::until("the second try", SOON, || {
        let status = scene.status();
        let flows = status["flows"].as_array().expect("an array").clone();
        let flow = flows.into_iter().find(|flow| flow["flow"] == "watch/b")?;
        let tried = flow["restarts"].as_u64()? >= 2;
        let waits = flow["state"] == "paused" && !flow["reason"].is_null();
        (tried && waits).then_some(())
    });
    // Nothing to do, and it says so.
    assert_eq!(scene.outcomes(&["sanity"], 1)["watch/b"], "waiting");
    let begun = std::time::Instant::now();
    assert_eq!(scene.outcomes(&["stop", "b"], 0)["watch/b"], "stopped");
    assert!(begun.elapsed() < Duration::from_secs(20), "it was waiting");
    assert_eq!(scene.states()["watch/a"], "running");
    // Mended, it runs.
    fs::remove_dir(store).expect("it is there");
    assert_eq!(scene.outcomes(&["start", "b"], 0)["watch/b"], "started");
}

#[test]
fn a_flow_that_does_not_finish_in_time_is_dropped() {
    let scene = Scene::new();
    // A server that takes the connection and says nothing more.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    scene.flow.add_flow(
        "poll/slow",
        &format!(
            "pollUrl: http://127.0.0.1:{port}/\npath: [/]\npost_exchange: xs\ntimeout: 300s\n"
        ),
    );
    scene.run(&["start"], 0);
    let (_connection, _) = silent.accept().expect("the poll comes");
    let stopped = scene.outcomes(&["stop", "--grace", "1"], 1);
    assert_eq!(stopped["poll/slow"], "dropped");
    assert_eq!(scene.pid(), None);
}

#[test]
fn sanity_restarts_a_flow_that_hangs() {
    let scene = Scene::with(&["a"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    scene.flow.add_flow(
        "poll/slow",
        &format!(
            "pollUrl: http://127.0.0.1:{port}/\npath: [/]\npost_exchange: xs\ntimeout: 300s\n\
             housekeeping: 1s\nrunStateThreshold_hung: 1s\n"
        ),
    );
    scene.run(&["start"], 0);
    let (_first, _) = silent.accept().expect("the poll comes");
    scene.until("poll/slow", "hung");
    scene.flow.run(&["status"]).expect(1);
    let mended = scene.outcomes(&["sanity", "--grace", "1"], 1);
    assert_eq!(mended.len(), 1, "the other one is well: {mended:?}");
    assert_eq!(mended["poll/slow"], "restarted");
    let (_second, _) = silent.accept().expect("it polls again");
    scene.run(&["stop", "--grace", "0"], 1);
}

#[test]
fn a_socket_nobody_answers_at_is_no_process() {
    let scene = Scene::with(&["a"]);
    let socket = scene.flow.state_dir().join("flow.sock");
    drop(UnixListener::bind(&socket).expect("a short path"));
    assert_eq!(scene.states()["watch/a"], "stopped");
    scene.run(&["start"], 0);
    assert_eq!(scene.states()["watch/a"], "running");
}

#[test]
fn a_name_that_cannot_be_used_leaves_its_trace() {
    let scene = Scene::with(&["a"]);
    scene.flow.add_flow(
        "subscribe/b",
        "exchange: xs_a\ndirectory: ${HOME}/b\nacceptUnmatched: off\n\
         filters:\n  - accept: '.*\\.txt$'\n",
    );
    scene.run(&["start"], 0);
    scene.put("a", "odd\tname.txt");
    scene.put("a", "ruled.out");
    scene.put("a", "good.txt");
    scene.until_logged("subscribe/b", "good.txt");
    scene.until_logged("subscribe/b", "has control characters (422)");
    let log = scene.log("subscribe/b");
    let rejected: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("rejected"))
        .collect();
    assert!(
        matches!(rejected[..], [one] if one.contains("WARN ")),
        "{log}"
    );
}
