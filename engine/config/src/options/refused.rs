//! Options of sr3 that a flow has not, each with its reason.
//!
//! `flow check` tells it to who writes one, and `flow convert` to who brings one along.

/// An option that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    /// As sr3 spells it.
    pub(crate) name: &'static str,
    /// Whether something is missing without it: refused. Otherwise nothing is: unnecessary.
    pub(crate) needed: bool,
    /// Why, and what there is instead.
    pub(crate) why: &'static str,
    /// Its older spellings.
    pub(super) older: &'static [&'static str],
}

impl Gone {
    const fn or(mut self, older: &'static [&'static str]) -> Self {
        self.older = older;
        self
    }
}

/// The entry of `name`.
pub(crate) fn refused(name: &str) -> Option<&'static Gone> {
    GONE.iter()
        .find(|gone| gone.name == name || gone.older.contains(&name))
}

const fn lacks(name: &'static str, why: &'static str) -> Gone {
    Gone {
        name,
        needed: true,
        why,
        older: &[],
    }
}

const fn without(name: &'static str, why: &'static str) -> Gone {
    Gone {
        name,
        needed: false,
        why,
        older: &[],
    }
}

const BUILT_IN: &str = "transfers are built in, and no external program is faster";
const ONE_DAEMON: &str =
    "one background process writes the log of all flows: see `flow start --help`";
const METRICS: &str = "counters are always kept: see `flow status`";
const GROWS: &str =
    "a flow that leaks is a bug, and is no reason to restart it; plugins have `limits`";
const ACCOUNTS: &str = "accounts of a broker stand in `users.yaml`, for `flow declare --users`";
const DATES: &str = "an offset stands in the variable: `${%o-1h%Y%m%d}`";

/// In the order of the reference.
pub(super) static GONE: &[Gone] = &[
    without(
        "exchangeSuffix",
        "write the whole name: `exchange: xs_user_suffix`",
    )
    .or(&["exchange_suffix"]),
    without(
        "post_exchangeSuffix",
        "write the whole name: `post_exchange: xs_user_suffix`",
    )
    .or(&["post_exchange_suffix"]),
    without(
        "amqp_consumer",
        "messages are always pushed, up to `prefetch`",
    ),
    lacks(
        "max_queued_messages",
        "the limit is the broker's: posting waits for `max_inflight_messages`",
    ),
    without(
        "vhost",
        "it is the path of the URL: `amqps://me@host/vhost`",
    ),
    without("reset", "`flow cleanup` deletes queue and state"),
    without(
        "message_strategy",
        "a flow always connects again, with growing pauses",
    ),
    without(
        "nodupe_driver",
        "what was seen is kept in the flow's own database; several machines share a `winnow` flow",
    ),
    without(
        "nodupe_redis_serverurl",
        "there is no driver but the flow's own database",
    ),
    without(
        "nodupe_redis_keybase",
        "there is no driver but the flow's own database",
    ),
    without(
        "retry_driver",
        "failures are kept in the flow's own database",
    ),
    without(
        "redisqueue_serverurl",
        "there is no driver but the flow's own database",
    ),
    lacks(
        "sundew_extension",
        "in sr3 it is appended to what rules match and breaks `$`; match the field: `accept: {header: {sundew_extension: '…'}}`",
    ),
    without(
        "sundew_compat_regex_first_match_is_zero",
        "groups count from `${1}`; `flow convert` renumbers them",
    ),
    without("varTimeOffset", DATES),
    lacks("blockSize", "files are announced whole, however large").or(&["blocksize"]),
    lacks(
        "realpathAdjust",
        "paths are announced as they are, or with `realpathPost: on` without links",
    ),
    lacks(
        "v2compatRenameDoublePost",
        "a rename is one message in every format",
    ),
    lacks(
        "report",
        "upstream has no consumer of reports; what failed is in `flow retry` and the log",
    )
    .or(&["report_back"]),
    lacks(
        "report_exchange",
        "upstream has no consumer of reports; what failed is in `flow retry` and the log",
    ),
    lacks(
        "to_clusters",
        "nothing routes by cluster any more; a rule can look at any field with `header`",
    ),
    lacks(
        "from_cluster",
        "nothing routes by cluster any more; a field is set with `header`",
    ),
    lacks(
        "cluster",
        "nothing routes by cluster any more; a field is set with `header`",
    ),
    without(
        "retryCountMax",
        "`attempts` counts the tries of a message over its whole life",
    ),
    without("accelThreshold", BUILT_IN),
    without("accelWgetCommand", BUILT_IN),
    without("accelScpCommand", BUILT_IN),
    without("accelCpCommand", BUILT_IN),
    without("accelFtpgetCommand", BUILT_IN),
    without("accelFtpputCommand", BUILT_IN),
    without(
        "nofsetstat",
        "a server that refuses to set attributes is found out",
    ),
    without(
        "dry_run",
        "it is a way to run, not a property of a flow: `flow foreground --dry-run`",
    )
    .or(&["simulate", "simulation"]),
    lacks(
        "statehost",
        "machines that share a home directory need state directories of their own: set `FLOW_STATE_DIR`",
    ),
    without("permLog", ONE_DAEMON).or(&["chmod_log"]),
    without("logFormat", ONE_DAEMON).or(&["log_format"]),
    without("logStdout", ONE_DAEMON),
    without("logJson", ONE_DAEMON),
    without("logRotateCount", ONE_DAEMON).or(&["logdays", "log_rotate", "logRotate"]),
    without("logRotateInterval", ONE_DAEMON),
    without("logMetrics", METRICS),
    without("metrics_writeInterval", METRICS),
    without(
        "messageDebugDump",
        "`flow foreground --trace` shows the life of each message",
    ),
    without("debug", "write `logLevel: debug`"),
    lacks(
        "runStateThreshold_cpuSlow",
        "flows share one process, so its time can't be told apart by flow",
    ),
    without("hostname", "it is the machine's, in `${HOSTNAME}`"),
    without("users", ACCOUNTS),
    without("admin", ACCOUNTS),
    without("feeder", ACCOUNTS),
    without("manager", ACCOUNTS),
    without(
        "declare",
        "`declare env` is an environment variable or `${NAME:-default}`; the rest belongs to the broker",
    ),
    without(
        "set",
        "options of a plugin stand in its entry under `callbacks`",
    ),
    without(
        "import",
        "a plugin is a file in `<config>/plugins`, named under `callbacks`",
    ),
    without(
        "flowMain",
        "a plugin that gathers takes its place, in a `flow` flow",
    ),
    without("wololo", "`flow convert --force` says what it means"),
    without("no", "instances are numbered by the engine"),
    without("MemoryMax", GROWS).or(&["hb_memory_max"]),
    without("MemoryBaseLineFile", GROWS).or(&["hb_memory_baseline_file"]),
    without("MemoryMultiplier", GROWS).or(&["hb_memory_multiplier"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{option, today};

    #[test]
    fn what_is_gone_is_nowhere_else() {
        for (at, gone) in GONE.iter().enumerate() {
            assert!(option(gone.name).is_none(), "{} is an option", gone.name);
            assert!(today(gone.name).is_none(), "{} is a spelling", gone.name);
            assert!(
                !gone.why.ends_with('.') && !gone.why.contains('|'),
                "{}",
                gone.name
            );
            assert!(
                GONE[..at].iter().all(|other| other.name != gone.name),
                "{}",
                gone.name
            );
        }
    }
}
