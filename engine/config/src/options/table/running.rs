//! Options of how a flow runs, tries again, and what it says.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{CONSUMES, of};
use crate::flow::Kind::Winnow;

pub(super) static FLOW: &[OptionDoc] = &[
    of(
        "description",
        T::Text,
        "What the flow is for, in one line; `flow list` shows it.",
        "new reports of the office",
    )
    .new_here(),
    of(
        "include",
        T::Texts,
        "Files whose options are taken over, relative to this file. Options set here replace those \
         included; the lists `filters` and `callbacks` of included files come before those here.",
        "../common/office.yaml",
    ),
];

pub(super) static RETRY: &[OptionDoc] = &[
    of(
        "attempts",
        T::Count,
        "Tries before a message is given up and kept with the dead letters; 0: no limit.",
        "3",
    )
    .default("10")
    .between(0, 1_000_000)
    .unlike(
        "3 in one pass, then again without end",
        "tries are counted over the life of a message, with growing pauses between them",
    ),
    of(
        "retry_ttl",
        T::Duration,
        "Age at which a failing message is given up; `none`: never.",
        "1w",
    )
    .default("2d")
    .unlike(
        "`expire`",
        "what failed for two days needs a person; it is kept with the dead letters",
    ),
    of(
        "waitMax",
        T::Duration,
        "How long plugins may have a message wait, since it first came here; then it is given up and kept \
         with the dead letters; `none`: without end.",
        "30d",
    )
    .default("7d"),
    of(
        "retry_refilter",
        T::Flag,
        "Whether a message that is tried again passes `filters` again. Without it one that was accepted \
         goes on, even if the rules have changed meanwhile.",
        "on",
    )
    .default("off"),
    of(
        "retryEmptyBeforeExit",
        T::Flag,
        "Whether a flow that ends by itself first waits until nothing is left to try.",
        "on",
    )
    .default("off"),
];

pub(super) static PACE: &[OptionDoc] = &[
    of(
        "batch",
        T::Count,
        "Most messages in one pass. Where content is moved, a pass takes no more once 64 MiB are announced.",
        "25",
    )
    .default("500")
    .between(1, 10_000)
    .unlike(
        "25",
        "a pass is one transaction, so larger ones are cheaper; one that ends early is not larger",
    ),
    of(
        "instances",
        T::Count,
        "Workers in one process that share the queue, the lines of a helper, what waits in retry and what was \
         seen; the first one alone gathers and tries again. Of two messages for one path that different workers took, \
         either may go first, as with instances of sr3.",
        "4",
    )
        .only(CONSUMES)
        .default("1")
        .between(1, 1_000),
    of(
        "messageCountMax",
        T::Count,
        "The flow ends after so many messages, all instances together, tries again not counted; 0: \
         never.",
        "1000",
    )
    .default("0"),
    of(
        "messageRateMax",
        T::Number,
        "Most messages in a second; `none`: no limit.",
        "50",
    )
    .default("none"),
    of(
        "messageRateMin",
        T::Number,
        "Fewer messages in a second are warned about; `none`: never.",
        "0.5",
    )
    .default("none"),
    of(
        "vip",
        T::Addresses,
        "The flow works only on the machine that has one of these addresses, looked for once a second. \
         Elsewhere it waits, and is connected to nothing: what it announces after a takeover is not \
         compared with what was announced before.",
        "192.0.2.7",
    ),
    of("housekeeping", T::Duration, "Interval of upkeep.", "10m").default("300s"),
];

pub(super) static LOG: &[OptionDoc] = &[
    of(
        "logLevel",
        T::Choice,
        "The least important line written.",
        "debug",
    )
    .default("info")
    .one_of(&["none", "error", "warning", "info", "debug", "trace"]),
    of(
        "logEvents",
        T::Words,
        "Which events get a line of their own.",
        "[after_post, reject]",
    )
    .default("after_accept, after_work, after_post, on_housekeeping")
    .one_of(&[
        "after_accept",
        "after_work",
        "after_post",
        "on_housekeeping",
        "reject",
        "nodupe",
    ]),
    of(
        "logReject",
        T::Flag,
        "Whether every rejected message gets a line: adds `reject` to `logEvents`. Names that can't be used (`..`, control characters) get one in any case, up to 20 each `housekeeping`.",
        "on",
    )
    .default("off"),
    of(
        "logDuplicates",
        T::Flag,
        "Whether duplicates get a line: adds `nodupe` to `logEvents`.",
        "on",
    )
    .default("off")
    .but(&[(Winnow, "on")]),
    of(
        "logMessageDump",
        T::Flag,
        "Whether those lines hold the whole message.",
        "on",
    )
    .default("off"),
    of(
        "runStateThreshold_disconnected",
        T::Count,
        "Percent of the time without a broker from which a flow is unwell.",
        "50",
    )
    .default("80")
    .between(0, 100),
    of(
        "runStateThreshold_hung",
        T::Duration,
        "A flow that did nothing for this long is hung.",
        "10m",
    )
    .default("450s"),
    of(
        "runStateThreshold_idle",
        T::Duration,
        "A flow that got nothing for this long is idle.",
        "1h",
    )
    .default("900s"),
    of(
        "runStateThreshold_lag",
        T::Duration,
        "A flow whose messages are this much behind is unwell.",
        "2m",
    )
    .default("30s"),
    of(
        "runStateThreshold_reject",
        T::Count,
        "Percent of messages rejected from which a flow is unwell.",
        "95",
    )
    .default("80")
    .between(0, 100),
    of(
        "runStateThreshold_retry",
        T::Count,
        "Messages in retry from which a flow is unwell.",
        "100",
    )
    .default("1000"),
    of(
        "runStateThreshold_slow",
        T::Size,
        "Fewer bytes in a second while transferring are unwell; `none`: never.",
        "10kB",
    )
    .default("none"),
];
