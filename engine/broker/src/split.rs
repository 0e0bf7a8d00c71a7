//! Spreading messages over the parts of an exchange.
//!
//! All brokers do it alike, and as sr3 does, so that both can post to one set of exchanges.

use flow_message::Message;

/// Which of `count` exchanges takes a message: that of its field `exchangeSplitOverride`, or else of
/// the sum of the bytes of its path.
pub(crate) fn number(message: &Message, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    let number = match message.extra.get("exchangeSplitOverride") {
        Some(number) => number
            .as_u64()
            .or_else(|| number.as_str()?.parse().ok())
            .unwrap_or(0),
        None => {
            let retrieve_path = message.retrieve_path.as_deref().unwrap_or_default();
            let path = match message.rel_path.as_str() {
                "" => retrieve_path,
                path => path,
            };
            path.bytes().map(u64::from).sum()
        }
    };
    usize::try_from(number % count as u64).unwrap_or(0)
}

/// The exchanges posted to: the parts, or the one there is.
pub(crate) fn exchanges(exchange: &str, parts: &[String]) -> Vec<String> {
    match parts {
        [] => vec![exchange.to_owned()],
        parts => parts.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use flow_message::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_spread_as_python_does() {
        // sum(b"a/b.txt") is 97 + 47 + 98 + 46 + 116 + 120 + 116 = 640, and 640 mod 3 is 1.
        let mut message = Message::new(Timestamp::from_unix(1, 0), "http://origin/", "a/b.txt");
        assert_eq!(number(&message, 3), 1);
        assert_eq!(number(&message, 1), 0);
        message
            .extra
            .insert("exchangeSplitOverride".into(), json!(5));
        assert_eq!(number(&message, 3), 2);
        message
            .extra
            .insert("exchangeSplitOverride".into(), json!("4"));
        assert_eq!(number(&message, 3), 1);
        let parts = ["xs_me00", "xs_me01"].map(String::from);
        assert_eq!(exchanges("xs_me", &parts), parts);
        assert_eq!(exchanges("xs_me", &[]), ["xs_me"]);
    }
}
