//! What a person reads when a flow asks wrongly for what is outside it: plugins, brokers, addresses.

mod common;

use common::refused;

#[track_caller]
fn check(name: &str, text: &str, expected: &str) {
    assert_eq!(refused(name, text), expected.trim_start_matches('\n'));
}

#[test]
fn plugin_options_are_checked_by_their_manifest() {
    check(
        "flow/x",
        "\
exchange: x
callbacks:
  - plugin: api
    tokn: geheim
    tries: ab
    largest: 10
    pattern: '(?=x)'
    sleep: 3s
    limits: {deadline: 0, memory: 1k, cpu: 1}
  - after: keep
",
        "
error[config/missing-option]: plugin `api` needs the option `url`
  --> flow/x.yaml:3:13
    |
  3 |   - plugin: api
    |             ^^^ add `url:`
    = hint: for example `url: https://api.example.com/`
    = hint: `flow plugin show api` says what it is for

error[config/unknown-option]: `tokn` is not an option of plugin `api`
  --> flow/x.yaml:4:5
    |
  4 |     tokn: ****
    |     ^^^^ did you mean `token`?
    = hint: `flow plugin show api` lists every option with its default

error[config/wrong-type]: `tries` is a whole number, and `ab` is none
  --> flow/x.yaml:5:12
    |
  5 |     tries: ab
    |            ^^ write digits only, such as `100`

error[config/missing-unit]: `largest` needs a unit
  --> flow/x.yaml:6:14
    |
  6 |     largest: 10
    |              ^^ write `10B`, `10k` or `10MiB`

error[config/bad-regex]: `pattern` is not a regular expression: look-around, including look-ahead and look-behind, is not supported
  --> flow/x.yaml:7:15
    |
  7 |     pattern: '(?=x)'
    |               ^^^
    = hint: use an earlier rule that rejects what must not match

error[config/unknown-option]: `sleep` is not an option of plugin `api`
  --> flow/x.yaml:8:5
    |
  8 |     sleep: 3s
    |     ^^^^^ it is an option of the flow: move it out of `callbacks`
    = hint: `flow plugin show api` lists every option with its default

error[config/out-of-range]: `deadline` can't be zero
  --> flow/x.yaml:9:24
    |
  9 |     limits: {deadline: 0, memory: 1k, cpu: 1}
    |                        ^ write a time span such as `60s`

error[config/out-of-range]: `memory` is out of range
  --> flow/x.yaml:9:35
    |
  9 |     limits: {deadline: 0, memory: 1k, cpu: 1}
    |                                   ^^ write a size from `1MiB` to `4GiB`

error[config/unknown-option]: `cpu` is not a limit
  --> flow/x.yaml:9:39
    |
  9 |     limits: {deadline: 0, memory: 1k, cpu: 1}
    |                                       ^^^
    = hint: limits are `deadline`, `memory` and `output`

error[config/missing-option]: a callback needs the name of its plugin
  --> flow/x.yaml:10:5
    |
 10 |   - after: keep
    |     ^^^^^^^^^^^ add `plugin:`
    = hint: for example `- plugin: reader`; `flow list plugins` shows what there is
",
    );
}

#[test]
fn brokers_and_addresses() {
    check(
        "flow/x",
        "\
exchange: x
broker: amqp1://me@h/
post_exchange: y
post_broker: embedded
allow: {connect: [a, 'https://h/'], htpp: ['b:1'], secrets: [x]}
header: {size: 1}
",
        "
error[config/unsupported-broker]: `broker` names a broker of AMQP 1.0, which this version can't use
  --> flow/x.yaml:2:9
    |
  2 | broker: amqp1://me@h/
    |         ^^^^^^^^^^^^^ use AMQP 0-9-1, `amqp:`, which most such brokers speak as well

error[config/bad-url]: `post_broker` is a URL, so it ends in a colon
  --> flow/x.yaml:4:14
    |
  4 | post_broker: embedded
    |              ^^^^^^^^ write `embedded:`

error[config/bad-value]: `connect` needs a port
  --> flow/x.yaml:5:19
    |
  5 | allow: {connect: [a, 'https://h/'], htpp: ['b:1'], secrets: [x]}
    |                   ^ write `a:443`, or `a:*` for any

error[config/bad-value]: `connect` takes addresses, not URLs
  --> flow/x.yaml:5:22
    |
  5 | allow: {connect: [a, 'https://h/'], htpp: ['b:1'], secrets: [x]}
    |                      ^^^^^^^^^^^^ write host and port: `data.example.com:993`

error[config/unknown-option]: `htpp` is nothing that can be allowed
  --> flow/x.yaml:5:37
    |
  5 | allow: {connect: [a, 'https://h/'], htpp: ['b:1'], secrets: [x]}
    |                                     ^^^^ did you mean `http`?
    = hint: there are `connect` and `http` for addresses, and `secrets` for URLs with credentials

error[config/bad-url]: `secrets` is not a URL: it has no scheme
  --> flow/x.yaml:5:62
    |
  5 | allow: {connect: [a, 'https://h/'], htpp: ['b:1'], secrets: [x]}
    |                                                              ^
    = hint: a URL looks like `https://me%40example.com@data.example.com/new`; an `@` in the user is `%40`

error[config/bad-value]: `header` can't set `size`
  --> flow/x.yaml:6:10
    |
  6 | header: {size: 1}
    |          ^^^^ the engine fills it in for every message
",
    );
}

