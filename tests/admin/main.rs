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
