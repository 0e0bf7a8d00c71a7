//! What went wrong with an AMQP broker, told as what it means for the data and what to do.
//!
//! RabbitMQ says why it closes a channel or a connection by a code and a text; what the code means
//! depends on what was asked for. Its text is always quoted, as it names the culprit.

use std::fmt;

use lapin::ErrorKind;

use super::address::Address;
use crate::error::{Error, Kind};

/// What was being done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doing<'a> {
    Connect,
    OpenChannel,
    DeclareExchange(&'a str),
    DeleteExchange(&'a str),
    DeclareQueue(&'a str),
    Bind(&'a str, &'a str),
    Unbind(&'a str, &'a str),
    Look(&'a str),
    Delete(&'a str),
    Purge(&'a str),
    Consume(&'a str),
    Post(&'a str),
}

impl Doing<'_> {
    /// What it means for the data that it did not work.
    fn meaning(self) -> &'static str {
        match self {
            Self::Connect | Self::OpenChannel => {
                "nothing is lost that was confirmed; what was not posted stays where it came from, and what was not settled is delivered again"
            }
            Self::Consume(_) => "nothing was lost: what was not settled is delivered again",
            Self::Post(_) => "the batch counts as not posted and is posted again",
            Self::Look(_) => "nothing was changed",
            _ => "what it asked for may not have been done, messages are where they were",
        }
    }
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => write!(f, "connect"),
            Self::OpenChannel => write!(f, "open a channel"),
            Self::DeclareExchange(name) => write!(f, "declare the exchange `{name}`"),
            Self::DeleteExchange(name) => write!(f, "delete the exchange `{name}`"),
            Self::DeclareQueue(name) => write!(f, "declare the queue `{name}`"),
            Self::Bind(queue, exchange) => {
                write!(f, "bind the queue `{queue}` to the exchange `{exchange}`")
            }
            Self::Unbind(queue, exchange) => {
                write!(
                    f,
                    "unbind the queue `{queue}` from the exchange `{exchange}`"
                )
            }
            Self::Look(queue) => write!(f, "look at the queue `{queue}`"),
            Self::Delete(queue) => write!(f, "delete the queue `{queue}`"),
            Self::Purge(queue) => write!(f, "purge the queue `{queue}`"),
            Self::Consume(queue) => write!(f, "consume the queue `{queue}`"),
            Self::Post(exchange) => write!(f, "post to the exchange `{exchange}`"),
        }
    }
}

/// The code the broker gave, if it gave one.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// What the client or the broker said, told.
pub(super) fn trouble(address: &Address, doing: Doing<'_>, error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(said) => {
            told(address, doing, said.get_id(), said.get_message().as_str())
        }
        ErrorKind::IOError(why) => {
            let why = why.to_string();
            if address.tls && why.contains("UnknownIssuer") {
                return Error::new(
                    Kind::Unreachable,
                    format!(
                        "can't {doing} at `{address}`: {why}; {}; its certificate is signed by an \
                         authority this machine does not trust: if it is your own, name its \
                         certificate: `caFile: /path/to/ca.pem`",
                        doing.meaning()
                    ),
                );
            }
            unreachable(address, doing, &why)
        }
        ErrorKind::MissingHeartbeatError => unreachable(
            address,
            doing,
            "the broker gave no sign of life for too long",
        ),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) => {
            unreachable(address, doing, "the connection was lost")
        }
        ErrorKind::RuntimeShutdownError(_) => {
            unreachable(address, doing, "this process is shutting down")
        }
        other => unreachable(address, doing, &format!("{other:?}")),
    }
}

/// It took too long.
pub(super) fn too_long(address: &Address, doing: Doing<'_>, blocked: bool) -> Error {
    let why = if blocked {
        "the broker blocks all who post, which it does when its memory or disk runs short; \
         its log names the alarm"
    } else {
        "the broker did not answer in time"
    };
    unreachable(address, doing, why)
}

/// The broker can't be reached, for now.
pub(super) fn unreachable(address: &Address, doing: Doing<'_>, why: &str) -> Error {
    let advice = match doing {
        Doing::Connect => "check that the broker runs, and the host and port in its URL",
        _ => "it is tried again",
    };
    Error::new(
        Kind::Unreachable,
        format!(
            "can't {doing} at `{address}`: {why}; {}; {advice}",
            doing.meaning()
        ),
    )
}

/// What is not there and shall not be declared here, or may not.
pub(super) fn missing(address: &Address, doing: Doing<'_>, said: &str) -> Error {
    Error::new(
        Kind::Missing,
        format!(
            "can't {doing} at `{address}`: {said}; {}; run `flow declare` with a user who may create \
             it, or ask its owner to",
            doing.meaning()
        ),
    )
}

