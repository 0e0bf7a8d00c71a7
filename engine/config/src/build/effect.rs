//! What is wrong only in company: options that exclude each other, or change nothing by themselves.

use super::Builder;
use super::brokers::{is_amqp, is_mqtt};
use crate::collect::Span;
use crate::explain as code;
use crate::flow::{Flow, Input, Kind, Output, PostFormat, QueueType, Schedule, TlsRigour};
use crate::options::options;

/// Pairs of which only one can be set.
const PAIRS: [(&str, &str); 10] = [
    ("topic", "subtopic"),
    ("bindings", "subtopic"),
    ("bindings", "topic"),
    ("source", "sourceFromExchange"),
    ("source", "sourceFromMessage"),
    ("sourceFromExchange", "sourceFromMessage"),
    ("topicCopy", "post_topic"),
    ("delete_destination", "directory"),
    ("download", "sendTo"),
    ("listen", "instances"),
];

/// Options of MQTT alone, and of AMQP alone.
const OF_MQTT: [&str; 4] = [
    "qos",
    "clean_session",
    "receiveMaximum",
    "max_inflight_messages",
];
const OF_AMQP: [&str; 2] = ["queueType", "amqp_queue_args"];

impl Builder<'_> {
    /// Options that are right one by one, and together can't be.
    pub(super) fn check_company(&mut self, flow: &Flow) {
        for (one, other) in PAIRS {
            if self.is_on(one)
                && self.is_on(other)
                && let Some(span) = self.key(one)
            {
                self.exclude(span, one, other);
            }
        }
        self.check_schedule(flow);
        self.check_memory(flow);
        self.check_paths(flow);
        if let Some(input) = &flow.input {
            self.check_queue(input);
        }
        if let Some(output) = &flow.output {
            self.check_form(output);
        }
        if let (Some(input), Some(output)) = (&flow.input, &flow.output) {
            self.check_circle(flow, input, output);
        }
        if flow.transfer.tls == TlsRigour::Lax
            && let Some(span) = self.key("tlsRigour")
        {
            self.out
                .warning(code::LAX_TLS, span, "nobody checks who the peer is")
                .label("passwords and data go to whoever answers")
                .hint("for a certificate of one's own, name its authority in `caFile`");
        }
    }

    /// Where the flow sets `name`.
    fn key(&self, name: &str) -> Option<Span> {
        self.given.get(name).map(|(key, _)| *key)
    }

    /// Whether it is set, and not to what is as good as leaving it out.
    fn is_on(&self, name: &str) -> bool {
        self.is_given(name)
            && self.settings.iter().any(|setting| {
                setting.name.split(['[', '.']).next() == Some(name)
                    && !matches!(setting.value.as_str(), "off" | "none" | "no" | "false")
            })
    }

    fn check_schedule(&mut self, flow: &Flow) {
        let times = ["scheduled_hour", "scheduled_minute", "scheduled_time"];
        if let Schedule::Interval(_) = flow.schedule
            && let Some(other) = times.into_iter().find(|name| self.is_on(name))
            && let Some(span) = self.key("scheduled_interval")
        {
            self.exclude(span, "scheduled_interval", other);
        }
        if flow.schedule != Schedule::Sleep
            && let Some(span) = self.key("sleep")
            && span.file == self.file
        {
            self.out
                .warning(
                    code::NO_EFFECT,
                    span,
                    "`sleep` has no effect beside a schedule",
                )
                .label("`scheduled_…` says when to gather");
        }
    }

    /// A watch runs in the background, where no directory is the current one.
    fn check_paths(&mut self, flow: &Flow) {
        let relative = flow.paths.iter().any(|path| {
            let start = path.fixed_start();
            !start.is_empty() && !start.starts_with('/')
        });
        if self.name.kind == Kind::Watch
            && relative
            && let Some((_, node)) = self.given.get("path")
        {
            let span = node.span;
            self.out
                .warning(
                    code::RELATIVE_DIRECTORY,
                    span,
                    "`path` depends on where flow is started",
                )
                .label("start it with `/`, `~/` or `${HOME}/`");
        }
    }

    /// What a winnow and a poll of listings have to remember.
    fn check_memory(&mut self, flow: &Flow) {
        let place = self.given.get("nodupe_ttl").map(|(_, node)| node.span);
        let Some(place) = place else {
            return;
        };
        match flow.nodupe {
            None if self.name.kind == Kind::Winnow => {
                self.out
                    .error(
                        code::BAD_VALUE,
                        place,
                        "`nodupe_ttl` can't be off in a `winnow` flow",
                    )
                    .label("it is all a winnow does")
                    .hint("to pass everything on, make it a `shovel` flow");
            }
            Some(nodupe) if self.lists => {
                let oldest = flow.file_age_max;
                if oldest.is_zero() || nodupe.ttl < oldest {
                    let age = if oldest.is_zero() {
                        "of any age".to_owned()
                    } else {
                        format!("up to {} old", self.value_of("fileAgeMax"))
                    };
                    self.out
                        .warning(
                            code::FORGETS_TOO_EARLY,
                            place,
                            format!(
                                "files {age} are announced, and forgotten after {}",
                                self.value_of("nodupe_ttl")
                            ),
                        )
                        .label("after a longer outage all of them are announced again")
                        .hint("make `nodupe_ttl` longer than `fileAgeMax`, or leave both out");
                }
            }
            _ => {}
        }
    }

    fn check_queue(&mut self, input: &Input) {
        let quorum = input.queue_type == Some(QueueType::Quorum);
        for (name, wrong) in [
            ("durable", !input.durable),
            ("auto_delete", input.auto_delete),
        ] {
            if quorum
                && wrong
                && let Some(span) = self.key(name)
            {
                self.out
                    .error(code::CONFLICT, span, "a quorum queue is durable and stays")
                    .label(format!("remove `{name}`, or make `queueType` classic"));
            }
        }
    }

    /// Topics of one version and bodies of another.
    fn check_form(&mut self, output: &Output) {
        let version = output.topic_prefix.split('.').next().unwrap_or("");
        let (here, there) = match (output.format, version) {
            (PostFormat::V03, "v02") => ("v03", "v02"),
            (PostFormat::V02, "v03") => ("v02", "v03"),
            _ => return,
        };
        let place = self
            .given
            .get("post_topicPrefix")
            .or_else(|| self.given.get("post_format"))
            .map(|(key, _)| *key);
        if let Some(place) = place {
            self.out
                .warning(
                    code::TOPIC_AND_FORMAT,
                    place,
                    format!("messages of {here} are posted under topics of {there}"),
                )
                .label("who binds to these topics expects the other form")
                .hint("leave `post_format` or `post_topicPrefix` out: each follows from the other");
        }
    }

    /// A flow that consumes what it posts.
    fn check_circle(&mut self, flow: &Flow, input: &Input, output: &Output) {
        if input.broker.without_password() != output.broker.without_password()
            || output.topic.is_some()
            || output.topic_copy
        {
            return;
        }
        let unchanged = matches!(self.name.kind, Kind::Shovel | Kind::Winnow);
        let circle = input.bindings.iter().find(|binding| {
            output.exchanges.contains(&binding.exchange)
                && match covers(&binding.topic, &output.topic_prefix) {
                    Covers::All => true,
                    // What came in under these topics goes out under them.
                    Covers::Some => unchanged,
                    Covers::Nothing => false,
                }
        });
        let Some(circle) = circle else {
            return;
        };
        let exchange = circle.exchange.clone();
        let place = self.given.get("post_exchange").map(|(_, node)| node.span);
        let message = format!("what is posted to `{exchange}` comes back to this flow");
        let hint = "post to another exchange, or under another `post_topicPrefix`";
        let Some(place) = place else {
            return;
        };
        // What is remembered does not go round again.
        let draft = if flow.nodupe.is_some() {
            self.out.warning(code::CIRCLE, place, message)
        } else {
            self.out.error(code::CIRCLE, place, message)
        };
        draft
            .label(format!("bound to `{}` there", circle.topic))
            .hint(hint);
    }

    /// Options that are right, and useless without another.
    pub(super) fn check_effect(&mut self, flow: &Flow) {
        const OF_OUTPUT: [&str; 10] = [
            "post_broker",
            "post_topicPrefix",
            "post_format",
            "post_exchangeSplit",
            "post_topic",
            "post_baseUrl",
            "post_baseDir",
            "post_messageAgeMax",
            "post_failed",
            "header",
        ];
        let mut idle: Vec<(&str, &str)> = Vec::new();
        if flow.input.is_none()
            && self.name.kind == Kind::Flow
            && !self.is_given("exchange")
            && !self.is_given("bindings")
        {
            // What lines bring is shared by workers as a queue is.
            let lines = self.has_entry_point(&["line"]);
            let of_input = options().iter().filter(|option| {
                option.kinds.len() < Kind::ALL.len()
                    && option.is_for(Kind::Shovel)
                    && !(lines && option.name == "instances")
                    // What gathers has it for itself.
                    && !option.is_for(Kind::Poll)
            });
            idle.extend(of_input.map(|option| (option.name, "exchange")));
        }
        if flow.output.is_none() && !self.is_given("post_exchange") {
            // A directory for what is stored it is in any case.
            let of_output = OF_OUTPUT
                .into_iter()
                .filter(|name| *name != "post_baseDir" || !flow.download);
            idle.extend(of_output.map(|name| (name, "post_exchange")));
        }
        if flow.inline.is_none() {
            idle.extend(
                ["inlineByteMax", "inlineEncoding", "inlineOnly"].map(|name| (name, "inline: on")),
            );
        }
        if flow.nodupe.is_none() {
            idle.push(("nodupe_basis", "nodupe_ttl"));
        }
        if self.name.kind == Kind::Flow && flow.poll_url.is_none() {
            idle.extend(["path", "recursive", "scheduled_interval"].map(|name| (name, "pollUrl")));
        }
        for (name, needed) in idle {
            self.no_effect(
                name,
                &format!("without `{needed}`"),
                &format!("add `{needed}`, or remove this"),
            );
        }
        let brokers = || {
            let input = flow.input.iter().map(|input| &input.broker);
            input.chain(flow.output.iter().map(|output| &output.broker))
        };
        if !brokers().any(is_mqtt) {
            for name in OF_MQTT {
                self.no_effect(name, "without an MQTT broker", "remove this");
            }
        }
        if flow.input.is_some() && !brokers().any(is_amqp) {
            for name in OF_AMQP {
                self.no_effect(name, "without an AMQP broker", "remove this");
            }
        }
    }

    pub(super) fn no_effect(&mut self, name: &str, without: &str, label: &str) {
        // A default of a directory may be included by all its flows, so it is no error.
        if let Some((key, _)) = self.given.get(name)
            && key.file == self.file
        {
            let key = *key;
            self.out
                .warning(
                    code::NO_EFFECT,
                    key,
                    format!("`{name}` has no effect {without}"),
                )
                .label(label);
        }
    }
}

