//! The binary as a person uses it, without network: exit codes, streams, files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home of its own for every test.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command
            .env_clear()
            .env("HOME", self.0.path())
            // Compiled plugins are the same for all; compiling them is most of a test's time.
            .env(
                "FLOW_CACHE_DIR",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/flow-cache"),
            )
            .stdin(Stdio::null());
        command
    }

    fn flow(&self, arguments: &[&str]) -> Said {
        Said::of(
            &self
                .command()
                .args(arguments)
                .output()
                .expect("the binary runs"),
            self.0.path(),
        )
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(".config/flow").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
}

/// What a command said; the home directory is `[home]`.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output, home: &Path) -> Self {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&*home.to_string_lossy(), "[home]")
        };
        Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    #[track_caller]
    fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }
}

#[test]
fn help_is_data_and_wrong_usage_is_not() {
    let home = Home::new();
    let help = home.flow(&["--help"]).code(0);
    assert!(help.out.contains("FLOW_STATE_DIR") && help.err.is_empty());
    assert!(home.flow(&["--version"]).code(0).out.starts_with("flow "));
    let wrong = home.flow(&["foregruond"]).code(2);
    assert!(
        wrong.out.is_empty() && wrong.err.contains("foreground"),
        "{wrong:?}"
    );
    assert!(home.flow(&["foreground"]).code(2).err.contains("<FLOW>"));
    let none: Vec<_> = fs::read_dir(home.0.path()).expect("readable").collect();
    assert!(none.is_empty(), "help makes no files");
}

#[test]
fn every_example_is_added_passes_check_and_is_removed() {
    let home = Home::new();
    let examples = home.flow(&["list", "examples", "--format", "json"]).code(0);
    let examples: serde_json::Value = serde_json::from_str(&examples.out).expect("it is JSON");
    let names: Vec<&str> = examples
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "flow/cgp-helper.yaml",
            "flow/cgp-sandbox.yaml",
            "flow/mail.yaml",
            "flow/region.yaml",
            "flow/relabel.yaml",
            "poll/mail.yaml",
            "sender/mirror.yaml",
            "subscribe/bulletins.yaml",
            "subscribe/latest.yaml",
            "subscribe/mail.yaml",
            "subscribe/sandbox-scan.yaml",
            "subscribe/scan.yaml",
            "subscribe/scanned-files.yaml",
            "watch/scan.yaml",
        ]
    );
    let mut arguments = vec!["add"];
    arguments.extend(&names);
    let added = home.flow(&arguments).code(0);
    assert!(added.err.contains("Edit two lines"), "{}", added.err);
    // Brokers of others want passwords, which nobody has written down so far.
    let asked = home.flow(&["check"]).code(1);
    let passwords = home.path(".config/flow/credentials.conf");
    let mut passwords = fs::read_to_string(passwords).expect("`flow add` made it");
    for user in ["mail1", "scanner"] {
        let line = format!("amqps://{user}:PASSWORD@rabbitmq.example.com/");
        assert!(asked.out.contains(&line), "{}", asked.out);
        passwords += &format!("{line}\n");
    }
    home.write("credentials.conf", &passwords);
    let checked = home.flow(&["check"]).code(0);
    assert_eq!(
        (checked.out.as_str(), checked.err.as_str()),
        ("", "14 flows checked, nothing found\n")
    );

    let listed = home.flow(&["list"]).code(0);
    assert_eq!(listed.out.lines().count(), 15, "{}", listed.out);
    assert!(
        home.flow(&["add", "flow/mail"])
            .code(2)
            .err
            .contains("error[cli/exists]")
    );
    let refused = home.flow(&["remove", "flow/mail"]).code(2);
    assert!(
        refused.err.contains("error[cli/not-confirmed]"),
        "{}",
        refused.err
    );
    home.flow(&["remove", "*/*", "--dry-run"]).code(0);
    home.flow(&["remove", "*/*", "--yes"]).code(0);
    let empty = home.flow(&["list"]).code(0);
    assert!(empty.out.is_empty() && empty.err.contains("flow list examples"));
    assert!(
        home.path(".config/flow/credentials.conf").exists(),
        "passwords are never removed"
    );
}

