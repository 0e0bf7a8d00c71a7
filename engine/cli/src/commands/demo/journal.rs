//! What happened to each mail, told once all of it is known.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flow_message::Message;
use flow_runtime::ports::{Event, Observer};
use flow_testkit::samples::Sample;

use crate::render::{Paint, bytes, plural, printable};

/// Notes the way of each mail.
#[derive(Default)]
pub(super) struct Journal {
    mails: Mutex<Vec<Mail>>,
}

/// One mail and what became of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Mail {
    path: String,
    announced: bool,
    fetched: Option<u64>,
    parts: Vec<Part>,
    troubles: Vec<String>,
}

/// A file found in a mail.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    path: String,
    name: String,
    size: u64,
    posted: bool,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many mails were found.
    pub(super) fn number(&self) -> u64 {
        self.lock().len() as u64
    }

    /// The way of each mail.
    pub(super) fn tell(&self, samples: &[Sample], paint: Paint) -> String {
        let mut text = String::new();
        for (index, mail) in self.lock().iter().enumerate() {
            let about = samples.get(index).map_or("", |sample| sample.about);
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "   {}  {}",
                paint.cyan(&printable(&mail.path)),
                paint.dim(about)
            );
            let mut steps = Vec::new();
            if mail.announced {
                steps.push("announced".to_owned());
            }
            if let Some(size) = mail.fetched {
                steps.push(format!("downloaded {}", bytes(size)));
            }
            match mail.parts.len() {
                0 if mail.fetched.is_some() => steps.push("nothing in it to keep".to_owned()),
                0 => {}
                number => steps.push(plural(number as u64, "file")),
            }
            let _ = writeln!(text, "      {}", steps.join(" > "));
            for part in &mail.parts {
                let posted = if part.posted {
                    "stored > posted"
                } else {
                    "stored"
                };
                let _ = writeln!(
                    text,
                    "      {:>9}  {}  {}",
                    bytes(part.size),
                    printable(&part.name),
                    paint.dim(posted)
                );
            }
            for trouble in &mail.troubles {
                let _ = writeln!(text, "      {} {}", paint.red("!"), printable(trouble));
            }
        }
        text
    }
}

impl Observer for Journal {
    fn event(&self, event: &Event<'_>) {
        let mut mails = self.lock();
        match event {
            Event::Gathered { message, .. } if mail(&mut mails, message).is_none() => {
                mails.push(Mail {
                    path: message.rel_path.clone(),
                    ..Mail::default()
                });
            }
            Event::Fetched { message, bytes, .. } => {
                if let Some(mail) = mail(&mut mails, message) {
                    mail.fetched = Some(*bytes);
                }
            }
            Event::Derived {
                message,
                from,
                path,
                bytes,
            } => {
                let path = path
                    .unwrap_or(Path::new(&message.rel_path))
                    .to_string_lossy();
                if let Some(mail) = mail(&mut mails, from) {
                    mail.parts.push(Part {
                        path: path.trim_start_matches('/').to_owned(),
                        name: path.rsplit('/').next().unwrap_or_default().to_owned(),
                        size: *bytes,
                        posted: false,
                    });
                }
            }
            Event::Posted { message, .. } => {
                if let Some(mail) = mail(&mut mails, message) {
                    mail.announced = true;
                }
                // Announced under the place it was stored at.
                let path = message.rel_path.trim_start_matches('/');
                for part in mails
                    .iter_mut()
                    .flat_map(|mail| &mut mail.parts)
                    .filter(|part| part.path == path)
                {
                    part.posted = true;
                }
            }
            Event::Retrying {
                message, failure, ..
            } => trouble(&mut mails, message, &failure.to_string()),
            Event::Dead { message, reason } => trouble(&mut mails, message, reason),
            _ => {}
        }
    }

    fn wants_messages(&self) -> bool {
        true
    }
}

fn mail<'a>(mails: &'a mut [Mail], message: &Message) -> Option<&'a mut Mail> {
    mails.iter_mut().find(|mail| mail.path == message.rel_path)
}

fn trouble(mails: &mut [Mail], message: &Message, what: &str) {
    if let Some(mail) = mail(mails, message) {
        mail.troubles.push(what.to_owned());
    }
}