/// How much of what is posted under a prefix a binding gets.
#[derive(Debug, PartialEq, Eq)]
enum Covers {
    All,
    Some,
    Nothing,
}

fn covers(topic: &str, prefix: &str) -> Covers {
    let mut words = topic.split('.');
    for word in prefix.split('.').filter(|word| !word.is_empty()) {
        match words.next() {
            Some("#") => return Covers::All,
            Some(pattern) if pattern == "*" || pattern == word => {}
            _ => return Covers::Nothing,
        }
    }
    match words.next() {
        Some("#") => Covers::All,
        _ => Covers::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::{Covers, covers};

    #[test]
    fn bindings_cover_what_is_posted() {
        for (topic, prefix, expected) in [
            ("v03.#", "v03", Covers::All),
            ("#", "v03", Covers::All),
            ("*.#", "v03", Covers::All),
            ("v03.a.#", "v03", Covers::Some),
            ("v03", "v03", Covers::Some),
            ("v02.post.#", "v03", Covers::Nothing),
            ("v03.#", "v03.b", Covers::All),
            ("v03.a.#", "v03.b", Covers::Nothing),
            ("v03", "v03.b", Covers::Nothing),
            ("#", "", Covers::All),
        ] {
            assert_eq!(covers(topic, prefix), expected, "{topic} {prefix}");
        }
    }
}
