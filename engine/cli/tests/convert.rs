//! `flow convert` finds sr3's state by itself where it is the user's own, and is told it elsewhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const CONFIGURATION: &str = "broker amqps://me@mq.example.org/\nsubtopic #\ndirectory /data\n";
const STATE: &str = r#"[{"broker": "amqps://me@mq.example.org/", "bindings": [], "queue":
    {"name": "q_me.kept", "template": "q_${BROKER_USER}.${COMPONENT}.${CONFIG}.${QUEUESHARE}"}}]"#;
const QUEUE: &str = "queueName: q_me.kept\n";

/// A home with one configuration of sr3 and its state.
fn home(configurations: &str, state: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    let write = |name: String, text: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    };
    write(format!("{configurations}/subscribe/x.conf"), CONFIGURATION);
    write(format!("{state}/subscribe/x/subscriptions.json"), STATE);
    home
}

/// Exit code, stdout and stderr of `flow convert`.
fn convert(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
    command.env_clear().env("HOME", home).current_dir(home);
    for (name, below) in variables {
        command.env(name, home.join(below));
    }
    let output = command
        .arg("convert")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ends by itself");
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_user_s_own_state_is_found() {
    let own = home(".config/sr3", ".cache/sr3");
    let file = ".config/sr3/subscribe/x.conf";
    let (code, out, told) = convert(own.path(), &[], &[file]);
    assert!(
        code == 0 && out.contains(QUEUE) && told.is_empty(),
        "{out}{told}"
    );
    let (code, _, told) = convert(own.path(), &[], &[".config/sr3", "--out", "flows"]);
    assert!(
        code == 0 && told.starts_with("1 flow: 1 as they were"),
        "{told}"
    );
    let flow = fs::read_to_string(own.path().join("flows/subscribe/x.yaml")).expect("written");
    assert!(flow.contains(QUEUE), "{flow}");

    let xdg = home("a/sr3", "b/sr3");
    let variables = [("XDG_CONFIG_HOME", "a"), ("XDG_CACHE_HOME", "b")];
    let (_, out, told) = convert(xdg.path(), &variables, &["a/sr3/subscribe/x.conf"]);
    assert!(out.contains(QUEUE), "{out}{told}");
}

#[test]
fn the_state_of_others_is_named() {
    // A copy of the configuration of another machine has nothing to do with this one's state.
    let home = home("copy/sr3", ".cache/sr3");
    let file = "copy/sr3/subscribe/x.conf";
    let (code, out, told) = convert(home.path(), &[], &[file]);
    assert!(code == 0 && !out.contains("queueName"), "{out}");
    assert!(
        told.contains(
            "noted: `queueName`: the flow has a new queue, `q_me.subscribe.x.<user>_<machine>`"
        ) && told.contains("`--state`"),
        "{told}"
    );
    let (_, out, told) = convert(home.path(), &[], &[file, "--state", ".cache/sr3"]);
    assert!(out.contains(QUEUE), "{out}{told}");
    let folder = ["copy/sr3", "--state", ".cache/sr3", "--out", "flows"];
    let (code, _, told) = convert(home.path(), &[], &folder);
    assert!(code == 0 && !told.contains("noted"), "{told}");

    let (code, out, told) = convert(home.path(), &[], &[file, "--state", "nowhere"]);
    assert!(
        code == 2 && out.is_empty() && told.contains("nowhere is no folder"),
        "{told}"
    );
    let list = home
        .path()
        .join(".cache/sr3/subscribe/x/subscriptions.json");
    fs::remove_file(&list).expect("it was there");
    fs::create_dir(&list).expect("it can be made");
    let (code, out, told) = convert(home.path(), &[], &[file, "--state", ".cache/sr3"]);
    assert!(code == 2 && out.is_empty(), "{told}");
    assert!(
        told.contains("can't read what sr3 remembers") && told.contains("subscriptions.json"),
        "{told}"
    );
}

#[test]
fn what_is_no_configuration_is_not_converted() {
    let home = home("mine", "cache");
    let path = |name: &str| home.path().join(name);
    for folder in ["empty", "sarra", "inserts/sarra"] {
        fs::create_dir_all(path(folder)).expect("it can be made");
    }
    fs::write(path("sarra/x.conf"), b"\x7fELF\0\x01\n").expect("it can be written");
    fs::write(path("inserts/sarra/y.inc"), "accept .*\n").expect("it can be written");
    let refused = |arguments: &[&str], expected: &str| {
        let (code, out, told) = convert(home.path(), &[], arguments);
        assert!(
            code == 2 && out.is_empty() && told.contains(expected),
            "{code} {out}{told}"
        );
    };
    refused(&["sarra/x.conf"], "sarra/x.conf is no text");
    refused(
        &["empty", "--out", "flows"],
        "empty holds no configurations of sr3",
    );
    assert!(!path("flows").exists());
    // What is there, but makes no flow, is told.
    let (code, _, told) = convert(home.path(), &[], &["inserts", "--out", "flows"]);
    assert!(
        code == 0 && told.contains("sarra/y.inc") && told.contains("0 flows"),
        "{code} {told}"
    );
}
