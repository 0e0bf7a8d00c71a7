//! What was asked and not answered, in the plugin's state: who asked, which file, until when.
//!
//! A request is kept with the transaction that keeps its message, its answer with the one that ends it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use flow_plugin::time::Time;
use flow_plugin::{Message, Result, state};

use crate::response::Response;

const OPEN: &str = "open/";
const PEER: &str = "peer/";
/// Kept so much longer than until its deadline: whoever looks after the journal may be away.
const SPARE: Duration = Duration::from_secs(3600);

/// A request by what makes it the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// A connection to the server; its number is never used again.
    pub(crate) peer: u64,
    pub(crate) sequence: String,
}

/// A request nobody has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Seconds since 1970.
    pub(crate) deadline: i64,
    pub(crate) interface: u32,
    /// Known only to those who were handed the mail: an answer has to bring it along.
    pub(crate) ticket: String,
    /// What to answer, once that is decided.
    pub(crate) answer: Option<String>,
    pub(crate) file: String,
}

impl Name {
    /// Of the request a message is about, if it is about one.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        Some(Self {
            peer: message.header("cgpPeer")?.parse().ok()?,
            sequence: message.header("cgpSequence")?.to_owned(),
        })
    }

    /// A response as it stands behind the sequence number and a blank.
    pub(crate) fn line(&self, response: &Response, interface: u32) -> String {
        response.write(interface, self.sequence.len() + 1)
    }

    fn key(&self) -> String {
        format!("{OPEN}{}/{}", self.peer, self.sequence)
    }

    fn read(key: &str) -> Option<Self> {
        let (peer, sequence) = key.strip_prefix(OPEN)?.split_once('/')?;
        Some(Self {
            peer: peer.parse().ok()?,
            sequence: sequence.to_owned(),
        })
    }
}

impl Request {
    fn written(&self) -> String {
        let Self {
            deadline,
            interface,
            ticket,
            answer,
            file,
        } = self;
        let answer = answer.as_deref().unwrap_or_default();
        format!("{deadline}\t{interface}\t{ticket}\t{answer}\t{file}")
    }

    fn read(text: &str) -> Option<Self> {
        // An answer has no tabs but escaped ones; a file may.
        let mut parts = text.splitn(5, '\t');
        Some(Self {
            deadline: parts.next()?.parse().ok()?,
            interface: parts.next()?.parse().ok()?,
            ticket: parts.next()?.to_owned(),
            answer: Some(parts.next()?.to_owned()).filter(|answer| !answer.is_empty()),
            file: parts.next()?.to_owned(),
        })
    }

    /// So many seconds after its deadline; negative before.
    pub(crate) fn overdue(&self) -> i64 {
        Time::now().unix() - self.deadline
    }
}

pub(crate) fn find(name: &Name) -> Result<Option<Request>> {
    Ok(state::get_text(&name.key())?.and_then(|text| Request::read(&text)))
}

/// The request a message is about, if that still waits, is about the same file, and the message comes
/// from somebody who was handed the mail.
pub(crate) fn asked(message: &Message, name: &Name) -> Result<Option<Request>> {
    let request = find(name)?;
    let same = |name, value: &str| message.header(name) == Some(value);
    Ok(request
        .filter(|request| same("cgpFile", &request.file) && same("cgpTicket", &request.ticket)))
}

/// A ticket nobody can guess.
pub(crate) fn ticket(name: &Name) -> String {
    // Its keys are the machine's randomness, and stay here.
    let keys = RandomState::new();
    format!("{:016x}", keys.hash_one((name.peer, &name.sequence)))
}

pub(crate) fn keep(name: &Name, request: &Request) -> Result<()> {
    let left = u64::try_from(-request.overdue()).unwrap_or_default();
    let ttl = Duration::from_secs(left) + SPARE;
    state::put_for(&name.key(), request.written(), ttl)
}

pub(crate) fn forget(name: &Name) -> Result<()> {
    state::delete(&name.key())
}

/// Whether there are as many as `most`.
pub(crate) fn is_full(most: u32) -> Result<bool> {
    let found = state::list(OPEN, "", most)?;
    Ok(found.len() >= most as usize)
}

/// All there are.
pub(crate) fn all() -> Result<Vec<(Name, Request)>> {
    let mut all = Vec::new();
    for key in state::keys(OPEN)? {
        if let Some(name) = Name::read(&key)
            && let Some(request) = find(&name)?
        {
            all.push((name, request));
        }
    }
    Ok(all)
}

/// The interface version agreed on with a peer; none where nobody knows the peer.
pub(crate) fn interface(peer: u64) -> Result<Option<u32>> {
    let found = state::get_number(&format!("{PEER}{peer}"))?;
    Ok(found.and_then(|version| u32::try_from(version).ok()))
}

pub(crate) fn agree(peer: u64, interface: u32) -> Result<()> {
    state::put_number(&format!("{PEER}{peer}"), interface.into())
}

/// The peers there are, or were.
pub(crate) fn peers() -> Result<Vec<u64>> {
    let keys = state::keys(PEER)?;
    Ok(keys
        .iter()
        .filter_map(|key| key.strip_prefix(PEER)?.parse().ok())
        .collect())
}

/// Forgets a peer and what it asked.
pub(crate) fn part(peer: u64) -> Result<()> {
    state::delete(&format!("{PEER}{peer}"))?;
    for key in state::keys(&format!("{OPEN}{peer}/"))? {
        state::delete(&key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flow_plugin::Header;
    use flow_plugin::testing::Host;

    use super::*;

    #[test]
    fn a_request_is_found_by_all_of_its_name() {
        let _host = Host::default().install();
        let name = |peer, sequence: &str| Name {
            peer,
            sequence: sequence.into(),
        };
        let request = Request {
            deadline: Time::now().unix() + 10,
            interface: 3,
            ticket: ticket(&name(7, "1")),
            answer: None,
            file: "Queue/a\tb.msg".into(),
        };
        keep(&name(7, "1"), &request).unwrap();
        let answered = Request {
            answer: Some("ERROR \"x\\ty\"".into()),
            ..request.clone()
        };
        keep(&name(7, "17"), &answered).unwrap();
        assert_eq!(find(&name(7, "1")).unwrap(), Some(request.clone()));
        assert_eq!(find(&name(7, "17")).unwrap(), Some(answered));
        assert_eq!(find(&name(8, "1")).unwrap(), None);
        assert!(is_full(2).unwrap() && !is_full(3).unwrap());
        let mut message = Message::new(1, "file:///", "x");
        message.headers = vec![
            Header::text("cgpPeer", "7"),
            Header::text("cgpSequence", "1"),
            Header::text("cgpFile", "Queue/other.msg"),
            Header::text("cgpTicket", request.ticket.clone()),
        ];
        let found = Name::of(&message).unwrap();
        assert_eq!(asked(&message, &found).unwrap(), None);
        message.headers[2] = Header::text("cgpFile", request.file.clone());
        assert_eq!(asked(&message, &found).unwrap(), Some(request));
        message.headers[3] = Header::text("cgpTicket", ticket(&found));
        assert_eq!(asked(&message, &found).unwrap(), None);
        part(7).unwrap();
        assert_eq!(all().unwrap(), []);
    }
}
