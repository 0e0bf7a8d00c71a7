//! What configurations of sr3 become, kept as files: `tests/convert/<component>__<name>.conf` is
//! converted to the `.yaml` and reported on as the `.report` beside it.
//!
//! After a change that is meant, `FLOW_WRITE_EXPECTED=1` writes those files anew; read the diff.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::in_directory;
use flow_config::convert::{
    Component, Conversion, Fate, Folder, Input, Known, convert, convert_directory,
};
use flow_config::{Credentials, FlowName, Manifest, option};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert")
}

/// Every case: its component, its name, and what is in it.
fn cases() -> Vec<(Component, String, String)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ext| ext != "conf") {
            continue;
        }
        let stem = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let (component, name) = stem.split_once("__").expect("component__name.conf");
        let text = fs::read_to_string(&path).expect("a case");
        cases.push((
            component.parse().expect("a component"),
            name.to_owned(),
            text,
        ));
    }
    cases.sort();
    assert!(cases.len() >= 10, "the cases are there");
    cases
}

fn converted(component: Component, name: &str, text: &str) -> Conversion {
    let path = PathBuf::from(format!("{component}/{name}.conf"));
    let input = Input {
        path: &path,
        text,
        component,
        queues: None,
    };
    convert(&input, &Known::default())
}

fn of(component: &str, text: &str) -> Conversion {
    converted(component.parse().expect("a component"), "x", text)
}

/// Compares with the file, or writes it.
#[track_caller]
fn check(file: &str, found: &str) {
    let path = folder().join(file);
    if std::env::var_os("FLOW_WRITE_EXPECTED").is_some() {
        fs::write(&path, found).expect("written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is not as expected (FLOW_WRITE_EXPECTED=1 writes it anew); it is:\n{found}"
    );
}

#[test]
fn cases_become_what_is_expected() {
    for (component, name, text) in cases() {
        let conversion = converted(component, &name, &text);
        let mut yaml = conversion.yaml.clone();
        for other in &conversion.others {
            yaml.push_str("\n# ---- another flow\n\n");
            yaml.push_str(other);
        }
        let report = format!("{}{}\n", conversion.render(true), conversion.tally());
        check(&format!("{component}__{name}.yaml"), &yaml);
        check(&format!("{component}__{name}.report"), &report);
    }
}

/// Plugins that cases name, without their options: those are the business of the plugins' tests.
fn plugins() -> BTreeMap<String, Manifest> {
    ["mail", "rename", "headers"]
        .map(|name| {
            let manifest = Manifest {
                name: name.into(),
                entry_points: vec!["gather".into(), "download".into()],
                ..Manifest::default()
            };
            (name.to_owned(), manifest)
        })
        .into()
}

#[test]
fn what_is_not_refused_loads_and_what_is_refused_does_not_start_by_mistake() {
    // Kinds and options come in their own time; the converter knows all of sr3's.
    let complete = option("instances").is_some();
    let mut loaded = 0;
    for (component, name, text) in cases() {
        let conversion = converted(component, &name, &text);
        let Ok(name) = format!("{}/{name}", conversion.kind).parse::<FlowName>() else {
            assert!(!complete, "{} is no kind", conversion.kind);
            continue;
        };
        let source = common::source();
        for yaml in std::iter::once(&conversion.yaml).chain(&conversion.others) {
            let result = source.load_text(&name, &source.path(&name), yaml, &plugins(), &[]);
            let report = match result {
                Ok(flow) => {
                    loaded += 1;
                    assert!(flow.warnings.is_empty(), "{name}: {}", flow.warnings);
                    continue;
                }
                Err(report) => report,
            };
            for finding in report.findings() {
                let excused = match finding.code {
                    // What the case leaves to the environment, and what its plugins have.
                    "config/unknown-variable"
                    | "config/unknown-plugin"
                    | "config/unknown-option" => true,
                    "config/not-in-this-version"
                    | "config/unsupported-broker"
                    | "config/missing-option" => !complete,
                    _ => false,
                };
                let refused = conversion.tally().refused > 0;
                assert!(
                    excused || refused || !complete,
                    "{name}: {}\n{yaml}",
                    report.render(false)
                );
            }
        }
    }
    assert!(!complete || loaded >= 6, "only {loaded} loaded");
}

#[test]
fn no_password_is_in_a_flow_or_a_report() {
    for (component, name, text) in cases() {
        let conversion = converted(component, &name, &text);
        let shown = format!(
            "{}{}{conversion:?}",
            conversion.yaml,
            conversion.render(true)
        );
        for secret in ["geheim", ":secret", "b%40c", "a:b@", "abc123"] {
            assert!(!shown.contains(secret), "{component}/{name} shows {secret}");
        }
    }
}

#[test]
fn passwords_become_lines_of_credentials() {
    let conversion = of(
        "shovel",
        "broker amqps://me:pa%2Fss@one.example.org:5671/vhost\nsubtopic #\n",
    );
    assert!(
        conversion
            .yaml
            .contains("broker: amqps://me@one.example.org:5671/vhost\n")
    );
    let lines: Vec<_> = conversion
        .credentials
        .iter()
        .map(|line| line.expose())
        .collect();
    assert_eq!(lines, ["amqps://me:pa%2Fss@one.example.org:5671/"]);
    let credentials = Credentials::parse(Path::new("credentials.conf"), lines[0]).expect("a line");
    let url = flow_config::SafeUrl::parse("amqps://me@one.example.org:5671/vhost").expect("a URL");
    let found = credentials.find(&url).expect("found");
    assert_eq!(
        found.password.as_ref().expect("a password").expose(),
        "pa/ss"
    );
}

#[test]
fn remarks_say_where_and_never_repeat_themselves() {
    for (component, name, text) in cases() {
        let conversion = converted(component, &name, &text);
        let lines = text.lines().count();
        let mut seen = Vec::new();
        for remark in &conversion.report {
            assert!(
                remark.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{remark}"
            );
            assert!(
                !remark.text.is_empty() && !remark.text.ends_with('.'),
                "{remark}"
            );
            assert!(
                !seen.contains(&remark.to_string()),
                "{component}/{name}: twice: {remark}"
            );
            seen.push(remark.to_string());
        }
    }
}

#[test]
fn the_same_input_gives_the_same_output() {
    for (component, name, text) in cases() {
        let first = converted(component, &name, &text);
        let second = converted(component, &name, &text);
        assert_eq!((first.yaml, first.report), (second.yaml, second.report));
    }
}

#[test]
fn includes_are_put_in_their_place_once_and_circles_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write(
        "subscribe/common.inc",
        "directory /data/a\naccept .*a$\ninclude deep.inc\n",
    );
    write("subscribe/deep.inc", "reject .*b$\ninclude common.inc\n");
    write("shared.inc", "timeout 60\n");
    let known = Known {
        include: Some(Box::new(Folder {
            root: dir.path().to_owned(),
        })),
        ..Known::default()
    };
    let path = PathBuf::from("subscribe/x.conf");
    let text = "broker amqp://me@localhost/\ndeclare env WHERE=shared\ninclude common.inc\ninclude ${WHERE}.inc\nreject .*\n";
    let input = Input {
        path: &path,
        text,
        component: Component::Subscribe,
        queues: None,
    };
    let conversion = convert(&input, &known);
    let at = |part: &str| conversion.yaml.find(part).expect(part);
    assert!(
        at("accept: '.*a$'") < at("reject: '.*b$'") && at("reject: '.*b$'") < at("reject: '.*'")
    );
    assert!(conversion.yaml.contains("timeout: 60s\n"));
    assert_eq!(conversion.tally().refused, 1, "{}", conversion.render(true));
    assert!(
        conversion
            .render(true)
            .contains("subscribe/deep.inc:2: refused: `include`: the file includes itself")
    );
    assert_eq!(conversion.files.len(), 4);
}

