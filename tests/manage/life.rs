//! Starting, stopping, looking.

use std::os::unix::fs::PermissionsExt;

use flow_testkit::wait;
use flow_tests::{background, queue};

use crate::scene::{SOON, Scene, is_alive, signal};

#[test]
fn flows_run_in_the_background_until_they_are_stopped() {
    let scene = Scene::with(&["a", "b"]);
    scene.queue("xs_a");
    let started = scene.outcomes(&["start"], 0);
    assert_eq!(started["watch/a"], "started");
    assert_eq!(started["watch/b"], "started");
    let pid = scene.pid().expect("there is a process");
    // It belongs to no terminal, and keeps no directory busy.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let session = stat.rsplit(')').next().unwrap_or_default();
    let session = session.split_whitespace().nth(3).expect("a session");
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
    let place = std::fs::read_link(format!("/proc/{pid}/cwd")).expect("it lives");
    assert_eq!(place.to_str(), Some("/"));
    let socket = scene.flow.state_dir().join("flow.sock");
    let mode = std::fs::metadata(&socket)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    scene.put("a", "one.txt");
    wait::until("the file to be posted", SOON, || {
        (queue::names(&scene.flow, "xs_a") == ["one.txt"]).then_some(())
    });
    scene.until_logged("watch/a", "posted");
    assert!(!scene.log("watch/b").contains("posted"), "each has its own");

    let again = scene.outcomes(&["start"], 0);
    assert_eq!(again["watch/a"], "running");
    assert_eq!(scene.pid(), Some(pid));

    let stopped = scene.outcomes(&["stop", "watch/a"], 0);
    assert_eq!(stopped["watch/a"], "stopped");
    assert_eq!(scene.states()["watch/a"], "stopped");
    assert_eq!(scene.states()["watch/b"], "running");
    assert_eq!(scene.outcomes(&["stop", "a"], 0)["watch/a"], "not-running");

    let stopped = scene.outcomes(&["stop"], 0);
    assert_eq!(stopped["watch/b"], "stopped");
    assert!(!is_alive(pid), "the process is gone");
    assert!(!socket.exists());
    assert!(scene.status()["process"].is_null());
    scene.run(&["stop"], 0);
}

#[test]
fn a_restart_restarts_what_runs() {
    let scene = Scene::with(&["a", "b"]);
    scene.run(&["start", "watch/a"], 0);
    let pid = scene.pid().expect("there is a process");
    let restarted = scene.outcomes(&["restart"], 0);
    assert_eq!(restarted.len(), 1, "only what ran: {restarted:?}");
    assert_eq!(restarted["watch/a"], "restarted");
    assert_eq!(scene.pid(), Some(pid), "the process stays");
    let restarted = scene.outcomes(&["restart", "watch/a"], 0);
    assert_eq!(restarted["watch/a"], "restarted");
    assert_eq!(scene.pid(), Some(pid), "a name restarts that flow only");
    assert_eq!(scene.states()["watch/b"], "stopped");
}

