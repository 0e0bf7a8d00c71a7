//! A blob store, started privately: azurite from npm, which checks signatures as Azure does.
//!
//! What tests put and look at goes through Microsoft's own client. Both come from npm with pinned
//! versions, into `flow-test-cache` beside the binaries, or are found where `FLOW_AZURITE` says
//! (`tests/run` installs them there).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("azure.js");
const REQUIREMENTS: &str = include_str!("azure.txt");

const INSTALL: &str = "it is installed from npm, which needs `apt-get install nodejs npm` and a package \
    index, or name the folder with its node_modules in FLOW_AZURITE";

/// A running store without containers; stopped when dropped.
#[derive(Debug)]
pub struct Azure {
    home: tempfile::TempDir,
    port: u16,
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// A blob as Microsoft's client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its bytes.
    pub content: Vec<u8>,
    /// By name.
    pub metadata: BTreeMap<String, String>,
    /// MIME type.
    pub content_type: String,
    /// Of how many blocks it was put together; none: it came at once.
    pub blocks: u64,
}

impl Azure {
    /// The account, which may do everything.
    pub const ACCOUNT: &'static str = "flowaccount";
    /// The key of [`Azure::ACCOUNT`].
    pub const KEY: &'static str = "c2VjcmV0LWtleS1vZi10aGUtdGVzdHMtb2YtZmxvdys=";

    /// Starts a store.
    ///
    /// # Panics
    /// When azurite can't be had or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        match Self::try_start() {
            Ok(server) => server,
            Err(error) => panic!("this test needs azurite: {error:#}; {INSTALL}"),
        }
    }

    fn try_start() -> Result<Self> {
        let folder = installed()?;
        let home = tempfile::Builder::new().prefix("flow-azure-").tempdir()?;
        let script = home.path().join("azure.js");
        fs::write(&script, SCRIPT)?;
        let mut child = Command::new("node")
            .arg(&script)
            .arg(&folder)
            .args([Self::ACCOUNT, Self::KEY])
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("error.log"))?)
            .spawn()
            .context("cannot run node")?;
        let out = child.stdout.take().context("its output is a pipe")?;
        let mut server = Self {
            home,
            port: 0,
            child,
            answers: BufReader::new(out),
        };
        server.port = server.line()?.parse()?;
        Ok(server)
    }

    /// `http://127.0.0.1:port/account`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)
    }

    /// A line of `credentials.conf` with the key.
    pub fn credential(&self) -> String {
        let key = Self::KEY.replace('=', "%3D").replace('+', "%2B");
        let account = Self::ACCOUNT;
        format!(
            "azure://{account}:{key}@{account}/ azure_endpoint={}",
            self.endpoint()
        )
    }

    /// Makes a container; a public one may be read and listed by anybody.
    #[track_caller]
    pub fn make(&mut self, container: &str, public: bool) {
        let how = if public { "public" } else { "private" };
        self.ask(&json!(["make", container, how]));
    }

    /// Writes a blob, with metadata.
    #[track_caller]
    pub fn put(&mut self, container: &str, name: &str, content: &[u8], metadata: &[(&str, &str)]) {
        let metadata: BTreeMap<_, _> = metadata.iter().copied().collect();
        let content = STANDARD.encode(content);
        self.ask(&json!(["put", container, name, content, metadata]));
    }

    /// Reads a blob.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, container: &str, name: &str) -> StoredBlob {
        let found = self.ask(&json!(["get", container, name]));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = found["metadata"].as_object().into_iter().flatten();
        StoredBlob {
            content: STANDARD
                .decode(text(&found["content"]))
                .expect("the script encodes it"),
            metadata: metadata.map(|(k, v)| (k.clone(), text(v))).collect(),
            content_type: text(&found["type"]),
            blocks: found["blocks"].as_u64().unwrap_or_default(),
        }
    }

    /// The names of the blobs of a container, in order.
    #[track_caller]
    pub fn keys(&mut self, container: &str) -> Vec<String> {
        texts(&self.ask(&json!(["keys", container])))
    }

    /// A shared access signature for a container, with these permissions (`rcwdl`).
    #[track_caller]
    pub fn share(&mut self, container: &str, permissions: &str) -> String {
        let made = self.ask(&json!(["share", container, permissions]));
        made.as_str().expect("it is a text").to_owned()
    }

    /// Requests so far, those of these functions among them: method, path, status.
    #[track_caller]
    pub fn requests(&mut self) -> Vec<String> {
        texts(&self.ask(&json!(["requests", "none"])))
    }

    #[track_caller]
    fn ask(&mut self, what: &Value) -> Value {
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

impl Drop for Azure {
    fn drop(&mut self) {
        // Its input ends, and with that it ends itself and its server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The folder with `node_modules`.
fn installed() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("FLOW_AZURITE") {
        return Ok(folder.into());
    }
    let test = std::env::current_exe()?;
    // target/<profile>/deps/test
    let profile = test.ancestors().nth(2);
    let cache = profile
        .context("the test has no target directory")?
        .join("flow-test-cache");
    fs::create_dir_all(&cache)?;
    // Tests are processes that run side by side: one makes it, the others wait.
    let lock = fs::File::create(cache.join("azurite.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let folder = cache.join("azurite");
    let done = folder.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|have| have == REQUIREMENTS) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let output = Command::new("npm")
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(&folder)
        .args(REQUIREMENTS.lines())
        .stdin(Stdio::null())
        .output()
        .context("cannot run npm")?;
    ensure!(
        output.status.success(),
        "npm failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(&done, REQUIREMENTS)?;
    Ok(folder)
}
