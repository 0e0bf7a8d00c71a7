//! `flow declare` and `flow cleanup`, over the built-in broker and RabbitMQ.

use flow_testkit::{Flow, RabbitMq, RabbitMqSetup, without_password};
use flow_tests::queue;
use serde_json::Value;

use crate::{post, retries, with_retries};

#[test]
fn a_declared_queue_misses_nothing() {
    let flow = Flow::new();
    flow.add_flow(
        "subscribe/news",
        "exchange: xs_news\ndirectory: ${HOME}/got\n",
    );
    let declared = flow.run(&["declare", "--format", "json"]).expect(0);
    let rows: Value = serde_json::from_str(&declared.stdout).expect("it is JSON");
    assert_eq!(rows[0]["flow"], "subscribe/news");
    assert_eq!(rows[0]["what"], "queue");
    assert_eq!(rows[0]["result"], "declared");
    post(&flow, "news", &["a", "b", "c"]);
    assert_eq!(queue::queued(&flow, "xs_news").len(), 3);
    // Declared again, nothing changes.
    flow.run(&["declare"]).expect(0);
    assert_eq!(queue::queued(&flow, "xs_news").len(), 3);
}

#[test]
fn cleanup_counts_asks_and_starts_from_nothing() {
    let flow = with_retries();
    post(&flow, "news", &["c"]);
    assert_eq!(retries(&flow, "subscribe/news"), 2);
    let dry = flow
        .run(&["cleanup", "subscribe/news", "--dry-run"])
        .expect(0);
    assert!(
        dry.stderr.contains("1 messages wait in it"),
        "{}",
        dry.stderr
    );
    assert!(dry.stderr.contains("2 messages in retry"), "{}", dry.stderr);
    let dry = flow.run(&["cleanup", "news", "--dry-run", "--format", "json"]);
    let rows: Value = serde_json::from_str(&dry.expect(0).stdout).expect("it is JSON");
    assert_eq!(rows[0]["result"], "planned");
    assert_eq!(rows[0]["waiting"], 1);
    let unasked = flow.run(&["cleanup", "subscribe/news"]).expect(2);
    assert!(
        unasked.stderr.contains("cli/not-confirmed"),
        "{}",
        unasked.stderr
    );
    assert_eq!(retries(&flow, "subscribe/news"), 2);
    let done = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(0);
    assert!(done.stdout.contains("deleted"), "{}", done.stdout);
    assert!(!flow.state_dir().join("flows/subscribe/news.db").exists());
    assert_eq!(queue::queued(&flow, "xs_news").len(), 0);
    let again = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(0);
    assert!(again.stdout.contains("absent"), "{}", again.stdout);
    assert!(flow.config_dir().join("subscribe/news.yaml").exists());
}

