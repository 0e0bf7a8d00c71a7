//! A configuration directory in memory, and two plugins to name.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::collections::BTreeMap;
use std::path::Path;

use flow_config::{
    Artefact, Grant, Kind, Loaded, Manifest, OptionKind, OptionSpec, Report, Source, Unsigned,
};

pub(crate) type Plugins = BTreeMap<String, Manifest>;

pub(crate) fn option(name: &str, kind: OptionKind) -> OptionSpec {
    OptionSpec::new(name, kind)
}

/// `mail` gathers and downloads; `decode` takes mails apart; `api` needs options of every type.
pub(crate) fn plugins() -> Plugins {
    let mail = Manifest {
        name: "mail".into(),
        options: vec![
            OptionSpec {
                default: Some("keep".into()),
                choices: ["keep", "seen", "move", "delete"]
                    .map(String::from)
                    .to_vec(),
                ..option("after", OptionKind::Choice)
            },
            option("move_to", OptionKind::Text),
            OptionSpec {
                default: Some("29m".into()),
                ..option("idle", OptionKind::Duration)
            },
        ],
        schemes: vec!["imaps".into(), "pop3s".into()],
        grants: vec![Grant::Connect, Grant::Secrets],
        entry_points: ["gather", "download", "settled"].map(String::from).to_vec(),
        ..Manifest::default()
    };
    let decode = Manifest {
        name: "decode".into(),
        options: vec![OptionSpec {
            repeated: true,
            ..option("language", OptionKind::Text)
        }],
        entry_points: vec!["after_work".into()],
        ..Manifest::default()
    };
    let api = Manifest {
        name: "api".into(),
        options: vec![
            OptionSpec {
                required: true,
                example: Some("https://api.example.com/".into()),
                ..option("url", OptionKind::Url)
            },
            OptionSpec {
                secret: true,
                ..option("token", OptionKind::Text)
            },
            OptionSpec {
                default: Some("10MiB".into()),
                ..option("largest", OptionKind::Size)
            },
            OptionSpec {
                default: Some("3".into()),
                ..option("tries", OptionKind::Count)
            },
            OptionSpec {
                default: Some("off".into()),
                ..option("strict", OptionKind::Flag)
            },
            option("pattern", OptionKind::Regex),
        ],
        grants: vec![Grant::Http],
        entry_points: vec!["after_work".into(), "send".into()],
        ..Manifest::default()
    };
    let hooks = Manifest {
        name: "hooks".into(),
        entry_points: vec!["request".into()],
        ..Manifest::default()
    };
    [mail, decode, api, hooks]
        .into_iter()
        .map(|manifest| (manifest.name.clone(), manifest))
        .collect()
}

pub(crate) fn source() -> Source {
    let env = [
        ("HOME", "/home/me"),
        ("MAIL_USER", "me%40example.com"),
        ("EMPTY", ""),
    ];
    let env = env
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Source::new("/etc/flow", env)
}

/// Loads `text` as the flow `name`, `set` being `--set`.
pub(crate) fn load_with(name: &str, text: &str, set: &[(&str, &str)]) -> Result<Loaded, Report> {
    let set: Vec<_> = set
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    let source = source();
    let name = name.parse().expect("a flow's name");
    let path = source.path(&name);
    source.load_text(&name, &path, text, &plugins(), &set)
}

pub(crate) fn load(name: &str, text: &str) -> Result<Loaded, Report> {
    load_with(name, text, &[])
}

/// The plugins as files, each with the fingerprint `abab…`.
pub(crate) struct Pinned(pub(crate) Plugins);

impl flow_config::Plugins for Pinned {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>> {
        self.0.manifest(name)
    }

    fn artefact(&self, name: &str) -> Option<Artefact> {
        self.0.contains_key(name).then(|| Artefact {
            sha256: "ab".repeat(32),
            place: format!("/plugins/{name}.wasm"),
        })
    }

    /// Signed with `RWmine`; what does not begin with `RW` is no key.
    fn signed(&self, name: &str, key: &str) -> Option<Result<(), Unsigned>> {
        let unsigned = Unsigned {
            key: !key.starts_with("RW"),
            why: format!("there is no signature in /plugins/{name}.wasm.minisig"),
            advice: "get it".to_owned(),
        };
        self.0.contains_key(name).then_some(match key {
            "RWmine" => Ok(()),
            _ => Err(unsigned),
        })
    }
}

/// As [`load`], with these plugins.
pub(crate) fn load_pinned(name: &str, text: &str, plugins: &Pinned) -> Result<Loaded, Report> {
    let source = source();
    let name = name.parse().expect("a flow's name");
    let path = source.path(&name);
    source.load_text(&name, &path, text, plugins, &[])
}

/// What a person sees of a flow that does not load.
pub(crate) fn refused(name: &str, text: &str) -> String {
    match load(name, text) {
        Ok(loaded) => panic!("it loaded: {:#?}", loaded.flow),
        Err(report) => report.render(false),
    }
}

/// Loads a real directory.
pub(crate) fn in_directory(directory: &Path) -> Source {
    Source {
        config_dir: directory.to_owned(),
        ..source()
    }
}

/// The least a flow of each kind needs.
pub(crate) fn least(kind: Kind) -> &'static str {
    match kind {
        Kind::Poll => "pollUrl: sftp://me@files.example.org/\npost_exchange: xs_out\n",
        Kind::Post | Kind::Watch => "path: /data\npost_exchange: xs_out\n",
        Kind::Subscribe => "exchange: xs_in\ndirectory: /data\n",
        Kind::Sarra => "exchange: xs_in\ndirectory: /data\npost_exchange: xs_out\n",
        Kind::Sender => "exchange: xs_in\nsendTo: sftp://me@files.example.org/\n",
        Kind::Shovel | Kind::Winnow => "exchange: xs_in\npost_exchange: xs_out\n",
        Kind::Flow => "exchange: xs_in\n",
    }
}

/// Compares `content` with the file `name` of this crate; `UPDATE_OPTIONS=1` writes it instead.
#[track_caller]
pub(crate) fn golden(name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_OPTIONS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it is below the crate")).expect("made");
        std::fs::write(&path, content).expect("written");
        return;
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    if present == content {
        return;
    }
    let line = present
        .lines()
        .zip(content.lines())
        .position(|(there, here)| there != here)
        .unwrap_or_else(|| present.lines().count().min(content.lines().count()));
    panic!(
        "{name} is out of date from line {}: {:?} is now {:?}; UPDATE_OPTIONS=1 writes it",
        line + 1,
        present.lines().nth(line),
        content.lines().nth(line)
    );
}
