//! Writing packets.
//!
//! Texts longer than 65 535 bytes can't be carried; `names` and `wire` see to it that none get here,
//! and what does is cut at a character.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Connect, Publish};

/// The longest text or piece of binary data.
pub(in crate::mqtt) const LONGEST_TEXT: usize = 65_535;

fn number(out: &mut BytesMut, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit");
        value >>= 7;
        if value == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

fn text(out: &mut BytesMut, text: &str) {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    out.put_u16(u16::try_from(text.len()).expect("it was cut to what fits"));
    out.put_slice(text.as_bytes());
}

fn packet(out: &mut BytesMut, first: u8, head: &[u8], payload: &[u8]) {
    out.reserve(head.len() + payload.len() + 5);
    out.put_u8(first);
    number(out, head.len() + payload.len());
    out.put_slice(head);
    out.put_slice(payload);
}

fn with_properties(out: &mut BytesMut, properties: &[u8]) {
    number(out, properties.len());
    out.put_slice(properties);
}

pub(in crate::mqtt) fn connect(out: &mut BytesMut, connect: &Connect<'_>) {
    let mut head = BytesMut::new();
    text(&mut head, "MQTT");
    head.put_u8(5);
    let mut flags = 0;
    for (bit, wanted) in [
        (0x02, connect.clean_start),
        (0x40, connect.password.is_some()),
        (0x80, connect.user.is_some()),
    ] {
        if wanted {
            flags |= bit;
        }
    }
    head.put_u8(flags);
    head.put_u16(connect.keep_alive);
    let mut properties = BytesMut::new();
    properties.put_u8(0x11);
    properties.put_u32(connect.session_expiry);
    properties.put_u8(0x21);
    properties.put_u16(connect.receive_maximum.max(1));
    with_properties(&mut head, &properties);
    text(&mut head, connect.client_id);
    for part in [connect.user, connect.password].into_iter().flatten() {
        text(&mut head, part);
    }
    packet(out, 0x10, &head, &[]);
}

pub(in crate::mqtt) fn publish(out: &mut BytesMut, message: &Publish) {
    let mut first = 0x30;
    let mut head = BytesMut::new();
    text(&mut head, &message.topic);
    if let Some(id) = message.id {
        first |= 0x02;
        head.put_u16(id);
        if message.dup {
            first |= 0x08;
        }
    }
    let mut properties = BytesMut::new();
    if message.text {
        properties.put_slice(&[0x01, 1]);
    }
    if let Some(seconds) = message.expiry {
        properties.put_u8(0x02);
        properties.put_u32(seconds);
    }
    if let Some(kind) = &message.content_type {
        properties.put_u8(0x03);
        text(&mut properties, kind);
    }
    for id in &message.subscriptions {
        properties.put_u8(0x0b);
        number(&mut properties, usize::try_from(*id).unwrap_or(1));
    }
    for (name, value) in &message.headers {
        properties.put_u8(0x26);
        text(&mut properties, name);
        text(&mut properties, value);
    }
    with_properties(&mut head, &properties);
    packet(out, first, &head, &message.payload);
}

pub(in crate::mqtt) fn puback(out: &mut BytesMut, id: u16) {
    packet(out, 0x40, &id.to_be_bytes(), &[]);
}

/// Subscribes to filters, each with an identifier if the server gives them out, at a QoS.
///
/// One packet has one identifier, so filters with different ones take a packet each.
pub(in crate::mqtt) fn subscribe(
    out: &mut BytesMut,
    id: u16,
    filter: &str,
    number_of: Option<u32>,
    qos: u8,
) {
    let mut head = BytesMut::new();
    head.put_u16(id);
    let mut properties = BytesMut::new();
    if let Some(subscription) = number_of {
        properties.put_u8(0x0b);
        number(
            &mut properties,
            usize::try_from(subscription).expect("at least 32 bits"),
        );
    }
    with_properties(&mut head, &properties);
    text(&mut head, filter);
    head.put_u8(qos);
    packet(out, 0x82, &head, &[]);
}

pub(in crate::mqtt) fn unsubscribe(out: &mut BytesMut, id: u16, filter: &str) {
    let mut head = BytesMut::new();
    head.put_u16(id);
    head.put_u8(0);
    text(&mut head, filter);
    packet(out, 0xa2, &head, &[]);
}

pub(in crate::mqtt) fn ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// Ends the connection; the session lives on for as long as the connect said.
pub(in crate::mqtt) fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xe0, 0]);
}

/// How many bytes a publish takes on the wire, its header included.
pub(in crate::mqtt) fn size(message: &Publish) -> usize {
    let mut out = BytesMut::new();
    publish(
        &mut out,
        &Publish {
            payload: Bytes::new(),
            ..message.clone()
        },
    );
    // Three bytes more if the length needs all four.
    out.len() + message.payload.len() + 3
}
