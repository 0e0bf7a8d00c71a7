//! What tests of the broker have in common.

use flow_broker::embedded::Declaration;
use flow_message::{Message, Timestamp, Topic};
use flow_runtime::ports::Outgoing;

/// A message about `path`, as a flow posts it.
pub(crate) fn outgoing(path: &str, key: Option<&str>) -> Outgoing {
    let message = Message::new(Timestamp::from_unix(1, 0), "https://example.org/", path);
    let topic = Topic::of("v03", &message);
    Outgoing {
        message: message.into(),
        topic,
        key: key.map(str::to_owned),
    }
}

/// Queue `q`, with all that is posted to exchange `x`.
pub(crate) fn everything() -> Declaration {
    Declaration::new("q", "x", ["#"])
}
