//! The plugin around the decoder: options, verdicts, and parts written through the host.
//!
//! One mail's failure is that mail's verdict and never the batch's. Nothing is kept between calls.

use flow_plugin::{
    AfterWork, ContentWriter, Context, Describe, Failure, Lifecycle, Manifest, Message, NewMessage,
    OptionKind, Result, Verdict, log, manifest, option,
};

use crate::{Decoder, Options, Outcome, Sink};

/// Most entities a flow may ask for: each becomes a message held in memory.
const MOST_PARTS: i64 = 10_000;
/// Deepest nesting a flow may ask for: each level takes stack.
const DEEPEST: i64 = 50;
/// Longest header block a flow may ask for, bytes: one is held per level.
const LONGEST_HEADER: u64 = 1024 * 1024;

/// The plugin.
#[derive(Debug)]
pub struct MailDecode {
    options: Options,
    keep: bool,
}

impl Describe for MailDecode {
    fn describe() -> Manifest {
        manifest(
            "mail-decode",
            env!("CARGO_PKG_VERSION"),
            "takes mails apart: attachments, inline parts, bodies, nested mails",
        )
        .doc(include_str!("../README.md"))
        .option(
            option("parts", OptionKind::Choice, "Which parts to write; all if unset.")
                .repeated()
                .choices(&["attachments", "inline", "bodies", "messages"])
                .example("[attachments]"),
        )
        .option(
            option("keep", OptionKind::Flag, "Whether the mail itself goes on as well, beside its parts.").default("off"),
        )
        .option(
            option(
                "nested",
                OptionKind::Flag,
                "Whether nested mails are taken apart too; if not, they are written as `.eml` files.",
            )
            .default("on"),
        )
        .option(
            option(
                "max_parts",
                OptionKind::Count,
                "How many entities of one mail are looked at, 1 to 10000; a mail with more is kept whole besides.",
            )
            .default("1000"),
        )
        .option(
            option(
                "max_depth",
                OptionKind::Count,
                "How deep multiparts and nested mails are followed, 1 to 50; what is deeper is written undecoded.",
            )
            .default("20"),
        )
        .option(
            option(
                "max_header",
                OptionKind::Size,
                "Longest header block of a mail or part, 1KiB to 1MiB; what is longer is cut, and the mail kept.",
            )
            .default("256KiB"),
        )
        .build()
    }
}

impl Lifecycle for MailDecode {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let parts = given.list("parts")?;
        let wants = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
        Ok(Self {
            keep: given.flag("keep")?,
            options: Options {
                attachments: wants("attachments"),
                inline: wants("inline"),
                bodies: wants("bodies"),
                messages: wants("messages"),
                nested: given.flag("nested")?,
                max_parts: within("max_parts", given.count("max_parts")?, 1, MOST_PARTS)?,
                max_depth: within("max_depth", given.count("max_depth")?, 1, DEEPEST)?,
                max_header: within(
                    "max_header",
                    given.size("max_header")?,
                    1024,
                    LONGEST_HEADER,
                )?,
            },
        })
    }
}

fn within<T>(name: &str, value: T, least: T, most: T) -> Result<usize>
where
    T: Copy + PartialOrd + std::fmt::Display + TryInto<usize>,
{
    let wrong = || {
        Failure::config(format!(
            "option `{name}` is {value}, but has to be from {least} to {most}"
        ))
    };
    if value < least || value > most {
        return Err(wrong());
    }
    value.try_into().map_err(|_| wrong())
}

impl AfterWork for MailDecode {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(batch
            .iter()
            .map(|mail| {
                self.one(mail)
                    .unwrap_or_else(|failure| Verdict::Fail(failure.context("mail not decoded")))
            })
            .collect())
    }
}

impl MailDecode {
    fn one(&self, mail: &Message) -> Result<Verdict> {
        if !is_mail(mail) {
            return Ok(Verdict::Keep);
        }
        let mut content = flow_plugin::open(mail.id)?;
        let mut sink = Parts { id: mail.id };
        let mut decoder = Decoder::new(stem(&mail.rel_path), &self.options, &mut sink);
        loop {
            let chunk = content.read_chunk()?;
            if chunk.is_empty() {
                break;
            }
            decoder.feed(&chunk)?;
        }
        Ok(self.verdict(mail, &decoder.finish()?))
    }

