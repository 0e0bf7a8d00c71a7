//! A store that is a script: asked in lines of JSON, it answers each with such a line.
//!
//! What is asked is a list, an action and its arguments. The script ends when its input does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running script; ended when dropped.
#[derive(Debug)]
pub(super) struct Script {
    home: TempDir,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it; `home` is its own, and takes what it says on standard error.
    pub(super) fn start(home: TempDir, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("error.log"))?)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let out = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            home,
            child,
            answers: BufReader::new(out),
        })
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A port it says.
    pub(super) fn port(&mut self) -> Result<u16> {
        Ok(self.line()?.parse()?)
    }

    #[track_caller]
    pub(super) fn ask(&mut self, what: &Value) -> Value {
        let mut asked = || {
            let input = self.child.stdin.as_mut().context("its input is a pipe")?;
            writeln!(input, "{what}")?;
            let line = self.line()?;
            let answer: Value = serde_json::from_str(&line).context(line)?;
            ensure!(answer["error"].is_null(), "{}", answer["error"]);
            Ok(answer)
        };
        asked().unwrap_or_else(|error| panic!("asked the store for {what}: {error:#}"))
    }

    /// Asks for what is a list of texts.
    #[track_caller]
    pub(super) fn texts(&mut self, what: &Value) -> Vec<String> {
        let found = self.ask(what);
        let texts = found.as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    #[track_caller]
    pub(super) fn put(&mut self, place: &str, name: &str, content: &[u8], meta: &[(&str, &str)]) {
        let metadata: BTreeMap<_, _> = meta.iter().copied().collect();
        let content = STANDARD.encode(content);
        self.ask(&json!(["put", place, name, content, metadata]));
    }

    #[track_caller]
    pub(super) fn get(&mut self, place: &str, name: &str) -> Found {
        let about = self.ask(&json!(["get", place, name]));
        let content = STANDARD.decode(text(&about["content"]));
        let metadata = about["metadata"].as_object().into_iter().flatten();
        Found {
            content: content.expect("the script encodes it"),
            metadata: metadata.map(|(k, v)| (k.clone(), text(v))).collect(),
            content_type: text(&about["type"]),
            about,
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            let said = fs::read_to_string(self.home.path().join("error.log"))?;
            anyhow::bail!("the store ended; it said:\n{said}");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Its input ends, and with that it ends itself and its server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What a store has by a name.
pub(super) struct Found {
    pub(super) content: Vec<u8>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: String,
    /// All the script says of it.
    pub(super) about: Value,
}

/// A value that is text.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
