//! Mails of a CommuniGate Pro server through a scanner: the helper, in one process with the scanner or
//! over a broker, against a server of the test kit.
//!
//! The scanner is a guest of `tests/guests` that says of each mail what the mail says.

mod broker;
mod earlier;
#[path = "../guest.rs"]
mod guest;
mod independent;
mod kill;
mod load;
mod mails;
mod pool;
mod protocol;
mod shipped;
mod strays;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use flow_testkit::{CommuniGate, CommuniGateReport, CommuniGateSetup, Flow, Verdict};

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const HELPER: &str = "flow/gateway";

/// An installation with the stand-in for a scanner.
#[track_caller]
pub(crate) fn installation() -> Flow {
    let flow = Flow::new();
    guest::install(&flow, "verdict");
    flow
}

/// An installation with the flow that does it all; `more` goes into it, `helper` among the options of
/// `cgp-helper`.
#[track_caller]
pub(crate) fn gateway(more: &str, helper: &str) -> Flow {
    let flow = installation();
    flow.add_flow(HELPER, &all_in_one(more, helper));
    flow
}

pub(crate) fn all_in_one(more: &str, helper: &str) -> String {
    let instances = match more.contains("instances:") {
        true => "",
        false => "instances: 8\n",
    };
    format!(
        "download: off\nbatch: 1\n{instances}{more}\ndirectory: ${{HOME}}/scratch\n\
         callbacks:\n- cgp-decode\n- verdict\n- plugin: cgp-helper\n  base_directory: ${{HOME}}/cgp\n{}",
        indented(helper)
    )
}

fn indented(options: &str) -> String {
    options.lines().map(|line| format!("  {line}\n")).collect()
}

/// A server whose helper is the flow called `name`.
#[track_caller]
pub(crate) fn serve(flow: &Flow, name: &str, setup: CommuniGateSetup) -> CommuniGate {
    serve_within(flow, name, setup, Vec::new())
}

/// As [`serve`], where no file may become larger than `limit` bytes.
#[track_caller]
pub(crate) fn serve_limited(
    flow: &Flow,
    name: &str,
    setup: CommuniGateSetup,
    limit: u64,
) -> CommuniGate {
    // In blocks of 512 bytes, as POSIX has it.
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
        limit / 512
    );
    serve_within(
        flow,
        name,
        setup,
        vec!["sh".into(), "-c".into(), script.into()],
    )
}

/// As [`serve`], where `directory` of the flow's home is a disk of its own with room for so many bytes.
/// Only the helper sees what is on it.
#[track_caller]
pub(crate) fn serve_with_disk(
    flow: &Flow,
    name: &str,
    setup: CommuniGateSetup,
    (directory, size): (&str, u64),
) -> CommuniGate {
    let directory = flow.path(directory);
    std::fs::create_dir_all(&directory).expect("the home is writable");
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs '{}' && exec \"$0\" \"$@\"",
        directory.display()
    );
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let tried = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["sh", "-c", &script, "true"])
        .output();
    let tried = tried.expect("unshare is there: apt-get install util-linux");
    assert!(
        tried.status.success(),
        "this test needs a disk that is full, mounted in a namespace of its own: {}; have the system \
         allow that (sysctl kernel.unprivileged_userns_clone=1; in a container, --security-opt \
         seccomp=unconfined)",
        String::from_utf8_lossy(&tried.stderr)
    );
    let before = namespace.iter().copied().chain(["sh", "-c", &script]);
    serve_within(flow, name, setup, before.map(Text::from).collect())
}

/// As [`serve`], where `before` is what starts the helper.
#[track_caller]
fn serve_within(
    flow: &Flow,
    name: &str,
    setup: CommuniGateSetup,
    before: Vec<Text>,
) -> CommuniGate {
    let flow_command = flow.command(&["helper", name]);
    let (program, arguments, environment) = parts(&flow_command);
    let mut whole = before;
    whole.push(program);
    whole.extend(arguments);
    CommuniGate::start(&flow.path("cgp"), setup, move || {
        let mut command = Command::new(&whole[0]);
        command.args(&whole[1..]);
        command.env_clear().envs(environment.iter().cloned());
        command
    })
}

type Text = std::ffi::OsString;

/// What a command is made of, to be made again.
fn parts(command: &Command) -> (Text, Vec<Text>, Vec<(Text, Text)>) {
    let environment = command.get_envs();
    (
        command.get_program().to_owned(),
        command.get_args().map(ToOwned::to_owned).collect(),
        environment
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect(),
    )
}

/// A queue file about mail `number`; `test` is for the scanner.
pub(crate) fn queue_file(number: usize, test: &str) -> Vec<u8> {
    let envelope = "P I 22-11-2026 10:00:00 0000 ____ ____ <sender@example.org>\nO T\n\
                    S <user@example.org> SMTP [203.0.113.7]\n\
                    R W 22-11-2026 10:00:00 0000 ____ _FY_ <a@example.com>\n\n";
    format!("{envelope}X-Number: {number}\nX-Test: {test}\nSubject: mail\n\nbody of {number}\n")
        .into_bytes()
}

/// The header line that says whose verdict it is.
#[track_caller]
pub(crate) fn whose(verdict: &Verdict) -> &str {
    let Verdict::Passed(lines) = verdict else {
        panic!("not passed on: {verdict:?}");
    };
    let mut lines = lines.iter();
    lines
        .find_map(|line| line.strip_prefix("X-Verdict-Of: "))
        .expect("the verdict says whose it is")
}

/// Whether the protocol was kept and every mail answered once.
#[track_caller]
pub(crate) fn expect_each_once(report: &CommuniGateReport) {
    assert_eq!(report.violations, [""; 0]);
    let twice = report.verdicts.iter().find(|(_, all)| all.len() != 1);
    assert_eq!(twice, None);
}

/// Whether every mail has the verdict of its own scan by the guest.
#[track_caller]
pub(crate) fn expect_own(answers: &BTreeMap<String, Verdict>) {
    for (file, verdict) in answers {
        assert_eq!(*file, format!("Queue/{}.msg", whose(verdict)));
    }
}

/// Whether every mail waits in the server's queue, as nobody said anything before the deadline.
#[track_caller]
pub(crate) fn expect_late(answers: &BTreeMap<String, Verdict>) {
    let late = Verdict::Kept("no verdict in time".into());
    let other = answers.iter().find(|(_, verdict)| **verdict != late);
    assert_eq!(other, None);
}
