//! What stands in the way, said so that a person can act on it.

use std::io::{Read, Write};
use std::net::TcpListener;

use flow_testkit::Flow;

#[track_caller]
fn refused(flow: &Flow, arguments: &[&str], shown: &[&str]) {
    let finished = flow.run(arguments).expect(2);
    for text in shown {
        assert!(
            finished.stderr.contains(text),
            "no `{text}` in\n{}",
            finished.stderr
        );
    }
}

#[test]
fn a_project_is_made_only_where_and_as_it_can_be() {
    let flow = Flow::new();
    refused(
        &flow,
        &["plugin", "new", "GeoFence"],
        &["error[plugin/bad-name]", "did you mean `geo-fence`?"],
    );
    refused(
        &flow,
        &["plugin", "new", "../up"],
        &["error[plugin/bad-name]"],
    );
    refused(
        &flow,
        &["plugin", "new", "x", "--lang", "cobol"],
        &[
            "error[plugin/language]",
            "there are no templates for `cobol`",
            "rust",
        ],
    );
    refused(
        &flow,
        &["plugin", "new", "x", "--entry", "after_acept"],
        &["error[plugin/entry-point]", "did you mean `after_accept`?"],
    );
    flow.write("full/file", b"");
    refused(
        &flow,
        &["plugin", "new", "full"],
        &[
            "error[plugin/exists]",
            "full can't become the project: it is not empty",
            "nothing was written",
        ],
    );
    flow.run(&["plugin", "new", "full", "--dir", "empty"])
        .expect(0);
    assert!(flow.path("empty/flow-plugin.toml").is_file());
    assert!(!flow.path("full/flow-plugin.toml").exists());
}

#[test]
fn a_build_says_what_it_lacks() {
    let mut flow = Flow::new();
    refused(
        &flow,
        &["plugin", "build", "nowhere"],
        &["error[plugin/no-project]", "there is no folder nowhere"],
    );
    flow.write("bare/file", b"");
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &["error[plugin/no-project]", "`flow-plugin.toml`"],
    );
    flow.write(
        "bare/flow-plugin.toml",
        b"name = \"bare\"\nlang = \"rust\"\n",
    );
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &[
            "error[plugin/project]",
            "bare/flow-plugin.toml:2: unknown field `lang`",
        ],
    );
    flow.write("bare/flow-plugin.toml", b"name = \"bare\"\n");
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &["names no `language`"],
    );
    let steps = "name = \"bare\"\nsteps = [[\"sh\", \"-c\", \"echo no luck; exit 3\"]]\ncomponent = \"x.wasm\"\n";
    flow.write("bare/flow-plugin.toml", steps.as_bytes());
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &["no luck", "error[plugin/build]", "exit status: 3"],
    );
    flow.write(
        "bare/flow-plugin.toml",
        steps.replace("exit 3", "true").as_bytes(),
    );
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &["the build made no component", "`component = "],
    );
    flow.write(
        "bare/flow-plugin.toml",
        steps.replace("exit 3", "echo nonsense > x.wasm").as_bytes(),
    );
    refused(
        &flow,
        &["plugin", "build", "bare"],
        &["error[plugin/not-a-component]"],
    );
    refused(
        &flow,
        &["plugin", "test", "bare"],
        &["error[plugin/no-test]"],
    );

    flow.run(&["plugin", "new", "geofence"]).expect(0);
    flow.env("PATH", "/nonexistent");
    refused(
        &flow,
        &["plugin", "build", "geofence"],
        &[
            "error[plugin/toolchain]",
            "building a plugin in Rust takes cargo, which is not here",
            "hint: install it: curl",
        ],
    );
}

#[test]
fn a_project_and_its_plugin_have_one_name() {
    let flow = Flow::new();
    flow.write("p/made.wasm", &shipped(&flow, "delay"));
    let said = "name = \"later\"\nsteps = []\ncomponent = \"made.wasm\"\n";
    flow.write("p/flow-plugin.toml", said.as_bytes());
    let shown = [
        "error[plugin/project]: the plugin calls itself `delay`, and its project is `later`",
        "note: the project's name is in p/flow-plugin.toml, the plugin's in its sources",
        "hint: write the same name in both",
    ];
    refused(&flow, &["plugin", "build", "p"], &shown);
    flow.write("p/tests/one.yaml", b"steps: []\n");
    refused(&flow, &["plugin", "test", "p"], &shown);
}

