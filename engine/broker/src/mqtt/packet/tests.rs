//! The codec against itself, against bytes from the specification, and against noise.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn one(bytes: &[u8]) -> Result<Option<Packet>, Malformed> {
    decode(&mut BytesMut::from(bytes))
}

#[test]
fn a_publish_comes_back_as_it_went() {
    let message = Publish {
        dup: true,
        id: Some(7),
        topic: "x/v03/a".into(),
        expiry: None,
        content_type: Some("application/json".into()),
        headers: vec![("sum".into(), "d,0".into()), ("sum".into(), "2".into())],
        subscriptions: vec![1, 268_435_455],
        text: true,
        payload: Bytes::from_static(b"{}"),
    };
    let mut bytes = BytesMut::new();
    publish(&mut bytes, &message);
    assert!(size(&message) >= bytes.len());
    assert_eq!(decode(&mut bytes), Ok(Some(Packet::Publish(message))));
    assert!(bytes.is_empty());
}

#[test]
fn a_publish_that_goes_away_says_when() {
    let message = Publish {
        topic: "x".into(),
        expiry: Some(300),
        ..Publish::default()
    };
    let mut bytes = BytesMut::new();
    publish(&mut bytes, &message);
    assert_eq!(bytes[..], [0x30, 9, 0, 1, b'x', 5, 0x02, 0, 0, 1, 44]);
}

#[test]
fn answers_of_every_length_are_read() {
    let answer = |reasons: &[u8], text: Option<&str>| Answer {
        id: 5,
        reasons: reasons.to_vec(),
        text: text.map(str::to_owned),
    };
    for (bytes, packet) in [
        (&[0x40, 2, 0, 5][..], Packet::Puback(answer(&[0], None))),
        (
            &[0x40, 3, 0, 5, 0x10],
            Packet::Puback(answer(&[0x10], None)),
        ),
        (
            &[0x40, 4, 0, 5, 0x87, 0],
            Packet::Puback(answer(&[0x87], None)),
        ),
        (
            &[0x40, 8, 0, 5, 0x97, 4, 0x1f, 0, 1, b'q'],
            Packet::Puback(answer(&[0x97], Some("q"))),
        ),
        (
            &[0x90, 5, 0, 5, 0, 1, 0x80],
            Packet::Suback(answer(&[1, 0x80], None)),
        ),
        (
            &[0xb0, 4, 0, 5, 0, 0x11],
            Packet::Unsuback(answer(&[0x11], None)),
        ),
        (&[0xd0, 0], Packet::Pong),
        (
            &[0xe0, 0],
            Packet::Disconnect {
                reason: 0,
                text: None,
            },
        ),
        (
            &[0xe0, 1, 0x8e],
            Packet::Disconnect {
                reason: 0x8e,
                text: None,
            },
        ),
    ] {
        assert_eq!(one(bytes), Ok(Some(packet)), "{bytes:x?}");
    }
}

#[test]
fn a_welcome_says_what_the_server_can() {
    let properties = [
        0x21, 0, 20, 0x24, 1, 0x27, 0, 1, 0, 0, 0x13, 0, 60, 0x2a, 0, 0x12, 0, 1, b'c', 0x22, 0, 9,
    ];
    let mut bytes = BytesMut::from(&[0x20, 3 + 22, 1, 0, 22][..]);
    bytes.put_slice(&properties);
    let Ok(Some(Packet::Welcome(welcome))) = decode(&mut bytes) else {
        panic!("no welcome");
    };
    assert!(welcome.session_present);
    assert_eq!(welcome.properties.receive_maximum, Some(20));
    assert_eq!(welcome.properties.maximum_qos, Some(1));
    assert_eq!(welcome.properties.maximum_packet_size, Some(65_536));
    assert_eq!(welcome.properties.server_keep_alive, Some(60));
    assert_eq!(welcome.properties.shared_subscriptions, Some(0));
}

#[test]
fn a_connect_is_what_the_specification_asks_for() {
    let mut bytes = BytesMut::new();
    connect(
        &mut bytes,
        &Connect {
            client_id: "q_i01",
            clean_start: false,
            keep_alive: 30,
            session_expiry: 300,
            receive_maximum: 50,
            user: Some("u"),
            password: Some("p"),
        },
    );
    let mut expected = vec![0x10, 32, 0, 4];
    expected.extend(b"MQTT\x05\xc0\x00\x1e");
    expected.extend([8, 0x11, 0, 0, 1, 44, 0x21, 0, 50]);
    expected.extend(b"\x00\x05q_i01\x00\x01u\x00\x01p");
    assert_eq!(bytes, expected);
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for bytes in [
        &[0x30, 0x80, 0x80, 0x80, 0x80, 1][..],
        &[0x40, 2, 0, 0],
        &[0x40, 1, 0],
        &[0x34, 5, 0, 1, b'a', 0, 1],
        &[0x30, 4, 0, 9, b'a', 0],
        &[0x30, 4, 0, 1, 0xff, 0],
        &[0x30, 6, 0, 1, b'a', 2, 0x7e, 0],
        &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 1],
        &[0x00, 0],
        &[0xf0, 0],
    ] {
        assert!(one(bytes).is_err(), "{bytes:x?}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics_and_never_hangs(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut input = BytesMut::from(&noise[..]);
        while let Ok(Some(_)) = decode(&mut input) {}
    }

    #[test]
    fn a_packet_in_pieces_is_the_same_packet(
        payload in proptest::collection::vec(any::<u8>(), 0..400),
        cut in 0_usize..500,
    ) {
        let message = Publish {
            id: Some(1),
            topic: "x/v03".into(),
            payload: payload.into(),
            ..Publish::default()
        };
        let mut whole = BytesMut::new();
        publish(&mut whole, &message);
        let cut = cut.min(whole.len());
        let mut input = BytesMut::from(&whole[..cut]);
        if cut < whole.len() {
            prop_assert_eq!(decode(&mut input), Ok(None));
        }
        if input.len() == cut {
            input.extend_from_slice(&whole[cut..]);
            prop_assert_eq!(decode(&mut input), Ok(Some(Packet::Publish(message))));
        }
    }
}
