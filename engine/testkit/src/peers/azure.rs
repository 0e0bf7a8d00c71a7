//! A blob store, started privately: azurite from npm, which checks signatures as Azure does.
//!
//! What tests put and look at goes through Microsoft's own client. Both come from npm with pinned
//! versions, into `flow-test-cache` beside the binaries, or are found where `FLOW_AZURITE` says
//! (`tests/run` installs them there).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::cache;
use super::script::Script;

const SCRIPT: &str = include_str!("azure.js");
const REQUIREMENTS: &str = include_str!("azure.txt");

const INSTALL: &str = "it is installed from npm, which needs `apt-get install nodejs npm` and a package \
    index, or name the folder with its node_modules in FLOW_AZURITE";

/// A running store without containers; stopped when dropped.
#[derive(Debug)]
pub struct Azure {
    script: Script,
    port: u16,
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
        let mut command = Command::new("node");
        command
            .arg(&script)
            .arg(&folder)
            .args([Self::ACCOUNT, Self::KEY])
            .current_dir(home.path());
        let mut script = Script::start(home, &mut command)?;
        let port = script.port()?;
        Ok(Self { script, port })
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
        self.script.ask(&json!(["make", container, how]));
    }

    /// Writes a blob, with metadata.
    #[track_caller]
    pub fn put(&mut self, container: &str, name: &str, content: &[u8], metadata: &[(&str, &str)]) {
        self.script.put(container, name, content, metadata);
    }

    /// Reads a blob.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, container: &str, name: &str) -> StoredBlob {
        let found = self.script.get(container, name);
        StoredBlob {
            content: found.content,
            metadata: found.metadata,
            content_type: found.content_type,
            blocks: found.about["blocks"].as_u64().unwrap_or_default(),
        }
    }

    /// The names of the blobs of a container, in order.
    #[track_caller]
    pub fn keys(&mut self, container: &str) -> Vec<String> {
        self.script.texts(&json!(["keys", container]))
    }

    /// A shared access signature for a container, with these permissions (`rcwdl`).
    #[track_caller]
    pub fn share(&mut self, container: &str, permissions: &str) -> String {
        let made = self.script.ask(&json!(["share", container, permissions]));
        made.as_str().expect("it is a text").to_owned()
    }

    /// Requests so far, those of these functions among them: method, path, status.
    #[track_caller]
    pub fn requests(&mut self) -> Vec<String> {
        self.script.texts(&json!(["requests", "none"]))
    }
}

/// The folder with `node_modules`.
fn installed() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("FLOW_AZURITE") {
        return Ok(folder.into());
    }
    let folder = cache::folder("azurite")?;
    cache::install(&folder, REQUIREMENTS, || {
        cache::run(
            Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
                .arg("--prefix")
                .arg(&folder)
                .args(REQUIREMENTS.lines()),
        )
    })?;
    Ok(folder)
}
