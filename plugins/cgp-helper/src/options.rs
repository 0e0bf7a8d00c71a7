//! The plugin's options.

use std::time::Duration;

use flow_plugin::{Context, Failure, Manifest, OptionKind, Result, manifest, option};

use crate::response::Response;

/// What can be answered without a verdict. Dropping and bouncing are not among it.
const ANSWERS: [&str; 4] = ["rejected", "failure", "ok", "addheader"];
const NEWEST: i64 = 9;

/// What the flow says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// URL of the server's base directory.
    pub(crate) base: String,
    /// First part of paths, with its slash; tells mail hosts apart.
    pub(crate) host: String,
    pub(crate) interface_max: u32,
    pub(crate) deadline: Duration,
    pub(crate) on_timeout: String,
    pub(crate) on_error: String,
    pub(crate) header: String,
    pub(crate) max_in_flight: u32,
}

pub(crate) fn describe() -> Manifest {
    use OptionKind::{Choice, Count, Duration, Text};
    manifest(
        "cgp-helper",
        env!("CARGO_PKG_VERSION"),
        "answers CommuniGate Pro with the verdicts of a scanner",
    )
    .doc(include_str!("../README.md"))
    .option(option("base_directory", Text, "The server's base directory, absolute: queue files are named below it.").default("/var/CommuniGate").example("/var/CommuniGate"))
    .option(option("host", Text, "Name of this mail host, where several share scanners: the first part of relPath, and so of the topic. Letters, digits and hyphens.").example("mail1"))
    .option(option("interface_max", Count, "The newest version of the server's interface that is spoken, 1 to 9.").default("4"))
    .option(option("deadline", Duration, "How long a verdict is waited for; has to be less than the server's `Timeout` for this helper, after which it kills it.").default("4m").example("9m"))
    .option(option("on_timeout", Choice, "What the server is told about a mail without a verdict at the deadline, or beyond `max_in_flight`: to ask again later, to go on as if not asked, to go on, or to go on with `unscanned_header`.").choices(&ANSWERS).default("rejected"))
    .option(option("on_error", Choice, "What the server is told about a mail that can't be scanned at all, and where the scanner's word is not known. The same four; with `failure` and `ok` such mails pass unscanned.").choices(&ANSWERS).default("rejected"))
    .option(option("unscanned_header", Text, "The header line of `addheader` in `on_timeout` and `on_error`.").default("X-Sandbox-Verdict: not scanned"))
    .option(option("max_in_flight", Count, "Most mails that wait for a verdict, 1 to 10000.").default("500"))
    .build()
}

impl Settings {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let given = &context.options;
        let directory = given.text("base_directory")?;
        if !directory.starts_with('/') {
            return Err(Failure::config(format!(
                "option `base_directory` is `{directory}`, which is not absolute: queue files would not be found"
            )));
        }
        let host = given.get::<String>("host")?.unwrap_or_default();
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Failure::config(format!(
                "option `host` is `{host}`; a part of a path and a topic has letters, digits and hyphens here"
            )));
        }
        let interface_max = within("interface_max", given.count("interface_max")?, NEWEST)?;
        let deadline = given.duration("deadline")?;
        if deadline < Duration::from_secs(1) {
            return Err(Failure::config(
                "option `deadline` is less than a second: mails would be answered before they are scanned",
            ));
        }
        let settings = Self {
            base: format!("file://{}/", directory.trim_end_matches('/')),
            host: match host.as_str() {
                "" => host,
                _ => format!("{host}/"),
            },
            interface_max,
            deadline,
            on_timeout: given.text("on_timeout")?,
            on_error: given.text("on_error")?,
            header: given.text("unscanned_header")?,
            max_in_flight: within("max_in_flight", given.count("max_in_flight")?, 10_000)?,
        };
        let adds = [&settings.on_timeout, &settings.on_error].contains(&&"addheader".to_owned());
        let header = Response::AddHeader(settings.header.clone());
        if adds && header.write(settings.interface_max.max(2), 0) == "OK" {
            return Err(Failure::config(format!(
                "option `unscanned_header` is `{}`, which is no header line",
                settings.header
            )));
        }
        Ok(settings)
    }

    /// What to say without a verdict; `action` is one of those of the options.
    pub(crate) fn without_verdict(&self, action: &str, why: &str) -> Response {
        let text = match action {
            "addheader" => &self.header,
            _ => why,
        };
        // Others can't be configured.
        Response::read(action, text).unwrap_or(Response::Failure)
    }
}

fn within(name: &str, value: i64, most: i64) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|_| (1..=most).contains(&value))
        .ok_or_else(|| {
            Failure::config(format!(
                "option `{name}` is {value}, but has to be from 1 to {most}"
            ))
        })
}