#[test]
fn a_pinned_plugin_is_that_file_or_none() {
    use common::{Pinned, load_pinned};
    let pinned = Pinned(common::plugins());
    let file =
        |pin: &str| format!("exchange: x\ncallbacks:\n  - plugin: decode\n    sha256: {pin}\n");
    // Upper case is the same number.
    let loaded = load_pinned("flow/x", &file(&"AB".repeat(32)), &pinned).expect("it is the one");
    assert_eq!(
        loaded.flow.callbacks[0].sha256.as_deref(),
        Some("ab".repeat(32).as_str())
    );
    let shown = loaded.flow.settings.iter();
    let mut shown = shown.filter(|setting| setting.name == "callbacks[0].sha256");
    assert_eq!(shown.next().expect("shown").value, "ab".repeat(32));
    let refused = |pin: &str| {
        let report = load_pinned("flow/x", &file(pin), &pinned).expect_err("refused");
        report.render(false)
    };
    assert_eq!(
        refused(&"cd".repeat(32)),
        format!(
            "\
error[config/plugin-changed]: plugin `decode` is not the file this flow asks for
  --> flow/x.yaml:4:13
    |
  4 |     sha256: {wanted}
    |             {carets} the flow asks for this one
    = note: the one in /plugins/decode.wasm has the sha256 {there}
    = hint: put the former file back; or, if the new one is meant, look at what it asks for (`flow plugin show`) and write its number here
",
            wanted = "cd".repeat(32),
            there = "ab".repeat(32),
            carets = "^".repeat(64),
        )
    );
    // Whether that would send is not known: nothing else is said to be wrong.
    let sending = format!("sendTo: odd://example.org/\n{}", file(&"cd".repeat(32)));
    let report = load_pinned("flow/x", &sending, &pinned).expect_err("refused");
    let report = report.render(false);
    assert!(!report.contains("nobody-sends"), "{report}");
    assert_eq!(
        refused("latest"),
        "\
error[config/bad-value]: `sha256` is 64 hexadecimal digits, and this is something else
  --> flow/x.yaml:4:13
    |
  4 |     sha256: latest
    |             ^^^^^^ write what `flow plugin show decode` prints
"
    );
}

#[test]
fn a_plugin_without_a_scheme_does_not_send_to_one() {
    let load = |schemes: &[&str]| {
        let mut plugins = common::plugins();
        let decode = plugins.get_mut("decode").expect("it is there");
        decode.entry_points.push("send".into());
        decode.schemes = schemes.iter().map(|&scheme| scheme.into()).collect();
        let text = "sendTo: odd://example.org/\ncallbacks: [decode]\n";
        common::load_pinned("flow/x", text, &common::Pinned(plugins))
    };
    let report = load(&[]).expect_err("refused").render(false);
    assert!(report.contains("error[config/nobody-sends]"), "{report}");
    assert!(load(&["odd"]).is_ok());
}

#[test]
fn a_plugin_is_signed_with_the_key_or_not_used() {
    use common::{Pinned, load_pinned};
    let pinned = Pinned(common::plugins());
    let file =
        |key: &str| format!("exchange: x\ncallbacks:\n  - plugin: decode\n    minisign: {key}\n");
    let loaded = load_pinned("flow/x", &file("RWmine"), &pinned).expect("it is signed");
    assert_eq!(loaded.flow.callbacks[0].minisign.as_deref(), Some("RWmine"));
    let refused = |key: &str| {
        let report = load_pinned("flow/x", &file(key), &pinned).expect_err("refused");
        report.render(false)
    };
    assert_eq!(
        refused("RWother"),
        "\
error[config/plugin-unsigned]: plugin `decode` is not signed with the key this flow asks for
  --> flow/x.yaml:4:15
    |
  4 |     minisign: RWother
    |               ^^^^^^^ the flow asks for this key
    = note: there is no signature in /plugins/decode.wasm.minisig
    = hint: get it
"
    );
    assert_eq!(
        refused("somebody"),
        "\
error[config/bad-value]: `minisign` is a public key of minisign, and this is none
  --> flow/x.yaml:4:15
    |
  4 |     minisign: somebody
    |               ^^^^^^^^ a line of 56 characters that begins with `RW`
"
    );
}
