//! What sr3's plugins are here. The one place to look it up.
//!
//! A plugin that is not in the table, or has nothing like it here, is kept in the flow under its
//! own name: the flow does not load until somebody has written it or taken it out.

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

const TEST: &str = "it is for sr3's own tests";

const fn plugin(name: &'static str) -> To {
    To::Plugin {
        name,
        fixed: &[],
        options: &[],
        differs: None,
    }
}

const fn rename(fixed: &'static [(&'static str, Fixed)]) -> To {
    To::Plugin {
        name: "rename",
        fixed,
        options: &[],
        differs: None,
    }
}

/// What to do where there is nothing.
pub(super) fn write_one(name: &str) -> String {
    format!(
        "there is no such plugin here, and Python can't be loaded: `flow plugin new {name}` starts one"
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

const TABLE: &[(&str, To)] = &[
    (
        "accept.dateappend",
        To::Plugin {
            name: "rename",
            fixed: &[("to", Fixed::Text("{name}_{pubTime:%Y%m%d%H%M%S}"))],
            options: &[],
            differs: Some("the time is that of the announcement, not of the processing"),
        },
    ),
    ("accept.delete", To::BuiltIn(TEST)),
    (
        "accept.downloadbaseurl",
        To::Nothing("`rename` does it: `to` with `{baseUrl}`, and `only`"),
    ),
    (
        "accept.hourtree",
        To::Plugin {
            name: "rename",
            fixed: &[
                ("field", Fixed::Text("path")),
                ("to", Fixed::Text("{directory}/{pubTime:%H}/{name}")),
            ],
            options: &[],
            differs: Some("the hour is that of the announcement, not of the processing"),
        },
    ),
    (
        "accept.posthourtree",
        To::Plugin {
            name: "rename",
            fixed: &[
                ("field", Fixed::Text("path")),
                ("to", Fixed::Text("{directory}/{pubTime:%H}/{name}")),
            ],
            options: &[],
            differs: Some("the hour is that of the announcement, not of the processing"),
        },
    ),
    (
        "accept.httptohttps",
        rename(&[
            ("field", Fixed::Text("base_url")),
            ("replace", Fixed::List(&["^http: => https:"])),
        ]),
    ),
    ("accept.longflow", To::BuiltIn(TEST)),
    (
        "accept.pathreplace",
        To::Plugin {
            name: "rename",
            fixed: &[("field", Fixed::Text("path"))],
            options: &[("pathReplace", "replace", As::Arrow)],
            differs: Some("what is replaced is a regular expression"),
        },
    ),
    (
        "accept.postoverride",
        To::Plugin {
            name: "headers",
            fixed: &[],
            options: &[
                ("postOverride", "set", As::Assign),
                ("postOverrideDel", "delete", As::List),
            ],
            differs: None,
        },
    ),
    (
        "accept.printlag",
        To::BuiltIn("`flow status` tells how far behind a flow is"),
    ),
    (
        "accept.renamewhatfn",
        rename(&[("keyword", Fixed::Text("WHATFN"))]),
    ),
    (
        "accept.rename4jicc",
        To::Nothing("`rename` does it: `replace` with the pattern of your site"),
    ),
    (
        "accept.renamedmf",
        To::Nothing("`rename` does it: `replace` with the pattern of your site"),
    ),
    (
        "accept.sftp_absolute",
        rename(&[
            ("field", Fixed::Text("base_url")),
            ("replace", Fixed::List(&["^(sftp://[^/]*)/?$ => {1}//"])),
        ]),
    ),
    (
        "accept.speedo",
        To::BuiltIn("`flow status` tells rates and lag"),
    ),
    ("accept.testretry", To::BuiltIn(TEST)),
    (
        "accept.toclusters",
        To::Plugin {
            name: "filter-fields",
            fixed: &[("value", Fixed::Text("{to_clusters}"))],
            options: &[("msgToClusters", "keys", As::List)],
            differs: None,
        },
    ),
    (
        "accept.tolocalfile",
        rename(&[
            ("field", Fixed::Text("base_url")),
            ("replace", Fixed::List(&["^https?://[^/]*/ => file:/"])),
        ]),
    ),
    (
        "accept.trim_legacy_fields",
        To::Plugin {
            name: "headers",
            fixed: &[(
                "delete",
                Fixed::List(&[
                    "atime",
                    "filename",
                    "from_cluster",
                    "mtime",
                    "sundew_extension",
                    "to_clusters",
                ]),
            )],
            options: &[],
            differs: Some("it deletes the fields named here"),
        },
    ),
    (
        "accept.key_filter",
        To::Nothing(
            "`filter-fields` does it: `pattern`, `key` and `keys`, once with `then: accept` and once with `then: reject`",
        ),
    ),
    (
        "accept.sundewpxroute",
        To::Nothing(
            "`filter-fields` does it: `keys` with the headings that the routing table gives the client",
        ),
    ),
    (
        "filter.content_type",
        To::Plugin {
            name: "content-type",
            fixed: &[("by", Fixed::List(&["message", "content"]))],
            options: &[
                ("filterContentType_acceptType", "accept", As::List),
                ("filterContentType_rejectType", "reject", As::List),
                ("filterContentType_rejectUnknown", "accept_unknown", As::Not),
                (
                    "filterContentType_rejectUndefined",
                    "accept_unknown",
                    As::Not,
                ),
            ],
            differs: None,
        },
    ),
    (
        "filter.fdelay",
        To::Plugin {
            name: "delay",
            fixed: &[("delay", Fixed::Text("60s"))],
            options: &[("fdelay", "delay", As::Duration)],
            differs: None,
        },
    ),
    (
        "filter.geometry",
        To::Plugin {
            name: "geometry",
            fixed: &[],
            options: &[
                ("geometry", "area", As::Joined),
                ("geometry_maxDistance", "max_distance", As::NotNegative),
            ],
            differs: None,
        },
    ),
    (
        "mdelaylatest",
        To::Plugin {
            name: "delay",
            fixed: &[
                ("delay", Fixed::Text("30s")),
                ("only_latest", Fixed::Text("on")),
            ],
            options: &[("mdelay", "delay", As::Duration)],
            differs: None,
        },
    ),
    ("clamav", plugin("clamav")),
    ("destfn.replace", To::Nothing("`rename` does it: `replace`")),
    ("destfn.sample", To::Nothing("`rename` does it: `to`")),
    ("download.mail_ingest", plugin("mail")),
    ("filter.deleteflowfiles", To::BuiltIn(TEST)),
    ("filter.pclean_f90", To::BuiltIn(TEST)),
    ("filter.pclean_f92", To::BuiltIn(TEST)),
    (
        "gather.file",
        To::BuiltIn("a `watch` or `post` gathers files by itself"),
    ),
    (
        "gather.message",
        To::BuiltIn("a flow with an `exchange` gathers from its queue"),
    ),
    (
        "housekeeping.resources",
        To::BuiltIn("memory is limited per plugin (`limits`)"),
    ),
    (
        "log",
        To::BuiltIn("what becomes of each message is logged without a plugin"),
    ),
    ("nodupe.data_only", To::Option("nodupe_basis", "data")),
    ("nodupe.disk", To::BuiltIn("`nodupe_ttl` turns it on")),
    ("nodupe.name", To::Option("nodupe_basis", "name")),
    ("nodupe.name_only", To::Option("nodupe_basis", "name_only")),
    ("nodupe.path_only", To::Option("nodupe_basis", "path_only")),
    (
        "nodupe.redis",
        To::BuiltIn("`nodupe_ttl` turns it on; the flow's own store remembers"),
    ),
    ("pclean", To::BuiltIn(TEST)),
    ("poll", To::BuiltIn("a `poll` lists by itself")),
    ("poll.mail", plugin("mail")),
    ("mail-decode", plugin("mail-decode")),
    (
        "post.message",
        To::BuiltIn("a flow with a `post_exchange` posts by itself"),
    ),
    ("report", To::BuiltIn("there are no reports here")),
    ("retry", To::BuiltIn("failures are always tried again")),
    (
        "scheduled.poll",
        To::BuiltIn("a `poll` follows its schedule by itself"),
    ),
    (
        "shiftdir2baseurl",
        To::Plugin {
            name: "rename",
            fixed: &[],
            options: &[("shiftDir2baseUrl", "shift_to_base_url", As::Count)],
            differs: None,
        },
    ),
    ("trace_on_stop", To::BuiltIn(TEST)),
    (
        "v2wrapper",
        To::Nothing("scripts of the previous generation can't be run"),
    ),
    ("work.add_inline", To::BuiltIn("`inline` does it")),
    (
        "work.age",
        To::BuiltIn("`flow status` tells how far behind a flow is"),
    ),
    (
        "work.check",
        To::BuiltIn("what is written is checked as it is written"),
    ),
    ("work.delete", To::Option("delete_source", "on")),
];

/// Scripts of the previous generation, and what they became in sr3.
const SCRIPTS: &[(&str, &str)] = &[
    ("download_email_ingest", "download.mail_ingest"),
    ("file_age", "work.age"),
    ("file_delete", "work.delete"),
    ("file_email", "send.email"),
    ("file_email_decode", "mail-decode"),
    ("file_log", "log"),
    ("file_rxpipe", "work.rxpipe"),
    ("file_total", "log"),
    ("hb_cache", "nodupe.disk"),
    ("hb_log", "log"),
    ("hb_memory", "housekeeping.resources"),
    ("hb_pulse", "retry"),
    ("hb_retry", "retry"),
    ("msg_2localfile", "accept.tolocalfile"),
    ("msg_by_source", "log"),
    ("msg_by_user", "log"),
    ("msg_delete", "filter.deleteflowfiles"),
    ("msg_download", "retry"),
    ("msg_download_baseurl", "accept.downloadbaseurl"),
    ("msg_dump", "log"),
    ("msg_fdelay", "filter.fdelay"),
    ("msg_from_cluster", "accept.toclusters"),
    ("msg_hour_tree", "accept.hourtree"),
    ("msg_http_to_https", "accept.httptohttps"),
    ("msg_log", "log"),
    ("msg_pclean_f90", "filter.pclean_f90"),
    ("msg_pclean_f92", "filter.pclean_f92"),
    ("msg_print_lag", "accept.printlag"),
    ("msg_rawlog", "log"),
    ("msg_rename4jicc", "accept.rename4jicc"),
    ("msg_rename_dmf", "accept.renamedmf"),
    ("msg_rename_whatfn", "accept.renamewhatfn"),
    ("msg_replace_new_dir", "accept.pathreplace"),
    ("msg_speedo", "accept.speedo"),
    ("msg_stopper", "log"),
    ("msg_test_retry", "accept.testretry"),
    ("msg_to_clusters", "accept.toclusters"),
    ("msg_total", "log"),
    ("poll_email_ingest", "poll.mail"),
    ("post_hour_tree", "accept.posthourtree"),
    ("post_log", "log"),
    ("post_long_flow", "accept.longflow"),
    ("post_override", "accept.postoverride"),
    ("post_rate_limit", "log"),
    ("post_total", "log"),
];

/// Options of sr3's plugins that say nothing to what replaces them.
pub(super) fn idle_option(name: &str) -> bool {
    IDLE.contains(&name)
}

const IDLE: &[&str] = &[
    "file_total_interval",
    "msgSpeedoInterval",
    "msg_speedo_interval",
    "msg_speedo_maxlag",
    "msg_total_interval",
    "pathReplaceFields",
    "post_total_interval",
];

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
