//! SEARCH, whose answer can be one line as long as the mailbox.

use flow_plugin::{Failure, Result};

use super::answer::{End, end_of, refusal, untagged};
use super::session::Imap;

/// The UIDs that match, ascending as far as the server sorts them.
pub(super) fn search(imap: &mut Imap, folder: &str, criteria: &str) -> Result<Vec<u32>> {
    let mut uids = Vec::new();
    let mut see = |line: &[u8]| {
        if let Some(numbers) = untagged(line, "SEARCH") {
            uids.extend(
                numbers
                    .split(|&byte| byte == b' ')
                    .filter_map(|number| std::str::from_utf8(number).ok()?.parse::<u32>().ok()),
            );
        }
        Ok(())
    };
    let end = if criteria.is_ascii() {
        let tag = imap.start(&format!("UID SEARCH {criteria}"))?;
        imap.answers(&tag, &mut see)?
    } else {
        search_utf8(imap, criteria, &mut see)?
    };
    match end {
        End::Ok => Ok(uids),
        // Nobody but the flow's author can mend criteria the server does not understand.
        End::Bad(text) => Err(Failure::config(format!(
            "searching `{folder}` for `{criteria}`: the server said BAD {text}"
        ))),
        End::No(_) => Err(refusal(
            &format!("searching `{folder}` for `{criteria}`"),
            &end,
        )),
    }
}

/// Text outside ASCII goes as literals, each sent when the server asks for it.
fn search_utf8(
    imap: &mut Imap,
    criteria: &str,
    see: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<End> {
    let mut pieces = vec![String::from("UID SEARCH CHARSET UTF-8 ")];
    for (at, piece) in criteria.split('"').enumerate() {
        let quoted = at % 2 == 1;
        let last = pieces.last_mut().expect("there is always one piece");
        if piece.is_ascii() {
            last.push_str(&if quoted {
                format!("\"{piece}\"")
            } else {
                piece.to_owned()
            });
        } else {
            // A bare word outside ASCII is taken as a string of its own.
            for (number, word) in (if quoted {
                vec![piece]
            } else {
                piece.split(' ').collect()
            })
            .into_iter()
            .enumerate()
            {
                let last = pieces.last_mut().expect("there is always one piece");
                if number > 0 {
                    last.push(' ');
                }
                if word.is_ascii() {
                    last.push_str(word);
                } else {
                    last.push_str(&format!("{{{}}}", word.len()));
                    pieces.push(word.to_owned());
                }
            }
        }
    }
    let mut pieces = pieces.into_iter();
    let tag = imap.start(&pieces.next().unwrap_or_default())?;
    for piece in pieces {
        loop {
            imap.next_line()?;
            if imap.line().starts_with(b"+") {
                break;
            }
            if let Some(end) = end_of(imap.line(), &tag) {
                return Ok(end);
            }
            imap.skip_literals()?;
        }
        imap.wire().send(format!("{piece}\r\n").as_bytes())?;
    }
    imap.answers(&tag, see)
}
