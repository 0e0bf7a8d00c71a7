//! Options of what is consumed.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{CONSUMES, of};

pub(super) static INPUT: &[OptionDoc] = &[
    of(
        "broker",
        T::Url,
        "The broker whose queue is consumed: `embedded:` (needs no server), `amqp://` or `amqps://`, \
         `mqtt://` or `mqtts://`. User, no password: that is in `credentials.conf`.",
        "amqps://me@broker.example.org/",
    )
    .only(CONSUMES)
    .default("embedded:")
    .unlike("none", "the embedded broker needs no server, so a flow without one just works"),
    of(
        "exchange",
        T::Text,
        "The exchange the queue is bound to. With an AMQP or MQTT broker by default `xs_<user>`, or \
         `xpublic` for the user `anonymous`. `none`: topics start without one (MQTT).",
        "xs_news",
    )
    .only(CONSUMES)
    .unlike("`xs_<user>`", "the same with a broker that has users; the embedded one has none"),
    of(
        "exchangeSplit",
        T::Count,
        "The queue is bound to so many exchanges: `exchange` followed by 00, 01, …; 0: to `exchange`. \
         For what is posted with `post_exchangeSplit`.",
        "4",
    )
    .only(CONSUMES)
    .default("0")
    .between(0, 100),
    of(
        "topicPrefix",
        T::Text,
        "First words of the topics consumed, and of those posted unless `post_topicPrefix` or \
         `post_format` says otherwise; `none` for none.",
        "v03",
    )
    .default("v03"),
    of(
        "subtopic",
        T::Texts,
        "Which topics below `topicPrefix` are consumed: words separated by dots, `*` for any one \
         word, a last `#` for any number of them. Several in a list.",
        "'*.reports.#'",
    )
    .only(CONSUMES)
    .default("#"),
    of(
        "topic",
        T::Texts,
        "Which topics are consumed, written out with their first words. In place of `subtopic`.",
        "'v02.post.reports.#'",
    )
    .only(CONSUMES),
    of(
        "bindings",
        T::Bindings,
        "For several exchanges, or several prefixes: a list of mappings with `exchange`, \
         `topicPrefix`, and `subtopic` or `topic`. What an entry leaves out is that of the flow. In \
         place of `subtopic` and `topic`.",
        "[{exchange: xs_a, subtopic: 'a.#'}, {exchange: xs_b, topicPrefix: v02.post}]",
    )
    .only(CONSUMES)
    .was("several `exchange` and `subtopic` lines"),
    of(
        "queueName",
        T::Text,
        "The queue. By default `q_<user>.<kind>.<name>.<queueShare>`, and on the embedded broker \
         `q_embedded.<kind>.<name>`. Flows with the same queue share its messages. `${BROKER_USER}` \
         and `${QUEUESHARE}` can be used.",
        "q_me.subscribe.news",
    )
    .only(CONSUMES)
    .unlike(
        "`q_<user>.<kind>.<name>.<queueShare>`",
        "the same, but for the embedded broker, which has no users",
    ),
    of(
        "queueShare",
        T::Text,
        "Who shares the queue: the last part of its default name. By default user and name of this \
         machine.",
        "group1",
    )
    .only(CONSUMES)
    .unlike(
        "`${USER}_${HOSTNAME}_${RAND8}`",
        "without the random part the queue is found again when the state directory is lost",
    ),
    of(
        "queueType",
        T::Choice,
        "The type of queue (AMQP): on one node, or replicated. By default what the broker makes.",
        "quorum",
    )
    .only(CONSUMES)
    .one_of(&["classic", "quorum"]),
    of(
        "amqp_queue_args",
        T::Mapping,
        "More arguments of the queue (AMQP).",
        "{x-max-length: 100000, x-overflow: reject-publish}",
    )
    .only(CONSUMES),
    of(
        "queueDeclare",
        T::Flag,
        "Whether the queue is declared. Off for one that others own.",
        "off",
    )
    .only(CONSUMES)
    .default("on"),
    of(
        "queueBind",
        T::Flag,
        "Whether the queue is bound. Off if others bind it.",
        "off",
    )
    .only(CONSUMES)
    .default("on"),
    of(
        "exchangeDeclare",
        T::Flag,
        "Whether exchanges are declared: that consumed, and that posted to. Off where that is not \
         allowed.",
        "off",
    )
    .default("on"),
    of(
        "durable",
        T::Flag,
        "Whether queue and exchanges outlive a restart of the broker.",
        "off",
    )
    .default("on"),
    of(
        "auto_delete",
        T::Flag,
        "Whether the queue goes away with its last consumer.",
        "on",
    )
    .only(CONSUMES)
    .default("off"),
    of(
        "expire",
        T::Duration,
        "The queue is deleted after being unused this long; `none`: never.",
        "1w",
    )
    .only(CONSUMES)
    .default("none"),
    of(
        "prefetch",
        T::Count,
        "Most messages held unacknowledged. By default twice `batch`.",
        "200",
    )
    .only(CONSUMES)
    .between(1, 65_535)
    .unlike(
        "25",
        "messages are pushed, and the next batch waits here while one is worked on",
    ),
    of(
        "qos",
        T::Count,
        "Quality of service of MQTT, consumed and posted. With 0 a lost connection loses messages. 2 is \
         refused: what it is for, flow does with keys.",
        "0",
    )
    .default("1")
    .between(0, 2),
    of(
        "clean_session",
        T::Flag,
        "Whether an MQTT session starts from nothing, which loses what came while flow was down.",
        "on",
    )
    .only(CONSUMES)
    .default("off"),
    of(
        "receiveMaximum",
        T::Count,
        "Most messages an MQTT broker has under way to this flow. By default `prefetch`.",
        "100",
    )
    .only(CONSUMES)
    .between(1, 65_535),
    of(
        "tlsRigour",
        T::Choice,
        "How certificates of brokers and servers are checked: chain and host name (`normal`, and \
         `strict` is the same), or not at all (`lax`).",
        "normal",
    )
    .default("normal")
    .one_of(&["normal", "strict", "lax"]),
    of(
        "caFile",
        T::Path,
        "More certificate authorities to trust, in PEM.",
        "/etc/ssl/office-ca.pem",
    )
    .new_here(),
];
