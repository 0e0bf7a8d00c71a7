//! Errors of the engine by their type: code, notes and hints.
//!
//! Errors that crossed the loop arrive as text in the form plugins' errors print in, with the code
//! in brackets and notes below; that form is read back here, so that both look the same.

use std::error::Error;

use flow_config::Report;
use flow_runtime::StoreError;

use crate::names;

/// What an error says, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What happened.
    pub message: String,
    /// `area/kebab-slug`.
    pub code: Option<String>,
    /// What it means.
    pub notes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

/// The findings an error carries, if it does.
pub(super) fn report<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a Report> {
    if let Some(flow_daemon::Error::Findings(report)) = cause.downcast_ref() {
        return Some(report);
    }
    cause.downcast_ref()
}

/// What an error says.
pub(super) fn tell(cause: &(dyn Error + 'static)) -> Told {
    let mut told = parse(&cause.to_string());
    let Some(error) = cause.downcast_ref::<flow_daemon::Error>() else {
        return told;
    };
    let (code, hint) = match error {
        flow_daemon::Error::NoFlow(_) => (
            "cli/unknown-flow",
            Some("`flow list` shows what there is".to_owned()),
        ),
        flow_daemon::Error::NoPlugin { name, known } => {
            let near = names::near(name, known.iter().map(String::as_str));
            let hint = match near.as_slice() {
                [] => "`flow plugin list` shows what there is; a file is named with its `.wasm`"
                    .to_owned(),
                near => format!("did you mean `{}`?", near.join("` or `")),
            };
            ("plugin/unknown", Some(hint))
        }
        flow_daemon::Error::Served { .. } => (
            "run/background-runs",
            Some("`flow stop` ends it".to_owned()),
        ),
        flow_daemon::Error::Broker(_) => ("broker/unusable", None),
        flow_daemon::Error::Store(error) => (store(error), None),
        flow_daemon::Error::Flow(error) => (flow(error), None),
        flow_daemon::Error::Post(_) => ("broker/not-posted", None),
        _ => return told,
    };
    told.code.get_or_insert_with(|| code.to_owned());
    told.hints.extend(hint);
    told
}

fn flow(error: &flow_runtime::Error) -> &'static str {
    match error {
        flow_runtime::Error::Config(_) => "run/config",
        flow_runtime::Error::Incomplete(_) => "run/incomplete",
        flow_runtime::Error::Auth(_) => "run/auth",
        flow_runtime::Error::Unavailable(_) => "run/unavailable",
        flow_runtime::Error::Running(_) => "run/running",
        flow_runtime::Error::Store(error) => store(error),
    }
}

fn store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Newer { .. } => "state/newer",
        _ => "state/unusable",
    }
}

/// `message [area/slug]` or `error[area/slug]: message`, then lines of `= note: …` and `= hint: …`.
fn parse(text: &str) -> Told {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim_end();
    let (message, code) = head(first).unwrap_or((first, None));
    let mut told = Told {
        message: message.to_owned(),
        code: code.map(str::to_owned),
        ..Told::default()
    };
    for line in lines {
        let line = line.trim();
        if let Some(note) = line.strip_prefix("= note: ") {
            told.notes.push(note.to_owned());
        } else if let Some(hint) = line.strip_prefix("= hint: ") {
            told.hints.push(hint.to_owned());
        } else if let Some(place) = line.strip_prefix("--> ") {
            told.notes.push(format!("in {place}"));
        } else if !line.is_empty() {
            match told.notes.last_mut() {
                Some(note) => {
                    note.push('\n');
                    note.push_str(line);
                }
                None => told.notes.push(line.to_owned()),
            }
        }
    }
    told
}

/// The message and the code of a first line that has one.
fn head(line: &str) -> Option<(&str, Option<&str>)> {
    let (message, code) = match line.strip_prefix("error[") {
        Some(rest) => rest
            .split_once("]: ")
            .map(|(code, message)| (message, code))?,
        None => line.strip_suffix(']')?.rsplit_once(" [")?,
    };
    is_code(code).then_some((message, Some(code)))
}

fn is_code(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    text.split_once('/')
        .is_some_and(|(area, slug)| word(area) && word(slug))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_crossed_the_loop_are_read_back() {
        let told = parse(
            "plugin `mail` may not connect to `x:993` [plugin/capability-denied]\n  = note: this flow allows `y:993`\n  = hint: add it to `allow.connect`",
        );
        assert_eq!(
            told,
            Told {
                message: "plugin `mail` may not connect to `x:993`".into(),
                code: Some("plugin/capability-denied".into()),
                notes: vec!["this flow allows `y:993`".into()],
                hints: vec!["add it to `allow.connect`".into()],
            }
        );
        let found =
            parse("error[credentials/not-found]: no credentials\n  --> /c/credentials.conf");
        assert_eq!(found.code.as_deref(), Some("credentials/not-found"));
        assert_eq!(
            (found.message.as_str(), found.notes),
            ("no credentials", vec!["in /c/credentials.conf".to_owned()])
        );
        let plain = parse("can't read [1/2]\nsecond line");
        assert_eq!(
            (plain.message.as_str(), plain.code),
            ("can't read [1/2]", None)
        );
        assert_eq!(plain.notes, ["second line"]);
    }

    #[test]
    fn a_plugin_that_is_not_there_is_explained() {
        let error = flow_daemon::Error::NoPlugin {
            name: "mial".into(),
            known: vec!["mail".into()],
        };
        let told = tell(&error);
        assert_eq!(told.code.as_deref(), Some("plugin/unknown"));
        assert_eq!(told.hints, ["did you mean `mail`?"]);
    }
}