#[test]
fn a_signature_of_an_earlier_build_is_pointed_at() {
    let flow = Flow::new();
    flow.write("p/made.wasm", &shipped(&flow, "delay"));
    let said = "name = \"delay\"\nsteps = []\ncomponent = \"made.wasm\"\n";
    flow.write("p/flow-plugin.toml", said.as_bytes());
    let warning = "warning: p/delay.wasm.minisig is the signature of an earlier build: sign again";
    let unsigned = flow.run(&["plugin", "build", "p"]).expect(0).stderr;
    assert!(!unsigned.contains("warning"), "{unsigned}");
    flow.write("p/delay.wasm.minisig", b"of the build before");
    let signature = std::fs::File::options()
        .write(true)
        .open(flow.path("p/delay.wasm.minisig"));
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let dated = signature.and_then(|file| file.set_modified(before));
    dated.expect("the temporary directory is writable");
    let signed = flow.run(&["plugin", "build", "p"]).expect(0).stderr;
    assert!(signed.contains(warning), "{signed}");
}

#[test]
fn hints_look_where_the_command_looked() {
    let flow = Flow::new();
    flow.write(
        "other/flow/a.yaml",
        b"pollUrl: file:///\npath: /in\ndownload: off\ncallbacks:\n  - plugin: nothing\n",
    );
    let checked = flow.run(&["--config-dir", "other", "check"]).expect(1);
    assert!(
        checked
            .stdout
            .contains("flow --config-dir other list plugins` shows what there is"),
        "{}",
        checked.stdout
    );
}

/// A shipped plugin's component.
fn shipped(flow: &Flow, plugin: &str) -> Vec<u8> {
    let built = flow
        .binary()
        .ancestors()
        .nth(2)
        .expect("below a target directory");
    let wasm = built.join(format!("plugins/wasm32-wasip2/release/{plugin}.wasm"));
    std::fs::read(&wasm)
        .unwrap_or_else(|error| panic!("{} is built with flow: {error}", wasm.display()))
}

/// Serves `bytes` to whoever asks, and returns the URL.
fn served(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it has one").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                bytes.len()
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&bytes));
        }
    });
    format!("http://127.0.0.1:{port}/delay.wasm")
}

#[test]
fn a_plugin_from_a_server_is_taken_with_its_hash_only() {
    let flow = Flow::new();
    let bytes = shipped(&flow, "delay");
    let shown = flow
        .run(&["plugin", "show", "delay", "--format", "json"])
        .expect(0);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let hash = shown["sha256"].as_str().expect("it has one");
    assert_eq!(shown["contract"], "0.1.0");
    let url = served(bytes);
    refused(
        &flow,
        &["plugin", "add", &url],
        &[
            "error[plugin/wrong-hash]",
            &format!("add `--sha256 {hash}`"),
            "nothing was added",
        ],
    );
    let other = "0".repeat(64);
    refused(
        &flow,
        &["plugin", "add", &url, "--sha256", &other],
        &[
            "error[plugin/wrong-hash]",
            &format!("its sha256 is {hash}, expected was {other}"),
        ],
    );
    refused(
        &flow,
        &["plugin", "add", &url, "--sha256", "abc"],
        &["is no SHA-256"],
    );
    assert!(!flow.config_dir().join("plugins").exists());
    let added = flow
        .run(&["plugin", "add", &url, "--sha256", hash])
        .expect(0);
    assert!(
        added
            .stderr
            .contains("it stands in for the shipped plugin `delay`"),
        "{}",
        added.stderr
    );
    let rows = flow.run(&["plugin", "list", "--format", "json"]).expect(0);
    let rows: serde_json::Value = serde_json::from_str(&rows.stdout).expect("it is JSON");
    let row = rows
        .as_array()
        .expect("a list")
        .iter()
        .find(|row| row["name"] == "delay");
    assert_eq!(row.expect("it is listed")["shadows"], true);
    flow.run(&["plugin", "remove", "delay"]).expect(0);
    refused(
        &flow,
        &["plugin", "remove", "delay"],
        &["error[plugin/shipped]"],
    );
    refused(
        &flow,
        &["plugin", "remove", "nothing"],
        &["error[plugin/unknown]", "there is no plugin `nothing`"],
    );
}

