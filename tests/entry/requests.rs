//! `request`: webhooks, answered when their messages are safe.

use std::time::Duration;

use flow_testkit::{Flow, Running};
use flow_tests::queue;

use crate::peer::Client;
use crate::{SOON, stop, until, with_plugin};

const FLOW: &str =
    "listen: http://127.0.0.1:0/hooks\nbodyMax: 1MiB\npost_exchange: xs_hooks\ncallbacks: [desk]\n";

#[track_caller]
pub(crate) fn scene() -> Flow {
    let flow = with_plugin("desk");
    queue::declare(&flow, "xs_hooks");
    flow.add_flow("flow/hooks", FLOW);
    flow
}

/// Starts the flow; the address it listens at.
#[track_caller]
pub(crate) fn listen(flow: &Flow, name: &str) -> (Running, String) {
    let mut running = flow.spawn(&["foreground", name, "--log-level", "debug"]);
    let line = running.wait_for("Listening.", SOON);
    let address = line
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_else(|| panic!("an address in {line}"));
    (running, address.to_owned())
}

#[test]
fn requests_become_messages_and_are_answered() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let mut client = Client::connect(&address);
    let echo = client
        .ask("PUT", "/hooks/echo?a=b", "data")
        .expect("an answer");
    assert_eq!(echo.status(), 200);
    assert!(
        echo.body
            .starts_with("PUT /echo?a=b data [host=flow, x-test=yes, "),
        "{}",
        echo.body
    );
    assert_eq!(echo.header("content-type"), "text/plain");
    for number in 0..20 {
        let path = format!("/hooks/order/{number}");
        assert_eq!(
            client
                .ask("POST", &path, "text")
                .expect("an answer")
                .status(),
            202
        );
    }
    until("posts", || queue::names(&flow, "xs_hooks").len() == 20);
    let posted = queue::queued(&flow, "xs_hooks");
    assert_eq!(
        (posted[0].rel_path.as_str(), &posted[0].extra["text"]),
        ("order/0", &"text".into())
    );
    for (path, status) in [("/", 404), ("/hook", 404), ("/hookss", 404)] {
        let answer = Client::connect(&address)
            .ask("GET", path, "")
            .expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    stop(running);
}

#[test]
fn what_was_answered_with_success_survives_kill_9() {
    let flow = scene();
    let mut expected = Vec::new();
    for round in 0..3 {
        let (running, address) = listen(&flow, "flow/hooks");
        let mut client = Client::connect(&address);
        for number in 0..10 {
            let name = format!("{round}-{number}");
            let answer = client
                .ask("POST", &format!("/hooks/{name}"), "")
                .expect("an answer");
            assert_eq!(answer.status(), 202);
            expected.push(name);
        }
        running.kill();
    }
    flow.run(&["foreground", "flow/hooks", "--once"]).expect(0);
    let mut names = queue::names(&flow, "xs_hooks");
    names.sort();
    assert_eq!(names, expected, "each exactly once");
}

#[test]
fn a_plugin_that_falls_over_costs_its_request_and_nothing_else() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let mut client = Client::connect(&address);
    for path in ["/hooks/trap", "/hooks/broken", "/hooks/kept?trap"] {
        let answer = client.ask("POST", path, "").expect("an answer");
        assert_eq!(
            (answer.status(), answer.body.as_str()),
            (500, "something went wrong here\n")
        );
    }
    let busy = client.ask("POST", "/hooks/busy", "").expect("an answer");
    assert_eq!((busy.status(), busy.header("retry-after")), (503, "7"));
    assert_eq!(
        client
            .ask("POST", "/hooks/next", "")
            .expect("an answer")
            .status(),
        202
    );
    // What was submitted before the fall is safe.
    until("posts", || {
        queue::names(&flow, "xs_hooks") == ["kept", "next"]
    });
    let log = stop(running);
    assert!(
        log.contains("the desk fell over") && log.contains("too much to do"),
        "{log}"
    );
}

