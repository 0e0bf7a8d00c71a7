//! Telling the server what became of its mails: seen, moved, deleted.
//!
//! All of it can be said twice. One gap is left: without MOVE a mail is copied and then deleted, and
//! a crash between the two leaves a second copy in the target folder when it is said again.

use std::collections::BTreeMap;

use flow_plugin::{Failure, Fate, Outcome, Result, log};

use super::answer::{End, code_of, refusal, untagged};
use super::session::{Imap, quote};
use crate::names::Place;
use crate::options::{After, Settings};
use crate::uids::UidSet;

/// Does what `after` says to the mails that are safe.
///
/// # Errors
/// As the server refuses; everything may be said again.
pub(crate) fn settle(imap: &mut Imap, settings: &Settings, outcomes: &[&Outcome]) -> Result<()> {
    if settings.after == After::Keep {
        return Ok(());
    }
    let mut folders: BTreeMap<(String, u32), Vec<u32>> = BTreeMap::new();
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.fate == Fate::Posted)
    {
        if let Some(place) = Place::parse(&outcome.message.rel_path) {
            folders
                .entry((place.folder, place.validity))
                .or_default()
                .push(place.uid);
        }
    }
    for ((folder, validity), uids) in folders {
        if settings.after == After::Move && settings.move_to.as_deref() == Some(folder.as_str()) {
            continue;
        }
        let selected = match imap.open(&folder, true) {
            Ok(selected) => selected,
            Err(Failure::Config(reason)) => {
                log::warn(format!("{reason}; its mails are left as they are"));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if selected.validity != validity {
            log::warn(format!(
                "folder `{folder}` has new UIDs; {} mails in it are left as they are",
                uids.len()
            ));
            continue;
        }
        let uids: UidSet = uids.into_iter().collect();
        for set in uids.commands(4000) {
            match settings.after {
                After::Keep => {}
                After::Seen => store(imap, &set, "\\Seen")?,
                After::Delete => delete(imap, &folder, &set)?,
                After::Move => move_to(
                    imap,
                    &folder,
                    &set,
                    settings.move_to.as_deref().unwrap_or_default(),
                )?,
            }
        }
    }
    Ok(())
}

fn store(imap: &mut Imap, set: &str, flag: &str) -> Result<()> {
    match imap.run(&format!("UID STORE {set} +FLAGS.SILENT ({flag})"))? {
        End::Ok => Ok(()),
        end => Err(refusal(&format!("marking mails {flag}"), &end)),
    }
}

fn delete(imap: &mut Imap, folder: &str, set: &str) -> Result<()> {
    store(imap, set, "\\Deleted")?;
    if !imap.can("UIDPLUS") {
        // EXPUNGE would take what other programs marked as well.
        log::warn(format!(
            "mails in `{folder}` are marked deleted and stay until something expunges the folder: the server can't expunge single mails (UIDPLUS)"
        ));
        return Ok(());
    }
    match imap.run(&format!("UID EXPUNGE {set}"))? {
        End::Ok => Ok(()),
        end => Err(refusal("expunging mails", &end)),
    }
}

fn move_to(imap: &mut Imap, folder: &str, set: &str, target: &str) -> Result<()> {
    if imap.can("MOVE") {
        return transfer(imap, "MOVE", set, target);
    }
    let Some(set) = still_there(imap, set)? else {
        return Ok(());
    };
    transfer(imap, "COPY", &set, target)?;
    delete(imap, folder, &set)
}

/// Those not marked deleted yet: said twice, COPY would copy again.
fn still_there(imap: &mut Imap, set: &str) -> Result<Option<String>> {
    let mut left = UidSet::default();
    let tag = imap.start(&format!("UID SEARCH UID {set} UNDELETED"))?;
    let end = imap.answers(&tag, |line| {
        let numbers = untagged(line, "SEARCH").unwrap_or_default();
        for number in numbers.split(|&byte| byte == b' ') {
            if let Some(uid) = std::str::from_utf8(number)
                .ok()
                .and_then(|number| number.parse().ok())
            {
                left.insert(uid);
            }
        }
        Ok(())
    })?;
    match end {
        End::Ok => Ok((!left.is_empty()).then(|| left.to_string())),
        end => Err(refusal("looking at mails to move", &end)),
    }
}

/// MOVE or COPY, making the folder if it is missing.
fn transfer(imap: &mut Imap, verb: &str, set: &str, target: &str) -> Result<()> {
    let command = format!("UID {verb} {set} {}", quote(target));
    let mut end = imap.run(&command)?;
    if matches!(&end, End::No(text) if matches!(code_of(text).as_str(), "TRYCREATE" | "NONEXISTENT"))
    {
        imap.create_folder(target)?;
        log::info(format!("made folder `{target}`"));
        end = imap.run(&command)?;
    }
    match end {
        End::Ok => Ok(()),
        end => Err(refusal(&format!("moving mails to `{target}`"), &end)),
    }
}
