//! States, case by case: figures in, a word and a reason out.

use super::*;
use crate::figures::{Recent, Trouble, Waiting};

const NOW: i64 = 10_000_000;

fn limits() -> Limits {
    Limits {
        thresholds: Thresholds {
            disconnected: 80,
            hung: Duration::from_secs(450),
            idle: Duration::from_secs(900),
            lag: Duration::from_secs(30),
            reject: 80,
            retry: 1000,
            slow: 1000,
        },
        quiet: Duration::from_secs(450),
    }
}

/// Of a flow that is well and busy.
fn figures() -> Figures {
    let up = Link {
        up: true,
        since: NOW - 1_000_000,
        percent: 100.0,
    };
    Figures {
        at: NOW,
        started: Some(NOW - 1_000_000),
        last_activity: NOW,
        last_message: Some(NOW - 1_000),
        input: Some(up),
        output: Some(up),
        recent: Recent {
            messages: 100,
            ..Recent::default()
        },
        ..Figures::default()
    }
}

#[track_caller]
fn check(change: impl Fn(&mut Figures), expected: &str) {
    let mut figures = figures();
    change(&mut figures);
    let standing = Standing {
        process: Process::Running,
        instances: (1, 1),
        waits_for_vip: false,
        figures: Some(&figures),
    };
    let health = judge(&standing, &limits(), NOW);
    let reason = health.reason.unwrap_or_default();
    assert_eq!(format!("{}: {reason}", health.state), expected);
}

#[test]
fn states_follow_from_figures() {
    check(|_| {}, "running: ");
    check(|f| f.last_activity = NOW - 450_000, "running: ");
    check(
        |f| f.last_activity = NOW - 460_000,
        "hung: nothing happened for 7 min",
    );
    check(
        |f| f.last_message = Some(NOW - 901_000),
        "idle: nothing came for 15 min",
    );
    check(
        |f| {
            f.last_message = None;
            f.started = Some(NOW - 100_000);
        },
        "running: ",
    );
    check(
        |f| f.recent.transfer_rate = Some(999.4),
        "slow: 999 bytes a second while transferring",
    );
    check(|f| f.recent.transfer_rate = Some(1000.0), "running: ");
    let retry = |retry| Waiting {
        retry,
        ..Waiting::default()
    };
    check(|f| f.waiting = retry(1000), "running: ");
    check(
        |f| f.waiting = retry(1001),
        "retry: 1001 messages wait to be tried again",
    );
    check(|f| f.recent.lag = 30.0, "running: ");
    check(
        |f| f.recent.lag = 31.5,
        "lagging: messages are 31 s old when they come",
    );
    check(
        |f| f.recent.rejected_percent = 80.0,
        "reject: 80% of the messages are rejected",
    );
    check(
        |f| {
            f.recent.rejected_percent = 100.0;
            f.recent.messages = 3;
        },
        "running: ",
    );
}

#[test]
fn brokers_that_are_away_are_named() {
    let away = Link {
        up: false,
        since: NOW - 90_000,
        percent: 70.0,
    };
    check(
        |f| f.input = Some(away),
        "disconnected: the broker of `exchange` is away since 90 s",
    );
    check(
        |f| f.output = Some(away),
        "disconnected: the broker of `post_exchange` is away since 90 s",
    );
    let flapping = |percent| Link {
        up: true,
        since: NOW,
        percent,
    };
    check(|f| f.input = Some(flapping(20.5)), "running: ");
    check(
        |f| f.input = Some(flapping(20.0)),
        "disconnected: the broker of `exchange` was away 80% of the last minutes",
    );
    // An origin that does not answer is no broker: its pause says it.
    check(|f| f.origin = Some(away), "running: ");
}

#[test]
fn a_pause_says_why_and_is_not_taken_for_hanging() {
    let pause = |until| Trouble {
        reason: "the password was refused".into(),
        since: NOW - 600_000,
        until,
    };
    check(
        |f| {
            f.trouble = Some(pause(NOW + 1_000));
            f.last_activity = NOW - 600_000;
        },
        "paused: the password was refused",
    );
    // It is being tried right now.
    check(
        |f| f.trouble = Some(pause(NOW - 5_000)),
        "paused: the password was refused",
    );
    check(|f| f.trouble = Some(pause(NOW - 61_000)), "running: ");
    check(
        |f| {
            f.trouble = Some(pause(NOW + 1_000));
            f.input.as_mut().expect("it has one").up = false;
        },
        "disconnected: the password was refused",
    );
}

#[test]
fn what_was_asked_comes_before_figures() {
    let figures = Figures::default();
    let cases = [
        (Process::Disabled, "disabled"),
        (Process::Failed("no such plugin".into()), "failed"),
        (Process::Starting, "starting"),
        (Process::Stopping, "stopping"),
        (Process::Stopped, "stopped"),
        (Process::Missing, "missing"),
    ];
    for (process, expected) in cases {
        let standing = Standing {
            process,
            figures: Some(&figures),
            ..Standing::default()
        };
        let health = judge(&standing, &limits(), NOW);
        assert_eq!(health.state.to_string(), expected);
        let failed = health
            .reason
            .is_some_and(|reason| reason == "no such plugin");
        assert_eq!(failed, expected == "failed");
    }
    let foreground = Standing {
        process: Process::Foreground,
        ..Standing::default()
    };
    assert_eq!(judge(&foreground, &limits(), NOW).state, State::Foreground);
}

#[test]
fn instances_are_counted() {
    let figures = figures();
    let mut standing = Standing {
        process: Process::Running,
        instances: (1, 3),
        waits_for_vip: false,
        figures: Some(&figures),
    };
    let health = judge(&standing, &limits(), NOW);
    assert_eq!(
        health,
        Health::because(State::Partial, "1 of 3 instances run")
    );
    standing.instances = (0, 3);
    assert_eq!(judge(&standing, &limits(), NOW).state, State::Missing);
    standing.instances = (3, 3);
    standing.waits_for_vip = true;
    let health = judge(&standing, &limits(), NOW);
    assert_eq!((health.state, health.is_well()), (State::WaitVip, true));
}

#[test]
fn states_are_written_as_they_travel() {
    for state in State::ALL {
        let json = serde_json::to_string(&state).expect("a word");
        assert_eq!(json, format!("\"{state}\""));
    }
    let health = Health::because(State::Hung, "why");
    let text = serde_json::to_string(&health).expect("plain values");
    assert_eq!(text, r#"{"state":"hung","reason":"why"}"#);
}
