//! Plugins that their author signed: what is taken, kept and refused, from `add` to the flow.
//!
//! The plugin is the one kept of contract 0.1.0, which never changes, so that its signature was made
//! once, with minisign 0.11 of Debian: `minisign -S -m contract.wasm`.

use std::path::Path;

use flow_testkit::{Finished, Flow};
use serde_json::Value;

const KEY: &str = "RWTkXw10pjaLjD8H0kf0QJT9OigfgS2OarnKDHom8Rt/TxdkOfq9EFod";
const OTHER: &str = "RWSvDqkkUhA1Ne4MDufUyqETY4R10Y3WksuVm/cHTG1yravgPnjbTgi9";
const SIGNATURE: &str = "\
untrusted comment: signature from minisign secret key
RUTkXw10pjaLjN1SzGG2H7RZaY61E5YgGcOidGrl7houvKUictzfJS4546Z+JKTCkK4UpxPY+/qtuM37UmpgjPvCn6TpITztogU=
trusted comment: contract 0.1.0, as released
hUnFbunZh1gtKNaHQzHfk71RRuKJNNISIv+I7PgVM7sF9PPwrjcBDP315FjR96BbhPFm2vNAFycGSdcMqzoxCQ==
";

/// An installation, and the plugin with its signature beside it.
fn scene() -> Flow {
    let flow = Flow::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/0.1.0.wasm");
    let bytes = std::fs::read(kept).expect("it is kept");
    flow.write("contract.wasm", &bytes);
    flow.write("contract.wasm.minisig", SIGNATURE.as_bytes());
    flow
}

fn add(flow: &Flow, more: &[&str]) -> Finished {
    flow.run(&[&["plugin", "add", "contract.wasm"], more].concat())
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

/// Adds a flow that asks for the key.
fn asks(flow: &Flow, key: &str) {
    let text = format!(
        "pollUrl: file:///\npath: ${{HOME}}/in\ndownload: off\ncallbacks:\n  - plugin: contract\n    minisign: {key}\n"
    );
    flow.add_flow("flow/a", &text);
}

#[test]
fn a_signed_plugin_is_added_with_its_signature_and_runs_where_the_key_is_asked_for() {
    let flow = scene();
    let added = add(&flow, &["--minisign", KEY]).expect(0);
    contains(
        &added.stderr,
        &[
            "its signature fits the key: contract 0.1.0, as released",
            &format!("`minisign: {KEY}`"),
        ],
    );
    assert!(!added.stdout.contains("unchecked"), "{}", added.stdout);
    let kept = flow.config_dir().join("plugins/contract.wasm.minisig");
    assert_eq!(
        std::fs::read_to_string(&kept).expect("it is kept"),
        SIGNATURE
    );
    let shown = flow.run(&["plugin", "show", "contract"]).expect(0).stdout;
    contains(
        &shown,
        &["signature     says it is of key 8C8B36A6740D5FE4, unchecked"],
    );
    let shown = flow
        .run(&["plugin", "show", "contract", "--format", "json"])
        .expect(0);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["signed_by"], "8C8B36A6740D5FE4");

    asks(&flow, KEY);
    flow.run(&["check", "flow/a"]).expect(0);
    let ran = flow.run(&["foreground", "flow/a", "--once"]);
    contains(&ran.stderr, &["started as flow of flow/a"]);

    asks(&flow, OTHER);
    contains(
        &flow.run(&["check", "flow/a"]).expect(1).stdout,
        &[
            "error[config/plugin-unsigned]: plugin `contract` is not signed with the key this flow asks for",
            "contract.wasm.minisig was made with the key 8C8B36A6740D5FE4, and 3535105224A90EAF is asked for",
            "hint: ask the plugin's author which key is theirs, by another way than the one the file came",
        ],
    );
    asks(&flow, "RWQ");
    contains(
        &flow.run(&["check", "flow/a"]).expect(1).stdout,
        &["error[config/bad-value]: `minisign` is a public key of minisign, and this is none"],
    );

    // Another file under the signature: nothing of it is looked at.
    asks(&flow, KEY);
    let place = flow.config_dir().join("plugins/contract.wasm");
    std::fs::write(&place, "anything").expect("the home is writable");
    let refused = flow.run(&["foreground", "flow/a", "--once"]).expect(2);
    contains(
        &refused.stderr,
        &["config/plugin-unsigned", "does not fit the file"],
    );
    assert!(
        !refused.stderr.contains("plugin-unusable"),
        "{}",
        refused.stderr
    );
    let explained = flow.run(&["explain", "config/plugin-unsigned"]).expect(0);
    contains(&explained.stdout, &["flow plugin add FILE"]);

    flow.run(&["plugin", "remove", "contract", "--force"])
        .expect(0);
    assert!(!kept.exists());
}

#[test]
fn what_is_not_signed_is_not_added() {
    let flow = scene();
    let refused = add(&flow, &["--minisign", OTHER]).expect(2);
    contains(
        &refused.stderr,
        &[
            "error[plugin/unsigned]: contract.wasm is not signed with this key",
            "was made with the key 8C8B36A6740D5FE4",
            "nothing was added",
        ],
    );
    let refused = add(&flow, &["--minisign", "RWQ"]).expect(2);
    contains(&refused.stderr, &["`RWQ` is no public key of minisign"]);
    flow.write("contract.wasm.minisig", b"hello");
    let refused = add(&flow, &["--minisign", KEY]).expect(2);
    contains(
        &refused.stderr,
        &["contract.wasm.minisig is no signature of minisign"],
    );
    std::fs::remove_file(flow.path("contract.wasm.minisig")).expect("it is there");
    let refused = add(&flow, &["--minisign", KEY]).expect(2);
    contains(
        &refused.stderr,
        &["there is no signature in contract.wasm.minisig"],
    );
    assert!(!flow.config_dir().join("plugins").exists());

    // Without a key, a signature is kept; a plugin without one leaves none of its predecessor.
    flow.write("contract.wasm.minisig", SIGNATURE.as_bytes());
    let added = add(&flow, &[]).expect(0);
    contains(&added.stderr, &["its signature was kept and not checked"]);
    std::fs::remove_file(flow.path("contract.wasm.minisig")).expect("it is there");
    add(&flow, &["--force"]).expect(0);
    asks(&flow, KEY);
    contains(
        &flow.run(&["check", "flow/a"]).expect(1).stdout,
        &[
            "there is no signature in",
            "hint: get it from the plugin's author",
        ],
    );
    // What comes with the program has none.
    flow.add_flow(
        "flow/a",
        &format!("pollUrl: file:///\npath: ${{HOME}}/in\ndownload: off\ncallbacks:\n  - plugin: delay\n    minisign: {KEY}\n"),
    );
    contains(
        &flow.run(&["check", "flow/a"]).expect(1).stdout,
        &["it is inside this flow program, and has no signature of its own"],
    );
}
