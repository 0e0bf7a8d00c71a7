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
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::authority::Authority;
use super::script::{Script, text};
use super::venv;

const SCRIPT: &str = include_str!("s3.py");
const REQUIREMENTS: &str = include_str!("s3.txt");

/// A running store without buckets; stopped when dropped.
#[derive(Debug)]
pub struct S3 {
    script: Script,
    authority: Authority,
    http: u16,
    https: u16,
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
        let mut command = Command::new(bin.join("python"));
        command
            .args(["-c", SCRIPT])
            .arg(home.path().join("requests.log"))
            .arg(authority.cert_file())
            .arg(authority.key_file())
            .args([Self::KEY, Self::SECRET]);
        let mut script = Script::start(home, &mut command)?;
        Ok(Self {
            http: script.port()?,
            https: script.port()?,
            script,
            authority,
        })
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
        self.script.ask(&json!(["make", bucket]));
    }

    /// Writes an object, with user metadata.
    #[track_caller]
    pub fn put(&mut self, bucket: &str, key: &str, content: &[u8], metadata: &[(&str, &str)]) {
        self.script.put(bucket, key, content, metadata);
    }

    /// Reads an object.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, bucket: &str, key: &str) -> Object {
        let found = self.script.get(bucket, key);
        Object {
            content: found.content,
            metadata: found.metadata,
            content_type: found.content_type,
            etag: text(&found.about["etag"]),
        }
    }

    /// The keys of a bucket, in order.
    #[track_caller]
    pub fn keys(&mut self, bucket: &str) -> Vec<String> {
        self.script.texts(&json!(["keys", bucket]))
    }

    /// Uploads in parts that were begun, and neither completed nor given up.
    #[track_caller]
    pub fn uploads(&mut self, bucket: &str) -> u64 {
        let found = self.script.ask(&json!(["uploads", bucket]));
        found.as_u64().expect("the script counts them")
    }

    /// Requests so far but for those of these functions, a line each: method, path, status, range
    /// asked for.
    ///
    /// # Panics
    /// When the log can't be read.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.script.home().join("requests.log"));
        log.expect("the server made its log")
            .lines()
            .map(str::to_owned)
            .collect()
    }
}