#[test]
fn a_whole_folder_is_converted() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        }
    };
    write(
        "default.conf",
        "declare env HOST=mq.example.org\nhousekeeping 120\ndeclare subscriber you\n",
    );
    write(
        "admin.conf",
        "declare env WHO=alice\nadmin amqp://root:verysecret@localhost/\nfeeder amqp://feed@localhost/\ndeclare subscriber me\n\
         declare source ${WHO}\n",
    );
    write(
        "credentials.conf",
        "amqp://me:geheim@mq.example.org/\nsftp://me@x/ ssh_keyfile=/k\n",
    );
    write(
        "subscribe/a.conf",
        "broker amqp://me@${HOST}/\nsubtopic #\ndirectory /data\ninclude masks.inc\n",
    );
    write("subscribe/masks.inc", "reject .*\\.tmp$\n");
    write("subscribe/unused.inc", "reject .*\\.tmp$\n");
    write(
        "shovel/b.conf",
        "broker amqp://me@${HOST}/\nsubtopic #\npost_broker amqp://you:also@other.example.org/\n",
    );
    write(
        "cpump/b.conf",
        "broker amqp://me@${HOST}/\nsubtopic #\npost_broker amqp://you@other.example.org/\n",
    );
    write("plugins/mine.py", "class Mine: pass\n");
    let converted = convert_directory(root, &|_, _| Ok(None)).expect("readable");
    let targets: Vec<_> = converted
        .flows
        .iter()
        .map(|flow| flow.target.display().to_string())
        .collect();
    assert_eq!(
        targets,
        ["shovel/b.yaml", "shovel/b_2.yaml", "subscribe/a.yaml"]
    );
    let yaml = &converted.flows[2].conversion.yaml;
    assert!(
        yaml.contains("broker: amqp://me@mq.example.org/\n") && yaml.contains("housekeeping: 120s"),
        "{yaml}"
    );
    let credentials = converted
        .credentials
        .as_ref()
        .expect("credentials")
        .expose();
    assert!(
        credentials.starts_with("amqp://me:geheim@mq.example.org/\nsftp://me@x/ ssh_keyfile=/k\n")
    );
    assert!(
        credentials
            .ends_with("amqp://you:also@other.example.org/\namqp://root:verysecret@localhost/\n"),
        "{credentials}"
    );
    let users = converted.users.as_deref().expect("users");
    assert!(
        users.ends_with(
            "broker: amqp://root@localhost/\n\nusers:\n  feed: feeder\n  me: subscriber\n  \
             alice: source\n  you: subscriber\n"
        ),
        "{users}"
    );
    let text = converted.render(true);
    for part in [
        "plugins/mine.py: refused:",
        "subscribe/unused.inc: dropped: no flow includes it",
        "subscribe/masks.inc: kept:",
        "shovel/b.conf: changed: a flow `shovel/b` is there already, so it is shovel/b_2.yaml",
        "admin.conf:2: dropped: `admin`",
        "admin.conf: kept: its users are in users.yaml",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    #[cfg(unix)]
    assert!(
        text.contains("credentials.conf: changed: the credentials are open to its group"),
        "{text}"
    );
    for secret in ["geheim", "verysecret", "also@"] {
        assert!(
            !text.contains(secret) && !format!("{converted:?}").contains(secret),
            "{secret}"
        );
    }
    assert!(converted.tally().refused >= 1);
    // And the credentials are read here as they are.
    let target = tempfile::tempdir().expect("a folder");
    let source = in_directory(target.path());
    assert!(source.flows().expect("readable").is_empty());
    Credentials::parse(Path::new("credentials.conf"), credentials).expect("good lines");
    fs::write(target.path().join("users.yaml"), users).expect("written");
    assert_eq!(source.users().expect("good")[0].users.len(), 4);
}

