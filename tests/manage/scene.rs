//! An installation with flows in the background, which ends with the test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flow_testkit::{Flow, wait};
pub(crate) use flow_tests::background::{is_alive, kill, signal};
use flow_tests::{background, queue};
use serde_json::Value;

/// The longest anything may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An installation; its background process is killed when the test ends.
pub(crate) struct Scene {
    pub(crate) flow: Flow,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill(pid);
        }
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { flow: Flow::new() }
    }

    /// A scene with watches of these names.
    pub(crate) fn with(names: &[&str]) -> Self {
        let scene = Self::new();
        for name in names {
            scene.watch(name, "");
        }
        scene
    }

    /// Adds a flow that announces files of a directory of its name; `more` are further options.
    pub(crate) fn watch(&self, name: &str, more: &str) {
        std::fs::create_dir_all(self.directory(name)).expect("the home is writable");
        self.flow.add_flow(
            &format!("watch/{name}"),
            &format!("path: ${{HOME}}/{name}\npost_exchange: xs_{name}\n{more}"),
        );
    }

    /// Where the watch of that name looks.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.flow.path(name)
    }

    /// Puts a file where a watch finds it.
    pub(crate) fn put(&self, name: &str, file: &str) {
        self.flow.write(&format!("{name}/{file}"), file.as_bytes());
    }

    /// Makes a queue that keeps what is posted to an exchange, and no flow that takes from it.
    #[track_caller]
    pub(crate) fn queue(&self, exchange: &str) {
        queue::declare(&self.flow, exchange);
        let sink = self.flow.config_dir().join("flow/sink.yaml");
        std::fs::remove_file(sink).expect("it was just made");
    }

    /// Runs a command that has to end with `code`; what it said on stdout.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> String {
        self.flow.run(arguments).expect(code).stdout
    }

    /// What became of each flow, of a command that answers so.
    #[track_caller]
    pub(crate) fn outcomes(&self, arguments: &[&str], code: i32) -> BTreeMap<String, String> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--format", "json"]);
        let text = self.run(&arguments, code);
        let rows: Value = serde_json::from_str(&text).expect("it is JSON");
        let rows = rows.as_array().expect("an array").iter();
        rows.map(|row| (text_of(&row["flow"]), text_of(&row["result"])))
            .collect()
    }

    /// How things are.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let finished = self.flow.run(&["status", "--format", "json"]);
        assert!(
            matches!(finished.code, Some(0 | 1)),
            "flow status: {finished:?}"
        );
        serde_json::from_str(&finished.stdout).expect("it is JSON")
    }

    /// The state of each flow.
    #[track_caller]
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        let status = self.status();
        let flows = status["flows"].as_array().expect("an array").iter();
        flows
            .map(|flow| (text_of(&flow["flow"]), text_of(&flow["state"])))
            .collect()
    }

    /// Waits until a flow is in a state.
    #[track_caller]
    pub(crate) fn until(&self, flow: &str, state: &str) {
        wait::until(&format!("{flow} to be {state}"), SOON, || {
            (self.states().get(flow).map(String::as_str) == Some(state)).then_some(())
        });
    }

    /// The id of the background process, if one lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        background::pid(&self.flow)
    }

    /// The log of a flow, or of the process.
    pub(crate) fn log(&self, name: &str) -> String {
        background::log(&self.flow, name)
    }

    /// Waits for a line in a log.
    #[track_caller]
    pub(crate) fn until_logged(&self, name: &str, text: &str) {
        wait::until(&format!("`{text}` in the log of {name}"), SOON, || {
            self.log(name).contains(text).then_some(())
        });
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
