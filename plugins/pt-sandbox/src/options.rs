//! The plugin's options: declared once, read into a struct.

use std::time::Duration;

use flow_plugin::{
    Context, Failure, Grant, Manifest, OptionKind, Options, Result, manifest, option,
};
use serde_json::{Map, Value, json};

use crate::policy::{ACTIONS, CASES, Policy};

/// What a synchronous answer takes beyond four times the analysis: the product's own client waits
/// as long.
const BEYOND: Duration = Duration::from_secs(300);
/// How long the analysis takes by default.
const ANALYSIS: Duration = Duration::from_secs(120);

/// The options, read.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Root of the API, without a slash at its end.
    pub(crate) base: String,
    /// As the flow writes it: what credentials are looked up by.
    pub(crate) url: String,
    pub(crate) one_step: bool,
    pub(crate) held: bool,
    pub(crate) preflight: bool,
    pub(crate) timeout: Duration,
    pub(crate) upload_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) hold: Duration,
    pub(crate) poll: Duration,
    pub(crate) poll_max: Duration,
    pub(crate) in_flight: usize,
    /// None: for ever.
    pub(crate) give_up: Option<Duration>,
    pub(crate) max_size: u64,
    /// None: nothing is remembered.
    pub(crate) cache_ttl: Option<Duration>,
    pub(crate) priority: Option<i64>,
    pub(crate) passwords: Vec<String>,
    /// The `options` of a task.
    pub(crate) analysis: Value,
    pub(crate) policy: Policy,
    pub(crate) carry_out: bool,
    pub(crate) headers: Vec<String>,
    /// First part of the relPath of copies; none: no copies.
    pub(crate) quarantine: Option<String>,
}

