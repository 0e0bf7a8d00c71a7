//! Older spellings people bring along from sr3.
//!
//! Only to say what to write instead; nothing here is accepted.

/// Today's name of an older spelling.
pub(crate) fn today(old: &str) -> Option<&'static str> {
    OLD.iter()
        .find(|(spelling, _)| *spelling == old)
        .map(|(_, name)| *name)
}

/// Every older spelling with today's name.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    OLD.iter().copied()
}

const OLD: &[(&str, &str)] = &[
    ("accept_unmatch", "acceptUnmatched"),
    ("accept_unmatched", "acceptUnmatched"),
    ("at", "attempts"),
    ("b", "broker"),
    ("base_dir", "baseDir"),
    ("basedir", "baseDir"),
    ("bd", "baseDir"),
    ("bind_queue", "queueBind"),
    ("bufsize", "bufSize"),
    ("cache", "nodupe_ttl"),
    ("cache_basis", "nodupe_basis"),
    ("caching", "nodupe_ttl"),
    ("callback", "callbacks"),
    ("callback_prepend", "callbacks"),
    ("cb", "nodupe_basis"),
    ("chmod", "permDefault"),
    ("chmod_dir", "permDirDefault"),
    ("config", "include"),
    ("content", "inline"),
    ("content_encoding", "inlineEncoding"),
    ("content_max", "inlineByteMax"),
    ("d", "delete_destination"),
    ("declare_exchange", "exchangeDeclare"),
    ("declare_queue", "queueDeclare"),
    ("default_dir_mode", "permDirDefault"),
    ("default_mode", "permDefault"),
    ("delete", "delete_source"),
    ("destination", "pollUrl"),
    ("destination_timezone", "timezone"),
    ("discard", "delete_destination"),
    ("documentRoot", "baseDir"),
    ("document_root", "baseDir"),
    ("download-and-discard", "delete_destination"),
    ("e", "fileEvents"),
    ("events", "fileEvents"),
    ("ex", "exchange"),
    ("exchange_split", "exchangeSplit"),
    ("expiry", "expire"),
    ("file_time_limit", "fileAgeMax"),
    ("flowCallback", "callbacks"),
    ("flowCallbackPrepend", "callbacks"),
    ("fp", "force_polling"),
    ("fs", "follow_symlinks"),
    ("heartbeat", "housekeeping"),
    ("imx", "inlineByteMax"),
    ("inl", "inline"),
    ("inline_encoding", "inlineEncoding"),
    ("inline_max", "inlineByteMax"),
    ("instance", "instances"),
    ("integrity", "identity"),
    ("kbytes_ps", "byteRateMax"),
    ("ll", "logLevel"),
    ("lock", "inflight"),
    ("log_reject", "logReject"),
    ("loglevel", "logLevel"),
    ("message-ttl", "post_messageAgeMax"),
    ("message_ttl", "post_messageAgeMax"),
    ("nd", "nodupe_ttl"),
    ("no_download", "download"),
    ("no_duplicates", "nodupe_ttl"),
    ("nodupe_fileAgeMax", "fileAgeMax"),
    ("nodupe_fileAgeMin", "fileAgeMin"),
    ("notify_only", "download"),
    ("o", "overwrite"),
    ("p", "path"),
    ("pm", "permCopy"),
    ("post_base_dir", "post_baseDir"),
    ("post_base_url", "post_baseUrl"),
    ("post_documentRoot", "post_baseDir"),
    ("post_document_root", "post_baseDir"),
    ("post_exchange_split", "post_exchangeSplit"),
    ("post_rate_limit", "messageRateMax"),
    ("post_topic_prefix", "post_topicPrefix"),
    ("preserve_mode", "permCopy"),
    ("preserve_time", "timeCopy"),
    ("pt", "timeCopy"),
    ("qn", "queueName"),
    ("queue", "queueName"),
    ("queue_name", "queueName"),
    ("realpath", "realpathPost"),
    ("realpath_post", "realpathPost"),
    ("remoteUrl", "sendTo"),
    ("sanity_log_dead", "runStateThreshold_hung"),
    ("sd", "nodupe_ttl"),
    ("sdb", "nodupe_basis"),
    ("source_from_exchange", "sourceFromExchange"),
    ("sum", "identity"),
    ("suppress_duplicates", "nodupe_ttl"),
    ("suppress_duplicates_basis", "nodupe_basis"),
    ("tls_rigour", "tlsRigour"),
    ("topic_prefix", "topicPrefix"),
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
    }
}
