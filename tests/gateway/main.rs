//! Mails of a CommuniGate Pro server through a scanner: the helper, in one process with the scanner or
//! over a broker, against a server of the test kit.
//!
//! The scanner is a guest of `tests/guests` that says of each mail what the mail says.

mod earlier;
mod kill;
mod load;
mod mails;
mod pool;
mod protocol;
mod shipped;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use flow_testkit::{CommuniGate, CommuniGateSetup, Flow, Verdict};

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const HELPER: &str = "flow/gateway";

/// An installation with the stand-in for a scanner.
#[track_caller]
pub(crate) fn installation() -> Flow {
    let flow = Flow::new();
    let component = std::fs::read(guests().join("verdict.wasm")).expect("it was built");
    flow.write("config/plugins/verdict.wasm", &component);
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
    let flow_command = flow.command(&["helper", name]);
    let (program, arguments, environment) = parts(&flow_command);
    CommuniGate::start(&flow.path("cgp"), setup, move || {
        let mut command = Command::new(&program);
        command
            .args(&arguments)
            .env_clear()
            .envs(environment.iter().cloned());
        command
    })
}

/// As [`serve`], where no file may become larger than `limit` bytes, as on a disk that is full.
#[track_caller]
pub(crate) fn serve_limited(
    flow: &Flow,
    name: &str,
    setup: CommuniGateSetup,
    limit: u64,
) -> CommuniGate {
    let flow_command = flow.command(&["helper", name]);
    let (program, arguments, environment) = parts(&flow_command);
    // In blocks of 512 bytes, as POSIX has it.
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
        limit / 512
    );
    CommuniGate::start(&flow.path("cgp"), setup, move || {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(&program).args(&arguments);
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

fn guests() -> &'static Path {
    static GUESTS: OnceLock<std::path::PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let guests =
            flow_xtask::build_example_guests(&workspace, &target, flow_xtask::Profile::Dev)
                .expect("the guests build");
        let (_, first) = guests.first().expect("there are guests");
        first.parent().expect("a file has a parent").to_owned()
    })
}
