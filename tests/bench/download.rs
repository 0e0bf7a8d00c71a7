//! Fetching over HTTP what a queue announces: `flow` beside aria2c and curl, which are given lists.
//!
//! nginx and all files are on the tmpfs. Many small files first; then few large ones, where the `flow`
//! that posts computes sha512 meanwhile, curl computes nothing, and aria2c is followed by `sha512sum`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flow_testkit::{Flow, Nginx};
use flow_tests::tree;

use crate::compare::{Run, compare, subject};
use crate::measure::measure;
use crate::shovel::declare_queue;
use crate::{Load, find, place};

const SMALL: usize = 10_000;
const LARGE: usize = 200_000_000;
const LARGE_COUNT: usize = 5;

/// Runs it and prints its tables.
pub(crate) fn run(load: &Load) -> Result<()> {
    let server = Nginx::try_start(&place())?;
    println!("\n{} files of {SMALL} bytes:", load.count);
    crate::post::fill(&server.root().join("small"), load.count, SMALL)?;
    Scene::new(&server, "small", load.count, SMALL).compare(load)?;
    fs::remove_dir_all(server.root().join("small"))?;
    println!("\n{LARGE_COUNT} files of {LARGE} bytes, aria2c with sha512sum afterwards:");
    crate::post::fill(&server.root().join("large"), LARGE_COUNT, LARGE)?;
    Scene::new(&server, "large", LARGE_COUNT, LARGE).compare(load)
}

/// A tree on the server.
struct Scene {
    /// Of the tree, with a slash at the end.
    url: String,
    root: PathBuf,
    count: usize,
    size: usize,
}

impl Scene {
    fn new(server: &Nginx, name: &str, count: usize, size: usize) -> Self {
        Self {
            url: format!("{}/{name}/", server.http().trim_end_matches('/')),
            root: server.root().join(name),
            count,
            size,
        }
    }

    fn compare(&self, load: &Load) -> Result<()> {
        let large = self.size == LARGE;
        compare(
            load,
            "files",
            vec![
                subject("aria2c -j16", || self.aria2c(large)),
                subject("curl --parallel-max 16", || self.curl()),
                subject("flow subscribe", || self.flow("").map(Some)),
                // What is posted on has its digest computed while it is fetched.
                subject("flow subscribe, sha512, posting", || {
                    self.flow("post_exchange: xs_done\npost_baseUrl: file:/\n")
                        .map(Some)
                }),
            ],
        )
    }

    /// Paths below the tree.
    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in tree::files(&self.root) {
            let name = path.strip_prefix(&self.root)?;
            names.push(name.to_str().context("a name of ours")?.to_owned());
        }
        Ok(names)
    }

    fn check(&self, directory: &Path) -> Result<()> {
        let files = tree::files(directory);
        let whole =
            |path: &&PathBuf| fs::metadata(path).is_ok_and(|found| found.len() == self.size as u64);
        let found = files.iter().filter(whole).count();
        ensure!(found == self.count, "{found} of {} arrived", self.count);
        Ok(())
    }

    /// From a queue that has all of it.
    fn flow(&self, rest: &str) -> Result<Run> {
        let flow = Flow::new_in(&place());
        flow.add_flow(
            "post/bench",
            &format!(
                "path: {root}\npost_exchange: xs_bench\npost_baseUrl: {url}\npost_baseDir: {root}\n",
                root = self.root.display(),
                url = self.url,
            ),
        );
        flow.add_flow(
            "subscribe/bench",
            &format!("exchange: xs_bench\ndirectory: ${{HOME}}/got\nmirror: on\n{rest}"),
        );
        declare_queue(&flow, "subscribe/bench")?;
        declare_queue(&flow, "post/bench")?;
        let mut command = flow.command(&[
            "foreground",
            "subscribe/bench",
            "--once",
            "--log-level",
            "warn",
        ]);
        let measured = measure(&mut command, &flow.path("log"))?;
        self.check(&flow.path("got"))?;
        Ok(measured.of(self.count))
    }

    fn aria2c(&self, digest: bool) -> Result<Option<Run>> {
        let Some(program) = find("aria2c") else {
            return Ok(None);
        };
        let home = tempfile::tempdir_in(place())?;
        let (list, log) = (home.path().join("list"), home.path().join("log"));
        let mut text = String::new();
        for name in self.names()? {
            let _ = writeln!(text, "{}{name}\n  out={name}", self.url);
        }
        fs::write(&list, text)?;
        let got = home.path().join("got");
        let mut command = Command::new(program);
        command.args([
            "-j16",
            "-q",
            "--allow-overwrite=true",
            "--file-allocation=none",
        ]);
        command.arg("-d").arg(&got).arg("-i").arg(&list);
        let mut measured = measure(&mut command, &log)?;
        self.check(&got)?;
        if digest {
            let mut command = Command::new("sha512sum");
            command.args(tree::files(&got));
            measured = measured.then(measure(&mut command, &log)?);
        }
        Ok(Some(measured.of(self.count)))
    }

    fn curl(&self) -> Result<Option<Run>> {
        let Some(program) = find("curl") else {
            return Ok(None);
        };
        let home = tempfile::tempdir_in(place())?;
        let (list, log) = (home.path().join("list"), home.path().join("log"));
        let got = home.path().join("got");
        let mut text = String::new();
        for name in self.names()? {
            let path = got.join(&name);
            let _ = writeln!(
                text,
                "url = \"{}{name}\"\noutput = \"{}\"",
                self.url,
                path.display()
            );
        }
        fs::write(&list, text)?;
        let mut command = Command::new(program);
        command.args([
            "--silent",
            "--parallel",
            "--parallel-max",
            "16",
            "--create-dirs",
        ]);
        command.arg("--config").arg(&list);
        let measured = measure(&mut command, &log)?;
        self.check(&got)?;
        Ok(Some(measured.of(self.count)))
    }
}
