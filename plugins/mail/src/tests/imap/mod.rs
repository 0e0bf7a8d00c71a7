//! IMAP, scripted: what every test of it starts with.

mod fetch;
mod login;
mod poll;
mod settle;

use flow_plugin::{Fate, Gathered, Lifecycle, Message, NewMessage, Outcome, Setting};

use super::script::{Step, imap, say};
use crate::Mail;
use crate::options::tests::context;

pub(super) const URL: &str = "imap://me@localhost/";

pub(super) fn login() -> Vec<Step> {
    login_with("IMAP4rev1 IDLE MOVE UIDPLUS")
}

pub(super) fn login_with(capabilities: &str) -> Vec<Step> {
    let mut steps = vec![say("* OK [CAPABILITY IMAP4rev1] hello\r\n")];
    steps.extend(imap(
        "LOGIN \"me\" \"pass word\"",
        "* 3 EXISTS\r\n{tag} OK [CAPABILITY IMAP4rev1 X] in\r\n",
    ));
    steps.extend(imap(
        "CAPABILITY",
        &format!("* CAPABILITY {capabilities}\r\n{{tag}} OK\r\n"),
    ));
    steps
}

pub(super) fn open(verb: &str, folder: &str, validity: u32, next: u32) -> Vec<Step> {
    imap(
        &format!("{verb} \"{folder}\""),
        &format!(
            "* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY {validity}] ok\r\n* OK [UIDNEXT {next}] ok\r\n{{tag}} OK [READ-ONLY] done\r\n"
        ),
    )
}

pub(super) const ITEMS: &str =
    "(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";

pub(super) fn mail(sequence: u32, uid: u32) -> String {
    let header = format!("Message-ID: <{uid}@x>\r\n\r\n");
    format!(
        "* {sequence} FETCH (UID {uid} RFC822.SIZE {} INTERNALDATE \"17-Jul-2026 02:44:25 +0200\" BODY[HEADER.FIELDS (MESSAGE-ID)] {{{}}}\r\n{header})\r\n",
        100 + uid,
        header.len()
    )
}

pub(super) fn script(parts: Vec<Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}

pub(super) fn plugin(options: &[(&str, Setting)]) -> Mail {
    Mail::start(context(Some(URL), options)).expect("good options")
}

pub(super) fn received(id: u64, new: &NewMessage) -> Message {
    let mut message = Message::new(id, new.base_url.clone(), new.rel_path.clone());
    message.size = new.size;
    message.mtime = new.mtime.clone();
    message.headers = new.headers.clone();
    message
}

pub(super) fn outcomes(gathered: &Gathered, fate: &Fate) -> Vec<Outcome> {
    let messages = gathered.messages.iter().enumerate();
    messages
        .map(|(id, new)| Outcome {
            message: received(id as u64, new),
            fate: fate.clone(),
        })
        .collect()
}

pub(super) fn paths(gathered: &Gathered) -> Vec<&str> {
    gathered
        .messages
        .iter()
        .map(|message| message.rel_path.as_str())
        .collect()
}

pub(super) fn wanted(id: u64, uid: u32, size: Option<u64>) -> Message {
    let mut message = Message::new(id, URL, format!("INBOX/7-{uid}.eml"));
    message.size = size;
    message
}