#[test]
fn bodies_heads_and_trickles_have_limits() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let large = "x".repeat((1 << 20) + 1);
    let answer = Client::connect(&address).ask("POST", "/hooks/a", &large);
    // Told before everything was sent, a client may see the connection go instead.
    assert!(answer.is_none_or(|answer| answer.status() == 413));
    let mut chunked = Client::connect(&address);
    chunked.say("POST /hooks/a HTTP/1.1\r\nHost: flow\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 19, "y".repeat(1 << 19));
    (0..3).for_each(|_| chunked.say(&chunk));
    assert!(chunked.answer().is_none_or(|answer| answer.status() == 413));
    let most = "x".repeat(1 << 20);
    let answer = Client::connect(&address).ask("POST", "/hooks/most", &most);
    assert_eq!(answer.expect("an answer").status(), 202);
    let mut head = Client::connect(&address);
    head.say(&format!(
        "GET /hooks/a HTTP/1.1\r\nX: {}\r\n\r\n",
        "h".repeat(1 << 17)
    ));
    assert!(head.answer().is_none_or(|answer| answer.status() == 431));
    // Somebody who only begins keeps nobody else out.
    let mut slow: Vec<Client> = (0..100).map(|_| Client::connect(&address)).collect();
    slow.iter_mut()
        .for_each(|client| client.say("POST /hooks/slow HTTP/1.1\r\nHo"));
    let answer = Client::connect(&address).ask("POST", "/hooks/quick", "");
    assert_eq!(answer.expect("an answer").status(), 202);
    stop(running);
}

#[test]
fn many_at_once_are_all_answered() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut client = Client::connect(&address);
                for number in 0..25 {
                    let path = format!("/hooks/{thread}-{number}");
                    assert_eq!(
                        client.ask("POST", &path, "").expect("an answer").status(),
                        202
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("all were answered");
    }
    until("posts", || queue::names(&flow, "xs_hooks").len() == 200);
    stop(running);
}

#[test]
fn two_flows_share_an_address_in_the_background() {
    let flow = scene();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    for (name, path) in [("a", "/hooks"), ("b", "/hooks/inner")] {
        flow.add_flow(
            &format!("flow/{name}"),
            &format!("listen: http://127.0.0.1:{port}{path}\npost_exchange: xs_{name}\ncallbacks: [desk]\n"),
        );
    }
    flow.run(&["start", "flow/a", "flow/b"]).expect(0);
    let address = format!("127.0.0.1:{port}");
    until("both listen", || {
        let ask = |path: &str| {
            let _ = std::net::TcpStream::connect(&address).ok()?;
            Client::connect(&address).ask("GET", path, "")
        };
        let said = |path: &str, text: &str| {
            ask(path).is_some_and(|answer| answer.status() == 200 && answer.body.contains(text))
        };
        said("/hooks/echo", "GET /echo") && said("/hooks/inner/echo", "GET /echo")
    });
    // One goes, the other stays.
    flow.run(&["stop", "flow/b"]).expect(0);
    let below = Client::connect(&address)
        .ask("POST", "/hooks/inner/echo", "")
        .expect("an answer");
    assert_eq!(below.status(), 202, "it is a path of the other one now");
    flow.run(&["stop"]).expect(0);
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn https_shows_the_certificate_and_an_address_in_use_is_said() {
    let flow = scene();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let own = format!("listen=http://{address}/x");
    let mut running = flow.spawn(&["foreground", "flow/hooks", "--set", &own]);
    let line = running.wait_for("can't listen", SOON);
    assert!(
        line.contains(&format!(
            "the flow can't listen at `{address}`: another program listens there"
        )),
        "{line}"
    );
    running.finish(Duration::from_secs(60)).expect(2);
    flow.write("cert.pem", b"nonsense");
    let files = ["tlsCert=${HOME}/cert.pem", "tlsKey=${HOME}/cert.pem"];
    let wrong = flow.run(&[
        "foreground",
        "flow/hooks",
        "--set",
        "listen=https://127.0.0.1:0/x",
        "--set",
        files[0],
        "--set",
        files[1],
    ]);
    assert!(
        wrong
            .expect(2)
            .stderr
            .contains("there is no certificate in it")
    );
}
