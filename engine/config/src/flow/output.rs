//! What is posted: the exchange, the form of messages, and where they say data is.

use std::time::Duration;

use super::input::TlsRigour;
use crate::SafeUrl;
use crate::template::Template;

/// An exchange posted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `embedded:` or a broker's URL, without a password.
    pub broker: SafeUrl,
    /// The exchange posted to, and the first of [`exchanges`](Self::exchanges). Empty only for
    /// MQTT, where topics may start without one.
    pub exchange: String,
    /// The exchanges messages are spread over; one where they are not. See
    /// [`exchange_for`](Self::exchange_for).
    pub exchanges: Vec<String>,
    /// First words of every topic, separated by dots.
    pub topic_prefix: String,
    /// The complete topic of every message (`post_topic`); none: prefix and directories.
    pub topic: Option<String>,
    /// Whether messages that came with a topic leave with the same.
    pub topic_copy: bool,
    /// The form of bodies and headers.
    pub format: PostFormat,
    /// Announced root; none: `file:` and `base_dir`, or the message's own where nothing is stored.
    pub base_url: Option<Template>,
    /// Prefix removed from a local path to get `relPath`.
    pub base_dir: Option<Template>,
    /// Whether messages outlive a restart of the broker.
    pub persistent: bool,
    /// Whether the exchange is declared before posting.
    pub declare: bool,
    /// Whether the exchange outlives a restart of the broker.
    pub durable: bool,
    /// A message nobody took for this long goes away; zero: never.
    pub message_ttl: Duration,
    /// Whether what goes no further is posted too, with why.
    pub failed: bool,
    /// Quality of service (MQTT), 0 to 2.
    pub qos: u8,
    /// Most messages posted and not yet confirmed (MQTT); none: what the broker takes.
    pub max_inflight: Option<u16>,
    /// How the broker's certificate is checked.
    pub tls: TlsRigour,
}

impl Output {
    /// An output to `exchange` with nothing special about it, in v03.
    pub fn new(broker: SafeUrl, exchange: impl Into<String>) -> Self {
        let exchange = exchange.into();
        Self {
            broker,
            exchanges: vec![exchange.clone()],
            exchange,
            topic_prefix: "v03".into(),
            topic: None,
            topic_copy: false,
            format: PostFormat::V03,
            base_url: None,
            base_dir: None,
            persistent: true,
            declare: true,
            durable: true,
            message_ttl: Duration::ZERO,
            failed: false,
            qos: 1,
            max_inflight: None,
            tls: TlsRigour::Normal,
        }
    }

    /// The exchange a message about `path` goes to: that of the sum of its bytes, as Python's sr3
    /// chooses, so that both can post to the same set. `override` is the message's field
    /// `exchangeSplitOverride`.
    pub fn exchange_for(&self, path: &str, r#override: Option<u64>) -> &str {
        let count = self.exchanges.len() as u64;
        if count < 2 {
            return &self.exchange;
        }
        let sum = r#override.unwrap_or_else(|| path.bytes().map(u64::from).sum());
        let index = usize::try_from(sum % count).expect("it is less than the number of exchanges");
        &self.exchanges[index]
    }
}

/// The form messages are posted in. That of messages consumed is found out for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostFormat {
    /// JSON.
    #[default]
    V03,
    /// A line of text and headers.
    V02,
    /// GeoJSON of the WMO Information System 2.
    Wis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spread_as_python_does() {
        let broker = SafeUrl::parse("amqp://me@host/").expect("a URL");
        let mut output = Output::new(broker, "xs_me");
        assert_eq!(output.exchange_for("a", None), "xs_me");
        output.exchanges = ["xs_me00", "xs_me01", "xs_me02"].map(String::from).to_vec();
        // sum(b"a/b.txt") is 97 + 47 + 98 + 46 + 116 + 120 + 116 = 640, and 640 mod 3 is 1.
        assert_eq!(output.exchange_for("a/b.txt", None), "xs_me01");
        assert_eq!(output.exchange_for("", None), "xs_me00");
        assert_eq!(output.exchange_for("a/b.txt", Some(5)), "xs_me02");
    }
}