    fn verdict(&self, mail: &Message, outcome: &Outcome<u64>) -> Verdict {
        if outcome.empty {
            return Verdict::rejected(422, "no MIME parts: the mail is empty");
        }
        if outcome.truncated {
            log::warn(format!(
                "`{}` ended early; the parts so far carry `truncated`",
                mail.rel_path
            ));
        }
        if let Some(incomplete) = outcome.incomplete {
            log::warn(format!(
                "`{}` goes on beside its parts: {}",
                mail.rel_path,
                incomplete.reason()
            ));
        }
        let keep = self.keep || outcome.incomplete.is_some();
        let parts: Vec<NewMessage> = outcome
            .parts
            .iter()
            .map(|part| {
                let message = NewMessage {
                    content_type: Some(part.content_type.clone()),
                    ..NewMessage::derived(mail, &part.rel_path, part.content)
                };
                outcome
                    .headers(part)
                    .fold(message, |message, (name, value)| {
                        message.with_header(name, value)
                    })
            })
            .collect();
        match (parts.is_empty(), keep) {
            (true, true) => Verdict::Keep,
            (true, false) if outcome.found == 0 => {
                Verdict::rejected(422, "no MIME parts: the mail is an empty multipart")
            }
            (true, false) => Verdict::rejected(
                404,
                "no part of the mail is wanted by `parts` and `filters`",
            ),
            (false, true) => Verdict::Add(parts),
            (false, false) => Verdict::Replace(parts),
        }
    }
}

/// Whether a message may be a mail. A flow may carry other things too, and any bytes at all can be
/// read as a mail without a header.
fn is_mail(message: &Message) -> bool {
    let named = stem(&message.rel_path).len() < message.rel_path.len();
    named
        || message.content_type.as_deref().is_none_or(|content_type| {
            let content_type = content_type.to_ascii_lowercase();
            content_type.starts_with("message/")
        })
}

/// The path below which a mail's parts are named.
fn stem(rel_path: &str) -> &str {
    let at = rel_path.len().saturating_sub(4);
    match rel_path.get(at..) {
        Some(end) if end.eq_ignore_ascii_case(".eml") && at > 0 => &rel_path[..at],
        _ => rel_path,
    }
}

/// Writes parts through the host.
struct Parts {
    id: u64,
}

impl Sink for Parts {
    type Writer = ContentWriter;
    type Content = u64;
    type Error = Failure;

    fn open(&mut self, rel_path: &str, content_type: &str) -> Result<Option<ContentWriter>> {
        flow_plugin::derive(self.id, rel_path, Some(content_type))
    }

    fn write(&mut self, writer: &mut ContentWriter, data: &[u8]) -> Result<()> {
        writer.append(data)
    }