#[test]
fn findings_are_all_told_and_the_answer_is_no() {
    let home = Home::new();
    home.write(
        "flow/wrong.yaml",
        "pollUrl: imap://me@127.0.0.1/INBOX\nsleep: 60\ncallbacks: [mial]\npost_exchnage: xs\n",
    );
    let checked = home.flow(&["check", "wrong"]).code(1);
    for expected in [
        "flow/wrong.yaml:2",
        "`sleep`",
        "did you mean `mail`",
        "post_exchange",
    ] {
        assert!(
            checked.out.contains(expected),
            "{expected} in {}",
            checked.out
        );
    }
    let rows = home.flow(&["check", "--format", "json"]).code(1);
    let rows: serde_json::Value = serde_json::from_str(&rows.out).expect("it is JSON");
    assert!(
        rows.as_array().is_some_and(
            |rows| rows.len() >= 3 && rows.iter().all(|row| row["flow"] == "flow/wrong")
        )
    );
    for command in ["foreground", "show"] {
        let said = home.flow(&[command, "flow/wrong"]).code(2);
        assert!(said.err.contains("flow/wrong.yaml:2"), "{}", said.err);
    }
    let missing = home.flow(&["foreground", "flow/wrnog"]).code(2);
    assert!(
        missing.err.contains("did you mean `flow/wrong`?"),
        "{}",
        missing.err
    );
}

#[test]
fn show_gives_every_value_its_origin_and_no_secret() {
    let home = Home::new();
    home.flow(&["add", "flow/mail"]).code(0);
    let credentials = home.path(".config/flow/credentials.conf");
    let text = fs::read_to_string(&credentials)
        .expect("it is there")
        .replace("PASSWORD", "s3cr3t-word");
    fs::write(&credentials, text).expect("it can be written");
    let shown = home
        .flow(&["show", "flow/mail", "--set", "sleep=5s"])
        .code(0);
    for expected in ["--set", "default", "flow/mail.yaml:"] {
        assert!(shown.out.contains(expected), "{expected} in {}", shown.out);
    }
    let written = home.flow(&["show", "flow/mail", "--written"]).code(0);
    assert!(!written.out.contains(" default"), "{}", written.out);
    let json = home
        .flow(&["show", "flow/mail", "--format", "json"])
        .code(0);
    let rows: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    assert!(
        rows.as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["option"] == "sleep"))
    );
    for said in [shown, written, json] {
        assert!(!said.out.contains("s3cr3t-word") && !said.err.contains("s3cr3t-word"));
    }
}

#[test]
fn plugins_have_a_manual() {
    let home = Home::new();
    let listed = home.flow(&["plugin", "list"]).code(0);
    assert!(listed.out.contains("mail-decode"), "{}", listed.out);
    let manual = home.flow(&["plugin", "show", "mail"]).code(0);
    for expected in ["after: choice", "gather", "connect", "sha256"] {
        assert!(
            manual.out.contains(expected),
            "{expected} in {}",
            manual.out
        );
    }
    let unknown = home.flow(&["plugin", "show", "mial"]).code(2);
    assert!(
        unknown.err.contains("did you mean `mail`?"),
        "{}",
        unknown.err
    );
    home.write("plugins/text.wasm", "not a component");
    let file = home.path(".config/flow/plugins/text.wasm");
    let file = file.to_str().expect("it is UTF-8");
    let broken = home.flow(&["plugin", "show", file]).code(2);
    assert!(
        broken.err.contains("error[plugin/not-a-component]"),
        "{}",
        broken.err
    );
}

