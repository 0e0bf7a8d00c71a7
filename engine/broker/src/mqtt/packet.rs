//! MQTT 5 packets, as far as a client of QoS 0 and 1 needs them.
//!
//! Pure: bytes in, packets out. No state, no I/O, nothing that could block. What a server sends is
//! not trusted: every length is checked, and a packet that is not well formed is an error, never a
//! panic and never half a packet.
//!
//! Not here: QoS 2, wills, topic aliases (none are allowed to the server, so none arrive), enhanced
//! authentication. A server that sends them anyway is told to be malformed.
//!
//! Source: MQTT Version 5.0, OASIS Standard, chapters 2 and 3.

mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::{Bytes, BytesMut};

use read::Reader;
pub(super) use write::{connect, disconnect, ping, puback, publish, size, subscribe, unsubscribe};

/// The longest packet there can be: a remaining length of four bytes, and the header.
pub(super) const LONGEST: usize = 268_435_455 + 5;

/// Why bytes are no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// What opens a session.
#[derive(Debug, Clone)]
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    pub(super) clean_start: bool,
    /// Seconds; 0 is none.
    pub(super) keep_alive: u16,
    /// Seconds after the connection ends; all ones is never.
    pub(super) session_expiry: u32,
    /// How many publishes may be on their way to us without an answer.
    pub(super) receive_maximum: u16,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
}

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Publish {
    /// It was sent before, as far as the sender knows.
    pub(super) dup: bool,
    /// None for QoS 0.
    pub(super) id: Option<u16>,
    pub(super) topic: String,
    /// Seconds after which it goes away; not read of what arrives.
    pub(super) expiry: Option<u32>,
    pub(super) content_type: Option<String>,
    /// User properties, in order.
    pub(super) headers: Vec<(String, String)>,
    /// Of the subscriptions it was sent for; empty if the server does not say.
    pub(super) subscriptions: Vec<u32>,
    /// Whether it says to be UTF-8.
    pub(super) text: bool,
    pub(super) payload: Bytes,
}

/// The answer to a connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    pub(super) session_present: bool,
    pub(super) reason: u8,
    pub(super) properties: Properties,
}

/// An answer with a reason for each thing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u16,
    pub(super) reasons: Vec<u8>,
    pub(super) text: Option<String>,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Welcome(Welcome),
    Publish(Publish),
    Puback(Answer),
    Suback(Answer),
    Unsuback(Answer),
    Pong,
    Disconnect { reason: u8, text: Option<String> },
}

/// Properties that somebody here reads; the others are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Properties {
    pub(super) payload_format: Option<u8>,
    pub(super) content_type: Option<String>,
    pub(super) subscriptions: Vec<u32>,
    pub(super) server_keep_alive: Option<u16>,
    pub(super) reason: Option<String>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) topic_alias: Option<u16>,
    pub(super) maximum_qos: Option<u8>,
    pub(super) user: Vec<(String, String)>,
    pub(super) maximum_packet_size: Option<u32>,
    pub(super) wildcards: Option<u8>,
    pub(super) subscription_ids: Option<u8>,
    pub(super) shared_subscriptions: Option<u8>,
}

/// Takes the first packet off `input`; none while it is not all there.
pub(super) fn decode(input: &mut BytesMut) -> Result<Option<Packet>, Malformed> {
    let Some((header, length)) = frame(input)? else {
        return Ok(None);
    };
    let whole = header + length;
    if input.len() < whole {
        input.reserve((whole - input.len()).min(1 << 20));
        return Ok(None);
    }
    let packet = input.split_to(whole).freeze();
    body(packet[0], Reader::new(packet.slice(header..))).map(Some)
}

/// The length of the fixed header and of what follows it; none while that can't be said.
fn frame(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0_usize;
    for place in 0..4 {
        let Some(byte) = input.get(1 + place) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + place, length)));
        }
    }
    Err(Malformed("a length of more than four bytes"))
}

fn body(first: u8, mut reader: Reader) -> Result<Packet, Malformed> {
    let flags = first & 0x0f;
    let packet = match first >> 4 {
        2 => {
            let acknowledge = reader.byte()?;
            Packet::Welcome(Welcome {
                session_present: acknowledge & 1 == 1,
                reason: reader.byte()?,
                properties: reader.properties()?,
            })
        }
        3 => Packet::Publish(message(flags, &mut reader)?),
        4 => Packet::Puback(short_answer(&mut reader)?),
        9 => Packet::Suback(long_answer(&mut reader)?),
        11 => Packet::Unsuback(long_answer(&mut reader)?),
        13 => Packet::Pong,
        14 => {
            let (reason, text) = reason(&mut reader)?;
            Packet::Disconnect { reason, text }
        }
        _ => return Err(Malformed("a kind of packet that a server does not send")),
    };
    Ok(packet)
}

fn message(flags: u8, reader: &mut Reader) -> Result<Publish, Malformed> {
    let id_wanted = match flags >> 1 & 3 {
        0 => false,
        1 => true,
        _ => return Err(Malformed("a publish of a QoS that nobody subscribed to")),
    };
    let topic = reader.text()?;
    let id = if id_wanted { Some(reader.id()?) } else { None };
    let properties = reader.properties()?;
    if topic.is_empty() || properties.topic_alias.is_some() {
        return Err(Malformed(
            "a publish with a topic alias, which none was allowed",
        ));
    }
    Ok(Publish {
        dup: flags & 8 != 0,
        id,
        topic,
        expiry: None,
        content_type: properties.content_type,
        headers: properties.user,
        subscriptions: properties.subscriptions,
        text: properties.payload_format == Some(1),
        payload: reader.rest(),
    })
}

/// Reason and text of the packets that leave both out where all is well.
fn reason(reader: &mut Reader) -> Result<(u8, Option<String>), Malformed> {
    if reader.is_empty() {
        return Ok((0, None));
    }
    let reason = reader.byte()?;
    if reader.is_empty() {
        return Ok((reason, None));
    }
    Ok((reason, reader.properties()?.reason))
}

fn short_answer(reader: &mut Reader) -> Result<Answer, Malformed> {
    let id = reader.id()?;
    let (reason, text) = reason(reader)?;
    Ok(Answer {
        id,
        reasons: vec![reason],
        text,
    })
}

fn long_answer(reader: &mut Reader) -> Result<Answer, Malformed> {
    Ok(Answer {
        id: reader.id()?,
        text: reader.properties()?.reason,
        reasons: reader.rest().to_vec(),
    })
}
