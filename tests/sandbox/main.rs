//! The plugin `pt-sandbox` in whole flows, against a sandbox that is played (`testkit`).
//!
//! Files are announced, a flow fetches them and has them scanned, and what comes out lies in
//! `clean`, in `quarantine`, or nowhere yet. What is dangerous carries its own fingerprint in the
//! name of its threat, so that a verdict of something else would be noticed.

mod faults;
mod policy;
mod restart;
mod shipped;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flow_message::Message;
use flow_testkit::{Flow, Sandbox, wait};
use flow_tests::queue;

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const SCAN: &str = "subscribe/scan";
/// More turns than any test needs; one that needs them makes no progress.
const TURNS: usize = 60;

/// An installation whose flow scans what is announced.
pub(crate) struct Scene {
    pub(crate) flow: Flow,
    pub(crate) sandbox: Sandbox,
}

impl Scene {
    /// A flow with further lines of its own, and of the plugin's entry.
    #[track_caller]
    pub(crate) fn new(sandbox: Sandbox, flow_lines: &str, plugin_lines: &str) -> Self {
        let flow = Flow::new();
        queue::declare(&flow, "xs_out");
        flow.credentials(&sandbox.credential());
        let scene = Self { flow, sandbox };
        scene.write_flow(flow_lines, plugin_lines);
        scene.turn();
        scene
    }

    /// Writes the flow anew.
    pub(crate) fn write_flow(&self, flow_lines: &str, plugin_lines: &str) {
        let indented: String = plugin_lines
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        // What is announced goes on beside the copies.
        let last = match plugin_lines.contains("announce") {
            true => "",
            false => "      - reject: '.*'\n",
        };
        let text = format!(
            "exchange: xs_in\ndirectory: ${{HOME}}/clean\ncaFile: {}\n{flow_lines}\
             callbacks:\n  - plugin: pt-sandbox\n    sandbox: {}\n    poll: 20ms\n{indented}    filters:\n      \
             - accept: '.*/quarantine/.*'\n        directory: ${{HOME}}/quarantine\n{last}\
             post_exchange: xs_out\n",
            self.sandbox.ca_file().display(),
            self.sandbox.url(),
        );
        self.flow.add_flow(SCAN, &text);
    }

    /// Announces files with these contents.
    #[track_caller]
    pub(crate) fn announce(&self, files: &[(&str, &[u8])]) {
        for (name, content) in files {
            self.flow.write(&format!("in/{name}"), content);
        }
        self.flow.add_flow(
            "post/in",
            "path: ${HOME}/in\npost_baseDir: ${HOME}/in\npost_baseUrl: file:${HOME}/in\npost_exchange: xs_in\n",
        );
        self.flow.run(&["foreground", "post/in"]).expect(0);
    }

    /// Runs the flow once.
    #[track_caller]
    pub(crate) fn turn(&self) -> String {
        let ran = self.flow.run(&["foreground", SCAN, "--once"]);
        // It ends with 1 where something is to be tried again.
        assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
        ran.stderr
    }

    /// Runs the flow, trying at once what is to be tried later, until nothing waits; says how often.
    #[track_caller]
    pub(crate) fn until_done(&self) -> usize {
        for turn in 1..=TURNS {
            self.turn();
            if self.waiting().is_empty() {
                return turn;
            }
            self.flow
                .run(&["retry", "requeue", SCAN, "--all"])
                .expect(0);
        }
        panic!("after {TURNS} turns there still waits:\n{}", self.waiting());
    }

    /// What waits in retry, as people see it.
    #[track_caller]
    pub(crate) fn waiting(&self) -> String {
        let listed = self.flow.run(&["retry", "list", SCAN]).expect(0).stdout;
        match listed.contains("in/") || listed.lines().count() > 1 {
            true => listed,
            false => String::new(),
        }
    }

    /// Files of a directory below the home, by name.
    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.flow.path(directory)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.expect("it is read").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The names of what is in quarantine.
    pub(crate) fn quarantined(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .files("quarantine")
            .iter()
            .map(|name| {
                let (_, name) = name.split_once('-').expect("a hash is in front");
                name.strip_suffix(".quarantine")
                    .expect("nothing opens it")
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// What was posted, by the name of what it is about.
    #[track_caller]
    pub(crate) fn posted(&self) -> BTreeMap<String, Message> {
        let posted = queue::queued(&self.flow, "xs_out");
        let count = posted.len();
        let posted: BTreeMap<String, Message> = posted
            .into_iter()
            .map(|message| {
                let about = text(&message, "sandbox-quarantined");
                let name = if about.is_empty() {
                    message.file_name()
                } else {
                    &about
                };
                (
                    name.rsplit('/').next().unwrap_or_default().to_owned(),
                    message,
                )
            })
            .collect();
        assert_eq!(posted.len(), count, "nothing is posted twice");
        posted
    }

    /// Whether the verdict of every file is its own.
    #[track_caller]
    pub(crate) fn expect_own_verdicts(&self) {
        let scans = self.sandbox.scans();
        for (name, message) in self.posted() {
            let id = text(&message, "sandbox-scan-id");
            let scan = scans
                .iter()
                .find(|scan| scan.id == id)
                .expect("it was scanned");
            let content =
                std::fs::read(self.flow.path(&format!("in/{name}"))).expect("it is there");
            assert_eq!(scan.sample.size, content.len() as u64, "{name}");
            assert_eq!(
                scan.sample.head,
                content[..content.len().min(4096)],
                "{name} has the verdict of another"
            );
            let threat = scan.verdict.threat.clone().unwrap_or_default();
            assert_eq!(text(&message, "sandbox-threat"), threat, "{name}");
        }
    }
}

/// A header that is text; empty where there is none.
pub(crate) fn text(message: &Message, name: &str) -> String {
    let value = message.extra.get(name).and_then(|value| value.as_str());
    value.unwrap_or_default().to_owned()
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: not within {SOON:?}");
        wait::pause(Duration::from_millis(10));
    }
}

/// Whether there is a file.
pub(crate) fn is_there(path: &Path) -> bool {
    path.exists()
}
