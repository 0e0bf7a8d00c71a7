//! The plugin: queue files in, mails out. One file's failure is that file's verdict.

use flow_plugin::{
    AfterWork, Context, Describe, Failure, Header, Lifecycle, Manifest, Message, NewMessage,
    Result, Verdict, derive, log, manifest, metrics, open,
};
use sha2::{Digest as _, Sha256};

use crate::envelope::{self, Envelope, Reader};
use crate::wire::LineEnds;

/// The file is gone.
const GONE: u16 = 410;
/// What headers of scanners begin with.
const SCANNER: &str = "sandbox-";
/// Longest name of a mail, bytes.
const NAME_MAX: usize = 100;

/// The plugin.
#[derive(Debug, Default)]
pub struct CgpDecode;

impl Describe for CgpDecode {
    fn describe() -> Manifest {
        manifest(
            "cgp-decode",
            env!("CARGO_PKG_VERSION"),
            "turns queue files of CommuniGate Pro into mails",
        )
        .doc(include_str!("../README.md"))
        .build()
    }
}

impl Lifecycle for CgpDecode {
    fn start(_context: Context) -> Result<Self> {
        Ok(Self)
    }
}

impl AfterWork for CgpDecode {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(batch.iter().map(verdict).collect())
    }
}

fn verdict(message: &Message) -> Verdict {
    // What passes a flow's verdicts on has been here before.
    if message.header("cgpAnswer").is_some() {
        return Verdict::Keep;
    }
    match decode(message) {
        Ok(Some(mail)) => {
            metrics::count("mails_decoded", 1);
            Verdict::Replace(vec![mail])
        }
        Ok(None) => Verdict::rejected(404, "the filters of this callback do not want the mail"),
        Err(failure) if has_vanished(&failure) => Verdict::rejected(
            GONE,
            "the queue file is gone: the server has no such mail any more",
        ),
        // Somebody waits for a word about it, perhaps on another machine.
        Err(Failure::Permanent(why)) if message.header("cgpSequence").is_some() => {
            log::error(&why);
            Verdict::Replace(vec![told(message, &why)])
        }
        Err(failure) => Verdict::Fail(failure),
    }
}

/// Whether the reason a file can't be opened is that there is none. The contract has no word for it.
fn has_vanished(failure: &Failure) -> bool {
    failure.reason().contains("(os error 2)")
}

fn decode(message: &Message) -> Result<Option<NewMessage>> {
    let mut content = open(message.id)?;
    let mut reader = Reader::default();
    let (envelope, first) = loop {
        let chunk = content.read_chunk()?;
        let taken = reader
            .take(&chunk)
            .map_err(|why| no_queue_file(message, &why))?;
        match taken {
            Some(found) => break found,
            None if chunk.is_empty() => {
                let why = match content.size() {
                    0 => "it is empty",
                    _ => "no empty line ends its envelope",
                };
                return Err(no_queue_file(message, why));
            }
            None => {}
        }
    };
    let rel_path = mail_path(&message.rel_path);
    let Some(mut writer) = derive(message.id, &rel_path, Some("message/rfc822"))? else {
        return Ok(None);
    };
    let (mut ends, mut hash) = (LineEnds::default(), Sha256::new());
    let mut chunk = first;
    // The chunk that follows the envelope may be empty; the others are not.
    loop {
        let turned = ends.turn(&chunk);
        hash.update(&turned);
        writer.append(&turned)?;
        chunk = content.read_chunk()?;
        if chunk.is_empty() {
            break;
        }
    }
    let mut mail = NewMessage::derived(message, rel_path, writer.finish()?);
    mail.content_type = Some("message/rfc822".into());
    mail.headers = headers(message, &envelope, &hash.finalize());
    if envelope.sender.is_none() {
        log::debug(format!("`{}` has no return path", message.rel_path));
    }
    Ok(Some(mail))
}

/// What is said of a mail that can't be scanned: no content, and nowhere any would be read from.
fn told(message: &Message, why: &str) -> NewMessage {
    let mut told = NewMessage::new(message.base_url.clone(), mail_path(&message.rel_path));
    let kept = message.headers.iter();
    let kept = kept.filter(|header| header.name != "content" && !header.name.starts_with(SCANNER));
    told.headers = kept.cloned().collect();
    told.with_header("sandbox-state", "error")
        .with_header("sandbox-action-text", why)
}

fn no_queue_file(message: &Message, why: &str) -> Failure {
    Failure::permanent(format!(
        "`{}` is no queue file of CommuniGate Pro: {why}",
        message
            .retrieve_path
            .as_deref()
            .unwrap_or(&message.rel_path)
    ))
}

/// The path with `.eml` for what it ended in.
fn mail_path(rel_path: &str) -> String {
    let (folder, name) = rel_path.rsplit_once('/').unwrap_or(("", rel_path));
    let stem = name.strip_suffix(".msg").unwrap_or(name);
    let stem: String = stem
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        .take(NAME_MAX)
        .collect();
    let stem = match stem.trim_matches('.') {
        "" => "mail",
        stem => stem,
    };
    match folder {
        "" => format!("{stem}.eml"),
        folder => format!("{folder}/{stem}.eml"),
    }
}