/// The names of the queues of the built-in broker.
fn queues(flow: &Flow) -> Vec<String> {
    let listed = flow.run(&["list", "queues", "--format", "json"]).expect(0);
    let rows: Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let rows = rows.as_array().expect("an array").iter();
    rows.filter_map(|row| row["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_removed_or_renamed_flow_leaves_no_queue_that_fills_unseen() {
    let flow = Flow::new();
    let add = |name: &str| {
        flow.add_flow(
            &format!("subscribe/{name}"),
            "exchange: xs_news\ndirectory: ${HOME}/got\n",
        );
        flow.run(&["declare"]).expect(0);
        format!("q_embedded.subscribe.{name}")
    };
    let queue = add("a");
    let owned = flow.run(&["cleanup", "--queue", &queue, "--yes"]).expect(2);
    assert!(
        owned.stderr.contains("cli/queue-in-use"),
        "{}",
        owned.stderr
    );
    let removed = flow.run(&["remove", "subscribe/a", "--yes"]).expect(0);
    let command = format!("flow cleanup --queue {queue}");
    assert!(removed.stderr.contains(&command), "{}", removed.stderr);
    assert_eq!(queues(&flow), [queue.as_str()]);
    flow.run(&["cleanup", "--queue", &queue, "--yes"]).expect(0);
    assert!(queues(&flow).is_empty());
    add("b");
    flow.run(&["remove", "subscribe/b", "--state", "--yes"])
        .expect(0);
    assert!(queues(&flow).is_empty());
    add("c");
    let renamed = flow.run(&["rename", "subscribe/c", "d"]).expect(0);
    assert!(renamed.stderr.contains("deleted"), "{}", renamed.stderr);
    assert!(queues(&flow).is_empty());
    // One that holds something stays.
    let queue = add("d");
    post(&flow, "news", &["x"]);
    let renamed = flow.run(&["rename", "subscribe/d", "e"]).expect(0);
    let command = format!("flow cleanup --queue {queue}");
    assert!(renamed.stderr.contains(&command), "{}", renamed.stderr);
    assert_eq!(queues(&flow), [queue.as_str()]);
}

#[test]
fn what_runs_is_not_cleaned_up() {
    let flow = with_retries();
    let mut running = flow.spawn(&["foreground", "subscribe/news"]);
    running.wait_for("started", std::time::Duration::from_secs(60));
    let refused = flow.run(&["cleanup", "subscribe/news", "--yes"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    let refused = flow.run(&["disable", "subscribe/news"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    let refused = flow.run(&["rename", "subscribe/news", "other"]).expect(2);
    assert!(refused.stderr.contains("run/running"), "{}", refused.stderr);
    running.terminate();
    running.finish(std::time::Duration::from_secs(60)).expect(0);
    assert_eq!(retries(&flow, "subscribe/news"), 2);
}

#[test]
fn rabbitmq_has_what_flows_need_and_keeps_what_others_use() {
    let setup = RabbitMqSetup::new().user("me", "pw-8$x", ".*", ".*", ".*");
    let broker = RabbitMq::start_with(&setup);
    let url = broker.url_for("me", "pw-8$x", "/");
    let flow = Flow::new();
    flow.credentials(&format!("{url}\n"));
    let amqp = without_password(&url);
    // Named so that what takes comes before what posts: the order of names is not that of need.
    flow.add_flow(
        "shovel/a",
        &format!(
            "broker: {amqp}\nexchange: xs_me_in\nqueueName: q_me_a\npost_broker: {amqp}\n\
             post_exchange: xs_me_out\n"
        ),
    );
    flow.add_flow(
        "shovel/b",
        &format!(
            "broker: {amqp}\nexchange: xs_me_out\nqueueName: q_me_b\nsubtopic: radar.#\n\
             post_broker: {amqp}\npost_exchange: xs_me_last\n"
        ),
    );
    let declared = flow.run(&["declare"]).expect(0);
    assert!(!declared.stdout.contains("failed"), "{}", declared.stdout);
    let names = |what: &str| {
        let said = broker.control(&[what, "name", "--silent"]);
        let mut names: Vec<String> = said
            .lines()
            .filter(|name| name.contains("_me"))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("list_queues"), ["q_me_a", "q_me_b"]);
    assert_eq!(
        names("list_exchanges"),
        ["xs_me_in", "xs_me_last", "xs_me_out"]
    );
    let bindings = broker.control(&["list_bindings", "--silent"]);
    assert!(bindings.contains("v03.radar.#"), "{bindings}");
    // `b` takes from what `a` posts to, so the exchange stays.
    let cleaned = flow.run(&["cleanup", "shovel/a", "--yes"]).expect(0);
    assert!(
        cleaned.stdout.contains("kept: `shovel/b` uses it too"),
        "{}",
        cleaned.stdout
    );
    assert_eq!(names("list_queues"), ["q_me_b"]);
    let cleaned = flow.run(&["cleanup", "*", "--yes"]).expect(0);
    assert!(!cleaned.stdout.contains("failed"), "{}", cleaned.stdout);
    assert!(names("list_queues").is_empty());
    // What flows only take from is others' business.
    assert_eq!(names("list_exchanges"), ["xs_me_in"]);
}

#[test]
fn a_broker_that_is_away_fails_its_own_pieces_alone() {
    let flow = Flow::new();
    flow.credentials("amqp://me:pw@127.0.0.1:1/\n");
    flow.add_flow(
        "subscribe/away",
        "broker: amqp://me@127.0.0.1:1/\nexchange: xs_me\ndirectory: ${HOME}/got\n",
    );
    flow.add_flow(
        "subscribe/here",
        "exchange: xs_here\ndirectory: ${HOME}/got\n",
    );
    let declared = flow.run(&["declare", "--format", "json"]).expect(1);
    let rows: Value = serde_json::from_str(&declared.stdout).expect("it is JSON");
    let results: Vec<&str> = rows
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|row| row["result"].as_str())
        .collect();
    assert_eq!(results, ["failed", "declared"]);
    assert!(!declared.stdout.contains("me:pw"), "{}", declared.stdout);
}

/// A configuration whose `users.yaml` names the server's administrator.
fn with_users(server: &RabbitMq, users: &str) -> Flow {
    let flow = Flow::new();
    let (port, api) = (server.port(), server.management_port());
    let text = format!(
        "broker: amqp://{}@127.0.0.1:{port}/pump\nmanagement: http://127.0.0.1:{api}/\nusers:\n{users}",
        RabbitMq::USER
    );
    std::fs::write(flow.config_dir().join("users.yaml"), text).expect("written");
    add_credentials(&flow, &server.url("pump"));
    flow
}

/// One more line for `credentials.conf`.
fn add_credentials(flow: &Flow, line: &str) {
    let path = flow.config_dir().join("credentials.conf");
    let before = std::fs::read_to_string(path).unwrap_or_default();
    flow.credentials(&format!("{before}{line}\n"));
}

fn rows(stdout: &str) -> Vec<(String, String, String)> {
    let rows: Value = serde_json::from_str(stdout).expect("it is JSON");
    let rows = rows.as_array().expect("an array");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .filter(|row| row["what"] == "user")
        .map(|row| {
            assert!(row["flow"].is_null(), "{row}");
            (
                text(&row["name"]),
                text(&row["result"]),
                text(&row["reason"]),
            )
        })
        .collect()
}

#[test]
fn users_are_made_with_the_rights_of_their_roles() {
    let setup = RabbitMqSetup::new()
        .vhosts(["pump"])
        .user("demoted", "pw", ".*", ".*", ".*")
        .management();
    let server = RabbitMq::start_with(&setup);
    let flow = with_users(
        &server,
        "  feed: feeder\n  al.ice: source\n  bob: subscriber\n  demoted: subscriber\n",
    );
    let line = |user: &str, password: &str| server.url_for(user, password, "pump");
    for user in ["feed", "al.ice"] {
        add_credentials(&flow, &line(user, "ge#heim"));
    }
    // Nobody has bob's password, and it is looked at first what there is.
    let declare = |arguments: &[&str]| flow.run(&[&["declare", "--users"], arguments].concat());
    let json = |arguments: &[&str], code: i32| {
        rows(
            &declare(&[&["--format", "json"], arguments].concat())
                .expect(code)
                .stdout,
        )
    };
    let named = |found: &[(String, String, String)], wanted: [(&str, &str, &str); 4]| {
        for ((name, result, reason), (user, became, why)) in found.iter().zip(wanted) {
            assert_eq!((name.as_str(), result.as_str()), (user, became), "{reason}");
            assert!(reason.contains(why), "{name}: {reason}");
        }
        assert_eq!(found.len(), 4);
    };
    let missing = "no credentials for `amqp://bob@127.0.0.1";
    named(
        &json(&["--dry-run"], 1),
        [
            ("feed", "planned", "feeder, to be made"),
            ("al.ice", "planned", "source, to be made"),
            ("bob", "failed", missing),
            (
                "demoted",
                "planned",
                "subscriber, permissions to be changed",
            ),
        ],
    );
    assert!(!server.control(&["list_users"]).contains("feed"));
    add_credentials(&flow, &line("bob", "bob"));
    let shown = declare(&[]).expect(0);
    assert!(
        shown.stdout.contains("declared: feeder, made"),
        "{}",
        shown.stdout
    );
    // Again nothing is done, the passwords are known by their hashes.
    let kept = json(&[], 0);
    assert!(
        kept.iter().all(|(_, result, _)| result == "kept"),
        "{kept:?}"
    );
    let listed = server.control(&["list_permissions", "-p", "pump"]);
    for expected in [
        "feed\t.*\t.*\t.*",
        "al.ice\t^q_al\\.ice.*|^xs_al\\.ice.*\t^q_al\\.ice.*|^xs_al\\.ice.*\t^q_al\\.ice.*|^x[lrs]_al\\.ice.*|^x.*public$",
        "bob\t^q_bob.*\t^q_bob.*|^xs_bob$\t^q_bob.*|^x[lrs]_bob.*|^x.*public$",
    ] {
        assert!(
            listed.replace("\\\\", "\\").contains(expected),
            "{expected} in\n{listed}"
        );
    }
    // They do what they are for: a source declares and posts, with the password of the line.
    flow.write("out/a", b"x");
    flow.add_flow(
        "post/a",
        &format!(
            "path: ${{HOME}}/out\npost_broker: amqp://al.ice@127.0.0.1:{}/pump\n\
             post_exchange: xs_al.ice\npost_baseUrl: http://127.0.0.1:1/\n",
            server.port()
        ),
    );
    flow.run(&["foreground", "post/a", "--once"]).expect(0);
    // Another password is put right, and so is what somebody else changed.
    server.control(&["change_password", "feed", "other"]);
    server.control(&["set_user_tags", "al.ice", "administrator", "monitoring"]);
    named(
        &json(&[], 0),
        [
            ("feed", "declared", "feeder, password changed"),
            ("al.ice", "declared", "source, tags changed"),
            ("bob", "kept", "subscriber, as it was"),
            ("demoted", "kept", "subscriber, as it was"),
        ],
    );
    server.control(&["authenticate_user", "feed", "ge#heim"]);
    server.control(&["authenticate_user", "al.ice", "ge#heim"]);
    let users = server.control(&["list_users"]);
    assert!(users.contains("al.ice\t[monitoring]"), "{users}");
}

#[test]
fn who_can_not_make_users_is_told_why() {
    let setup = RabbitMqSetup::new().vhosts(["pump"]).management();
    let server = RabbitMq::start_with(&setup.user("nobody", "pw", "", "", ""));
    let refused = |file: &str, credentials: &str, expected: &str| {
        let flow = Flow::new();
        let file = format!("{file}\nusers: {{x: source}}\n");
        std::fs::write(flow.config_dir().join("users.yaml"), file).expect("written");
        add_credentials(&flow, credentials);
        let ran = flow.run(&["declare", "--users"]).expect(1);
        assert!(
            ran.stderr.contains(expected),
            "{expected} in\n{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("s3cret") && !ran.stderr.contains("wrong-pw"));
    };
    let (port, api) = (server.port(), server.management_port());
    let broker = |user: &str, api: u16| {
        format!("broker: amqp://{user}@127.0.0.1:{port}/\nmanagement: http://127.0.0.1:{api}/")
    };
    refused(
        &broker("nobody", api),
        &server.url_for("nobody", "pw", "/"),
        "`rabbitmqctl set_user_tags nobody administrator`",
    );
    refused(
        &broker(RabbitMq::USER, api),
        &server.url_for(RabbitMq::USER, "wrong-pw", "/"),
        "refused `flow` or its password",
    );
    // The port of AMQP is none of the API, and where nobody listens there is no plugin.
    refused(
        &broker(RabbitMq::USER, port),
        &server.url("/"),
        "rabbitmq-plugins enable rabbitmq_management",
    );
    // Over TLS, with the authority the file names.
    let flow = Flow::new();
    let text = format!(
        "broker: amqp://flow@localhost:{port}/\nmanagement: https://localhost:{}/\ncaFile: {}\nusers: \
         {{x: source}}\n",
        server.management_tls_port(),
        server.ca_file().display()
    );
    std::fs::write(flow.config_dir().join("users.yaml"), text).expect("written");
    for user in ["flow", "x"] {
        let url = server.url_for(user, RabbitMq::PASSWORD, "/");
        add_credentials(&flow, &url.replace("127.0.0.1", "localhost"));
    }
    flow.run(&["declare", "--users"]).expect(0);
    let empty = Flow::new().run(&["declare", "--users"]).expect(2);
    assert!(empty.stderr.contains("cli/no-users"), "{}", empty.stderr);
}
