//! The plugin: options, and what follows from clamd's answer.

use std::time::Duration;

use flow_plugin::{
    AfterWork, Context, Describe, Edit, Failure, Grant, Lifecycle, Manifest, Message, OptionKind,
    Result, Verdict, log, manifest, metrics, option,
};

use crate::clamd::{self, Address, Answer};

/// Infected.
const FORBIDDEN: u16 = 403;
/// Cannot be scanned.
const TOO_LARGE: u16 = 413;
/// So many scans of a batch that broke off, and the rest is not tried: each may take as long as
/// `timeout`.
const BROKEN_MAX: u32 = 3;

/// The plugin.
#[derive(Debug)]
pub struct Clamav {
    address: Address,
    timeout: Duration,
    max_size: u64,
    mark_infected: bool,
    pass_large: bool,
    header: String,
}

impl Describe for Clamav {
    fn describe() -> Manifest {
        manifest("clamav", env!("CARGO_PKG_VERSION"), "has clamd scan content, and stops what is infected")
            .doc(include_str!("../README.md"))
            .option(option("clamd", OptionKind::Url, "Where clamd listens, `tcp://host:port`.").default("tcp://localhost:3310").example("tcp://scanner.example.com:3310"))
            .option(option("timeout", OptionKind::Duration, "How long clamd may take for one answer.").default("2m"))
            .option(option("max_size", OptionKind::Size, "Larger content is not sent to clamd; at most its `StreamMaxLength`.").default("25MiB").example("100MiB"))
            .option(option("too_large", OptionKind::Choice, "What becomes of content that is too large to be scanned.").choices(&["reject", "pass"]).default("reject"))
            .option(option("infected", OptionKind::Choice, "What becomes of infected content: it is rejected, or goes on with the header that says so.").choices(&["reject", "mark"]).default("reject"))
            .option(option("header", OptionKind::Text, "The header that says what came out: `clean`, `infected: <name>` or `not scanned: …`; none if empty.").default("virusScan"))
            .grant(Grant::Connect)
            .build()
    }
}

impl Lifecycle for Clamav {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let header = given.text("header")?;
        let mark_infected = given.text("infected")? == "mark";
        if header.is_empty() && mark_infected {
            return Err(Failure::config(
                "`infected: mark` without a `header` would let infected content pass unmarked; name a header, or write `infected: reject`",
            ));
        }
        Ok(Self {
            address: Address::parse(&given.text("clamd")?)
                .map_err(|reason| Failure::config(format!("option `clamd`: {reason}")))?,
            timeout: given.duration("timeout")?,
            max_size: given.size("max_size")?,
            mark_infected,
            pass_large: given.text("too_large")? == "pass",
            header,
        })
    }
}

impl AfterWork for Clamav {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        let mut trouble = Trouble::default();
        Ok(batch
            .iter()
            .map(|message| self.one(message, &mut trouble))
            .collect())
    }
}

/// What a batch has met so far.
#[derive(Debug, Default)]
struct Trouble {
    broken: u32,
    /// Why clamd is not asked any more.
    away: Option<Failure>,
}

impl Clamav {
    fn one(&self, message: &Message, trouble: &mut Trouble) -> Verdict {
        // A removal, a link, a directory: there is nothing to scan.
        if message.headers.iter().any(|header| header.name == "fileOp") {
            return Verdict::Keep;
        }
        match self.scan(message, trouble) {
            Ok(answer) => self.judge(message, answer),
            Err(failure) => Verdict::Fail(failure.context("content not scanned")),
        }
    }

    fn scan(&self, message: &Message, trouble: &mut Trouble) -> Result<Answer> {
        let mut content = flow_plugin::open(message.id)?;
        if content.size() > self.max_size {
            return Ok(Answer::TooLarge);
        }
        if let Some(failure) = &trouble.away {
            return Err(failure.clone());
        }
        let stream = clamd::connect(&self.address, self.timeout)
            .inspect_err(|failure| trouble.away = Some(failure.clone()))?;
        let answer = clamd::scan(stream, &mut content);
        if let Err(failure) = &answer {
            trouble.broken += 1;
            if trouble.broken >= BROKEN_MAX {
                trouble.away = Some(failure.clone());
            }
        }
        answer
    }

    fn judge(&self, message: &Message, answer: Answer) -> Verdict {
        match answer {
            Answer::Clean => {
                metrics::count("contents_scanned", 1);
                self.go_on("clean".to_owned())
            }
            Answer::Infected(name) => {
                metrics::count("contents_scanned", 1);
                metrics::count("infections_found", 1);
                log::warn(format!("`{}` is infected: {name}", message.rel_path));
                if self.mark_infected {
                    return self.go_on(format!("infected: {name}"));
                }
                Verdict::rejected(FORBIDDEN, format!("infected: {name}"))
            }
            Answer::TooLarge if self.pass_large => {
                metrics::count("contents_not_scanned", 1);
                self.go_on("not scanned: too large".to_owned())
            }
            Answer::TooLarge => Verdict::rejected(
                TOO_LARGE,
                "too large to be scanned; raise `max_size` and clamd's `StreamMaxLength`, or write `too_large: pass`",
            ),
        }
    }

