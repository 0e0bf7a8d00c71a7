//! What sr3's plugins are here, and how their names are written.
//!
//! A plugin that is not in the table, or has nothing like it here, is kept in the flow under its
//! own name: the flow does not load until somebody has written it or taken it out.

mod table;

use self::table::{IDLE, SCRIPTS, TABLE};

/// What a plugin of sr3 is here.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// The engine does it by itself. How.
    BuiltIn(&'static str),
    /// An option of the flow.
    Option(&'static str, &'static str),
    /// A plugin with options that make it do the same, and options to carry over.
    Plugin {
        name: &'static str,
        fixed: &'static [(&'static str, Fixed)],
        options: &'static [(&'static str, &'static str, As)],
        /// What is not quite the same.
        differs: Option<&'static str>,
    },
    /// Nothing. What to do.
    Nothing(&'static str),
}

/// An option that makes a plugin do what the one of sr3 does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fixed {
    Text(&'static str),
    List(&'static [&'static str]),
}

/// How the value of an option is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    List,
    Count,
    Duration,
    /// `on` for off.
    Not,
    /// Several lines that are one text.
    Joined,
    /// A count for which less than zero means none.
    NotNegative,
    /// `a,b` in a list as `a => b`.
    Arrow,
    /// `k v` in a list as `k = v`.
    Assign,
}

/// What to do where there is nothing.
pub(super) fn write_one(name: &str) -> String {
    format!(
        "there is no such plugin here, and what sr3 loads can't be loaded as it is: \
         `flow plugin new {name} --lang python` begins one that its Python can move into, as \
         plugins/docs/FROM-SR3.md shows"
    )
}

/// Looks a plugin up by the name in a `callback` line.
pub(super) fn find(written: &str) -> Option<To> {
    let name = canonical(written);
    TABLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, to)| *to)
}

/// Looks a script of the previous generation up: `on_message msg_delay.py`.
pub(super) fn script(written: &str) -> Option<To> {
    let name = written.rsplit('/').next().unwrap_or(written);
    let name = name.strip_suffix(".py").unwrap_or(name);
    SCRIPTS
        .iter()
        .find(|(known, _)| *known == name)
        .and_then(|(_, today)| find(today))
}

/// `sarracenia.flowcb.work.rxpipe.RxPipe` and `work.rxpipe.py` are `work.rxpipe`.
pub(super) fn canonical(written: &str) -> String {
    let name = written.strip_suffix(".py").unwrap_or(written);
    let name = name.strip_prefix("sarracenia.").unwrap_or(name);
    let name = name.strip_prefix("flowcb.").unwrap_or(name);
    let mut parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 1
        && parts
            .last()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_uppercase()))
    {
        parts.pop();
    }
    parts.join(".").to_ascii_lowercase()
}

/// A name a plugin here may have: `poll.nasa_cmr` gives `nasa-cmr`.
pub(super) fn own_name(written: &str) -> String {
    let canonical = canonical(written.rsplit('/').next().unwrap_or(written));
    let last = canonical.rsplit('.').next().unwrap_or_default();
    let mut name: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    let mut name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        return "plugin".to_owned();
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "plugin-");
    }
    name
}

/// Options of sr3's plugins that say nothing to what replaces them.
pub(super) fn idle_option(name: &str) -> bool {
    IDLE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for written in [
            "accept.dateappend",
            "sarracenia.flowcb.accept.dateappend.DateAppend",
            "flowcb.accept.dateappend",
            "accept.dateappend.DateAppend",
            "accept.dateappend.py",
        ] {
            assert!(
                matches!(find(written), Some(To::Plugin { name: "rename", .. })),
                "{written}"
            );
        }
        assert!(find("poll.nasa_cmr").is_none());
        assert!(matches!(script("msg_log.py"), Some(To::BuiltIn(_))));
        assert_eq!(own_name("poll.nasa_cmr"), "nasa-cmr");
        assert_eq!(own_name("scripts/2fast.py"), "plugin-2fast");
    }

    /// Names in the table for people: whether something is said of them there, other than that they
    /// could be written.
    fn told() -> Vec<(String, bool)> {
        const PAGE: &str = include_str!("../../../../plugins/SR3-PLUGINS.md");
        let mut names: Vec<(String, bool)> = Vec::new();
        for row in PAGE.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = row.split(" | ");
            let named = cells.next().unwrap_or_default().trim_start_matches("| ");
            let open = cells.next() == Some("open");
            let mut group = String::new();
            for name in named.split(", ") {
                let name = name.trim_matches('`');
                let name = match name.strip_prefix('.') {
                    Some(rest) => format!("{group}.{rest}"),
                    None => name.to_owned(),
                };
                group = name.split('.').next().unwrap_or_default().to_owned();
                names.push((canonical(&name), open));
            }
        }
        names
    }

    #[test]
    fn what_people_are_told_is_what_is_done() {
        let told = told();
        assert!(told.len() > 80, "{told:?}");
        // Written anew under its own name.
        let elsewhere = ["work.rxpipe"];
        for (name, open) in &told {
            let found = find(name).is_some() || elsewhere.contains(&name.as_str());
            assert!(found || *open, "`{name}` is not in the table");
        }
        let ours = ["mail-decode"];
        for (name, _) in TABLE {
            assert!(
                told.iter().any(|(told, _)| told == name) || ours.contains(name),
                "`{name}` is not in SR3-PLUGINS.md"
            );
        }
    }

    #[test]
    fn scripts_lead_to_known_plugins() {
        for (script, today) in SCRIPTS {
            let written_elsewhere = ["send.email", "work.rxpipe"];
            assert!(
                find(today).is_some() || written_elsewhere.contains(today),
                "{script} leads to {today}"
            );
        }
    }
}