pub(crate) fn describe() -> Manifest {
    use OptionKind::{Choice, Count, Duration, Flag, Size, Text, Url};
    let mut described = manifest("pt-sandbox", env!("CARGO_PKG_VERSION"), "has PT Sandbox scan content, and does what a policy says about each verdict")
        .doc(include_str!("../README.md"))
        .grant(Grant::Http)
        .grant(Grant::Secrets)
        .option(option("sandbox", Url, "The server, `https://host`; the API is below `/api/v1` unless the URL has a path. Its key is in credentials.conf.").required().example("https://sandbox.example.com"))
        .option(option("form", Choice, "How scans are asked for: by an upload and a task, or by one request that can say less.").choices(&["two_step", "one_step"]).default("two_step"))
        .option(option("answers", Choice, "Whether verdicts are asked for again and again, or requests stay open until they come, one at a time in each instance.").choices(&["poll", "held"]).default("poll"))
        .option(option("allow_preflight", Flag, "Whether the sandbox may give early results; they are never taken for the verdict.").default("off"))
        .option(option("timeout", Duration, "How long one request may take, uploads and held answers aside.").default("30s"))
        .option(option("upload_timeout", Duration, "How long an upload may take.").default("10m"))
        .option(option("answer_timeout", Duration, "How long a held answer may take; unset, four times `analysis_duration` and 5 minutes more.").example("10m"))
        .option(option("hold", Duration, "How long one call waits for verdicts before its messages are put aside, to be looked at again; less than the flow's `limits.deadline`. With `0s` nothing is waited for.").default("5s"))
        .option(option("poll", Duration, "Time between two questions about one scan at first; later a fortieth of its age.").default("500ms"))
        .option(option("poll_max", Duration, "Longest time between two questions about one scan.").default("10s"))
        .option(option("max_in_flight", Count, "Most scans one call has under way, those that were put aside included.").default("8"))
        .option(option("give_up", Duration, "How long after the first try a verdict is waited for; then `on_timeout` decides. With `0s` for ever.").default("1h"))
        .option(option("max_size", Size, "Larger content is not sent, and counts as unscanned.").default("100MiB"))
        .option(option("cache_ttl", Duration, "How long a verdict counts for the same content; whole seconds. With `0s` everything is scanned.").default("1h"))
        .option(option("priority", Count, "Priority of the scans, 1 to 4.").example("3"))
        .option(option("passwords", Text, "Passwords to try on archives.").repeated().example("[infected]"))
        .option(option("analysis_depth", Count, "How deep archives are opened.").example("2"))
        .option(option("scan_timeout", Duration, "How long the sandbox may scan, 10s to 1h.").example("20m"))
        .option(option("max_execution_time", Duration, "How long the sandbox may take altogether, 5m to 3h.").example("1h"))
        .option(option("cache", Flag, "Whether the sandbox may answer from its own cache; unset, as it is set up there.").example("on"))
        .option(option("extract_urls", Flag, "Whether the sandbox looks at URLs inside content.").example("off"))
        .option(option("mark_suspicious", Text, "What the sandbox marks as suspicious, e.g. `encrypted_not_unpacked`, `max_depth_exceeded`.").repeated().example("[encrypted_not_unpacked]"))
        .option(option("mark_dangerous", Text, "What the sandbox marks as dangerous, e.g. `apk_tampered`.").repeated().example("[apk_tampered]"))
        .option(option("behaviour", Flag, "Whether files are run in a virtual machine; unset, as it is set up there. Needed for the options below.").example("on"))
        .option(option("image", Text, "The virtual machine files are run in.").example("win7-sp1-x64"))
        .option(option("analysis_duration", Duration, "How long files are run, 10s at least.").example("2m"))
        .option(option("save_video", Flag, "Whether a video of it is kept.").example("off"))
        .option(option("mitm", Flag, "Whether encrypted connections of files are looked into.").example("on"))
        .option(option("custom_command", Text, "How files are started; `{file}` is the file.").example("rundll32.exe {file},#1"))
        .option(option("bootkit_monitor", Flag, "Whether what happens at the next start is watched.").example("off"))
        .option(option("dump_processes", Flag, "Whether the memory of new processes is kept at the end.").example("off"))
        .option(option("file_types", Text, "Which types of files are run.").repeated().example("[PE, PDF]"))
        .option(option("pdf_properties", Text, "PDF files are run only if they have one of these properties.").repeated().example("[javascript]"))
        .option(option("office_properties", Text, "Office files are run only if they have one of these properties.").repeated().example("[macros]"));
    for (_, name) in CASES {
        described = described.option(
            option(name, Choice, doc_of(name))
                .choices(&ACTIONS)
                .example(example_of(name)),
        );
    }
    described
        .option(option("on_doubt", Choice, "What becomes of content in doubt, where the option of the case says nothing; never `discard`.").choices(&ACTIONS).default("rejected").example("failure"))
        .option(option("actions", Choice, "Whether actions are carried out here, or only said in headers, for whoever answers.").choices(&["carry_out", "announce"]).default("carry_out"))
        .option(option("headers", Text, "Header lines of `addheader`, with `{verdict}`, `{state}`, `{threat}` and `{scan_id}`; a line whose field is empty is left out.").repeated().default("[\"X-Sandbox-Verdict: {verdict}\", \"X-Sandbox-Threat: {threat}\", \"X-Sandbox-Scan-Id: {scan_id}\"]"))
        .option(option("quarantine", Text, "First part of the relPath of quarantine copies; the directory is said by `filters` of this entry. Empty: what is discarded is gone.").default("quarantine"))
        .build()
}

