//! Options of what is posted.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{CONSUMES, of};

pub(super) static OUTPUT: &[OptionDoc] = &[
    of(
        "post_broker",
        T::Url,
        "The broker posted to, as `broker`.",
        "amqps://me@broker.example.org/",
    )
    .default("embedded:")
    .unlike("none", "the embedded broker needs no server, so a flow without one just works"),
    of(
        "post_exchange",
        T::Texts,
        "The exchange posted to; without it nothing is posted. With a `post_broker` that has users \
         by default `xs_<user>`. Several in a list: messages are spread over them by their paths.",
        "xs_files",
    )
    .unlike("`xs_<user>`", "the same with a broker that has users; the embedded one has none"),
    of(
        "post_exchangeSplit",
        T::Count,
        "Messages are spread by their paths over so many exchanges: `post_exchange` followed by 00, \
         01, …; 0: all go to `post_exchange`.",
        "4",
    )
    .default("0")
    .between(0, 100),
    of(
        "post_topicPrefix",
        T::Text,
        "First words of the topics posted. By default `topicPrefix`, or `v02.post` for \
         `post_format: v02`.",
        "v03",
    ),
    of(
        "post_topic",
        T::Text,
        "The whole topic of every message posted, in place of prefix and directories.",
        "v03.alerts",
    ),
    of(
        "topicCopy",
        T::Flag,
        "Whether messages are posted with the topic they came with.",
        "on",
    )
    .only(CONSUMES)
    .default("off"),
    of(
        "post_format",
        T::Choice,
        "The form of messages posted. By default that of `post_topicPrefix`: `v02` if it starts so, \
         else `v03`. That of messages consumed is found out.",
        "v02",
    )
    .one_of(&["v03", "v02", "wis"])
    .unlike("v03", "a topic of v02 with a body of v03 is of no use to anyone"),
    of(
        "post_baseUrl",
        T::Template,
        "The baseUrl announced. By default `file:` for what was stored here, otherwise that of the \
         message, and for a poll `pollUrl`.",
        "https://data.example.org/",
    ),
    of(
        "post_baseDir",
        T::Template,
        "Removed from the front of a local path to get the relPath announced.",
        "/var/www/data",
    ),
    of(
        "persistent",
        T::Flag,
        "Whether messages posted outlive a restart of the broker; for the one built into flow, a power \
         cut. On MQTT the server decides, and `off` is refused.",
        "off",
    )
    .default("on"),
    of(
        "post_messageAgeMax",
        T::Duration,
        "Messages posted go away after waiting this long in a queue; `none`: never.",
        "1d",
    )
    .default("none"),
    of(
        "post_failed",
        T::Flag,
        "Whether what goes no further is posted too, so that whoever waits for it hears of it: messages \
         that are given up, or rejected while they were worked on, without their content and with the \
         field `failed`, which says why. What `filters` and nodupe turn away is not.",
        "on",
    )
    .default("off")
    .new_here(),
    of(
        "max_inflight_messages",
        T::Count,
        "Most messages posted by MQTT and not yet confirmed. By default what the broker takes.",
        "1000",
    )
    .between(1, 65_535)
    .unlike("20000", "MQTT 5 brokers say themselves how many they take"),
    of(
        "header",
        T::Mapping,
        "Fields set on every message posted.",
        "{office: north}",
    ),
    of(
        "source",
        T::Text,
        "Set as the field `source` of every message. By default the user of `post_broker`, or else \
         of `broker`, where a message has none.",
        "north",
    )
    .unlike(
        "the user, whatever the message has",
        "who passes messages on is not who they come from",
    ),
    of(
        "sourceFromExchange",
        T::Flag,
        "Whether `source` is the user in the name of the exchange messages came from, `xs_<user>`.",
        "on",
    )
    .only(CONSUMES)
    .default("off"),
    of(
        "sourceFromMessage",
        T::Flag,
        "Whether `source` is left as it is, even if there is none.",
        "on",
    )
    .only(CONSUMES)
    .default("off"),
];