#[test]
fn fates_of_single_lines() {
    // Component, line, what the flow has then, fate of the line.
    let cases: &[(&str, &str, &str, Option<Fate>)] = &[
        ("subscribe", "timeout 5m", "timeout: 5m\n", None),
        (
            "subscribe",
            "timeout 300",
            "timeout: 300s\n",
            Some(Fate::Kept),
        ),
        (
            "subscribe",
            "expire 2H",
            "expire: 2s\n",
            Some(Fate::Changed),
        ),
        ("subscribe", "overwrite no", "overwrite: off\n", None),
        (
            "subscribe",
            "overwrite perhaps",
            "overwrite: off\n",
            Some(Fate::Changed),
        ),
        (
            "subscribe",
            "no_download",
            "download: off\n",
            Some(Fate::Kept),
        ),
        (
            "subscribe",
            "download-and-discard",
            "delete_destination: on\n",
            Some(Fate::Kept),
        ),
        (
            "subscribe",
            "delete on",
            "delete_source: on\n",
            Some(Fate::Kept),
        ),
        (
            "subscribe",
            "inflight 30",
            "fileAgeMin: 30s\n",
            Some(Fate::Kept),
        ),
        ("subscribe", "inflight None", "inflight: none\n", None),
        (
            "subscribe",
            "integrity s",
            "identity: sha512\n",
            Some(Fate::Kept),
        ),
        ("subscribe", "sum z,n", "identity: none\n", Some(Fate::Kept)),
        ("subscribe", "identity cod,md5", "identity: cod,md5\n", None),
        (
            "subscribe",
            "inlineByteMax 4k",
            "inlineByteMax: 4kB\n",
            Some(Fate::Kept),
        ),
        (
            "subscribe",
            "inlineByteMax 4ki",
            "inlineByteMax: 4KiB\n",
            Some(Fate::Kept),
        ),
        ("subscribe", "permDefault u+rw", "", Some(Fate::Refused)),
        ("subscribe", "permDefault 0", "", Some(Fate::Kept)),
        ("subscribe", "parts i", "", Some(Fate::Dropped)),
        ("subscribe", "tiemout 5", "", Some(Fate::Dropped)),
        ("subscribe", "reset", "", Some(Fate::Refused)),
        ("subscribe", "reset off", "", Some(Fate::Dropped)),
        (
            "subscribe",
            "amqp_queue_args x-max-length=5",
            "amqp_queue_args:\n  x-max-length: 5\n",
            None,
        ),
        ("subscribe", "fileEvents +rename", "", None),
        ("subscribe", "fileEvents none", "fileEvents: none\n", None),
        (
            "poll",
            "scheduled_hour 1,13",
            "scheduled_hour:\n  - 1\n  - 13\n",
            None,
        ),
        ("poll", "nodupe_ttl false", "nodupe_ttl: off\n", None),
        ("poll", "instances 3", "", Some(Fate::Dropped)),
        ("watch", "sleep 0.5", "sleep: 500ms\n", Some(Fate::Kept)),
        (
            "cpump",
            "caching on",
            "nodupe_ttl: 900s\n",
            Some(Fate::Kept),
        ),
    ];
    for (component, line, expected, fate) in cases {
        let base = "broker amqp://me@localhost/\npost_broker amqp://me@localhost/\n";
        let conversion = of(component, &format!("{base}{line}\n"));
        assert!(
            conversion.yaml.contains(expected),
            "{line}:\n{}",
            conversion.yaml
        );
        let of_line = conversion
            .report
            .iter()
            .find(|remark| remark.line == Some(3));
        assert_eq!(
            of_line.map(|remark| remark.fate),
            *fate,
            "{line}:\n{}",
            conversion.render(true)
        );
    }
}
