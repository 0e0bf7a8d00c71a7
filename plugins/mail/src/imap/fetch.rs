//! Fetching mails.
//!
//! Small ones come with one command for all of them, large ones in windows. Either way bytes go from the wire into the content as they come, so that memory does not
//! depend on the size of a mail. A download is only ever finished at the end the server gave it.

use std::collections::BTreeMap;

use flow_plugin::{Failure, Fetched, Message, Result, log, metrics};

use super::answer::{End, Items, code_of, end_of, fetch_of, refusal};
use super::session::Imap;
use crate::names::Place;
use crate::options::{After, Settings};
use crate::sink::{Sink, gone, too_large};
use crate::uids::UidSet;

/// Mails of this size and more come in windows, and so do those of unknown size.
const LARGE: u64 = 1024 * 1024;

/// One mail to fetch.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) message: &'a Message,
    pub(crate) place: Place,
    pub(crate) result: Option<Fetched>,
}

/// Fetches what has no result yet, all from one account; what it returns as a failure counts for
/// those that still have none.
pub(crate) fn fetch(imap: &mut Imap, settings: &Settings, wanted: &mut [Wanted<'_>]) -> Result<()> {
    let mut folders: Vec<(String, u32)> = wanted
        .iter()
        .filter(|want| want.result.is_none())
        .map(|want| (want.place.folder.clone(), want.place.validity))
        .collect();
    folders.sort();
    folders.dedup();
    for (folder, validity) in folders {
        let mut here: Vec<&mut Wanted<'_>> = wanted
            .iter_mut()
            .filter(|want| {
                want.result.is_none()
                    && want.place.folder == folder
                    && want.place.validity == validity
            })
            .collect();
        fetch_from(imap, settings, &folder, validity, &mut here)?;
    }
    Ok(())
}

fn fetch_from(
    imap: &mut Imap,
    settings: &Settings,
    folder: &str,
    validity: u32,
    wanted: &mut [&mut Wanted<'_>],
) -> Result<()> {
    let selected = match imap.open(folder, settings.after != After::Keep) {
        Ok(selected) => selected,
        Err(Failure::Config(reason)) => {
            for want in wanted {
                want.result = Some(Fetched::rejected(404, reason.clone()));
            }
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    // Where the message's UID leads, by UIDs of today.
    let mut todo: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, want) in wanted.iter_mut().enumerate() {
        let uid = if selected.validity == validity {
            Some(want.place.uid)
        } else {
            find_again(imap, want.message)?
        };
        let size = want.message.size;
        if let Some((limit, size)) = settings
            .limit_size
            .zip(size)
            .filter(|(limit, size)| size > limit)
        {
            want.result = Some(too_large(size, limit));
        } else if let Some(uid) = uid {
            todo.insert(uid, at);
        } else {
            want.result = Some(gone(
                "the folder was made anew and its mail has no such Message-ID",
            ));
        }
    }
    let small: UidSet = todo
        .iter()
        .filter(|&(_, &at)| wanted[at].message.size.is_some_and(|size| size < LARGE))
        .map(|(&uid, _)| uid)
        .collect();
    fetch_small(imap, settings, wanted, &todo, &small)?;
    for (&uid, &at) in &todo {
        if wanted[at].result.is_none() {
            let fetched = fetch_large(imap, settings, wanted[at].message, uid)?;
            wanted[at].result = Some(fetched);
        }
    }
    Ok(())
}

/// All with one command. What the server leaves out is tried by itself afterwards, and so is what
/// follows a mail the server fails on.
fn fetch_small(
    imap: &mut Imap,
    settings: &Settings,
    wanted: &mut [&mut Wanted<'_>],
    todo: &BTreeMap<u32, usize>,
    uids: &UidSet,
) -> Result<()> {
    for set in uids.commands(4000) {
        let tag = imap.start(&format!("UID FETCH {set} (UID BODY.PEEK[])"))?;
        loop {
            imap.next_line()?;
            match end_of(imap.line(), &tag) {
                Some(End::Bad(text)) => return Err(refusal("fetching mails", &End::Bad(text))),
                Some(End::Ok | End::No(_)) => break,
                None => {}
            }
            let Some(mut answer) = Answer::begin(imap)? else {
                continue;
            };
            while let Some(length) = answer.literal {
                let target = answer
                    .items
                    .uid()
                    .and_then(|uid| todo.get(&uid))
                    .filter(|_| answer.is_body());
                match target {
                    Some(&at) if wanted[at].result.is_none() => {
                        let mut sink = Sink::new(wanted[at].message, settings.limit_size);
                        imap.wire().read_bytes(length, |chunk| sink.take(chunk))?;
                        wanted[at].result = Some(sink.finish());
                        answer.next(imap, None)?;
                    }
                    // The UID comes after the mail: keep it until then, if it is as small as asked for.
                    None if answer.is_body() && answer.items.uid().is_none() && length <= LARGE => {
                        let mut bytes = Vec::new();
                        imap.wire()
                            .read_bytes(length, |chunk| bytes.extend_from_slice(chunk))?;
                        answer.next(imap, Some(bytes))?;
                    }
                    _ => {
                        imap.wire().read_bytes(length, |_| ())?;
                        answer.next(imap, None)?;
                    }
                }
            }
            // Kept from above, or short enough to come as a quoted string.
            let late = answer
                .items
                .uid()
                .and_then(|uid| todo.get(&uid))
                .filter(|&&at| wanted[at].result.is_none());
            if let (Some(&at), Some(bytes)) = (late, answer.items.get("BODY[]")) {
                let mut sink = Sink::new(wanted[at].message, settings.limit_size);
                sink.take(bytes);
                wanted[at].result = Some(sink.finish());
            }
        }
    }
    Ok(())
}

/// In windows, one at a time.
///
/// Asking ahead would save a round trip per window, and is wrong: a server may work on two FETCHes
/// at once and mix their answers (Dovecot does), so that a window comes before the end of the command
/// in front of it. A window counts only if it names the offset that was asked for.
fn fetch_large(
    imap: &mut Imap,
    settings: &Settings,
    message: &Message,
    uid: u32,
) -> Result<Fetched> {
    let window = settings.window;
    let mut sink = Sink::new(message, settings.limit_size);
    let hint = message.size.unwrap_or_default();
    let mut offset = 0;
    loop {
        let tag = imap.start(&format!(
            "UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{window}>)"
        ))?;
        let (length, whole) = match read_window(imap, &tag, uid, offset, &mut sink)? {
            Window::Bytes(length) => (length, false),
            Window::Whole(length) => (length, true),
            Window::Silence if offset == 0 => return Ok(gone("it was deleted or moved")),
            // Not the end, which is an empty window: what came so far is not the mail.
            Window::Silence | Window::Withheld => {
                return Ok(Fetched::Fail(Failure::temporary(format!(
                    "the server sent no content after byte {offset} of the mail"
                ))));
            }
            Window::Refused(End::No(text)) if code_of(&text) == "EXPUNGEISSUED" => {
                return Ok(gone("it was deleted or moved"));
            }
            Window::Refused(end) => return Ok(Fetched::Fail(refusal("fetching a mail", &end))),
        };
        offset += length;
        if hint >= LARGE {
            metrics::progress(
                &format!("downloading {}", message.rel_path),
                offset.min(hint),
                hint,
                "bytes",
            );
        }
        // Sizes servers announce are hints: a short window is the end only if it fits the hint.
        if whole || length == 0 || (length < window && offset >= hint) || sink.is_over() {
            if offset < hint && !sink.is_over() {
                log::warn(format!(
                    "`{}` has {offset} bytes, and the server announced {hint}",
                    message.rel_path
                ));
            }
            return Ok(sink.finish());
        }
    }
}

enum Window {
    Bytes(u64),
    /// The server gave the mail from its start to its end, whatever was asked for.
    Whole(u64),
    /// The server says nothing about the mail.
    Silence,
    /// The server speaks of the mail, and leaves this window out.
    Withheld,
    Refused(End),
}

fn read_window(
    imap: &mut Imap,
    tag: &str,
    uid: u32,
    offset: u64,
    sink: &mut Sink,
) -> Result<Window> {
    let asked = format!("BODY[]<{offset}>");
    let mut window = Window::Silence;
    loop {
        imap.next_line()?;
        match end_of(imap.line(), tag) {
            Some(End::Ok) => return Ok(window),
            Some(end) => return Ok(Window::Refused(end)),
            None => {}
        }
        let Some(mut answer) = Answer::begin(imap)? else {
            continue;
        };
        let mut taken = false;
        while let Some(length) = answer.literal {
            // Only one mail was asked for, so a UID that comes late, or not at all, can be no other.
            let ours = answer.items.uid().is_none_or(|of| of == uid)
                && matches!(window, Window::Silence | Window::Withheld);
            let name = answer.items.name().unwrap_or_default();
            let whole = offset == 0 && name == "BODY[]";
            if ours && (name == asked || whole) {
                imap.wire().read_bytes(length, |chunk| sink.take(chunk))?;
                window = if whole {
                    Window::Whole(length)
                } else {
                    Window::Bytes(length)
                };
                taken = true;
            } else {
                imap.wire().read_bytes(length, |_| ())?;
            }
            answer.next(imap, None)?;
        }
        if taken
            || !matches!(window, Window::Silence | Window::Withheld)
            || answer.items.uid().is_some_and(|of| of != uid)
        {
            continue;
        }
        // Short enough to come as a quoted string.
        let whole = if offset == 0 {
            answer.items.get("BODY[]").map(<[u8]>::to_vec)
        } else {
            None
        };
        if let Some(bytes) = answer.items.get(&asked).map(<[u8]>::to_vec) {
            sink.take(&bytes);
            window = Window::Bytes(bytes.len() as u64);
        } else if let Some(bytes) = whole {
            sink.take(&bytes);
            window = Window::Whole(bytes.len() as u64);
        } else if answer.items.uid() == Some(uid) {
            window = Window::Withheld;
        }
    }
}

/// A FETCH answer being read.
struct Answer {
    items: Items,
    /// The length of the literal that comes next.
    literal: Option<u64>,
}

impl Answer {
    /// Starts with the line just read; none if it is something else, which is passed over.
    fn begin(imap: &mut Imap) -> Result<Option<Self>> {
        let mut items = Items::default();
        match fetch_of(imap.line()) {
            Some(text) => {
                let literal = items.text(text)?;
                Ok(Some(Self { items, literal }))
            }
            None => {
                imap.skip_literals()?;
                Ok(None)
            }
        }
    }

    fn is_body(&self) -> bool {
        self.items.name() == Some("BODY[]")
    }

    /// Goes on after a literal, which is kept if it is given.
    fn next(&mut self, imap: &mut Imap, kept: Option<Vec<u8>>) -> Result<()> {
        match kept {
            Some(bytes) => self.items.literal(bytes),
            None => self.items.passed_over(),
        }
        imap.next_text()?;
        self.literal = self.items.text(imap.line())?;
        Ok(())
    }
}

/// The UID a mail has now, after its folder got new ones: by Message-ID, and by size if several
/// mails share it.
fn find_again(imap: &mut Imap, message: &Message) -> Result<Option<u32>> {
    let Some(id) = message
        .header("messageId")
        .filter(|id| id.is_ascii() && !id.contains(['"', '\\']))
    else {
        return Ok(None);
    };
    let mut uids = Vec::new();
    let tag = imap.start(&format!("UID SEARCH HEADER Message-ID \"{id}\""))?;
    let end = imap.answers(&tag, |line| {
        let numbers = super::answer::untagged(line, "SEARCH").unwrap_or_default();
        uids.extend(
            numbers
                .split(|&byte| byte == b' ')
                .filter_map(|number| std::str::from_utf8(number).ok()?.parse::<u32>().ok()),
        );
        Ok(())
    })?;
    if end != End::Ok {
        return Err(refusal("looking for a mail by its Message-ID", &end));
    }
    if uids.len() <= 1 {
        return Ok(uids.first().copied());
    }
    let set: UidSet = uids.into_iter().collect();
    let mut same = None;
    for command in set.commands(4000) {
        imap.fetch_items(&format!("UID FETCH {command} (UID RFC822.SIZE)"), |items| {
            if items.number("RFC822.SIZE") == message.size {
                same = same.or(items.uid());
            }
        })?;
    }
    Ok(same)
}