    fn finish(&mut self, writer: ContentWriter) -> Result<u64> {
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::{Host, context};
    use flow_plugin::{Header, Setting};

    use super::*;

    const MAIL: &str = "From: a@example.com\r\nSubject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nhello\r\n--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nA\r\n--b--\r\n";

    fn start(more: &[(&str, Setting)]) -> Result<MailDecode> {
        let mut settings = vec![
            ("keep", Setting::Flag(false)),
            ("nested", Setting::Flag(true)),
            ("max_parts", Setting::Count(1000)),
            ("max_depth", Setting::Count(20)),
            ("max_header", Setting::Size(262_144)),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        MailDecode::start(context(None, &settings))
    }

    fn run(
        mail: &str,
        more: &[(&str, Setting)],
        wanted: fn(&str) -> bool,
    ) -> (Verdict, Vec<String>) {
        let mut host = Host {
            wanted: Box::new(wanted),
            ..Host::default()
        };
        host.content.insert(1, mail.as_bytes().to_vec());
        let host = host.install();
        let mut plugin = start(more).unwrap();
        let mut verdicts = plugin
            .after_work(vec![Message::new(1, "imaps://u@h/", "INBOX/7.eml")])
            .unwrap();
        assert_eq!(verdicts.len(), 1);
        let derived = &host.borrow().derived;
        (
            verdicts.remove(0),
            derived
                .iter()
                .map(|d| String::from_utf8_lossy(&d.bytes).into_owned())
                .collect(),
        )
    }

    #[test]
    fn a_mail_is_replaced_by_its_parts() {
        let (verdict, derived) = run(MAIL, &[], |_| true);
        let Verdict::Replace(parts) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(derived, ["hello", "A"]);
        let paths: Vec<&str> = parts.iter().map(|p| p.rel_path.as_str()).collect();
        assert_eq!(paths, ["INBOX/7/body.txt", "INBOX/7/a.txt"]);
        let attachment = &parts[1];
        assert_eq!(attachment.content, Some(2));
        assert_eq!(attachment.base_url, "imaps://u@h/");
        assert_eq!(
            attachment.content_type.as_deref(),
            Some("application/octet-stream")
        );
        let expected = [
            ("from", "a@example.com"),
            ("subject", "s"),
            ("part", "2"),
            ("disposition", "attachment"),
            ("filename", "a.txt"),
        ];
        assert_eq!(
            attachment.headers,
            expected.map(|(name, value)| Header::text(name, value))
        );
    }

    #[test]
    fn keep_adds_the_parts_to_the_mail() {
        let (verdict, _) = run(MAIL, &[("keep", Setting::Flag(true))], |_| true);
        assert!(matches!(verdict, Verdict::Add(parts) if parts.len() == 2));
    }

    #[test]
    fn parts_and_filters_choose() {
        let only = |names: &[&str]| Setting::List(names.iter().map(|n| (*n).to_owned()).collect());
        let (verdict, _) = run(MAIL, &[("parts", only(&["bodies"]))], |_| true);
        assert!(
            matches!(&verdict, Verdict::Replace(parts) if parts[0].rel_path == "INBOX/7/body.txt" && parts.len() == 1)
        );
        let (verdict, _) = run(MAIL, &[], |name| name.ends_with("/a.txt"));
        assert!(
            matches!(&verdict, Verdict::Replace(parts) if parts[0].rel_path == "INBOX/7/a.txt" && parts.len() == 1)
        );
        let (verdict, _) = run(MAIL, &[("parts", only(&["inline"]))], |_| true);
        assert!(
            matches!(&verdict, Verdict::Reject(r) if r.code == 404),
            "{verdict:?}"
        );
        let (verdict, _) = run(MAIL, &[("keep", Setting::Flag(true))], |_| false);
        assert!(matches!(verdict, Verdict::Keep));
    }

    #[test]
    fn a_mail_without_parts_is_rejected() {
        let (verdict, _) = run("", &[], |_| true);
        assert!(
            matches!(&verdict, Verdict::Reject(r) if r.code == 422 && r.reason == "no MIME parts: the mail is empty")
        );
        let (verdict, _) = run(
            "Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
            &[],
            |_| true,
        );
        assert!(
            matches!(&verdict, Verdict::Reject(r) if r.code == 422),
            "{verdict:?}"
        );
    }

    #[test]
    fn what_cannot_be_taken_apart_is_not_lost() {
        let (verdict, _) = run(
            "Content-Type: multipart/mixed; boundary=b\n\nno boundary\n",
            &[],
            |_| true,
        );
        assert!(matches!(verdict, Verdict::Keep), "{verdict:?}");
        let (verdict, _) = run(MAIL, &[("max_parts", Setting::Count(2))], |_| true);
        assert!(
            matches!(&verdict, Verdict::Add(parts) if parts.len() == 1),
            "{verdict:?}"
        );
    }

    #[test]
    fn one_failure_is_not_the_batch() {
        let mut host = Host::default();
        host.content.insert(2, MAIL.as_bytes().to_vec());
        let _host = host.install();
        let batch = vec![Message::new(1, "b", "1.eml"), Message::new(2, "b", "2.eml")];
        let verdicts = start(&[]).unwrap().after_work(batch).unwrap();
        assert!(
            matches!(&verdicts[0], Verdict::Fail(f) if f.reason().starts_with("mail not decoded: ")),
            "{verdicts:?}"
        );
        assert!(matches!(&verdicts[1], Verdict::Replace(parts) if parts.len() == 2));
    }

    #[test]
    fn what_is_no_mail_passes() {
        let _host = Host::default().install();
        let mut plugin = start(&[]).unwrap();
        let mut message = Message::new(1, "b", "a.pdf");
        message.content_type = Some("application/pdf".to_owned());
        assert_eq!(plugin.after_work(vec![message]).unwrap(), [Verdict::Keep]);
        for (rel_path, content_type, expected) in [
            ("1.eml", Some("text/plain"), true),
            ("1", Some("Message/RFC822"), true),
            ("1", None, true),
            ("1", Some("text/plain"), false),
        ] {
            let mut message = Message::new(1, "b", rel_path);
            message.content_type = content_type.map(str::to_owned);
            assert_eq!(is_mail(&message), expected, "{rel_path} {content_type:?}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let failure = start(&[("max_depth", Setting::Count(0))]).unwrap_err();
        assert_eq!(
            failure,
            Failure::config("option `max_depth` is 0, but has to be from 1 to 50")
        );
    }

    #[test]
    fn stems() {
        assert_eq!(stem("INBOX/7.eml"), "INBOX/7");
        assert_eq!(stem("INBOX/7.EML"), "INBOX/7");
        assert_eq!(stem("INBOX/7"), "INBOX/7");
        assert_eq!(stem(".eml"), ".eml");
        assert_eq!(stem("ж.eml"), "ж");
        assert_eq!(stem("жж"), "жж");
    }
}