/// Files as a tree with sizes; paths are sorted.
pub(super) fn tree(files: &[(PathBuf, Vec<u8>)], paint: Paint) -> String {
    let mut text = String::new();
    let mut above = None;
    for (path, content) in files {
        let directory = path.parent().unwrap_or(Path::new(""));
        if above != Some(directory) {
            let _ = writeln!(
                text,
                "   {}/",
                paint.blue(&printable(&directory.to_string_lossy()))
            );
            above = Some(directory);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(
            text,
            "      {:>9}  {}",
            bytes(content.len() as u64),
            printable(&name)
        );
    }
    text
}

/// The names of attachments whose content is in no file.
pub(super) fn missing(samples: &[Sample], files: &[(PathBuf, Vec<u8>)]) -> Vec<String> {
    let mut left: Vec<&[u8]> = files
        .iter()
        .map(|(_, content)| content.as_slice())
        .collect();
    let mut missing = Vec::new();
    for file in samples.iter().flat_map(|sample| &sample.files) {
        match left.iter().position(|content| *content == file.content) {
            Some(index) => drop(left.swap_remove(index)),
            None => missing.push(file.name.to_owned()),
        }
    }
    missing
}

/// What to type for one's own mailbox.
pub(super) fn next(flow: &str, paint: Paint) -> String {
    let mut text = format!("\n{}\n", paint.bold("For your own mailbox, type:"));
    for (command, what) in [
        (
            "add flow/mail.yaml",
            "copies the example and says which two lines to edit",
        ),
        (
            "check flow/mail",
            "finds what is wrong before anything starts",
        ),
        (
            "foreground flow/mail --once --dry-run",
            "looks, changes nothing",
        ),
        ("foreground flow/mail", "runs it; Ctrl-C stops"),
    ] {
        let _ = writeln!(
            text,
            "  {}\n      {}",
            paint.cyan(&format!("{flow} {command}")),
            paint.dim(what)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_message::Timestamp;
    use flow_runtime::ports::{Confirm, Failure};
    use flow_testkit::samples::File;

    use super::*;

    #[test]
    fn the_way_of_a_mail_is_told() {
        let journal = Journal::default();
        let time = Timestamp::from_unix(1_700_000_000, 0);
        let first = Message::new(time, "imap://demo@127.0.0.1:1143", "INBOX/1-1.eml");
        let second = Message::new(time, "imap://demo@127.0.0.1:1143", "INBOX/1-2.eml");
        let part = Message::new(time, "file:", "tmp/inbox/a.pdf");
        let posted = |message| Event::Posted {
            message,
            exchange: "x",
            topic: "v03",
            confirm: Confirm::Posted,
        };
        for message in [&first, &second] {
            journal.event(&Event::Gathered {
                message,
                from: "mail",
            });
            journal.event(&posted(message));
        }
        let path = Path::new("/tmp/inbox/a.pdf");
        journal.event(&Event::Fetched {
            message: &first,
            path,
            bytes: 1400,
            elapsed: Duration::ZERO,
        });
        journal.event(&Event::Derived {
            message: &part,
            from: &first,
            path: Some(path),
            bytes: 612,
        });
        journal.event(&posted(&part));
        let failure = Failure::temporary("connection reset");
        journal.event(&Event::Retrying {
            message: &second,
            attempt: 1,
            failure: &failure,
            due: time,
        });
        let sample = Sample {
            about: "a PDF attachment",
            raw: Vec::new(),
            files: Vec::new(),
        };
        insta::assert_snapshot!(journal.tell(&[sample], Paint::off()));
    }

    #[test]
    fn files_are_shown_by_directory_and_compared_by_content() {
        let files = vec![
            (PathBuf::from("inbox/2026-11-22/a.pdf"), vec![1; 2000]),
            (PathBuf::from("inbox/2026-11-22/b.csv"), vec![2]),
        ];
        insta::assert_snapshot!(tree(&files, Paint::off()));
        let file = |name, content: &[u8]| File {
            name,
            content: content.to_vec(),
        };
        let sample = Sample {
            about: "",
            raw: Vec::new(),
            files: vec![
                file("a.pdf", &[1; 2000]),
                file("twice.csv", &[2]),
                file("twice.csv", &[2]),
            ],
        };
        assert_eq!(
            missing(&[sample], &files),
            ["twice.csv"],
            "one file is not two"
        );
    }
}
