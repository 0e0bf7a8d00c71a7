//! Variables: sr3's `${…}` as ours.
//!
//! sr3 fills in environment variables, what `declare env` set, and any option by its name when it
//! reads a line; dates, groups and fields of the message when it uses the value. Ours are the same
//! names where they mean the same.

use std::collections::BTreeMap;

use super::report::Fate;
use crate::Template;

/// What variables may stand for at some line.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// `declare env`.
    pub(super) env: &'a BTreeMap<String, String>,
    /// Options set so far, by sr3's name.
    pub(super) options: &'a BTreeMap<String, String>,
    pub(super) broker_user: Option<&'a str>,
    pub(super) post_broker_user: Option<&'a str>,
    /// The component as it was, and what it is here.
    pub(super) component: (&'a str, &'a str),
    /// Added to the time in dates that have no offset of their own.
    pub(super) time_offset: Option<&'a str>,
    /// Whether groups are counted from 0.
    pub(super) groups_from_zero: bool,
    /// Whether the value may depend on the message.
    pub(super) late: bool,
}

/// A value with its variables as ours, and what is to be said about it.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) text: String,
    pub(super) notes: Vec<(Fate, String)>,
    /// Whether a date is in it: those are local time in sr3.
    pub(super) dates: bool,
}

/// Placeholders for options that may be set further down.
pub(super) const LATER: [(&str, &[&str]); 4] = [
    ("BD", &["baseDir"]),
    ("DR", &["documentRoot", "baseDir"]),
    ("PBD", &["post_baseDir"]),
    ("PDR", &["post_documentRoot", "post_baseDir"]),
];

/// Translates `text`.
pub(super) fn fill(text: &str, names: &Names<'_>) -> Filled {
    let mut filled = Filled::default();
    let home = match text {
        "~" => Some("${HOME}".to_owned()),
        _ => text
            .strip_prefix("~/")
            .map(|rest| format!("${{HOME}}/{rest}")),
    };
    let text = home.as_deref().unwrap_or(text);
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        filled.text.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            rest = &rest[start..];
            break;
        };
        let body = &rest[start + 2..start + end];
        variable(body, names, &mut filled);
        rest = &rest[start + end + 1..];
    }
    filled.text.push_str(&rest.replace("${", "$${"));
    filled
}

fn variable(body: &str, names: &Names<'_>, filled: &mut Filled) {
    let upper = |text: &str| format!("${{{text}}}");
    if let Some(value) = names.env.get(body) {
        filled.text.push_str(value);
        return;
    }
    match body {
        "BROKER_USER" | "POST_BROKER_USER" => {
            let user = if body == "BROKER_USER" {
                names.broker_user
            } else {
                names.post_broker_user
            };
            match user {
                Some(user) => filled.text.push_str(user),
                // Ours is worked out from the broker's URL when the flow is read.
                None => filled.text.push_str(&upper(body)),
            }
            return;
        }
        "COMPONENT" | "PROGRAM" => {
            let (was, is) = names.component;
            let text = if was == is {
                upper("COMPONENT")
            } else {
                was.to_owned()
            };
            filled.text.push_str(&text);
            return;
        }
        "CONFIG" | "HOSTNAME" => {
            filled.text.push_str(&upper(body));
            return;
        }
        "RAND8" | "RANDID" => {
            refuse(filled, body, "there is no random text here: write one");
            return;
        }
        "INSTANCE" => {
            refuse(
                filled,
                body,
                "instances of a flow are one process here, so there is no number",
            );
            return;
        }
        "QUEUESHARE" => {
            filled.text.push_str(&upper(body));
            return;
        }
        _ => {}
    }
    // An option by its name, in capitals; only names in lower case can be meant.
    if let Some(value) = names.options.get(&body.to_ascii_lowercase()) {
        filled.text.push_str(value);
        return;
    }
    let known = matches!(
        body,
        "BUP" | "BUPL" | "baseUrlPath" | "baseUrlPathLast" | "SOURCE"
    );
    if known || LATER.iter().any(|(name, _)| *name == body) {
        late(body, &upper(body), names, filled);
        return;
    }
    if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
        group(body, names, filled);
        return;
    }
    if let Some(format) = body.strip_prefix('%') {
        filled.dates = true;
        let text = upper(&strftime(format, names));
        late(body, &text, names, filled);
        return;
    }
    if let Some(text) = date(body, names, filled) {
        filled.dates = true;
        late(body, &text, names, filled);
        return;
    }
    if bulletin(body) {
        refuse(
            filled,
            body,
            "parts of a bulletin's name are not variables here: put parentheses around them in the rule's expression and write `${1}`",
        );
        return;
    }
    let mut letters = body.chars();
    let is_name = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name {
        filled.text.push_str(&upper(body));
    } else {
        filled.text.push_str("$${");
        filled.text.push_str(body);
        filled.text.push('}');
        filled.notes.push((
            Fate::Changed,
            format!("`${{{body}}}` is no variable; it is kept as text"),
        ));
    }
}

/// Adds what depends on the message, and checks it by reading it.
fn late(body: &str, text: &str, names: &Names<'_>, filled: &mut Filled) {
    let own = LATER.iter().any(|(name, _)| *name == body);
    if !names.late {
        refuse(
            filled,
            body,
            "it depends on the message, and this option does not",
        );
        return;
    }
    if !own && let Err(why) = Template::parse(text) {
        refuse(filled, body, &why);
        return;
    }
    filled.text.push_str(text);
}