    /// Always written, so that what a stranger claims does not stay.
    fn go_on(&self, result: String) -> Verdict {
        if self.header.is_empty() {
            return Verdict::Keep;
        }
        Verdict::Update(vec![Edit::set_header(self.header.clone(), result)])
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use flow_plugin::testing::{Host, Peer, context};
    use flow_plugin::{Header, Security, Setting};

    use super::*;

    /// The harmless file every scanner knows, in two parts so that none stops at this source.
    const EICAR: [&str; 2] = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$",
        "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
    ];

    /// Plays clamd: takes a stream apart as it comes, and answers once it has ended.
    struct Clamd {
        received: Vec<u8>,
        limit: usize,
        /// What it says in place of its own answer.
        says: Option<&'static [u8]>,
        answer: Vec<u8>,
        deaf: bool,
    }

    impl Clamd {
        fn content(&self) -> Option<Vec<u8>> {
            let mut rest = self.received.strip_prefix(b"zINSTREAM\0")?;
            let mut content = Vec::new();
            loop {
                let (length, more) = rest.split_first_chunk::<4>()?;
                let length = u32::from_be_bytes(*length) as usize;
                if length == 0 {
                    assert!(more.is_empty(), "nothing follows the end");
                    return Some(content);
                }
                content.extend_from_slice(more.get(..length)?);
                rest = &more[length..];
            }
        }
    }

    impl Peer for Clamd {
        fn read(&mut self, max: usize) -> Result<Vec<u8>> {
            // One byte at a time: answers come in pieces.
            let end = self.answer.len().min(max).min(1);
            Ok(self.answer.drain(..end).collect())
        }

        fn write(&mut self, data: &[u8]) -> Result<()> {
            if self.deaf {
                return Err(Failure::temporary("connection reset"));
            }
            self.received.extend_from_slice(data);
            if self.received.len() > self.limit {
                self.deaf = true;
                self.answer = b"INSTREAM size limit exceeded. ERROR\0".to_vec();
            } else if let Some(content) = self.content() {
                let infected = String::from_utf8_lossy(&content).contains(&EICAR.concat());
                self.answer = match self.says {
                    Some(says) => says.to_vec(),
                    None if infected => b"stream: Eicar-Test-Signature FOUND\0".to_vec(),
                    None => b"stream: OK\0".to_vec(),
                };
            }
            Ok(())
        }
    }

