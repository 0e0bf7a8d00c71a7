//! What a plugin says of itself, checked before anybody relies on it.
//!
//! Every finding is reported at once: the one who reads them is the plugin's author.

use std::collections::BTreeSet;

use flow_config::{CALLBACK_KEYS, Grant, Manifest, OptionKind, OptionSpec, SafeUrl};

use crate::bindings::exports::flow::plugin::describe as wit;

/// Reads a manifest as the guest returned it.
pub(crate) fn read(manifest: wit::Manifest, entry_points: Vec<String>) -> Manifest {
    Manifest {
        name: line(&manifest.name),
        version: line(&manifest.version),
        summary: line(&manifest.summary),
        doc: text(&manifest.doc),
        options: manifest.options.into_iter().map(option).collect(),
        schemes: manifest.schemes.iter().map(|scheme| line(scheme)).collect(),
        grants: manifest.grants.into_iter().map(grant).collect(),
        entry_points,
    }
}

fn option(option: wit::OptionSpec) -> OptionSpec {
    OptionSpec {
        name: line(&option.name),
        kind: match option.kind {
            wit::OptionKind::Flag => OptionKind::Flag,
            wit::OptionKind::Count => OptionKind::Count,
            wit::OptionKind::Size => OptionKind::Size,
            wit::OptionKind::Duration => OptionKind::Duration,
            wit::OptionKind::Text => OptionKind::Text,
            wit::OptionKind::Url => OptionKind::Url,
            wit::OptionKind::Choice => OptionKind::Choice,
            wit::OptionKind::Regex => OptionKind::Regex,
        },
        default: option.default,
        required: option.required,
        repeated: option.repeated,
        secret: option.secret,
        choices: option.choices.iter().map(|choice| line(choice)).collect(),
        doc: text(&option.doc),
        example: option.example,
    }
}

fn grant(grant: wit::Grant) -> Grant {
    match grant {
        wit::Grant::Connect => Grant::Connect,
        wit::Grant::Http => Grant::Http,
        wit::Grant::Secrets => Grant::Secrets,
    }
}

/// Text for a terminal: no control characters but line ends and tabs.
fn text(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// One line of it.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Everything that is wrong with a manifest, a line each.
pub(crate) fn findings(manifest: &Manifest) -> Vec<String> {
    let mut findings = Vec::new();
    let name = &manifest.name;
    if !is_name(name, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
    }) {
        findings.push(format!(
            "the name `{name}` is not made of lower-case letters, digits and `-`"
        ));
    }
    if manifest.version.trim().is_empty() {
        findings.push("the version is empty".into());
    }
    for scheme in &manifest.schemes {
        if !is_name(scheme, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c)
        }) {
            findings.push(format!(
                "the scheme `{scheme}` is none: write it in lower case and without `://`"
            ));
        }
    }
    let serves = |entry: &str| manifest.entry_points.iter().any(|known| known == entry);
    if !manifest.schemes.is_empty() && !serves("download") && !serves("send") {
        findings.push("it names schemes, but exports neither `download` nor `send`".into());
    }
    if manifest.schemes.is_empty() && serves("download") {
        findings.push("it exports `download`, but names no scheme that it downloads".into());
    }
    let mut seen = BTreeSet::new();
    for option in &manifest.options {
        if !seen.insert(option.name.as_str()) {
            findings.push(format!("option `{}` is there twice", option.name));
        }
        findings.extend(wrong_option(option));
    }
    findings
}

/// `noLimit` as options are written: `no_limit`.
fn snake(name: &str) -> String {
    let mut lower = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for c in name.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            lower.push('_');
        }
        lower.push(c.to_ascii_lowercase());
        before = c;
    }
    lower
}

fn wrong_option(option: &OptionSpec) -> Vec<String> {
    let name = &option.name;
    let mut wrong = Vec::new();
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !is_name(name, letter) {
        let mut text = format!(
            "option `{name}`: a name begins with a letter and has lower-case letters, digits, `_` and `-`"
        );
        let lower = snake(name);
        if lower != *name && is_name(&lower, letter) {
            text.push_str(&format!("; call it `{lower}`"));
        }
        wrong.push(text);
    }
    if CALLBACK_KEYS.contains(&name.as_str()) {
        wrong.push(format!("option `{name}`: the name is taken by flow itself"));
    }
    match (option.kind, option.choices.is_empty()) {
        (OptionKind::Choice, true) => wrong.push(format!(
            "option `{name}` is a choice of nothing: `choices` is empty"
        )),
        (OptionKind::Choice, false) | (_, true) => {}
        (_, false) => wrong.push(format!("option `{name}` has `choices`, but is no choice")),
    }
    let Some(default) = &option.default else {
        return wrong;
    };
    if option.required {
        wrong.push(format!(
            "option `{name}` is required and has a default; it can't be both"
        ));
    }
    // How a list is written is a matter of YAML.
    if !option.repeated && !option.choices.is_empty() && !option.choices.contains(default) {
        wrong.push(format!(
            "option `{name}`: the default `{default}` is none of `{}`",
            option.choices.join("`, `")
        ));
    } else if let Some(expected) = (!option.repeated)
        .then(|| misread(option.kind, default))
        .flatten()
    {
        wrong.push(format!(
            "option `{name}`: the default `{default}` is no {expected}"
        ));
    }
    wrong
}

/// What `text` should be and is not.
fn misread(kind: OptionKind, text: &str) -> Option<&'static str> {
    let units = |units: &[&str]| {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[number.len()..];
        text == "0"
            || (number
                .trim()
                .parse::<f64>()
                .is_ok_and(|number| number >= 0.0)
                && units.contains(&unit))
    };
    let (reads, expected) = match kind {
        OptionKind::Flag => (
            matches!(text, "true" | "false" | "yes" | "no" | "on" | "off"),
            "flag: write `yes` or `no`",
        ),
        OptionKind::Count => (text.parse::<i64>().is_ok(), "whole number"),
        OptionKind::Size => (
            units(&[
                "B", "k", "kB", "KB", "M", "MB", "G", "GB", "T", "TB", "KiB", "MiB", "GiB", "TiB",
            ]),
            "size: write it with a unit, e.g. `10MiB`",
        ),
        OptionKind::Duration => (
            units(&["ms", "s", "m", "h", "d", "w"]),
            "time span: write it with a unit, e.g. `30s`",
        ),
        OptionKind::Url => (SafeUrl::parse(text).is_ok(), "URL"),
        OptionKind::Regex => (regex::Regex::new(text).is_ok(), "regular expression"),
        OptionKind::Text | OptionKind::Choice => (true, ""),
    };
    (!reads).then_some(expected)
}

fn is_name(name: &str, rest: impl Fn(char) -> bool) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(rest)
}
