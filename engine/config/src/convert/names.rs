//! What options were called before, and words that have no meaning any more.
//!
//! The names on the right are sr3's of today, which are mostly ours; `options.rs` says what each
//! becomes.

/// The words of `declare` that declare a variable.
pub(super) const ENV: [&str; 4] = ["env", "envvar", "var", "value"];

/// Today's name in sr3.
pub(super) fn today(name: &str) -> &str {
    match SYNONYMS.iter().find(|(old, _)| *old == name) {
        Some((_, today)) => today,
        None => name,
    }
}

/// Why nothing is lost with this word of the previous generation.
pub(super) fn obsolete(name: &str) -> bool {
    OBSOLETE.contains(&name)
}

const SYNONYMS: &[(&str, &str)] = &[
    ("accel_cp_command", "accelCpCommand"),
    ("accel_cp_threshold", "accelThreshold"),
    ("accel_scp_command", "accelScpCommand"),
    ("accel_scp_threshold", "accelThreshold"),
    ("accel_threshold", "accelThreshold"),
    ("accel_wget_command", "accelWgetCommand"),
    ("accel_wget_threshold", "accelThreshold"),
    ("accept_unmatch", "acceptUnmatched"),
    ("accept_unmatched", "acceptUnmatched"),
    ("at", "attempts"),
    ("b", "broker"),
    ("base_dir", "baseDir"),
    ("basedir", "baseDir"),
    ("bd", "baseDir"),
    ("bind_queue", "queueBind"),
    ("blocksize", "blockSize"),
    ("bufsize", "bufSize"),
    ("c", "include"),
    ("cache", "nodupe_ttl"),
    ("cache_basis", "nodupe_basis"),
    ("caching", "nodupe_ttl"),
    ("cb", "nodupe_basis"),
    ("cbp", "callback_prepend"),
    ("chmod", "permDefault"),
    ("chmod_dir", "permDirDefault"),
    ("chmod_log", "permLog"),
    ("content", "inline"),
    ("content_encoding", "inlineEncoding"),
    ("content_max", "inlineByteMax"),
    ("d", "discard"),
    ("declare_exchange", "exchangeDeclare"),
    ("declare_queue", "queueDeclare"),
    ("default_dir_mode", "permDirDefault"),
    ("default_log_mode", "permLog"),
    ("default_mode", "permDefault"),
    ("destination_timezone", "timezone"),
    ("document_root", "documentRoot"),
    ("download-and-discard", "discard"),
    ("download_cp_command", "accelCpCommand"),
    ("e", "fileEvents"),
    ("events", "fileEvents"),
    ("ex", "exchange"),
    ("exchange_split", "exchangeSplit"),
    ("exchange_suffix", "exchangeSuffix"),
    ("expiry", "expire"),
    ("fcb", "callback"),
    ("fcbp", "callback_prepend"),
    ("file_time_limit", "fileAgeMax"),
    ("flowCallback", "callback"),
    ("flowCallbackPrepend", "callback_prepend"),
    ("flow_callback", "callback"),
    ("flow_callback_prepend", "callback_prepend"),
    ("flowcb", "callback"),
    ("flowcb_prepend", "callback_prepend"),
    ("fp", "force_polling"),
    ("fs", "follow_symlinks"),
    ("hb_memory_baseline_file", "MemoryBaseLineFile"),
    ("hb_memory_max", "MemoryMax"),
    ("hb_memory_multiplier", "MemoryMultiplier"),
    ("heartbeat", "housekeeping"),
    ("imx", "inlineByteMax"),
    ("inl", "inline"),
    ("inline_encoding", "inlineEncoding"),
    ("inline_max", "inlineByteMax"),
    ("instance", "instances"),
    ("integrity", "identity"),
    ("ll", "logLevel"),
    ("lock", "inflight"),
    ("logRotate", "logRotateCount"),
    ("logRotate_interval", "logRotateInterval"),
    ("log_format", "logFormat"),
    ("log_reject", "logReject"),
    ("log_rotate", "logRotateCount"),
    ("logdays", "logRotateCount"),
    ("loglevel", "logLevel"),
    ("manager", "feeder"),
    ("message-ttl", "post_messageAgeMax"),
    ("message_ttl", "post_messageAgeMax"),
    ("msg_fdelay", "fdelay"),
    ("msg_filter_wmo2msc_convert", "filter_wmo2msc_convert"),
    (
        "msg_filter_wmo2msc_replace_dir",
        "filter_wmo2msc_replace_dir",
    ),
    ("msg_filter_wmo2msc_tree", "filter_wmo2msc_treeify"),
    ("msg_filter_wmo2msc_uniquify", "filter_wmo2msc_uniquify"),
    ("msg_replace_new_dir", "pathReplace"),
    ("n", "no_download"),
    ("nd", "nodupe_ttl"),
    ("no_duplicates", "nodupe_ttl"),
    ("nodupe_fileAgeMax", "fileAgeMax"),
    ("nodupe_fileAgeMin", "fileAgeMin"),
    ("notify_only", "no_download"),
    ("o", "overwrite"),
    ("on_msg", "on_message"),
    ("p", "path"),
    ("pm", "permCopy"),
    ("post_base_dir", "post_baseDir"),
    ("post_base_url", "post_baseUrl"),
    ("post_basedir", "post_baseDir"),
    ("post_baseurl", "post_baseUrl"),
    ("post_document_root", "post_documentRoot"),
    ("post_exchange_split", "post_exchangeSplit"),
    ("post_exchange_suffix", "post_exchangeSuffix"),
    ("post_rate_limit", "messageRateMax"),
    ("post_topic_prefix", "post_topicPrefix"),
    ("post_url", "post_baseUrl"),
    ("preserve_mode", "permCopy"),
    ("preserve_time", "timeCopy"),
    ("pt", "timeCopy"),
    ("qn", "queueName"),
    ("queue", "queueName"),
    ("queue_name", "queueName"),
    ("realpath", "realpathPost"),
    ("realpath_filter", "realpathFilter"),
    ("realpath_post", "realpathPost"),
    ("remoteUrl", "sendTo"),
    ("report_back", "report"),
    ("s", "set"),
    ("sanity_log_dead", "runStateThreshold_hung"),
    ("sd", "nodupe_ttl"),
    ("sdb", "nodupe_basis"),
    ("setting", "set"),
    ("simulate", "dry_run"),
    ("simulation", "dry_run"),
    ("source_from_exchange", "sourceFromExchange"),
    ("sum", "identity"),
    ("suppress_duplicates", "nodupe_ttl"),
    ("suppress_duplicates_basis", "nodupe_basis"),
    ("tls_rigour", "tlsRigour"),
    ("topic_prefix", "topicPrefix"),
    ("url", "post_baseUrl"),
];

const OBSOLETE: &[&str] = &[
    "cache_stat",
    "cluster_aliases",
    "file_total_interval",
    "from_cluster",
    "interface",
    "ls_file_index",
    "msg_total_interval",
    "part_ext",
    "partflg",
    "parts",
    "post_log_format",
    "post_total_interval",
    "pump",
    "pump_flag",
    "reconnect",
    "remote_config_url",
    "report_daemons",
    "restore",
    "retry_mode",
    "save",
    "set_passwords",
    "sleep_connect_try_interval_max",
    "sleep_connect_try_interval_min",
    "sumflg",
    "to",
    "to_clusters",
    "use_amqplib",
    "use_pika",
    "windows_run",
    "xattr_disable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_today_is_no_older_name() {
        for (old, name) in SYNONYMS {
            if old != name {
                assert_eq!(today(name), *name, "{old} leads to {name}, which leads on");
            }
            assert!(!obsolete(old), "{old} is both older and obsolete");
        }
    }
}
