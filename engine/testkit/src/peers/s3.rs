//! An object store, started privately: moto from PyPI, behind a gate that checks signatures.
//!
//! | Bucket | What |
//! | --- | --- |
//! | `far-…` | is in `eu-west-1`; the others are in `us-east-1` |
//! | `public-…` | may be read by anybody |
//!
//! A page of a listing has a hundred keys. The first fetch of a key that starts with `half-` breaks
//! off half-way. What tests put and look at goes through boto3, the client sr3 uses.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authority::Authority;
use super::venv;

const SCRIPT: &str = include_str!("s3.py");
const REQUIREMENTS: &str = include_str!("s3.txt");

/// A running store without buckets; stopped when dropped.
#[derive(Debug)]
pub struct S3 {
    home: tempfile::TempDir,
    authority: Authority,
    http: u16,
    https: u16,
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// An object as boto3 sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub content: Vec<u8>,
    /// User metadata, by name without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// MIME type.
    pub content_type: String,
    /// With quotes; one of an upload in parts has a dash in it.
    pub etag: String,
}

impl S3 {
    /// Who may do everything.
    pub const KEY: &'static str = "AKIDEXAMPLE";
    /// The secret of [`S3::KEY`].
    pub const SECRET: &'static str = "wJalr/XUtnFEMI+K7MDENG/bPxRfi%CY";
    /// The only token that goes with it, if one does.
    pub const TOKEN: &'static str = "session+token=";

    /// Starts a store.
    ///
    /// # Panics
    /// When moto can't be had or does not start; the text says what to do.
    #[track_caller]
    pub fn start() -> Self {
        match Self::try_start() {
            Ok(server) => server,
            Err(error) => panic!("this test needs moto: {error:#}; {}", venv::INSTALL),
        }
    }

    fn try_start() -> Result<Self> {
        let bin = venv::environment("s3", REQUIREMENTS)?;
        let home = tempfile::Builder::new().prefix("flow-s3-").tempdir()?;
        let authority = Authority::create(home.path())?;
        let mut child = Command::new(bin.join("python"))
            .args(["-c", SCRIPT])
            .arg(home.path().join("requests.log"))
            .arg(authority.cert_file())
            .arg(authority.key_file())
            .args([Self::KEY, Self::SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("error.log"))?)
            .spawn()
            .context("cannot run Python")?;
        let out = child.stdout.take().context("its output is a pipe")?;
        let mut server = Self {
            home,
            authority,
            http: 0,
            https: 0,
            child,
            answers: BufReader::new(out),
        };
        server.http = server.line()?.parse()?;
        server.https = server.line()?.parse()?;
        Ok(server)
    }

    /// `http://localhost:port`.
    pub fn http(&self) -> String {
        format!("http://localhost:{}", self.http)
    }

    /// `https://localhost:port`.
    pub fn https(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// A line of `credentials.conf` for a bucket, over plain HTTP; `scheme` is `s3` or `gs`.
    pub fn credential(&self, scheme: &str, bucket: &str) -> String {
        let secret = Self::SECRET.replace('%', "%25").replace('/', "%2F");
        let key = Self::KEY;
        format!(
            "{scheme}://{key}:{secret}@{bucket}/ s3_endpoint={}",
            self.http()
        )
    }

    /// Makes a bucket.
    #[track_caller]
    pub fn make(&mut self, bucket: &str) {
        self.ask(&json!(["make", bucket]));
    }

    /// Writes an object, with user metadata.
    #[track_caller]
    pub fn put(&mut self, bucket: &str, key: &str, content: &[u8], metadata: &[(&str, &str)]) {
        let metadata: BTreeMap<_, _> = metadata.iter().copied().collect();
        self.ask(&json!([
            "put",
            bucket,
            key,
            STANDARD.encode(content),
            metadata
        ]));
    }

    /// Reads an object.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, bucket: &str, key: &str) -> Object {
        let found = self.ask(&json!(["get", bucket, key]));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = found["metadata"].as_object().into_iter().flatten();
        Object {
            content: STANDARD
                .decode(text(&found["content"]))
                .expect("the script encodes it"),
            metadata: metadata.map(|(k, v)| (k.clone(), text(v))).collect(),
            content_type: text(&found["type"]),
            etag: text(&found["etag"]),
        }
    }

    /// The keys of a bucket, in order.
    #[track_caller]
    pub fn keys(&mut self, bucket: &str) -> Vec<String> {
        let found = self.ask(&json!(["keys", bucket]));
        let keys = found.as_array().into_iter().flatten();
        keys.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Uploads in parts that were begun, and neither completed nor given up.
    #[track_caller]
    pub fn uploads(&mut self, bucket: &str) -> u64 {
        let found = self.ask(&json!(["uploads", bucket]));
        found.as_u64().expect("the script counts them")
    }

    /// Requests so far but for those of these functions, a line each: method, path, status, range
    /// asked for.
    ///
    /// # Panics
    /// When the log can't be read.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.path().join("requests.log"));
        log.expect("the server made its log")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    fn ask(&mut self, what: &Value) -> Value {
        let mut asked = || {
            let input = self.child.stdin.as_mut().context("its input is a pipe")?;
            writeln!(input, "{what}")?;
            let line = self.line()?;
            serde_json::from_str(&line).context(line)
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

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