#[test]
fn two_starts_at_once_make_one_process() {
    let scene = Scene::with(&["a", "b"]);
    let starts: Vec<_> = (0..4).map(|_| scene.flow.spawn(&["start"])).collect();
    for start in starts {
        start.finish(SOON).expect(0);
    }
    let pid = scene.pid().expect("there is a process");
    assert_eq!(scene.status()["process"]["pid"], pid);
    assert_eq!(scene.states()["watch/a"], "running");
    // The others found the lock taken and left.
    let others: Vec<_> = std::fs::read_dir("/proc")
        .expect("there is /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|other| *other != pid && is_alive(*other))
        .filter(|other| {
            let line = std::fs::read_to_string(format!("/proc/{other}/cmdline"));
            let state = scene.flow.state_dir().display().to_string();
            line.is_ok_and(|line| line.contains("background") && line.contains(&state))
        })
        .collect();
    assert!(others.is_empty(), "{others:?} run beside {pid}");
}

#[test]
fn a_flow_in_a_terminal_is_not_started_twice_and_taken_over_later() {
    let scene = Scene::with(&["a"]);
    let mut terminal = scene.flow.spawn(&["foreground", "watch/a"]);
    terminal.wait_for("started", SOON);
    assert_eq!(scene.states()["watch/a"], "foreground");
    assert_eq!(scene.outcomes(&["start"], 0)["watch/a"], "foreground");
    assert_eq!(scene.states()["watch/a"], "foreground");
    assert!(!terminal.ended(), "it goes on");
    terminal.terminate();
    terminal.finish(SOON).expect(0);
    scene.until("watch/a", "running");
    // And the other way round.
    let refused = scene.flow.run(&["foreground", "watch/a"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
}

#[test]
fn run_writes_to_stdout_answers_and_drains_on_sigterm() {
    let scene = Scene::with(&["a"]);
    scene.queue("xs_a");
    let running = scene.flow.spawn(&["run"]);
    let said = |text: &str| running.stdout().contains(text);
    wait::until("the flow to start", SOON, || {
        said("watch/a  started").then_some(())
    });
    assert_eq!(scene.states()["watch/a"], "running");
    scene.flow.run(&["run"]).expect(2);
    scene.put("a", "one.txt");
    wait::until("the file to be posted", SOON, || {
        said("posted").then_some(())
    });
    running.terminate();
    let finished = running.finish(SOON).expect(0);
    assert!(
        finished.stdout.contains("flow  ended"),
        "{}",
        finished.stdout
    );
    assert_eq!(queue::names(&scene.flow, "xs_a"), ["one.txt"]);
    assert!(!scene.flow.state_dir().join("flow.started").exists());
    scene.run(&["sanity"], 0);
    assert_eq!(scene.pid(), None, "what a service manager runs is its own");
}

#[test]
fn a_hangup_reloads_and_a_termination_remembers_what_should_run() {
    let scene = Scene::with(&["a"]);
    scene.run(&["start"], 0);
    let pid = scene.pid().expect("there is a process");
    scene.watch("b", "");
    signal(pid, rustix::process::Signal::HUP);
    scene.until("watch/b", "running");
    signal(pid, rustix::process::Signal::TERM);
    wait::until("the process to end", SOON, || {
        (!is_alive(pid)).then_some(())
    });
    assert_eq!(scene.states()["watch/a"], "missing");
    scene.flow.run(&["status"]).expect(1);
    scene.run(&["sanity"], 1);
    scene.until("watch/a", "running");
    scene.until("watch/b", "running");
    scene.run(&["sanity"], 0);
}

#[test]
fn logs_are_shown_and_followed() {
    let scene = Scene::with(&["a"]);
    scene.flow.run(&["log", "watch/a"]).expect(1);
    scene.run(&["start"], 0);
    scene.until_logged("watch/a", "started");
    let text = scene.run(&["log", "watch/a", "-n", "1"], 0);
    assert_eq!(text.lines().count(), 1, "{text}");
    let own = scene.run(&["log"], 0);
    assert!(own.contains("started as process"), "{own}");
    let following = scene.flow.spawn(&["log", "watch/a", "-f", "-n", "0"]);
    scene.run(&["restart", "watch/a"], 0);
    wait::until("the log to be followed", SOON, || {
        following.stdout().contains("started").then_some(())
    });
    // A log that begins anew is followed, too.
    let path = scene.flow.state_dir().join("log/watch/a.log");
    std::fs::rename(&path, path.with_extension("log.1")).expect("it is there");
    std::fs::write(&path, "a new log\n").expect("writable");
    wait::until("the new log to be followed", SOON, || {
        following.stdout().contains("a new log").then_some(())
    });
    following.kill();
}

#[test]
fn top_is_printed_once_where_nobody_watches() {
    let scene = Scene::with(&["a"]);
    let text = scene.run(&["top"], 0);
    assert!(text.contains("watch/a"), "{text}");
    assert!(text.contains("nothing runs in the background"), "{text}");
}

#[test]
fn metrics_are_offered_where_the_environment_says() {
    let mut scene = Scene::with(&["a", "b"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("bound").to_string();
    scene.flow.env("FLOW_METRICS", "nonsense");
    let refused = scene.flow.run(&["start"]).expect(2);
    assert!(
        refused.stderr.contains("FLOW_METRICS"),
        "{}",
        refused.stderr
    );
    for (address, text) in [
        ("0.0.0.0:0", "FLOW_METRICS=0.0.0.0:0,anywhere"),
        (&taken, "in use"),
    ] {
        scene.flow.env("FLOW_METRICS", address);
        let refused = scene.flow.run(&["start"]).expect(2);
        assert!(
            refused.stderr.contains("run/no-metrics"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
        assert_eq!(scene.pid(), None);
    }
    scene.flow.env("FLOW_METRICS", "127.0.0.1:0");
    scene.run(&["start", "watch/a"], 0);
    let ask = |path: &str| background::ask(&scene.flow, path);
    let metrics = ask("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("watch/a") && metrics.contains("watch/b"));
    let health = ask("/healthz");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
}

#[test]
fn a_restart_leaves_a_run_in_the_foreground() {
    let scene = Scene::with(&["a"]);
    let running = scene.flow.spawn(&["run"]);
    scene.until("watch/a", "running");
    let pid = scene.pid().expect("there is a process");
    assert_eq!(scene.outcomes(&["restart"], 0)["watch/a"], "restarted");
    assert_eq!(scene.pid(), Some(pid));
    assert_eq!(scene.states()["watch/a"], "running");
    running.terminate();
    running.finish(SOON).expect(0);
}

#[test]
fn another_configuration_is_refused() {
    let scene = Scene::with(&["a"]);
    scene.run(&["start"], 0);
    let other = scene.flow.path("other");
    std::fs::create_dir_all(other.join("watch")).expect("the home is writable");
    std::fs::copy(
        scene.flow.config_dir().join("watch/a.yaml"),
        other.join("watch/b.yaml"),
    )
    .expect("it can be copied");
    let other = other.display().to_string();
    for command in ["start", "restart", "reload"] {
        let refused = scene.flow.run(&[command, "--config-dir", &other]).expect(2);
        let own = scene.flow.config_dir().display().to_string();
        let said = &refused.stderr;
        assert!(
            said.contains(&own) && said.contains(&other),
            "{command}: {said}"
        );
    }
    assert_eq!(scene.states()["watch/a"], "running");
}

#[test]
fn what_is_written_after_a_start_is_announced_however_long_the_first_look_takes() {
    const DIRECTORIES: usize = 1_000;
    let scene = Scene::with(&["a"]);
    scene.queue("xs_a");
    for directory in 0..DIRECTORIES {
        for file in 0..10 {
            scene.put("a", &format!("{directory}/old-{file}"));
        }
    }
    scene.run(&["start"], 0);
    for directory in 0..DIRECTORIES {
        scene.put("a", &format!("{directory}/new-{directory}"));
    }
    wait::until("every new file to be posted", SOON, || {
        (queue::count(&scene.flow, "xs_a") >= DIRECTORIES).then_some(())
    });
    let mut names = queue::names(&scene.flow, "xs_a");
    names.sort_unstable();
    let mut wanted: Vec<_> = (0..DIRECTORIES).map(|n| format!("new-{n}")).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "each once, and no old one");
}

#[test]
fn more_flows_than_files_may_be_open_are_refused_in_words_and_the_rest_is_in_hand() {
    let names: Vec<String> = (0..40).map(|number| format!("w{number:02}")).collect();
    let scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let start = scene.flow.command(&["start", "--format", "json"]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(start.get_program())
        .args(start.get_args());
    for (name, value) in start.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.output().expect("there is a shell");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("256 files open"), "{said}");
    assert!(said.contains("LimitNOFILE"), "{said}");
    let states = scene.states();
    let in_state = |state: &str| states.values().filter(|other| *other == state).count();
    let (running, paused) = (in_state("running"), in_state("paused"));
    assert!(running >= 10, "{states:?}");
    assert_eq!(running + paused, names.len(), "{states:?}");
    // Who makes room makes it for one that waits.
    scene.run(&["stop", "watch/w00", "watch/w01"], 0);
    scene.put("w02", "one.txt");
    scene.until_logged("watch/w02", "posted");
    scene.run(&["stop"], 0);
    assert_eq!(scene.pid(), None);
}

#[test]
fn twenty_idle_flows_are_cheap() {
    let scene = Scene::new();
    for number in 0..10 {
        scene.watch(&format!("w{number}"), "");
        let text = format!("exchange: xs_w{number}\ndirectory: ${{HOME}}/d{number}\n");
        scene.flow.add_flow(&format!("subscribe/s{number}"), &text);
    }
    let started = scene.outcomes(&["start"], 0);
    assert_eq!(started.len(), 20);
    let pid = scene.pid().expect("there is a process");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .expect("the kernel says it")
            .parse()
            .expect("a number")
    };
    // The rest is the binary itself, which depends on how it was built.
    let own = field("RssAnon:");
    assert!(own < 40_000, "twenty idle flows have {own} kB of their own");
    let threads = field("Threads:");
    assert!(threads < 80, "twenty idle flows have {threads} threads");
}
