//! A filter helper of CommuniGate Pro by others: `cgp_rspamd.pl`, which comes with rspamd.
//!
//! The script is in the source package of Debian, not in what Debian installs: it is had from there with
//! apt, into `flow-test-cache` beside the binaries, or is found where `FLOW_CGP_RSPAMD` says. Wherever it
//! comes from, it has to be the one script whose SHA-256 stands here.
//!
//! Its scanner is played: rspamd would add nothing to what is proven, which is that a helper and a server
//! of the test kit who know nothing of each other get along.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ring::digest::{SHA256, digest};

use super::cache::{self, run};

/// The script of rspamd 3.4.
const SCRIPT: &str = "62fdf58a0bae90b1639dbf8be13959dc9752b8a30066119bf1eac7820dfc69d5";
const SOURCE: &str = "deb-src [trusted=yes] http://deb.debian.org/debian bookworm main\n";
const PACKAGE: &str = "rspamd=3.4-1";

const INSTALL: &str = "its Perl needs `apt-get install libanyevent-http-perl libev-perl libjson-xs-perl`, \
    and the script is had from Debian's sources with apt-get and xz-utils; or name a copy of \
    utils/cgp_rspamd.pl of rspamd 3.4 in FLOW_CGP_RSPAMD";

/// The helper, and the scanner it asks.
#[derive(Debug)]
pub struct RspamdHelper {
    script: PathBuf,
    port: u16,
}

impl RspamdHelper {
    /// Finds the helper, and plays its scanner: `answer` says in JSON what it says about a request,
    /// which is made of header lines, an empty one, and the mail.
    ///
    /// # Panics
    /// When the helper can't be had; the text says what to do.
    #[track_caller]
    pub fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let found = script().and_then(|script| {
            run(Command::new("perl").args(["-MJSON::XS", "-MEV", "-MAnyEvent::HTTP", "-e1"]))?;
            Ok(script)
        });
        let script = match found {
            Ok(script) => script,
            Err(error) => panic!("this test needs cgp_rspamd.pl: {error:#}; {INSTALL}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        std::thread::spawn(move || {
            for peer in listener.incoming().flatten() {
                // Who breaks off has had enough.
                let _ = serve(&peer, &answer);
            }
        });
        Self { script, port }
    }

    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new("perl");
        command
            .arg(&self.script)
            .args(["--host", &format!("127.0.0.1:{}", self.port)]);
        command
    }
}

fn serve(peer: &TcpStream, answer: &impl Fn(&str) -> String) -> std::io::Result<()> {
    let mut reader = BufReader::new(peer);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        request.push_str(line.trim_end());
        request.push('\n');
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.push_str(&String::from_utf8_lossy(&body));
    let body = answer(&request);
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let mut peer = peer;
    write!(peer, "{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn script() -> Result<PathBuf> {
    let script = match std::env::var_os("FLOW_CGP_RSPAMD") {
        Some(script) => script.into(),
        None => {
            let folder = cache::folder("cgp-rspamd")?;
            cache::install(&folder, SCRIPT, || fetch(&folder))?;
            folder.join("cgp_rspamd.pl")
        }
    };
    let text = fs::read(&script).with_context(|| format!("cannot read {}", script.display()))?;
    let found: String = digest(&SHA256, &text)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(
        found == SCRIPT,
        "{} has the SHA-256 {found}, and not {SCRIPT}",
        script.display()
    );
    Ok(script)
}

/// Has apt fetch the sources, with lists and a cache of its own, and takes the script out of them.
fn fetch(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("lists/partial"))?;
    fs::create_dir_all(folder.join("cache/archives/partial"))?;
    fs::write(folder.join("source.list"), SOURCE)?;
    let of = |name: &str| folder.join(name).display().to_string();
    let options = [
        format!("Dir::Etc::sourcelist={}", of("source.list")),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", of("lists")),
        format!("Dir::Cache={}", of("cache")),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder).arg("--quiet");
        for option in &options {
            apt.args(["-o", option]);
        }
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["source", "--download-only", PACKAGE]))?;
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut tarballs = files.filter(|path| path.to_string_lossy().contains(".orig.tar"));
    let Some(tarball) = tarballs.next() else {
        bail!("apt-get fetched no sources");
    };
    run(Command::new("tar")
        .current_dir(folder)
        .args(["--strip-components=2", "--wildcards", "-xf"])
        .arg(&tarball)
        .arg("*/utils/cgp_rspamd.pl"))?;
    // Only the script is wanted.
    fs::remove_file(tarball)?;
    fs::remove_dir_all(folder.join("lists"))?;
    Ok(fs::remove_dir_all(folder.join("cache"))?)
}
