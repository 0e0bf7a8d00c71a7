//! An example plugin, copied out of the repository together with the kit it is built with, and built
//! there as its `flow-plugin.toml` says.
//!
//! Components are kept in the test cache under a digest of all that went into them: building the same
//! twice gives other bytes, which would be compiled again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flow_testkit::generate::sha256;
use flow_testkit::{Flow, link_js_tools, link_python_tools};
use flow_tests::tree;

/// The copy of an example.
pub(crate) struct Project {
    root: tempfile::TempDir,
    name: &'static str,
    /// Of every file that the component is made of.
    digest: String,
}

impl Project {
    /// Copies `examples/NAME`.
    pub(crate) fn of(name: &'static str) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the package is one level down");
        let root = tempfile::tempdir().expect("the temporary directory is writable");
        let kits = ["sdk-python", "sdk-js", "wit"].map(|kit| format!("plugins/{kit}"));
        let rust = [
            "plugins/sdk",
            "plugins/sdk-macros",
            "plugins/Cargo.toml",
            "rust-toolchain.toml",
        ]
        .map(str::to_owned);
        for folder in kits
            .iter()
            .chain(&rust)
            .chain([&format!("examples/{name}")])
        {
            copy(&repository.join(folder), &root.path().join(folder));
        }
        let digest = digest(root.path());
        let project = Self { root, name, digest };
        if project.path("requirements-dev.txt").exists() {
            link_python_tools(&project.path(""));
        } else if project.path("package.json").exists() {
            link_js_tools(
                &project.path(""),
                &project.root.path().join("plugins/sdk-js"),
            );
        }
        project
    }

    /// A path below the example.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        let example = self.root.path().join("examples").join(self.name);
        example.join(relative)
    }

    /// The same with another text of a file.
    pub(crate) fn with(mut self, relative: &str, text: &str) -> Self {
        fs::write(self.path(relative), text).expect("the copy is writable");
        self.digest = sha256(format!("{}{text}", self.digest).as_bytes());
        self
    }

    /// Runs a command in the example's folder.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = format!("{}:{}", self.path(".venv/bin").display(), path);
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(program)
            .args(arguments)
            .env("PATH", own)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.path(""))
            .output()
            .unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
        assert!(
            status.success(),
            "{program} {arguments:?}: {status}\n{told}"
        );
        told
    }

    /// Makes `component` with `steps`, and installs it as a plugin of the flow's.
    #[track_caller]
    pub(crate) fn install(&self, flow: &Flow, component: &str, step: &[&str]) {
        let kept = flow.cache_dir().join(format!("{}.wasm", self.digest));
        if !kept.exists() {
            let (program, arguments) = step.split_first().expect("a program");
            self.run(program, arguments);
            fs::create_dir_all(flow.cache_dir()).expect("the cache is writable");
            let unfinished = kept.with_extension(std::process::id().to_string());
            fs::copy(self.path(component), &unfinished).expect("the build made it");
            fs::rename(&unfinished, &kept).expect("the cache is writable");
        }
        let name = Path::new(component).file_name().expect("it has a name");
        let plugins = flow.config_dir().join("plugins");
        fs::create_dir_all(&plugins).expect("the temporary directory is writable");
        fs::copy(&kept, plugins.join(name)).expect("the temporary directory is writable");
        // Compiles it, which takes a debug build half a minute for an interpreter, and has no limit.
        let name = Path::new(name).with_extension("");
        let name = name.to_str().expect("it is text");
        let shown = flow.command(&["plugin", "show", name]).output();
        assert!(shown.expect("flow can be run").status.success());
    }

    /// The example's own flow.
    pub(crate) fn flow(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.yaml"))).expect("the example has it")
    }
}

fn digest(root: &Path) -> String {
    let mut all = String::new();
    for path in tree::files(root) {
        let name = path.strip_prefix(root).expect("below it");
        let content = fs::read(&path).expect("it can be read");
        all.push_str(&format!("{} {}\n", name.display(), sha256(&content)));
    }
    sha256(all.as_bytes())
}

/// Copies a file or a folder, what was built in it left out.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).expect("the temporary directory is writable");
        return;
    }
    fs::create_dir_all(to).expect("the temporary directory is writable");
    for entry in fs::read_dir(from).expect("the repository has it") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name();
        let built = ["build", "node_modules", "__pycache__", "target"];
        let text = name.to_string_lossy();
        if text.starts_with('.') || built.contains(&&*text) {
            continue;
        }
        copy(&entry.path(), &to.join(&name));
    }
}