    fn start(more: &[(&str, Setting)]) -> Result<Clamav> {
        let text = |value: &str| Setting::Text(value.to_owned());
        let mut settings = vec![
            ("clamd", text("tcp://scanner:3310")),
            ("timeout", Setting::Duration(1000)),
            ("max_size", Setting::Size(1 << 20)),
            ("too_large", text("reject")),
            ("infected", text("reject")),
            ("header", text("virusScan")),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        Clamav::start(context(None, &settings))
    }

    /// Runs a batch with these contents; says how often clamd was dialled.
    fn run(
        contents: &[&[u8]],
        limit: usize,
        says: Option<&'static [u8]>,
        more: &[(&str, Setting)],
    ) -> (Vec<Verdict>, u32) {
        let dialled = Rc::new(RefCell::new(0));
        let count = Rc::clone(&dialled);
        let mut host = Host {
            dial: Box::new(move |host, port, security| {
                assert_eq!((host, port), ("scanner", 3310));
                assert!(matches!(security, Security::Plain));
                *count.borrow_mut() += 1;
                Ok(Box::new(Clamd {
                    received: Vec::new(),
                    limit,
                    says,
                    answer: Vec::new(),
                    deaf: false,
                }))
            }),
            ..Host::default()
        };
        let mut batch = Vec::new();
        for (id, bytes) in (1u64..).zip(contents) {
            host.content.insert(id, bytes.to_vec());
            batch.push(Message::new(id, "http://h/", format!("{id}.bin")));
        }
        let _host = host.install();
        let verdicts = start(more).unwrap().after_work(batch).unwrap();
        let dialled = *dialled.borrow();
        (verdicts, dialled)
    }

    fn marked(text: &str) -> Verdict {
        Verdict::Update(vec![Edit::set_header("virusScan", text)])
    }

    #[test]
    fn the_clean_pass_and_the_infected_do_not() {
        let eicar = EICAR.concat();
        let large = vec![7u8; 200_000];
        let (verdicts, dialled) = run(
            &[b"hello", eicar.as_bytes(), b"", &large],
            usize::MAX,
            None,
            &[],
        );
        assert_eq!(
            verdicts,
            [
                marked("clean"),
                Verdict::rejected(403, "infected: Eicar-Test-Signature"),
                marked("clean"),
                marked("clean"),
            ]
        );
        assert_eq!(dialled, 4);
    }

    #[test]
    fn marking_lets_the_infected_pass_with_a_header() {
        let eicar = EICAR.concat();
        let mark = [("infected", Setting::Text("mark".into()))];
        let (verdicts, _) = run(&[eicar.as_bytes()], usize::MAX, None, &mark);
        assert_eq!(verdicts, [marked("infected: Eicar-Test-Signature")]);
    }

    #[test]
    fn what_is_too_large_is_not_clean() {
        let large = vec![7u8; 300_000];
        let (verdicts, dialled) = run(&[&large], 100_000, None, &[]);
        assert!(
            matches!(&verdicts[0], Verdict::Reject(r) if r.code == 413),
            "clamd stops listening and says why: {verdicts:?}"
        );
        assert_eq!(dialled, 1);
        let small = ("max_size", Setting::Size(1000));
        let (verdicts, dialled) = run(&[&large], usize::MAX, None, std::slice::from_ref(&small));
        assert!(matches!(&verdicts[0], Verdict::Reject(r) if r.code == 413));
        assert_eq!(dialled, 0);
        let pass = ("too_large", Setting::Text("pass".into()));
        let (verdicts, _) = run(&[&large], usize::MAX, None, &[small, pass]);
        assert_eq!(verdicts, [marked("not scanned: too large")]);
    }

    #[test]
    fn nothing_passes_without_a_clear_answer() {
        for says in [
            &b""[..],
            b"stream: OK",
            b"stream: OKAY\0",
            b"Can't create temporary file ERROR\0",
            &[b'x'; 10_000],
        ] {
            let (verdicts, _) = run(&[b"hello"], usize::MAX, Some(says), &[]);
            let Verdict::Fail(Failure::Temporary(failure)) = &verdicts[0] else {
                panic!("{verdicts:?}")
            };
            assert!(failure.reason.starts_with("content not scanned: clamd"));
        }
    }

    #[test]
    fn a_clamd_that_is_away_is_asked_once_a_batch() {
        let mut host = Host::default();
        let dialled = Rc::new(RefCell::new(0));
        let count = Rc::clone(&dialled);
        host.dial = Box::new(move |_, _, _| {
            *count.borrow_mut() += 1;
            Err(Failure::temporary("connection refused"))
        });
        let batch: Vec<Message> = (1..=5)
            .map(|id| Message::new(id, "http://h/", "a"))
            .collect();
        host.content.extend((1..=5).map(|id| (id, b"x".to_vec())));
        let _host = host.install();
        let verdicts = start(&[]).unwrap().after_work(batch).unwrap();
        let away = Failure::temporary("content not scanned: connection refused");
        assert_eq!(verdicts, vec![Verdict::Fail(away); 5]);
        assert_eq!(*dialled.borrow(), 1);
    }

    #[test]
    fn scans_that_break_off_are_given_up_after_three() {
        let (verdicts, dialled) = run(&[&b"x"[..]; 6], usize::MAX, Some(b""), &[]);
        assert!(verdicts.iter().all(|v| matches!(v, Verdict::Fail(_))));
        assert_eq!(dialled, 3);
    }

    #[test]
    fn file_operations_have_nothing_to_scan_and_missing_content_is_no_pass() {
        let _host = Host::default().install();
        let mut removal = Message::new(1, "http://h/", "a");
        removal.headers = vec![Header::json("fileOp", r#"{"remove":""}"#)];
        let batch = vec![removal, Message::new(2, "http://h/", "b")];
        let verdicts = start(&[]).unwrap().after_work(batch).unwrap();
        assert_eq!(verdicts[0], Verdict::Keep);
        assert!(matches!(verdicts[1], Verdict::Fail(_)), "{verdicts:?}");
    }

    #[test]
    fn a_claim_of_the_sender_does_not_stay() {
        let text = |value: &str| Setting::Text(value.to_owned());
        let failure = start(&[("header", text("")), ("infected", text("mark"))]).unwrap_err();
        assert!(failure.reason().contains("unmarked"));
        let (verdicts, _) = run(&[b"x"], usize::MAX, None, &[("header", text(""))]);
        assert_eq!(verdicts, [Verdict::Keep]);
        let failure = start(&[("clamd", text("unix:/run/clamd.ctl"))]).unwrap_err();
        assert!(failure.reason().contains("TCPSocket"), "{failure:?}");
    }
}
