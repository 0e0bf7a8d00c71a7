//! The commands that look after an installation, from outside: brokers made ready and cleaned up,
//! flows disabled, edited and renamed, the dump, and what flows log.

mod brokers;
mod logs;
mod names;

use flow_testkit::Flow;
use serde_json::Value;

/// A subscribe flow with two messages in retry, because what they announce can't be fetched.
fn with_retries() -> Flow {
    let flow = Flow::new();
    flow.add_flow(
        "subscribe/news",
        "exchange: xs_news\ndirectory: ${HOME}/got\nattempts: 7\n",
    );
    flow.run(&["declare"]).expect(0);
    post(&flow, "news", &["a", "b"]);
    flow.run(&["foreground", "subscribe/news", "--once"])
        .expect(1);
    flow
}

/// Announces files of these names, which nobody serves.
fn post(flow: &Flow, name: &str, files: &[&str]) {
    for file in files {
        flow.write(&format!("out-{name}/{file}"), file.as_bytes());
    }
    flow.add_flow(
        &format!("post/{name}"),
        &format!(
            "path: ${{HOME}}/out-{name}\npost_exchange: xs_{name}\npost_baseUrl: http://127.0.0.1:1/\n\
             post_baseDir: ${{HOME}}/out-{name}\n"
        ),
    );
    let post = format!("post/{name}");
    flow.run(&["foreground", &post, "--once"]).expect(0);
    std::fs::remove_file(flow.config_dir().join(format!("{post}.yaml"))).expect("it is there");
}

/// How many messages wait to be tried again.
fn retries(flow: &Flow, name: &str) -> usize {
    let listed = flow.run(&["retry", "list", name, "--format", "json"]);
    let rows: Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    rows.as_array().expect("an array").len()
}

#[test]
fn what_is_looked_for_on_the_wrong_shelf_is_said_to_be_on_the_other() {
    let flow = with_retries();
    let id = |more: &[&str]| {
        let args = [&["retry", "list", "news", "--format", "json"], more].concat();
        let rows: Value = serde_json::from_str(&flow.run(&args).stdout).expect("it is JSON");
        rows[0]["id"].as_str().map(str::to_owned)
    };
    let waiting = id(&[]).expect("two wait");
    let said = flow
        .run(&["retry", "show", "news", &waiting, "--dead"])
        .expect(1);
    let hint = "it is no dead letter, it waits to be tried again: leave `--dead` out";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
    let said = flow.run(&["retry", "list", "news", "--dead"]).expect(0);
    let hint = "no dead letters; 2 messages to be tried again, see the list without `--dead`";
    assert!(said.stderr.contains(hint), "{}", said.stderr);

    flow.add_flow(
        "subscribe/news",
        "exchange: xs_news\ndirectory: ${HOME}/got\nattempts: 1\n",
    );
    flow.run(&["retry", "requeue", "news", "--all"]).expect(0);
    flow.run(&["foreground", "subscribe/news", "--once"])
        .expect(1);
    let dead = id(&["--dead"]).expect("two are dead");
    let said = flow.run(&["retry", "show", "news", &dead]).expect(1);
    let hint = "it is among the dead letters: add `--dead`";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
    let said = flow.run(&["retry", "list", "news"]).expect(0);
    let hint = "nothing waits to be tried again; `--dead` shows 2 dead letters";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
    let said = flow.run(&["retry", "show", "news", "nonesuch"]).expect(1);
    let hint = "`flow retry list subscribe/news` shows what there is";
    assert!(said.stderr.contains(hint), "{}", said.stderr);
}
