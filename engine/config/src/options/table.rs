//! The table. Order is the order of `flow show` and of the reference.

use super::{OptionDoc, OptionType as T};
use crate::flow::Kind::{self, Flow, Poll, Subscribe};

const ALL: &[Kind] = &Kind::ALL;
const CONSUMERS: &[Kind] = &[Subscribe, Flow];
const POLLERS: &[Kind] = &[Poll, Flow];

/// What most options have in common.
const fn of(name: &'static str, kind: T, doc: &'static str, example: &'static str) -> OptionDoc {
    let unit = match kind {
        T::Duration => Some("ms, s, m, h, d, w"),
        T::Mode => Some("octal"),
        _ => None,
    };
    OptionDoc {
        name,
        kind,
        default: None,
        kind_defaults: &[],
        kinds: ALL,
        required: &[],
        unit,
        choices: &[],
        range: (0, i64::MAX),
        placement: false,
        secret: false,
        doc,
        example,
    }
}

/// Every option of a flow.
pub fn options() -> &'static [OptionDoc] {
    OPTIONS
}

static OPTIONS: &[OptionDoc] = &[
    of(
        "description",
        T::Text,
        "What the flow is for, in one line; `flow list` shows it.",
        "new reports of the office",
    ),
    of(
        "include",
        T::Texts,
        "Files whose options are taken over, relative to this file. Options set here replace those \
         included; the lists `filters` and `callbacks` of included files come before those here.",
        "../common/office.yaml",
    ),
    // Where messages come from.
    OptionDoc {
        kinds: POLLERS,
        required: &[Poll],
        ..of(
            "pollUrl",
            T::Url,
            "What is asked for news. User, no password: that is in `credentials.conf`.",
            "https://me%40example.com@data.example.com/new",
        )
    },
    OptionDoc {
        default: Some("1s"),
        kind_defaults: &[(Poll, "60s")],
        ..of(
            "sleep",
            T::Duration,
            "Pause between two gathers that found nothing more. A `flow` with a `pollUrl` has the \
             default of a poll.",
            "5m",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        default: Some("embedded:"),
        ..of(
            "broker",
            T::Url,
            "The broker whose queue is consumed. `embedded:` needs no server.",
            "embedded:",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        required: &[Subscribe],
        ..of(
            "exchange",
            T::Text,
            "The exchange the queue is bound to.",
            "xs_news",
        )
    },
    OptionDoc {
        default: Some("v03"),
        ..of(
            "topicPrefix",
            T::Text,
            "First words of the topics consumed, and of those posted unless `post_topicPrefix` says otherwise; `none` for none.",
            "v03",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        default: Some("#"),
        ..of(
            "subtopic",
            T::Texts,
            "Which topics below `topicPrefix` are consumed: words separated by dots, `*` for any one \
             word, `#` for any number of them. Several in a list.",
            "*.reports.#",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        ..of(
            "queueName",
            T::Text,
            "The queue. By default `q_<user>.<kind>.<name>`, with `embedded` for the user of the \
             embedded broker. Flows with the same queue share its messages.",
            "q_me.subscribe.news",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        default: Some("none"),
        ..of(
            "expire",
            T::Duration,
            "The queue is deleted after being unused this long; `none`: never.",
            "1w",
        )
    },
    OptionDoc {
        kinds: CONSUMERS,
        range: (1, 65_535),
        ..of(
            "prefetch",
            T::Count,
            "Most messages held unacknowledged. By default twice `batch`.",
            "200",
        )
    },
    // What passes.
    OptionDoc {
        default: Some("100"),
        kind_defaults: &[(Poll, "500")],
        range: (1, 10_000),
        ..of(
            "batch",
            T::Count,
            "Most messages in one pass. A `flow` with a `pollUrl` has the default of a poll.",
            "25",
        )
    },
    OptionDoc {
        default: Some("none"),
        ..of(
            "messageAgeMax",
            T::Duration,
            "Messages announced longer ago are rejected; `none`: no limit.",
            "1d",
        )
    },
    OptionDoc {
        default: Some("none"),
        ..of(
            "fileAgeMax",
            T::Duration,
            "Data modified longer ago is rejected; `none`: no limit.",
            "30d",
        )
    },
    OptionDoc {
        default: Some("none"),
        ..of(
            "fileAgeMin",
            T::Duration,
            "Data modified more recently is left until it is this old; `none`: no limit.",
            "30s",
        )
    },
    of(
        "filters",
        T::Filters,
        "Rules, tried in order; the first that matches decides. Each entry is `accept:` or `reject:` \
         with a regular expression, matched from the start of `baseUrl/relPath`. An `accept` may set \
         `directory`, `mirror`, `strip`, `flatten` and `filename` for what it accepts.",
        "[{accept: '.*\\.pdf$', directory: '${HOME}/pdf'}, {reject: '.*'}]",
    ),
    OptionDoc {
        default: Some("on"),
        ..of(
            "acceptUnmatched",
            T::Flag,
            "Whether messages pass that no rule matches.",
            "off",
        )
    },
    OptionDoc {
        default: Some("off"),
        kind_defaults: &[(Poll, "7h")],
        ..of(
            "nodupe_ttl",
            T::Duration,
            "How long a message is remembered, so that the same is not processed twice; `off`: not at \
             all. A `flow` with a `pollUrl` has the default of a poll.",
            "7h",
        )
    },
    OptionDoc {
        default: Some("path"),
        choices: &["path", "name", "data", "name_only", "path_only"],
        ..of(
            "nodupe_basis",
            T::Choice,
            "What makes two messages the same: identity and relPath (`path`), identity and file name \
             (`name`), identity alone (`data`), file name alone (`name_only`), relPath alone \
             (`path_only`).",
            "data",
        )
    },
    of(
        "callbacks",
        T::Callbacks,
        "Plugins, in the order they run: a name, or a mapping with `plugin`, its options, `filters` for what it derives, and `limits`.",
        "[reader, decoder]",
    ),
    // What is done.
    OptionDoc {
        default: Some("off"),
        kind_defaults: &[(Subscribe, "on")],
        ..of(
            "download",
            T::Flag,
            "Whether content is fetched and stored. On by default for `subscribe`, and for a `flow` \
             with a plugin that downloads.",
            "off",
        )
    },
    OptionDoc {
        default: Some("4"),
        range: (1, 1_000),
        ..of(
            "concurrency",
            T::Count,
            "Most transfers at the same time. Messages for the same path keep their order.",
            "8",
        )
    },
    OptionDoc {
        placement: true,
        ..of(
            "directory",
            T::Template,
            "Where content is stored. `~/` is the home directory.",
            "${HOME}/inbox/${%Y-%m-%d}",
        )
    },
    OptionDoc {
        default: Some("off"),
        placement: true,
        ..of(
            "mirror",
            T::Flag,
            "Whether the directories of relPath are made again below `directory`.",
            "on",
        )
    },
    OptionDoc {
        default: Some("0"),
        placement: true,
        ..of(
            "strip",
            T::Strip,
            "How many directories to drop from the front of relPath, or a regular expression of which the first match is dropped.",
            "2",
        )
    },
    OptionDoc {
        default: Some("/"),
        placement: true,
        ..of(
            "flatten",
            T::Text,
            "Joins the directories of relPath and the file name to one name with this text; `/` leaves them as they are.",
            "_",
        )
    },
    OptionDoc {
        placement: true,
        ..of(
            "filename",
            T::Template,
            "The name to store under. By default the last element of relPath.",
            "report-${%Y%m%d}.pdf",
        )
    },
    OptionDoc {
        default: Some("."),
        ..of(
            "inflight",
            T::Inflight,
            "How unfinished content is named: `.` for `.name.tmp`, a suffix such as `.tmp`, or `none` \
             for the final name from the start.",
            ".tmp",
        )
    },
    OptionDoc {
        default: Some("sha512"),
        choices: &["sha512", "md5", "none"],
        ..of(
            "identity",
            T::Choice,
            "Fingerprint computed while content streams.",
            "sha512",
        )
    },
    OptionDoc {
        default: Some("on"),
        ..of(
            "overwrite",
            T::Flag,
            "Whether existing files are replaced.",
            "off",
        )
    },
    OptionDoc {
        default: Some("on"),
        ..of(
            "fsync",
            T::Flag,
            "Whether content is on the disk, not only in memory, before its message counts as done.",
            "off",
        )
    },
    OptionDoc {
        default: Some("644"),
        ..of(
            "permDefault",
            T::Mode,
            "Permission bits of files written.",
            "600",
        )
    },
    OptionDoc {
        default: Some("755"),
        ..of(
            "permDirDefault",
            T::Mode,
            "Permission bits of directories made.",
            "700",
        )
    },
    OptionDoc {
        default: Some("60s"),
        ..of(
            "timeout",
            T::Duration,
            "Longest one connect, read or write may take.",
            "5m",
        )
    },
    of(
        "caFile",
        T::Path,
        "More certificate authorities to trust, in PEM.",
        "/etc/ssl/office-ca.pem",
    ),
    OptionDoc {
        default: Some("10"),
        range: (0, 1_000_000),
        ..of(
            "attempts",
            T::Count,
            "Tries before a message is given up and kept with the dead letters; 0: no limit.",
            "3",
        )
    },
    OptionDoc {
        default: Some("2d"),
        ..of(
            "retry_ttl",
            T::Duration,
            "Age at which a failing message is given up; `none`: never.",
            "1w",
        )
    },
    OptionDoc {
        default: Some("300s"),
        ..of("housekeeping", T::Duration, "Interval of upkeep.", "10m")
    },
    of(
        "allow",
        T::Allow,
        "What plugins may reach beyond the hosts of URLs in this file: lists `connect` and `http` of \
         `host:port`, `host:*` or `*.domain:port`, and `secrets` of URLs whose credentials may be read.",
        "{connect: ['data.example.com:993']}",
    ),
    // Where messages go.
    OptionDoc {
        default: Some("embedded:"),
        ..of("post_broker", T::Url, "The broker posted to.", "embedded:")
    },
    of(
        "post_exchange",
        T::Text,
        "The exchange posted to; without it nothing is posted.",
        "xs_files",
    ),
    of(
        "post_topicPrefix",
        T::Text,
        "First words of the topics posted. By default `topicPrefix`.",
        "v03",
    ),
    of(
        "post_baseUrl",
        T::Template,
        "The baseUrl announced. By default `file:` for what was stored here, otherwise that of the \
         message.",
        "https://data.example.org/",
    ),
    of(
        "post_baseDir",
        T::Template,
        "Removed from the front of a local path to get the relPath announced.",
        "/var/www/data",
    ),
    of(
        "header",
        T::Header,
        "Fields set on every message posted.",
        "{source: office}",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_complete() {
        let mut names: Vec<_> = OPTIONS.iter().map(|option| option.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len(), "names are unique");
        for option in OPTIONS {
            assert!(
                option.doc.ends_with('.') && !option.example.is_empty(),
                "{}",
                option.name
            );
            assert_eq!(
                option.kind == T::Choice,
                !option.choices.is_empty(),
                "{}",
                option.name
            );
            assert!(
                option
                    .required
                    .iter()
                    .all(|kind| option.kinds.contains(kind)),
                "{}",
                option.name
            );
        }
    }
}
