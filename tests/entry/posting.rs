//! `post`: a plugin is the flow's publisher.

use flow_testkit::Flow;

use crate::peer::Server;
use crate::{SOON, stop, until, with_plugin};

#[track_caller]
fn scene(server: &Server, names: &[&str]) -> Flow {
    let flow = with_plugin("poster");
    flow.add_flow(
        "flow/out",
        &format!(
            "exchange: xs_in\ncallbacks:\n  - plugin: poster\n    target: http://{}\n",
            server.address
        ),
    );
    flow.run(&["foreground", "flow/out", "--once"]).expect(0);
    for name in names {
        flow.write(&format!("files/{name}"), b"x");
    }
    flow.add_flow(
        "post/files",
        "path: ${HOME}/files\npost_baseDir: ${HOME}/files\npost_exchange: xs_in\n",
    );
    flow.run(&["foreground", "post/files"]).expect(0);
    flow
}

#[test]
fn each_message_has_a_result_of_its_own() {
    let server = Server::start(|part, before| match part.path() {
        "/bad" => (400, "", String::new()),
        "/late" if before < 3 => (503, "", String::new()),
        _ => (201, "", String::new()),
    });
    let flow = scene(&server, &["bad", "good", "late"]);
    let running = flow.spawn(&["foreground", "flow/out"]);
    let tries = |path: &str| {
        let seen = server.seen();
        let tries = seen.iter().filter(|part| part.path() == path);
        tries
            .map(|part| part.header("idempotency-key").to_owned())
            .collect::<Vec<_>>()
    };
    until("the second try", || tries("/late").len() == 2);
    stop(running);
    let late = tries("/late");
    assert_eq!(late[0], late[1], "the key is the same at every try");
    assert_eq!((tries("/good").len(), tries("/bad").len()), (1, 1));
    let listed = flow.run(&["retry", "list", "--dead", "flow/out"]).stdout;
    assert!(
        listed.contains("refused with 400") && !listed.contains("late"),
        "{listed}"
    );
}

#[test]
fn what_could_not_be_posted_is_not_lost() {
    let server = Server::start(|_, _| (500, "", String::new()));
    let flow = scene(&server, &["a", "b"]);
    flow.run(&["foreground", "flow/out", "--once"]).expect(1);
    let listed = flow.run(&["retry", "list", "flow/out"]).stdout;
    assert!(listed.matches("answered 500").count() == 2, "{listed}");
}

#[test]
fn a_poster_that_falls_over_often_pauses_the_flow() {
    let server = Server::start(|_, _| (418, "", String::new()));
    let flow = scene(&server, &["a", "b", "c", "d", "e", "f"]);
    let mut running = flow.spawn(&["foreground", "flow/out"]);
    // Together once, then each by itself.
    running.wait_for("a plugin failed 5 times within a minute", SOON);
    stop(running);
    let listed = flow.run(&["retry", "list", "flow/out"]).stdout;
    assert_eq!(listed.matches("crashed in `post`").count(), 6, "{listed}");
}