fn doc_of(name: &str) -> &'static str {
    match name {
        "on_clean" => "What becomes of what was scanned as a whole and found clean; unset, `ok`.",
        "on_unwanted" => "What becomes of unwanted programs; unset, `addheader`.",
        "on_dangerous" => {
            "What becomes of what is dangerous, however much was scanned; unset, `discard`."
        }
        "on_partial" => {
            "What becomes of what was scanned in part and found clean; unset, as `on_doubt`."
        }
        "on_unknown" => {
            "What becomes of what the sandbox has no verdict about; unset, as `on_doubt`."
        }
        "on_unscanned" => "What becomes of what was not scanned; unset, as `on_doubt`.",
        "on_error" => "What becomes of what the sandbox failed at; unset, as `on_doubt`.",
        _ => "What becomes of what got no verdict within `give_up`; unset, as `on_doubt`.",
    }
}

fn example_of(name: &str) -> &'static str {
    match name {
        "on_clean" => "addheader",
        "on_unwanted" => "discard",
        "on_dangerous" => "error",
        _ => "failure",
    }
}

impl Settings {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let given = &context.options;
        let url = given.text("sandbox")?;
        let policy = Policy::read(|name| given.get::<String>(name))?;
        let quarantine = given.text("quarantine")?.trim_matches('/').to_owned();
        let analysis_duration = given.get("analysis_duration")?.unwrap_or(ANALYSIS);
        let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
        let settings = Self {
            base: base_of(&url)?,
            url,
            one_step: given.text("form")? == "one_step",
            held: given.text("answers")? == "held",
            preflight: given.flag("allow_preflight")?,
            timeout: given.duration("timeout")?,
            upload_timeout: given.duration("upload_timeout")?,
            answer_timeout: given
                .get("answer_timeout")?
                .unwrap_or(analysis_duration * 4 + BEYOND),
            hold: given.duration("hold")?,
            poll: given.duration("poll")?.max(Duration::from_millis(10)),
            poll_max: given.duration("poll_max")?,
            in_flight: usize::try_from(given.count("max_in_flight")?)
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| {
                    Failure::config("`max_in_flight` is less than 1: nothing would be scanned")
                })?,
            give_up: some(given.duration("give_up")?),
            max_size: given.size("max_size")?,
            cache_ttl: some(given.duration("cache_ttl")?),
            priority: ranged(given, "priority", 1..=4)?,
            passwords: list(given, "passwords")?,
            analysis: analysis(given)?,
            policy,
            carry_out: given.text("actions")? == "carry_out",
            headers: given.list("headers")?,
            quarantine: (!quarantine.is_empty()).then_some(quarantine),
        };
        settings.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.one_step && self.analysis.as_object().is_some_and(|set| !set.is_empty()) {
            let names: Vec<_> = self.analysis.as_object().into_iter().flatten().collect();
            let names: Vec<_> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(Failure::config(format!(
                "`form: one_step` can't say {} to the sandbox, which would scan without; write `form: two_step`, or leave them out",
                names.join(", ")
            )));
        }
        if self.poll_max < self.poll {
            return Err(Failure::config(
                "`poll_max` is less than `poll`; make it as long at least",
            ));
        }
        if self.policy.discards() && self.quarantine.is_none() && !self.carry_out {
            return Err(Failure::config(
                "`actions: announce` with `discard` and no `quarantine` has others drop content of which no copy is left; \
                 name a `quarantine`, or write another action",
            ));
        }
        Ok(self)
    }
}

/// Root of the API.
fn base_of(url: &str) -> Result<String> {
    let wrong = |why: &str| Failure::config(format!("option `sandbox`: {why}"));
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong("it is not written `https://host`"));
    };
    if !matches!(scheme, "https" | "http") {
        return Err(wrong("the sandbox is asked over `https`"));
    }
    if rest.contains(['@', '?', '#']) {
        return Err(wrong(
            "it has a user, a query or a fragment; the key belongs into credentials.conf",
        ));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err(wrong("it names no host"));
    }
    Ok(match path.trim_matches('/') {
        "" => format!("{scheme}://{host}/api/v1"),
        path => format!("{scheme}://{host}/{path}"),
    })
}

fn list(given: &Options, name: &str) -> Result<Vec<String>> {
    Ok(given.get(name)?.unwrap_or_default())
}