fn refuse(filled: &mut Filled, body: &str, why: &str) {
    // As it is: nothing of that name is set, so that the flow does not load.
    filled.text.push_str(&format!("${{{body}}}"));
    filled
        .notes
        .push((Fate::Refused, format!("`${{{body}}}`: {why}")));
}

fn group(body: &str, names: &Names<'_>, filled: &mut Filled) {
    let number: usize = body.parse().unwrap_or(usize::MAX);
    let number = number.saturating_add(usize::from(names.groups_from_zero));
    if number == 0 {
        refuse(
            filled,
            body,
            "the whole match is no group here: put parentheses around the rule's expression and write `${1}`",
        );
        return;
    }
    late(body, &format!("${{{number}}}"), names, filled);
}

/// What follows `${%`, offsets written our way: `%o-1h`.
fn strftime(format: &str, names: &Names<'_>) -> String {
    let signed = format.starts_with(['+', '-']);
    let offset = format.strip_prefix('o').or(signed.then_some(format));
    let Some(offset) = offset else {
        return match names.time_offset {
            Some(offset) => format!("%o{offset}%{format}"),
            None => format!("%{format}"),
        };
    };
    let end = offset.find('%').unwrap_or(offset.len());
    let (span, rest) = offset.split_at(end);
    let (sign, span) = match span.strip_prefix('-') {
        Some(span) => ('-', span),
        None => ('+', span.strip_prefix('+').unwrap_or(span)),
    };
    format!("%o{sign}{}{rest}", super::values::duration(span).text)
}

/// `YYYYMMDD`, `HH-70m` and their like.
fn date(body: &str, names: &Names<'_>, filled: &mut Filled) -> Option<String> {
    const NAMES: [(&str, &str); 13] = [
        ("YYYYMMDD", "%Y%m%d"),
        ("YYYY", "%Y"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("HH", "%H"),
        ("SS", "%S"),
        ("JJJ", "%j"),
        ("RYYYY", "%Y"),
        ("RMM", "%m"),
        ("RDD", "%d"),
        ("RHH", "%H"),
        ("RMN", "%M"),
        ("RSS", "%S"),
    ];
    let (name, offset) = match body.find('-') {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (_, format) = NAMES.iter().find(|(known, _)| *known == name)?;
    if name.starts_with('R') {
        filled.notes.push((
            Fate::Changed,
            format!("`${{{body}}}` is the time now; sr3 takes it from the name where that has seven fields"),
        ));
    }
    let Some(offset) = offset else {
        return Some(match names.time_offset {
            Some(offset) => format!("${{%o{offset}{format}}}"),
            None => format!("${{{format}}}"),
        });
    };
    let lower = offset.to_ascii_lowercase();
    if offset != lower && !offset.ends_with('M') {
        filled.notes.push((
            Fate::Changed,
            format!("`${{{body}}}` is {lower} ago, as is meant; sr3 reads the capital as seconds"),
        ));
        return Some(format!("${{%o-{lower}{format}}}"));
    }
    let span = super::values::duration(offset).text;
    Some(format!("${{%o-{span}{format}}}"))
}

fn bulletin(body: &str) -> bool {
    matches!(
        body,
        "T1" | "T2" | "A1" | "A2" | "ii" | "CCCC" | "YY" | "GG" | "Gg" | "BBB"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, late: bool) -> (String, Vec<Fate>) {
        let env = [("DIR".to_owned(), "/data".to_owned())].into();
        let options = [("source".to_owned(), "NWS".to_owned())].into();
        let names = Names {
            env: &env,
            options: &options,
            broker_user: Some("me"),
            post_broker_user: None,
            component: ("cpump", "shovel"),
            time_offset: None,
            groups_from_zero: false,
            late,
        };
        let filled = fill(text, &names);
        let fates = filled.notes.iter().map(|(fate, _)| *fate).collect();
        (filled.text, fates)
    }

    #[test]
    fn variables_become_ours() {
        for (text, expected) in [
            ("${DIR}/x", "/data/x"),
            ("~/x", "${HOME}/x"),
            (
                "q_${BROKER_USER}.${PROGRAM}.${CONFIG}",
                "q_me.cpump.${CONFIG}",
            ),
            ("${SOURCE}", "NWS"),
            ("${YYYYMMDD}/${HH}", "${%Y%m%d}/${%H}"),
            ("${YYYYMMDD-70m}", "${%o-70m%Y%m%d}"),
            ("${%Y%m%d}", "${%Y%m%d}"),
            ("${%o-1h%Y}", "${%o-1h%Y}"),
            ("${%-1h%Y}", "${%o-1h%Y}"),
            ("${%o90%H}", "${%o+90s%H}"),
            ("${1}-${BUPL}-${BD}", "${1}-${BUPL}-${BD}"),
            ("${OTHER}", "${OTHER}"),
            ("$5 ${open", "$5 $${open"),
        ] {
            assert_eq!(filled(text, true), (expected.to_owned(), vec![]), "{text}");
        }
        assert_eq!(
            filled("${YYYYMMDD-1D}", true),
            ("${%o-1d%Y%m%d}".to_owned(), vec![Fate::Changed])
        );
        for text in ["${T1}", "${0}", "${RAND8}", "${INSTANCE}"] {
            assert_eq!(
                filled(text, true),
                (text.to_owned(), vec![Fate::Refused]),
                "{text}"
            );
        }
        assert_eq!(filled("${YYYY}", false).1, vec![Fate::Refused]);
    }
}
