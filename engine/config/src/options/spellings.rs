//! Names people bring along from sr3: older spellings, and options that are not here yet.
//!
//! Only to say what to write instead; nothing here is accepted.

/// Today's name of an older spelling.
pub(crate) fn today(old: &str) -> Option<&'static str> {
    OLD.iter()
        .find(|(spelling, _)| *spelling == old)
        .map(|(_, name)| *name)
}

/// Whether sr3 has an option of this name that this version has not.
pub(crate) fn later(name: &str) -> bool {
    LATER.contains(&name)
}

const OLD: &[(&str, &str)] = &[
    ("accept_unmatch", "acceptUnmatched"),
    ("accept_unmatched", "acceptUnmatched"),
    ("at", "attempts"),
    ("cache", "nodupe_ttl"),
    ("cache_basis", "nodupe_basis"),
    ("caching", "nodupe_ttl"),
    ("callback", "callbacks"),
    ("callback_prepend", "callbacks"),
    ("cb", "nodupe_basis"),
    ("chmod", "permDefault"),
    ("chmod_dir", "permDirDefault"),
    ("config", "include"),
    ("default_dir_mode", "permDirDefault"),
    ("default_mode", "permDefault"),
    ("destination", "pollUrl"),
    ("ex", "exchange"),
    ("expiry", "expire"),
    ("file_time_limit", "fileAgeMax"),
    ("flowCallback", "callbacks"),
    ("flowCallbackPrepend", "callbacks"),
    ("heartbeat", "housekeeping"),
    ("integrity", "identity"),
    ("lock", "inflight"),
    ("nd", "nodupe_ttl"),
    ("no_download", "download"),
    ("no_duplicates", "nodupe_ttl"),
    ("nodupe_fileAgeMax", "fileAgeMax"),
    ("nodupe_fileAgeMin", "fileAgeMin"),
    ("notify_only", "download"),
    ("post_base_dir", "post_baseDir"),
    ("post_base_url", "post_baseUrl"),
    ("post_documentRoot", "post_baseDir"),
    ("post_topic_prefix", "post_topicPrefix"),
    ("qn", "queueName"),
    ("queue", "queueName"),
    ("queue_name", "queueName"),
    ("sd", "nodupe_ttl"),
    ("sdb", "nodupe_basis"),
    ("sum", "identity"),
    ("suppress_duplicates", "nodupe_ttl"),
    ("suppress_duplicates_basis", "nodupe_basis"),
    ("topic_prefix", "topicPrefix"),
];

const LATER: &[&str] = &[
    "acceptSizeWrong",
    "accelCpCommand",
    "accelFtpgetCommand",
    "accelFtpputCommand",
    "accelScpCommand",
    "accelThreshold",
    "accelWgetCommand",
    "admin",
    "amqp_consumer",
    "amqp_queue_args",
    "auto_delete",
    "baseDir",
    "baseUrl_relPath",
    "blockSize",
    "bufSize",
    "byteRateMax",
    "clean_session",
    "cluster",
    "declare",
    "delete",
    "discard",
    "documentRoot",
    "dry_run",
    "durable",
    "exchangeDeclare",
    "exchangeSplit",
    "exchangeSuffix",
    "feeder",
    "fileEvents",
    "fileSizeMax",
    "flowMain",
    "follow_symlinks",
    "force_polling",
    "ftpFilenameEncoding",
    "httpUserAgent",
    "httpsSafeQuote",
    "inline",
    "inlineByteMax",
    "inlineEncoding",
    "inlineOnly",
    "instances",
    "logDuplicates",
    "logEvents",
    "logFormat",
    "logJson",
    "logLevel",
    "logMessageDump",
    "logMetrics",
    "logReject",
    "logRotateCount",
    "logRotateInterval",
    "logStdout",
    "messageCountMax",
    "messageRateMax",
    "messageRateMin",
    "message_strategy",
    "nodupe_driver",
    "path",
    "permCopy",
    "permLog",
    "persistent",
    "post_exchangeSplit",
    "post_exchangeSuffix",
    "post_format",
    "post_messageAgeMax",
    "post_on_start",
    "post_topic",
    "qos",
    "queueBind",
    "queueDeclare",
    "queueShare",
    "queueType",
    "randomize",
    "realpathFilter",
    "realpathPost",
    "receiveMaximum",
    "recursive",
    "rename",
    "report",
    "report_exchange",
    "reset",
    "retryCountMax",
    "retryEmptyBeforeExit",
    "retry_driver",
    "retry_refilter",
    "scheduled_hour",
    "scheduled_interval",
    "scheduled_minute",
    "scheduled_time",
    "sendTo",
    "source",
    "sourceFromExchange",
    "sourceFromMessage",
    "statehost",
    "timeCopy",
    "timezone",
    "tlsRigour",
    "topic",
    "topicCopy",
    "varTimeOffset",
    "vhost",
    "vip",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::option;

    #[test]
    fn spellings_lead_to_options() {
        for (old, name) in OLD {
            assert!(
                option(name).is_some(),
                "{old} leads to {name}, which is no option"
            );
            assert!(option(old).is_none(), "{old} is an option");
        }
        for name in LATER {
            assert!(option(name).is_none(), "{name} is an option by now");
            assert!(today(name).is_none(), "{name} is an older spelling");
        }
    }
}