fn told(address: &Address, doing: Doing<'_>, code: u16, said: &str) -> Error {
    let meaning = doing.meaning();
    let (kind, advice) = match (code, doing) {
        (ACCESS_REFUSED, Doing::Connect) => {
            return Error::new(
                Kind::Login,
                format!(
                    "`{address}` refused the login of `{}`: {said}; {meaning}; check the line for \
                     this broker in credentials.conf",
                    address.user
                ),
            );
        }
        (NOT_ALLOWED | NOT_FOUND, Doing::Connect) => (
            Kind::Denied,
            "check the vhost at the end of the broker's URL, or ask its administrator for access"
                .to_owned(),
        ),
        (ACCESS_REFUSED, _) => (
            Kind::Denied,
            format!(
                "ask its administrator for permission; where users are set up as for sr3, names of \
                 queues begin with `q_{0}` and of exchanges with `xs_{0}`",
                address.user
            ),
        ),
        (NOT_FOUND, _) => return missing(address, doing, said),
        (PRECONDITION_FAILED, Doing::DeclareExchange(_) | Doing::DeclareQueue(_)) => {
            (Kind::Mismatch, mismatch_advice(doing, said))
        }
        (PRECONDITION_FAILED, Doing::DeleteExchange(_)) => (
            Kind::Mismatch,
            "queues are bound to it; it stays for whoever uses it".to_owned(),
        ),
        (PRECONDITION_FAILED, Doing::Post(_)) => (
            Kind::Unacceptable,
            "the message is larger than the broker allows; announce it without inline content, \
             or raise `max_message_size` there"
                .to_owned(),
        ),
        (RESOURCE_LOCKED, _) => (
            Kind::Unreachable,
            "another connection has the queue to itself; it is tried again".to_owned(),
        ),
        _ => (Kind::Unreachable, "it is tried again".to_owned()),
    };
    Error::new(
        kind,
        format!("can't {doing} at `{address}`: {said}; {meaning}; {advice}"),
    )
}

/// Which option to change, when something is there already but is not as declared.
fn mismatch_advice(doing: Doing<'_>, said: &str) -> String {
    let argument = said
        .split_once("inequivalent arg '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map_or("", |(argument, _)| argument);
    let option = match argument {
        "x-expires" => "`expire`",
        "x-message-ttl" => "`messageAgeMax`",
        "x-queue-type" => "`queueType`",
        "durable" => "`durable`",
        "auto_delete" => "`auto_delete`",
        "type" => "nothing: flows need an exchange of type `topic`",
        "" => "the declaration",
        _ => "`amqp_queue_args`",
    };
    let again = match doing {
        Doing::DeclareExchange(_) => "let its owner delete it, or use another name",
        _ => {
            "drain it and delete it (`flow cleanup`, which drops what still waits in it) so that it \
             is declared anew"
        }
    };
    format!("it was left as it is; change {option} to what it has, or {again}")
}

#[cfg(test)]
mod tests {
    use flow_config::SafeUrl;

    use super::*;

    fn told_of(doing: Doing<'_>, code: u16, said: &str) -> Error {
        let url = SafeUrl::parse("amqp://feed:hidden@h/x").expect("a URL");
        told(&Address::of(&url).expect("an address"), doing, code, said)
    }

    #[test]
    fn a_mismatch_names_the_option_to_change() {
        let said = "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost 'x': \
                    received the value '2000' of type 'signedint' but current is the value '1000'";
        let error = told_of(Doing::DeclareQueue("q"), 406, said);
        assert_eq!(error.kind(), Kind::Mismatch);
        assert_eq!(
            error.to_string(),
            format!(
                "can't declare the queue `q` at `amqp://feed@h:5672/x`: {said}; what it asked for \
                 may not have been done, messages are where they were; it was left as it is; change \
                 `expire` to what it has, or drain it and delete it (`flow cleanup`, which drops what \
                 still waits in it) so that it is declared anew"
            )
        );
    }

    #[test]
    fn the_code_decides_what_the_flow_does() {
        for (doing, code, kind) in [
            (Doing::Connect, 403, Kind::Login),
            (Doing::Connect, 530, Kind::Denied),
            (Doing::Connect, 320, Kind::Unreachable),
            (Doing::Post("x"), 403, Kind::Denied),
            (Doing::Post("x"), 404, Kind::Missing),
            (Doing::Post("x"), 406, Kind::Unacceptable),
            (Doing::Consume("q"), 404, Kind::Missing),
            (Doing::Consume("q"), 405, Kind::Unreachable),
            (Doing::DeclareQueue("q"), 406, Kind::Mismatch),
        ] {
            assert_eq!(told_of(doing, code, "why").kind(), kind, "{doing} {code}");
        }
    }

    #[test]
    fn the_text_of_a_refused_login() {
        assert_eq!(
            told_of(Doing::Connect, 403, "ACCESS_REFUSED - Login was refused").to_string(),
            "`amqp://feed@h:5672/x` refused the login of `feed`: ACCESS_REFUSED - Login was refused; \
             nothing is lost that was confirmed; what was not posted stays where it came from, and what was not settled is delivered again; \
             check the line for this broker in credentials.conf"
        );
    }
}
