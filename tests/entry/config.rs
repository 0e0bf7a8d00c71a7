//! What `flow check` says about listening.

use crate::with_plugin;

/// What `flow check` finds in a flow, without the places.
#[track_caller]
fn found(guest: &str, name: &str, text: &str) -> String {
    let flow = with_plugin(guest);
    flow.add_flow(name, text);
    let checked = flow.run(&["check", name]);
    format!("{}{}", checked.stdout, checked.stderr)
}

#[test]
fn a_listener_needs_a_plugin_and_a_plugin_a_listener() {
    let good = found(
        "desk",
        "flow/a",
        "listen: http://127.0.0.1:8080/x\ncallbacks: [desk]\n",
    );
    assert!(
        !good.contains("error") && !good.contains("warning"),
        "{good}"
    );
    let deaf = found("desk", "flow/a", "callbacks: [desk]\npost_exchange: xs_a\n");
    assert!(
        deaf.contains("config/nothing-listens")
            && deaf.contains("plugin `desk` answers HTTP requests, but this flow listens nowhere")
            && deaf.contains("add `listen: http://127.0.0.1:8080/name`"),
        "{deaf}"
    );
    let mute = found(
        "helper",
        "flow/a",
        "listen: http://127.0.0.1:8080/x\ncallbacks: [helper]\n",
    );
    assert!(
        mute.contains("config/nobody-answers")
            && mute.contains("no plugin of this flow answers HTTP requests"),
        "{mute}"
    );
    let mute = found(
        "desk",
        "flow/a",
        "listen: unix:/run/x.sock\ncallbacks: [desk]\n",
    );
    assert!(
        mute.contains("no plugin of this flow answers lines"),
        "{mute}"
    );
    let helper = found("helper", "flow/a", "callbacks: [helper]\n");
    assert!(
        !helper.contains("error") && !helper.contains("warning"),
        "{helper}"
    );
}

#[test]
fn addresses_are_checked() {
    for (listen, said) in [
        ("ftp://127.0.0.1/", "is nothing a flow can listen at"),
        ("unix:relative", "names no socket"),
        (
            "http://127.0.0.1/x?y",
            "has more than an address and a path",
        ),
        ("https://127.0.0.1/x", "needs the option `tlsCert`"),
    ] {
        let text = format!("listen: {listen}\ncallbacks: [desk]\n");
        let found = found("desk", "flow/a", &text);
        assert!(found.contains(said), "{listen}: {found}");
    }
    let idle = found(
        "desk",
        "flow/a",
        "listen: http://127.0.0.1:8080/x\ntlsKey: /x\ncallbacks: [desk]\n",
    );
    assert!(
        idle.contains("`tlsKey` has no effect without `listen: https://…`"),
        "{idle}"
    );
    let kind = found(
        "desk",
        "subscribe/a",
        "exchange: xs\ndownload: off\nlisten: http://127.0.0.1:1/\ncallbacks: [desk]\n",
    );
    assert!(kind.contains("a subscribe listens nowhere"), "{kind}");
}

#[test]
fn one_publisher_is_enough() {
    let twice = found(
        "poster",
        "flow/a",
        "exchange: xs_in\npost_exchange: xs_a\ncallbacks:\n  - plugin: poster\n    target: http://127.0.0.1:1\n",
    );
    assert!(
        twice.contains("config/conflict")
            && twice.contains(
                "plugin `poster` posts in place of a broker, so there is no `post_exchange`"
            ),
        "{twice}"
    );
}
