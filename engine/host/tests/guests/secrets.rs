//! Credentials: who gets them, and that they stay out of the log.

use flow_config::SafeUrl;
use flow_host::FlowPlugins;
use flow_runtime::ports::{Callback, CallbackFactory, Failure};

use crate::support::{Log, World, callback, catalogue, flow, plugin_failure, state};

const URL: &str = "test://me@origin.example/";

async fn blab(world: World, url: &str) -> Box<dyn Callback> {
    let mut flow = flow("blab", &[("url", url)]);
    flow.own_urls.push(SafeUrl::parse(URL).expect("a URL"));
    let plugins =
        FlowPlugins::new(catalogue(), &flow, &world.surroundings()).expect("the plugin loads");
    plugins.create(0, 0).await.expect("an instance")
}

#[tokio::test]
async fn secrets_do_not_reach_the_log() {
    let log = Log::capture();
    let world = World::default().with_credential(URL, "me", "hunter2-secret", Some("tok3n-secret"));
    let events = world.events.clone();
    let mut callback = blab(world, URL).await;
    // In a failure a person will read,
    let failure = callback.gather(10, state()).await.expect_err("it fails");
    assert_eq!(
        failure,
        Failure::Auth("the server did not like ****".into())
    );
    // on the way out of a trap,
    let text = plugin_failure(callback.gather(1, state()).await);
    assert!(text.contains("panicking with ****"), "{text}");
    // in log lines and what was printed,
    let log = log.text();
    assert!(log.contains("user me password ****"), "{log}");
    assert!(
        log.contains("stdout ****") && log.contains("token ****"),
        "{log}"
    );
    // and in progress.
    let events = events.lock().expect("not poisoned").join("\n");
    assert!(events.contains("logging in with ****"), "{events}");
    for (what, text) in [("log", &log), ("failure", &text), ("events", &events)] {
        assert!(
            !text.contains("secret"),
            "a secret is in the {what}: {text}"
        );
    }
}

#[tokio::test]
async fn credentials_of_other_hosts_are_refused() {
    let world =
        World::default().with_credential("amqp://root@broker.example/", "root", "hunter2", None);
    let mut callback = blab(world, "amqp://root:x@broker.example/").await;
    let failure = callback.gather(10, state()).await.expect_err("it fails");
    assert_eq!(
        failure,
        Failure::Config(
            "plugin `blab` may not have the credentials for `amqp://root@broker.example/` [plugin/secret-denied]\n  \
             = note: a flow gives its plugins the credentials for the hosts of its own URLs, of `allow.connect` and of `allow.http`\n  \
             = note: if an option of the plugin names this URL, its author can spare flows that: make the option a `url`\n  \
             = hint: add `allow: { secrets: ['amqp://root@broker.example/'] }` to the flow if this plugin should have them"
                .into()
        )
    );
}

#[tokio::test]
async fn there_are_no_credentials_of_what_is_no_host() {
    let mut callback = blab(World::default(), "origin.example").await;
    let failure = callback.gather(10, state()).await.expect_err("it fails");
    assert_eq!(
        failure,
        Failure::Config(
            "plugin `blab` asked for credentials of something that is no URL with a host [plugin/secret-denied]"
                .into()
        )
    );
}

#[tokio::test]
async fn missing_credentials_are_said_in_the_words_of_who_looked() {
    let mut callback = blab(World::default(), URL).await;
    let failure = callback.gather(10, state()).await.expect_err("it fails");
    assert_eq!(
        failure,
        Failure::Config(format!(
            "there are no credentials for `{URL}` in credentials.conf"
        ))
    );
}

#[tokio::test]
async fn a_plugin_that_does_not_ask_gets_none() {
    let mut undeclared = callback(&flow("undeclared", &[])).await;
    let failure = undeclared.gather(1, state()).await.expect_err("it fails");
    assert_eq!(
        failure,
        Failure::Config(
            "plugin `undeclared` may not have the credentials for `test://example.org/` [plugin/secret-denied]\n  \
             = note: its manifest does not ask for `secrets`\n  \
             = hint: this is for the plugin's author to correct: add `secrets` to `grants`"
                .into()
        )
    );
}