#[test]
fn posted_files_wait_in_the_queue_of_a_flow() {
    let home = Home::new();
    home.write("flow/sink.yaml", "exchange: xs_files\n");
    home.flow(&["foreground", "flow/sink", "--once"]).code(0);
    fs::write(home.path("a.txt"), "abc").expect("it can be written");
    let file = home.path("a.txt");
    let file = file.to_str().expect("it is UTF-8");
    let dry = home
        .flow(&["post", "--exchange", "xs_files", "--dry-run", file])
        .code(0);
    assert!(
        dry.out.contains("\"size\":3") || dry.out.contains("\"size\": 3"),
        "{}",
        dry.out
    );
    let posted = home.flow(&["post", "--exchange", "xs_files", file]).code(0);
    assert_eq!(
        (posted.out.as_str(), posted.err.as_str()),
        ("", "posted 1 message (3 B) to xs_files\n")
    );
    let queues = home.flow(&["list", "queues", "--format", "json"]).code(0);
    let queues: serde_json::Value = serde_json::from_str(&queues.out).expect("it is JSON");
    assert_eq!(queues[0]["ready"], 1, "{queues}");
    assert_eq!(queues[0]["exchanges"][0], "xs_files");
    let ran = home.flow(&["foreground", "flow/sink", "--once"]).code(0);
    assert!(ran.err.contains("1 gathered"), "{}", ran.err);
    assert!(home.flow(&["retry", "list"]).code(0).out.is_empty());
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let home = Home::new();
    let mut child = home
        .command()
        .arg("explain")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let said = Said::of(&child.wait_with_output().expect("it ends"), home.0.path()).code(0);
    assert!(said.err.is_empty(), "{}", said.err);
}

#[test]
fn explain_says_no_with_a_suggestion() {
    let home = Home::new();
    assert!(
        home.flow(&["explain", "error[plugin/deadline]:"])
            .code(0)
            .out
            .contains("limits")
    );
    let near = home.flow(&["explain", "plugin/dedline"]).code(1);
    assert!(
        near.err.contains("did you mean `plugin/deadline`?"),
        "{}",
        near.err
    );
}

#[test]
fn colour_is_asked_for_or_not_there() {
    let home = Home::new();
    assert!(!home.flow(&["explain"]).out.contains('\u{1b}'));
    assert!(
        home.flow(&["explain", "--color", "always"])
            .out
            .contains('\u{1b}')
    );
}

#[test]
fn the_demo_shows_every_file_arriving() {
    let home = Home::new();
    let said = home.flow(&["demo"]).code(0);
    for expected in [
        "poll/mail",
        "subscribe/mail",
        "byte for byte",
        "invoice-2026-117.pdf",
        "add flow/mail.yaml",
    ] {
        assert!(said.out.contains(expected), "{expected} in {}", said.out);
    }
    assert!(!said.out.contains("only-on-loopback") && !said.err.contains("only-on-loopback"));
    assert!(
        !home.path(".config").exists() && !home.path(".local").exists(),
        "nothing of the person's is touched"
    );
}

/// Every YAML block of the README, and every flow under `examples/` but of those that bring a plugin,
/// which run with it in `tests/examples`.
#[test]
fn documented_flows_pass_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(root.join("README.md")).expect("it is there");
    let home = Home::new();
    let mut blocks = 0;
    for block in readme.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let name = text
            .strip_prefix("# ")
            .and_then(|rest| rest.split(' ').next())
            .expect("its first line names it");
        home.write(name, text);
        blocks += 1;
    }
    assert!(blocks >= 3);
    for entry in fs::read_dir(root.join("examples")).expect("it is there") {
        let scenario = entry.expect("readable").path();
        if scenario.join("flow-plugin.toml").exists() {
            continue;
        }
        for kind in ["flow", "poll", "subscribe"] {
            for file in fs::read_dir(scenario.join(kind))
                .into_iter()
                .flatten()
                .flatten()
            {
                let text = fs::read_to_string(file.path()).expect("readable");
                home.write(
                    &format!("{kind}/{}", file.file_name().to_string_lossy()),
                    &text,
                );
            }
        }
    }
    home.write(
        "credentials.conf",
        "imaps://me%40example.com:x@imap.example.com\n\
         amqps://feeder:x@broker.example.com/\namqps://reader:x@broker.example.com/\n\
         amqp://feeder:x@localhost/\n",
    );
    let credentials = home.path(".config/flow/credentials.conf");
    fs::set_permissions(credentials, fs::Permissions::from_mode(0o600)).expect("it can be set");
    let checked = home.flow(&["check"]).code(0);
    assert!(checked.out.is_empty(), "{}", checked.out);
}

