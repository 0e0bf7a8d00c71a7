//! `flow foreground` over a mailbox on loopback: what a person sees of a running flow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flow_testkit::imap::Server;
use flow_testkit::samples;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PASSWORD: &str = "right-s3cr3t";

/// A mailbox with all samples, a flow that polls it, and credentials.
struct Scene {
    home: TempDir,
    // The server's tasks run on it.
    _runtime: Runtime,
    _server: Server,
}

impl Scene {
    fn new(password: &str) -> Self {
        let runtime = Runtime::new().expect("threads");
        let server = runtime
            .block_on(Server::start("me", PASSWORD))
            .expect("a port");
        for sample in samples::all() {
            server.deliver("INBOX", sample.raw);
        }
        let home = tempfile::tempdir().expect("a temporary directory");
        let address = server.address();
        let flow = format!(
            "pollUrl: imap://me@{address}/INBOX\n\
             directory: ${{HOME}}/in\n\
             callbacks:\n  \
               - mail\n  \
               - plugin: mail-decode\n    \
                 filters: [{{accept: '.*\\.pdf$'}}, {{reject: '.*'}}]\n\
             post_exchange: xs_files\n"
        );
        let config = home.path().join(".config/flow");
        fs::create_dir_all(config.join("flow")).expect("it can be made");
        fs::write(config.join("flow/m.yaml"), flow).expect("it can be written");
        let credentials = config.join("credentials.conf");
        fs::write(&credentials, format!("imap://me:{password}@{address}\n"))
            .expect("it can be written");
        fs::set_permissions(credentials, fs::Permissions::from_mode(0o600)).expect("it can be set");
        Self {
            home,
            _runtime: runtime,
            _server: server,
        }
    }

    /// Exit code and stderr; stdout has to be empty, and no secret may show.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_flow"))
            .env_clear()
            .env("HOME", self.home.path())
            .env(
                "FLOW_CACHE_DIR",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/flow-cache"),
            )
            .args(["foreground", "flow/m", "--once"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty(), "talk goes to stderr");
        assert!(!said.contains("s3cr3t"), "{said}");
        (output.status.code(), said)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.home.path().join("in"))
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("readable").path())
            .collect();
        files.sort();
        files
    }
}

#[test]
fn a_mailbox_becomes_files_once() {
    let scene = Scene::new(PASSWORD);
    let (code, said) = scene.run(&["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("accepted") && said.contains("8 gathered"),
        "{said}"
    );
    assert!(scene.files().is_empty(), "a dry run only looks");

    let (code, said) = scene.run(&["--trace"]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "gathered ",
        "mail-decode after_work: replace",
        "derived ",
        "settled ",
        "identity: sha512",
        "subject: ",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert!(said.contains("8 gathered, 6 rejected, 8 fetched"), "{said}");
    let names: Vec<_> = scene
        .files()
        .iter()
        .filter_map(|file| file.file_name()?.to_str().map(String::from))
        .collect();
    assert_eq!(names, ["invoice-2026-117.pdf", "протокол собрания.pdf"]);

    let (code, said) = scene.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 gathered in"), "{said}");
}

#[test]
fn a_refused_password_is_explained() {
    let scene = Scene::new("wrong-s3cr3t");
    let (code, said) = scene.run(&["--log-level", "error"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("error[run/auth]: "), "{said}");
    assert!(scene.files().is_empty());
}