#[test]
fn what_is_no_plugin_is_not_added() {
    let flow = Flow::new();
    refused(
        &flow,
        &["plugin", "add", "http://example.org/x.wasm"],
        &["error[plugin/fetch]", "only https is taken"],
    );
    refused(
        &flow,
        &["plugin", "add", "no.wasm"],
        &["error[plugin/unreadable]", "no.wasm can't be read"],
    );
    flow.write("text.wasm", b"hello");
    refused(
        &flow,
        &["plugin", "add", "text.wasm"],
        &["error[plugin/not-a-component]"],
    );
    flow.write("empty.wasm", b"");
    refused(
        &flow,
        &["plugin", "add", "empty.wasm"],
        &["error[plugin/not-a-component]", "note: it is empty"],
    );
    let mut cut = shipped(&flow, "delay");
    cut.truncate(cut.len() / 2);
    flow.write("cut.wasm", &cut);
    refused(
        &flow,
        &["plugin", "add", "cut.wasm"],
        &[
            "error[plugin/not-a-component]: plugin `cut.wasm` is not a WebAssembly component",
            "hint: the file seems cut short or damaged: fetch it again, or build it anew",
        ],
    );
    // Made for a contract that is to come.
    let mut tomorrow = shipped(&flow, "delay");
    for at in 0..tomorrow.len() - 6 {
        if &tomorrow[at..at + 6] == b"@0.1.0" {
            tomorrow[at + 3] = b'2';
        }
    }
    flow.write("tomorrow.wasm", &tomorrow);
    refused(
        &flow,
        &["plugin", "add", "tomorrow.wasm"],
        &[
            "error[plugin/contract-version]: plugin `tomorrow.wasm` was made for version 0.2.0 of the plugin contract",
            "hint: install a newer flow, or a version of the plugin made for this one",
        ],
    );
    flow.write("module.wasm", b"\0asm\x01\0\0\0");
    refused(
        &flow,
        &["plugin", "add", "module.wasm"],
        &["error[plugin/not-a-component]", "wasm32-wasip2"],
    );
    assert!(!flow.config_dir().join("plugins").exists());
}

#[test]
fn what_lies_among_the_plugins_and_is_none_is_said_where_it_is_used() {
    let flow = Flow::new();
    let mut cut = shipped(&flow, "delay");
    cut.truncate(cut.len() / 2);
    flow.write("config/plugins/cut.wasm", &cut);
    flow.add_flow(
        "flow/a",
        "pollUrl: file:///\npath: ${HOME}/in\ndownload: off\ncallbacks:\n  - plugin: cut\n",
    );
    let checked = flow.run(&["check", "flow/a"]).expect(1).stdout;
    for text in [
        "error[config/plugin-unusable]: plugin `cut` can't be used: plugin `cut` is not a WebAssembly component [plugin/not-a-component]",
        "the file seems cut short or damaged: fetch it again, or build it anew",
        "--> flow/a.yaml:5:13",
    ] {
        assert!(checked.contains(text), "no {text} in\n{checked}");
    }
    super::guest::install(&flow, "nonsense");
    flow.add_flow(
        "flow/a",
        "pollUrl: file:///\npath: ${HOME}/in\ndownload: off\ncallbacks:\n  - plugin: nonsense\n",
    );
    let checked = flow.run(&["check", "flow/a"]).expect(1).stdout;
    assert!(
        checked.contains("plugin `nonsense` describes itself wrongly [plugin/manifest]"),
        "{checked}"
    );
}