#[test]
fn a_broker_without_a_password_is_found_before_anything_starts() {
    let home = Home::new();
    let text = "broker: amqp://me@mq.example.com/\nexchange: xs\ndirectory: /data\n";
    home.write("subscribe/one.yaml", text);
    let checked = home.flow(&["check"]).code(1);
    assert!(
        checked.out.contains("error[credentials/not-found]")
            && checked.out.contains("subscribe/one.yaml:1"),
        "{}",
        checked.out
    );
    home.write("subscribe/two.yaml", text);
    home.write("credentials.conf", "no url\n");
    let file = home.path(".config/flow/credentials.conf");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let checked = home.flow(&["check"]).code(1);
    assert_eq!(checked.out.matches("error[").count(), 1, "{}", checked.out);
}

#[test]
fn directories_are_found_without_a_home() {
    let home = Home::new();
    home.write("subscribe/one.yaml", "exchange: xs\ndirectory: /data\n");
    let bare = |arguments: &[&str]| {
        let mut command = home.command();
        command.env_remove("HOME").env_remove("FLOW_CACHE_DIR");
        let output = command.args(arguments).output().expect("the binary runs");
        Said::of(&output, home.0.path())
    };
    let lost = bare(&["list"]).code(2).err;
    assert!(
        lost.contains("set FLOW_CONFIG_DIR or HOME, or pass --config-dir DIR"),
        "{lost}"
    );
    let (config, state) = (home.path(".config/flow"), home.path("state"));
    let (config, state) = (config.to_string_lossy(), state.to_string_lossy());
    let given = ["--config-dir", &config, "--state-dir", &state];
    let found = bare(&[&["list"], &given[..]].concat()).code(0).out;
    assert!(found.contains("subscribe/one"), "{found}");
}

#[test]
fn files_that_are_no_flows_are_told() {
    let home = Home::new();
    for (name, text) in [
        ("subscribe/good.yaml", "exchange: xs\ndirectory: /data\n"),
        ("subscribe/old.yml", "exchange: xs\n"),
        ("subscribe/sr3.conf", "subtopic #\n"),
        ("subscribe/two words.yaml", "exchange: xs\n"),
        ("subscribe/.hidden.yml", ""),
        ("subscribe/notes.txt", ""),
        ("subscribr/news.yaml", "exchange: xs\n"),
        ("report/old.yaml", "exchange: xs\n"),
        ("plugins/mine.yml", ""),
        ("common/rules.yaml", "exchange: xs\n"),
    ] {
        home.write(name, text);
    }
    let told = home.flow(&["check"]).code(0).err;
    for expected in [
        "[home]/.config/flow/subscribe/old.yml is no flow: rename it to \
         [home]/.config/flow/subscribe/old.yaml",
        "[home]/.config/flow/subscribe/sr3.conf is no flow: `flow convert` reads files of sr3",
        "subscribe/two words.yaml is passed over: `subscribe/two words` can't be the name",
        "subscribr is passed over: `subscribr` is not a kind of flow (did you mean `subscribe`?)",
        "report is passed over: there are no `report` flows",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(told.matches("warning: ").count(), 5, "{told}");
    let one = home.flow(&["check", "subscribe/good"]).code(0).err;
    assert!(!one.contains("warning"), "{one}");
    for name in ["subscribe/old", "subscribe/old.yml"] {
        let unknown = home.flow(&["check", name]).code(2).err;
        assert!(unknown.contains("rename it to"), "{unknown}");
    }
}

#[test]
fn a_post_says_what_it_could_not_do() {
    let home = Home::new();
    let (good, missing) = (home.path("a.txt"), home.path("missing"));
    fs::write(&good, "hello").expect("it can be written");
    let (good, missing) = (good.to_string_lossy(), missing.to_string_lossy());
    let some = home
        .flow(&["post", "--exchange", "xs", &good, &missing])
        .code(1);
    assert!(
        some.err.contains("posted 1 message")
            && some.err.contains("one path could not be announced")
            && some.err.contains("[home]/missing"),
        "{}",
        some.err
    );
    let full = fs::File::options().write(true).open("/dev/full");
    let output = home
        .command()
        .args(["post", "--exchange", "xs", "--dry-run", &good])
        .stdout(full.expect("the system has it"))
        .output()
        .expect("the binary runs");
    let said = Said::of(&output, home.0.path()).code(2);
    assert!(
        said.err.contains("can't print the messages"),
        "{}",
        said.err
    );
}
