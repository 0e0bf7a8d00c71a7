//! What each option of sr3 becomes. The one place to look it up.
//!
//! Options whose meaning hangs on other lines are not here but in `walk.rs`; those of plugins are
//! in `plugins.rs`.

/// How sr3 reads the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// What is not true is false; without a value it is true.
    Flag,
    /// A number with `k`, `m`, ….
    Count,
    /// A number, with decimals.
    Number,
    /// Seconds where there is no unit.
    Duration,
    /// Bytes.
    Size,
    /// Permission bits.
    Mode,
    /// The rest of the line.
    Text,
    /// As `Text`, filled in per message.
    Template,
    /// One more of a list.
    List,
    /// As `List`, filled in per message.
    Templates,
    /// Several in a line, separated by commas.
    Commas,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// The same name and meaning.
    Same,
    /// The same meaning under another name.
    Named(&'static str),
    /// Nothing, and nothing is lost. Why.
    Dropped(&'static str),
    /// Nothing, though it meant something. Why, and what to do.
    Refused(&'static str),
}

/// The entry for an option by sr3's name of today.
pub(super) fn find(name: &str) -> Option<(Type, To)> {
    TABLE
        .iter()
        .find(|(known, _, _)| *known == name)
        .map(|(_, of, to)| (*of, *to))
}

/// Every name there is, for did-you-mean.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE
        .iter()
        .map(|(name, _, _)| *name)
        .chain(ORDERED.iter().copied())
}

/// Options that `walk.rs` knows.
pub(super) const ORDERED: &[&str] = &[
    "accept",
    "amqp_queue_args",
    "attempts",
    "broker",
    "callback",
    "callback_prepend",
    "debug",
    "declare",
    "directory",
    "discard",
    "documentRoot",
    "exchange",
    "exchangeSuffix",
    "fileEvents",
    "filename",
    "flatten",
    "flowMain",
    "get",
    "header",
    "identity",
    "inflight",
    "kbytes_ps",
    "logEvents",
    "mirror",
    "no_download",
    "nodupe_basis",
    "nodupe_ttl",
    "on_message",
    "pollUrl",
    "post_broker",
    "post_documentRoot",
    "post_exchange",
    "post_exchangeSuffix",
    "queueName",
    "reject",
    "retryCountMax",
    "sendTo",
    "set",
    "sleep",
    "strip",
    "subtopic",
    "topic",
    "topicPrefix",
];

const BUILT_IN: &str = "it is built in: transfers need no other program";
const LOG: &str = "where logs go is a matter of the daemon, not of a flow";
const METRICS: &str = "metrics are those of the daemon: `flow status` and its address for metrics";
const STATE: &str = "state is in one store per flow, which needs no driver";
const MEMORY: &str = "memory is limited per plugin (`limits`), and nothing restarts itself";
const MACHINE: &str = "where state lies is a matter of the daemon";
const ADMIN: &str = "users of a broker stand in users.yaml, which `flow declare --users` reads";
const REPORTS: &str = "nobody ever read reports in sr3, and there are none here; headers and logs tell what became of a message";

const TABLE: &[(&str, Type, To)] = &[
    ("acceptSizeWrong", Type::Flag, To::Same),
    ("acceptUnmatched", Type::Flag, To::Same),
    ("accelCpCommand", Type::Text, To::Dropped(BUILT_IN)),
    ("accelFtpgetCommand", Type::Text, To::Dropped(BUILT_IN)),
    ("accelFtpputCommand", Type::Text, To::Dropped(BUILT_IN)),
    ("accelScpCommand", Type::Text, To::Dropped(BUILT_IN)),
    ("accelThreshold", Type::Size, To::Dropped(BUILT_IN)),
    ("accelWgetCommand", Type::Text, To::Dropped(BUILT_IN)),
    (
        "action",
        Type::Text,
        To::Dropped("what to do is said on the command line"),
    ),
    ("admin", Type::Text, To::Dropped(ADMIN)),
    (
        "amqp_consumer",
        Type::Flag,
        To::Dropped("messages are always pushed here"),
    ),
    ("auto_delete", Type::Flag, To::Same),
    ("baseDir", Type::Template, To::Same),
    ("baseUrl_relPath", Type::Flag, To::Same),
    ("batch", Type::Count, To::Same),
    (
        "blockSize",
        Type::Size,
        To::Dropped("files are announced whole"),
    ),
    ("bufSize", Type::Size, To::Same),
    ("byteRateMax", Type::Size, To::Same),
    ("clean_session", Type::Flag, To::Same),
    (
        "cluster",
        Type::Text,
        To::Dropped("nothing routes by cluster any more"),
    ),
    ("delete", Type::Flag, To::Named("delete_source")),
    ("delete_destination", Type::Flag, To::Same),
    ("delete_source", Type::Flag, To::Same),
    ("download", Type::Flag, To::Same),
    (
        "dry_run",
        Type::Flag,
        To::Dropped("say `--dry-run` on the command line"),
    ),
    ("durable", Type::Flag, To::Same),
    ("exchangeDeclare", Type::Flag, To::Same),
    ("exchangeSplit", Type::Count, To::Same),
    ("expire", Type::Duration, To::Same),
    ("feeder", Type::Text, To::Dropped(ADMIN)),
    ("fileAgeMax", Type::Duration, To::Same),
    ("fileAgeMin", Type::Duration, To::Same),
    ("fileSizeMax", Type::Size, To::Same),
    ("follow_symlinks", Type::Flag, To::Same),
    ("force_polling", Type::Flag, To::Same),
    ("ftpFilenameEncoding", Type::Text, To::Same),
    (
        "hostname",
        Type::Text,
        To::Dropped("it is that of the machine"),
    ),
    ("housekeeping", Type::Duration, To::Same),
    ("httpUserAgent", Type::Text, To::Same),
    ("httpsSafeQuote", Type::Text, To::Same),
    (
        "import",
        Type::Text,
        To::Refused("Python modules can't be loaded: a plugin brings what it needs"),
    ),
    ("inline", Type::Flag, To::Same),
    ("inlineByteMax", Type::Size, To::Same),
    ("inlineEncoding", Type::Text, To::Same),
    ("inlineOnly", Type::Flag, To::Same),
    (
        "inplace",
        Type::Flag,
        To::Dropped("files are announced whole"),
    ),
    ("instances", Type::Count, To::Same),
    ("logDuplicates", Type::Flag, To::Same),
    ("logFormat", Type::Text, To::Dropped(LOG)),
    ("logJson", Type::Flag, To::Dropped(LOG)),
    ("logLevel", Type::Text, To::Same),
    ("logMessageDump", Type::Flag, To::Same),
    ("logMetrics", Type::Flag, To::Dropped(METRICS)),
    ("logReject", Type::Flag, To::Same),
    ("logRotateCount", Type::Count, To::Dropped(LOG)),
    ("logRotateInterval", Type::Duration, To::Dropped(LOG)),
    ("logStdout", Type::Flag, To::Dropped(LOG)),
    ("max_inflight_messages", Type::Count, To::Same),
    (
        "max_queued_messages",
        Type::Count,
        To::Dropped("a queue here is bounded by `batch` and `prefetch`"),
    ),
    ("MemoryBaseLineFile", Type::Count, To::Dropped(MEMORY)),
    ("MemoryMax", Type::Size, To::Dropped(MEMORY)),
    ("MemoryMultiplier", Type::Number, To::Dropped(MEMORY)),
    ("messageAgeMax", Type::Duration, To::Same),
    ("messageCountMax", Type::Count, To::Same),
    ("messageDebugDump", Type::Flag, To::Named("logMessageDump")),
    ("messageRateMax", Type::Number, To::Same),
    ("messageRateMin", Type::Number, To::Same),
    (
        "message_strategy",
        Type::Text,
        To::Dropped("a lost broker is tried again for ever, with growing pauses"),
    ),
    (
        "metrics_writeInterval",
        Type::Duration,
        To::Dropped(METRICS),
    ),
    ("nodupe_driver", Type::Text, To::Dropped(STATE)),
    ("nodupe_redis_keybase", Type::Text, To::Dropped(STATE)),
    ("nodupe_redis_serverurl", Type::Text, To::Dropped(STATE)),
    (
        "nofsetstat",
        Type::Flag,
        To::Dropped("such servers are recognized"),
    ),
    (
        "no",
        Type::Count,
        To::Dropped("instances are not numbered here"),
    ),
    ("overwrite", Type::Flag, To::Same),
    ("path", Type::Templates, To::Same),
    ("permCopy", Type::Flag, To::Same),
    ("permDefault", Type::Mode, To::Same),
    ("permDirDefault", Type::Mode, To::Same),
    ("permLog", Type::Mode, To::Dropped(LOG)),
    ("persistent", Type::Flag, To::Same),
    ("post_baseDir", Type::Template, To::Same),
    ("post_baseUrl", Type::Template, To::Same),
    ("post_exchangeSplit", Type::Count, To::Same),
    ("post_format", Type::Text, To::Same),
    ("post_messageAgeMax", Type::Duration, To::Same),
    ("post_on_start", Type::Flag, To::Same),
    ("post_topic", Type::Text, To::Same),
    ("prefetch", Type::Count, To::Same),
    ("qos", Type::Count, To::Same),
    ("queueBind", Type::Flag, To::Same),
    ("queueDeclare", Type::Flag, To::Same),
    ("queueShare", Type::Text, To::Same),
    ("queueType", Type::Text, To::Same),
    ("randomize", Type::Flag, To::Same),
    ("realpathFilter", Type::Flag, To::Same),
    ("realpathPost", Type::Flag, To::Same),
    ("receiveMaximum", Type::Count, To::Same),
    ("recursive", Type::Flag, To::Same),
    ("redisqueue_serverurl", Type::Text, To::Dropped(STATE)),
    ("rename", Type::Template, To::Same),
    ("report", Type::Flag, To::Dropped(REPORTS)),
    ("report_broker", Type::Text, To::Dropped(REPORTS)),
    ("report_exchange", Type::Text, To::Dropped(REPORTS)),
    (
        "reset",
        Type::Flag,
        To::Refused("it empties the queue at every start: `flow cleanup` does that once"),
    ),
    ("retryEmptyBeforeExit", Type::Flag, To::Same),
    ("retry_driver", Type::Text, To::Dropped(STATE)),
    ("retry_refilter", Type::Flag, To::Same),
    ("retry_ttl", Type::Duration, To::Same),
    (
        "runStateThreshold_cpuSlow",
        Type::Count,
        To::Dropped("how much a flow computes says nothing here"),
    ),
    ("runStateThreshold_disconnected", Type::Count, To::Same),
    ("runStateThreshold_hung", Type::Duration, To::Same),
    ("runStateThreshold_idle", Type::Duration, To::Same),
    ("runStateThreshold_lag", Type::Duration, To::Same),
    ("runStateThreshold_reject", Type::Count, To::Same),
    ("runStateThreshold_retry", Type::Count, To::Same),
    ("runStateThreshold_slow", Type::Count, To::Same),
    ("scheduled_hour", Type::Commas, To::Same),
    ("scheduled_interval", Type::Duration, To::Same),
    ("scheduled_minute", Type::Commas, To::Same),
    ("scheduled_time", Type::Commas, To::Same),
    ("sourceFromExchange", Type::Flag, To::Same),
    ("sourceFromMessage", Type::Flag, To::Same),
    ("source", Type::Text, To::Same),
    ("statehost", Type::Flag, To::Dropped(MACHINE)),
    (
        "sundew_compat_regex_first_match_is_zero",
        Type::Flag,
        To::Dropped("groups are counted from 1; those in the flow are renumbered"),
    ),
    ("timeCopy", Type::Flag, To::Same),
    ("timeout", Type::Duration, To::Same),
    ("timezone", Type::Text, To::Same),
    ("tlsRigour", Type::Text, To::Same),
    ("topicCopy", Type::Flag, To::Same),
    ("users", Type::Flag, To::Dropped(ADMIN)),
    (
        "v2compatRenameDoublePost",
        Type::Flag,
        To::Dropped("a rename is posted once, as sr3 understands it"),
    ),
    (
        "varTimeOffset",
        Type::Duration,
        To::Dropped("the dates of the flow have it as their offset"),
    ),
    (
        "vhost",
        Type::Text,
        To::Refused("write it behind the host in the broker's URL"),
    ),
    ("vip", Type::List, To::Same),
    (
        "wololo",
        Type::Flag,
        To::Dropped("say `--force` on the command line"),
    ),
    // Options of the C programs.
    (
        "outlet",
        Type::Text,
        To::Refused("messages go to a broker; `flow foreground` shows them"),
    ),
    (
        "pipe",
        Type::Flag,
        To::Refused("paths are not read from the standard input"),
    ),
    (
        "realpathAdjust",
        Type::Count,
        To::Refused("links are resolved as a whole or not (`realpathPost`)"),
    ),
    (
        "shim_defer_posting_to_exit",
        Type::Flag,
        To::Dropped("it is for libsr3shim, which stays as it is"),
    ),
    (
        "shim_post_minterval",
        Type::Duration,
        To::Dropped("it is for libsr3shim, which stays as it is"),
    ),
    (
        "shim_post_once",
        Type::Flag,
        To::Dropped("it is for libsr3shim, which stays as it is"),
    ),
    (
        "shim_skip_parent_open_files",
        Type::Flag,
        To::Dropped("it is for libsr3shim, which stays as it is"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_those_of_today() {
        let all: Vec<_> = names().collect();
        let unique: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), unique.len());
        for name in all {
            assert_eq!(super::super::names::today(name), name);
            assert!(!super::super::names::obsolete(name), "{name}");
        }
    }
}
