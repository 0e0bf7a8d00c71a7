//! The same mails read by mail-parser as a whole: written by mail-builder, so well formed, and read
//! alike by both.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::run;
use mail_builder::MessageBuilder;
use mail_builder::mime::MimePart;
use mail_decode::Options;
use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Mail {
    subject: String,
    from: String,
    text: Option<String>,
    html: Option<String>,
    attachments: Vec<(String, String, Vec<u8>)>,
    inline: Vec<Vec<u8>>,
    wrapped: bool,
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Zа-яё0-9 ,!日本\u{1f600}-]{1,80}"
        .prop_map(|s| s.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec("(-- |--|From |\\.|=|>|)[ -~а-я\t]{0,120}", 0..30)
        .prop_map(|lines| lines.join("\r\n"))
}

fn mail() -> impl Strategy<Value = Mail> {
    let attachment = (
        "[a-zа-я0-9]{1,30}(\\.[a-z]{1,4})?",
        "(application|image)/[a-z]{1,8}",
        prop::collection::vec(any::<u8>(), 0..3000),
    );
    (
        word(),
        word(),
        prop::option::of(body()),
        prop::option::of(body()),
        prop::collection::vec(attachment, 0..5),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..3),
        any::<bool>(),
    )
        .prop_map(
            |(subject, from, text, html, attachments, inline, wrapped)| Mail {
                subject,
                from,
                text,
                html,
                attachments,
                inline,
                wrapped,
            },
        )
}

impl Mail {
    fn write(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new()
            .from((self.from.as_str(), "a@example.com"))
            .to("b@example.com")
            .subject(self.subject.as_str())
            .date(1_700_000_000_i64)
            .message_id("1@example.com");
        if let Some(text) = &self.text {
            builder = builder.text_body(text.as_str());
        }
        if let Some(html) = &self.html {
            builder = builder.html_body(html.as_str());
        }
        for (name, content_type, bytes) in &self.attachments {
            builder = builder.attachment(content_type.as_str(), name.as_str(), bytes.as_slice());
        }
        for (at, bytes) in self.inline.iter().enumerate() {
            builder = builder.inline("image/png", format!("cid{at}@x"), bytes.as_slice());
        }
        let mail = builder.write_to_vec().unwrap();
        if !self.wrapped {
            return mail;
        }
        MessageBuilder::new()
            .from("c@example.com")
            .subject("Fwd")
            .date(1_700_000_000_i64)
            .message_id("2@example.com")
            .body(MimePart::new(
                "multipart/mixed",
                vec![
                    MimePart::new("text/plain", "see below"),
                    MimePart::new("message/rfc822", mail).transfer_encoding("8bit"),
                ],
            ))
            .write_to_vec()
            .unwrap()
    }
}

/// Content of all leaves in the order of the mail.
fn leaves(message: &mail_parser::Message<'_>, out: &mut Vec<(Option<String>, Vec<u8>)>) {
    for part in &message.parts {
        let name = part.attachment_name().map(str::to_owned);
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(nested) => leaves(nested, out),
            PartType::Text(text) | PartType::Html(text) => {
                out.push((name, text.replace("\r\n", "\n").into_bytes()))
            }
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                out.push((name, bytes.to_vec()))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn both_read_the_same(mail in mail(), size in 1_usize..3000) {
        let bytes = mail.write();
        let outcome = run(&bytes, &Options::default(), size);
        let message = MessageParser::default().parse(&bytes).unwrap();
        prop_assert!(!outcome.truncated && outcome.incomplete.is_none());

        let mut expected = Vec::new();
        leaves(&message, &mut expected);
        let found: Vec<(Option<String>, Vec<u8>)> = outcome
            .parts
            .iter()
            .map(|part| {
                let name = part.headers.iter().find(|(n, _)| *n == "filename").map(|(_, v)| v.clone());
                (name, part.content.clone())
            })
            .collect();
        prop_assert_eq!(found, expected, "{}", String::from_utf8_lossy(&bytes));

        let header = |name| outcome.mail.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        prop_assert_eq!(header("subject"), message.subject().filter(|s| !s.is_empty()));
        prop_assert_eq!(header("messageId"), message.message_id());
        prop_assert_eq!(header("date"), Some("2023-11-14T22:13:20Z"));
    }
}