fn ranged(
    given: &Options,
    name: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>> {
    let Some(value) = given.get::<i64>(name)? else {
        return Ok(None);
    };
    if range.contains(&value) {
        return Ok(Some(value));
    }
    Err(Failure::config(format!(
        "`{name}` is {value}; the sandbox takes {} to {}",
        range.start(),
        range.end()
    )))
}

fn seconds(
    given: &Options,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>> {
    let Some(value) = given.get::<Duration>(name)? else {
        return Ok(None);
    };
    let value = value.as_secs();
    if range.contains(&value) {
        return Ok(Some(value));
    }
    Err(Failure::config(format!(
        "`{name}` is {value} s; the sandbox takes {} s to {} s",
        range.start(),
        range.end()
    )))
}

/// The `options` of a task: what is not set is left out, as the sandbox refuses nulls.
fn analysis(given: &Options) -> Result<Value> {
    let mut task = Map::new();
    put(
        &mut task,
        "analysis_depth",
        ranged(given, "analysis_depth", 0..=100)?,
    );
    put(
        &mut task,
        "scan_timeout",
        seconds(given, "scan_timeout", 10..=3600)?,
    );
    let longest = seconds(given, "max_execution_time", 300..=10_800)?;
    put(&mut task, "max_execution_time", longest);
    put(&mut task, "cache_enabled", given.get::<bool>("cache")?);
    put(
        &mut task,
        "url_extract_enabled",
        given.get::<bool>("extract_urls")?,
    );
    for (option, name) in [
        ("mark_suspicious", "mark_suspicious_files_options"),
        ("mark_dangerous", "mark_dangerous_files_options"),
    ] {
        let marks: Map<String, Value> = list(given, option)?
            .into_iter()
            .map(|mark| (mark, json!(true)))
            .collect();
        put(&mut task, name, (!marks.is_empty()).then_some(marks));
    }
    let machine = machine(given)?;
    match given.get::<bool>("behaviour")? {
        Some(enabled) => {
            let mut sandbox = Map::new();
            sandbox.insert("enabled".into(), json!(enabled));
            sandbox.extend(machine);
            task.insert("sandbox".into(), Value::Object(sandbox));
        }
        None => {
            if let Some((name, _)) = machine.iter().next() {
                return Err(Failure::config(format!(
                    "the option behind `{name}` is about files that are run, which `behaviour` does not say; write `behaviour: on`, or leave it out"
                )));
            }
        }
    }
    Ok(Value::Object(task))
}

/// How files are run.
fn machine(given: &Options) -> Result<Map<String, Value>> {
    let mut machine = Map::new();
    put(&mut machine, "image_id", given.get::<String>("image")?);
    let duration = seconds(given, "analysis_duration", 10..=86_400)?;
    put(&mut machine, "analysis_duration", duration);
    for (option, name) in [
        ("save_video", "save_video"),
        ("mitm", "mitm_enabled"),
        ("bootkit_monitor", "bootkitmon"),
        ("dump_processes", "procdump_new_processes_on_finish"),
    ] {
        put(&mut machine, name, given.get::<bool>(option)?);
    }
    put(
        &mut machine,
        "custom_command",
        given.get::<String>("custom_command")?,
    );
    let types = list(given, "file_types")?;
    put(
        &mut machine,
        "file_types",
        (!types.is_empty()).then_some(types),
    );
    let mut properties = Map::new();
    for (option, name) in [("pdf_properties", "pdf"), ("office_properties", "office")] {
        let wanted = list(given, option)?;
        put(
            &mut properties,
            name,
            (!wanted.is_empty()).then_some(wanted),
        );
    }
    let properties = (!properties.is_empty()).then_some(properties);
    put(&mut machine, "filter_by_properties", properties);
    Ok(machine)
}

fn put(into: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        into.insert(name.to_owned(), value.into());
    }
}