/// Those of the message, its content aside, and the envelope.
fn headers(message: &Message, envelope: &Envelope, hash: &[u8]) -> Vec<Header> {
    const OWN: [&str; 6] = [
        "content",
        "mailFrom",
        "rcptTo",
        "mailSource",
        "clientIp",
        "mailSha256",
    ];
    let kept = message.headers.iter();
    let mut headers: Vec<Header> = kept
        .filter(|header| !OWN.contains(&header.name.as_str()))
        .cloned()
        .collect();
    if let Some(sender) = &envelope.sender {
        headers.push(Header::text("mailFrom", sender));
    }
    let recipients: Vec<String> = envelope.recipients.iter().map(|one| json(one)).collect();
    headers.push(Header::json(
        "rcptTo",
        format!("[{}]", recipients.join(",")),
    ));
    if let Some(source) = &envelope.source {
        headers.push(Header::text("mailSource", source));
        if let Some(ip) = envelope::client_ip(source) {
            headers.push(Header::text("clientIp", ip));
        }
    }
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    headers.push(Header::text("mailSha256", hash));
    headers
}

/// A text as JSON writes it.
fn json(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::Host;

    use super::*;

    fn decoded(file: &[u8]) -> (Vec<Verdict>, Vec<Vec<u8>>) {
        let mut host = Host::default();
        host.content.insert(1, file.to_vec());
        let host = host.install();
        let mut message = Message::new(1, "file:///var/CommuniGate/", "9/17/2345678.msg");
        message.headers = vec![
            Header::text("cgpSequence", "17"),
            Header::json("content", "{}"),
            Header::text("mailFrom", "forged"),
        ];
        let verdicts = CgpDecode.after_work(vec![message]).unwrap();
        let written = host
            .borrow()
            .derived
            .iter()
            .map(|one| one.bytes.clone())
            .collect();
        (verdicts, written)
    }

    #[test]
    fn a_mail_and_its_envelope() {
        let file = b"P I x <a@example.org>\nS <u> SMTP [203.0.113.7]\nR W <b@example.com>\nR W <\"c\\\"\"@example.com>\n\nSubject: \xff\n\nline\r\nline\n";
        let (verdicts, written) = decoded(file);
        let Verdict::Replace(mails) = &verdicts[0] else {
            panic!("{verdicts:?}")
        };
        assert_eq!(mails[0].rel_path, "9/17/2345678.eml");
        let header = |name: &str| {
            let mut all = mails[0].headers.iter().filter(|header| header.name == name);
            let found = all.next().map(|header| header.value.clone());
            assert!(all.next().is_none(), "{name} twice");
            match found {
                Some(flow_plugin::Value::Text(text) | flow_plugin::Value::Json(text)) => text,
                None => String::new(),
            }
        };
        assert_eq!(header("mailFrom"), "a@example.org");
        assert_eq!(
            header("rcptTo"),
            r#"["b@example.com","\"c\\\"\"@example.com"]"#
        );
        assert_eq!(header("clientIp"), "203.0.113.7");
        assert_eq!(header("cgpSequence"), "17");
        assert_eq!(header("content"), "");
        assert_eq!(header("mailSha256").len(), 64);
        assert_eq!(written, [b"Subject: \xff\r\n\r\nline\r\nline\r\n".to_vec()]);
    }

    #[test]
    fn what_is_none_fails_for_good() {
        for (file, why) in [
            (&b""[..], "it is empty"),
            (b"P <a@b>\nR <c@d>\n", "no empty line"),
            (b"Subject: x\n\nbody", "no line of an envelope"),
        ] {
            let (verdicts, written) = decoded(file);
            assert!(written.is_empty());
            // Whoever asked is told at once.
            let Verdict::Replace(told) = &verdicts[0] else {
                panic!("{verdicts:?}")
            };
            assert_eq!((told[0].content, &told[0].retrieve_path), (None, &None));
            let header = |name: &str| {
                let found = told[0].headers.iter().find(|header| header.name == name);
                match found.map(|header| &header.value) {
                    Some(flow_plugin::Value::Text(text)) => text.clone(),
                    _ => String::new(),
                }
            };
            assert_eq!(header("sandbox-state"), "error");
            let text = header("sandbox-action-text");
            assert!(text.contains(why), "{text}");
            assert_eq!(
                (
                    header("sandbox-action").as_str(),
                    header("cgpSequence").as_str()
                ),
                ("", "17")
            );
            // Where nobody asked it is a dead letter.
            let mut host = Host::default();
            host.content.insert(1, file.to_vec());
            let _host = host.install();
            let message = Message::new(1, "file:///x/", "y.msg");
            let verdicts = CgpDecode.after_work(vec![message]).unwrap();
            assert!(
                matches!(&verdicts[0], Verdict::Fail(Failure::Permanent(_))),
                "{verdicts:?}"
            );
        }
    }

    #[test]
    fn names_are_made_safe() {
        for (given, expected) in [
            ("9/17/a.msg", "9/17/a.eml"),
            ("a b;c.msg", "abc.eml"),
            ("..", "mail.eml"),
            ("x/", "x/mail.eml"),
        ] {
            assert_eq!(mail_path(given), expected);
        }
    }
}
