//! The plugins of sr3, one by one. The one place to look it up.
//!
//! `plugins/SR3-PLUGINS.md` says the same for people; a test holds the two together.

use super::{As, Fixed, To};

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

/// By name, lower case.
pub(super) const TABLE: &[(&str, To)] = &[
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
    (
        "accept.bc_trans",
        To::Nothing(
            "write the token as `bearer_token` behind the URL in credentials.conf; nothing here renews it",
        ),
    ),
    (
        "accept.distbydir",
        To::Nothing(
            "nothing here picks an exchange by a path: one flow for each part, with `accept`, posts to the exchange of its own",
        ),
    ),
    (
        "accept.save",
        To::Nothing(
            "a flow that posts to `embedded:` saves messages in a durable queue, and a shovel that reads it replays them",
        ),
    ),
    (
        "accept.wmotypesuffix",
        To::Plugin {
            name: "wmo-bulletin",
            fixed: &[("name", Fixed::Text("{name}.{TT}"))],
            options: &[],
            differs: None,
        },
    ),
    (
        "authenticate.bc_trans",
        To::Nothing(
            "write the token as `bearer_token` behind the URL in credentials.conf; nothing here renews it",
        ),
    ),
    (
        "authenticate.copernicus",
        To::Nothing(
            "write the token as `bearer_token` behind the URL in credentials.conf; nothing here renews it",
        ),
    ),
    (
        "authenticate.eumetsat",
        To::Nothing(
            "write the token as `bearer_token` behind the URL in credentials.conf; nothing here renews it",
        ),
    ),
    (
        "authenticate.nasa_earthdata",
        To::Nothing(
            "write the token as `bearer_token` behind the URL in credentials.conf; nothing here renews it",
        ),
    ),
    (
        "block_reassembly",
        To::Nothing(
            "files in blocks are not put together here: have the source announce them whole (`blockSize 1` there)",
        ),
    ),
    (
        "filter.wmo00_accumulate",
        To::Nothing("bulletins are not bundled here; `wmo-bulletin` takes bundles apart"),
    ),
    (
        "filter.wmo00_split",
        To::Plugin {
            name: "wmo-bulletin",
            fixed: &[("split", Fixed::Text("on"))],
            options: &[],
            differs: Some("what it works with is the flow's own `directory`"),
        },
    ),
    (
        "filter.wmo2msc",
        To::Nothing(
            "`wmo-bulletin` does the naming: `name` and `path`; contents are not converted",
        ),
    ),
    (
        "poll.copernicus_marine_s3",
        To::Nothing("a `poll` lists `s3:` by itself: name the product in `pollUrl` and `path`"),
    ),
    (
        "poll.s3bucket",
        To::BuiltIn("a `poll` lists `s3:` by itself: `pollUrl: s3://bucket/` and `path`"),
    ),
    (
        "rename.raw2bulletin",
        To::Plugin {
            name: "wmo-bulletin",
            fixed: &[
                ("by", Fixed::List(&["content"])),
                ("name", Fixed::Text("{TTAAii}_{CCCC}_{YYGGgg}{_BBB}")),
            ],
            options: &[],
            differs: Some("the name is the heading alone"),
        },
    ),
    (
        "rootchown",
        To::Nothing("no flow changes owners: run it as the user who is to own the files"),
    ),
    (
        "run",
        To::Nothing(
            "no commands are run: a plugin does it, or a program that reads what the flow posts",
        ),
    ),
    ("sample", To::BuiltIn(TEST)),
    (
        "scheduled",
        To::BuiltIn("`scheduled_interval` and its like do it"),
    ),
    (
        "send.s3cloudsender",
        To::BuiltIn(
            "a `sender` uploads to `s3:` by itself: `sendTo: s3://bucket/`; region and token are `s3_region` and `s3_session_token` in credentials.conf",
        ),
    ),
    (
        "work.citypage_check",
        To::Nothing("it is for one product of one site; write it as a plugin"),
    ),
    (
        "work.send_egc_les",
        To::Nothing("it is for one station; write it as a plugin"),
    ),
    (
        "http_with_metadata",
        To::Nothing(
            "sizes and times are not asked for before a post: a `poll` tells what the listing says",
        ),
    ),
    (
        "poll.rate_limit",
        To::Nothing("`sleep` says how often a poll lists; within a walk nothing holds it back"),
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
pub(super) const SCRIPTS: &[(&str, &str)] = &[
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

/// Options of plugins that are not needed here.
pub(super) const IDLE: &[&str] = &[
    "AWS_regionName",
    "AWS_sessionToken",
    "file_total_interval",
    "msgSpeedoInterval",
    "msg_speedo_interval",
    "msg_speedo_maxlag",
    "msg_total_interval",
    "pathReplaceFields",
    "post_total_interval",
    "post_urlType",
];
