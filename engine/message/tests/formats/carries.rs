//! Every format carries every message as far as its table says, over both transports; and the v03
//! decoder agrees with the plain one on any JSON.

use flow_message::codec::{MAX_SENT_HEADERS, decode, detect, encode};
use flow_message::{Blocks, EncodeError, Format, Identity, Message, Transport};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::carried::carried;
use crate::properties::{json, message, text};
use crate::vectors::context;

fn identity() -> impl Strategy<Value = Identity> {
    let digest = ("md5|sha512|md5name|sha256|other", vec(any::<u8>(), 0..70))
        .prop_map(|(method, digest)| Identity::of_digest(method, &digest));
    let named = (
        "random|arbitrary|cod|sha512",
        prop_oneof![text(), "md5|sha512|x"],
    )
        .prop_map(|(method, value)| Identity { method, value });
    prop_oneof![digest, named]
}

fn blocks() -> impl Strategy<Value = Blocks> {
    let method = "inplace|partitioned|separate|none";
    let manifest = of(vec((0u64..5, any::<u32>()), 0..4));
    (method, any::<u32>(), of(-1i64..5), of(0u64..9), manifest).prop_map(
        |(method, size, number, count, manifest)| {
            let mut value = json!({"method": method, "size": size});
            let fields = value.as_object_mut().expect("an object");
            if let Some(number) = number {
                fields.insert("number".into(), number.into());
            }
            if let Some(count) = count {
                fields.insert("count".into(), count.into());
                fields.insert("remainder".into(), "7".into());
            }
            if let Some(entries) = manifest {
                let entry = |(number, size): (u64, u32)| {
                    (number.to_string(), json!({"size": size, "identity": "x"}))
                };
                let entries = entries.into_iter().map(entry).collect();
                fields.insert("manifest".into(), Value::Object(entries));
            }
            Blocks {
                value: fields.clone(),
            }
        },
    )
}

/// A message whose identity and blocks are likely to mean something.
fn sensible() -> impl Strategy<Value = Message> {
    (message(), of(identity()), of(blocks())).prop_map(|(mut message, identity, blocks)| {
        message.identity = identity.or(message.identity);
        message.blocks = blocks.or(message.blocks);
        // Paths with a NUL are refused, which is looked at elsewhere.
        let mut paths = vec![&mut message.base_url, &mut message.rel_path];
        paths.extend(&mut message.retrieve_path);
        paths.extend(&mut message.rename);
        if let Some(op) = &mut message.file_op {
            for target in [&mut op.link, &mut op.hlink, &mut op.rename] {
                paths.extend(target);
            }
        }
        for path in paths {
            *path = path.replace('\0', "_");
        }
        message
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Amqp), Just(Transport::Mqtt)]
}

/// Whether an error of v02 is one that its documentation announces.
fn announced(error: &EncodeError, message: &Message, transport: Transport) -> bool {
    let bad = |text: &str| text.is_empty() || text.ends_with(['\r', '\n']);
    match error {
        EncodeError::Field { field, reason, .. } => {
            (field == "baseUrl" && bad(&message.base_url))
                || (field == "relPath" && bad(&message.rel_path))
                || (transport == Transport::Mqtt && reason.contains("NUL"))
        }
        EncodeError::TooLarge { size, .. } => *size > MAX_SENT_HEADERS,
        EncodeError::Topic(_) => false,
    }
}

proptest! {
    #[test]
    fn v02_carries_what_it_says(message in sensible(), transport in transport()) {
        let context = context(Format::V02, transport);
        match encode(&message, Format::V02, &context) {
            Ok(wire) => {
                prop_assert_eq!(detect(&wire.incoming()), Format::V02);
                let back = decode(&wire.incoming(), None).expect("what was written is read");
                prop_assert_eq!(back, carried(&message, Format::V02, transport));
                if transport == Transport::Mqtt {
                    prop_assert!(wire.headers.iter().all(|(_, value)| value.is_string()));
                }
            }
            Err(error) => prop_assert!(announced(&error, &message, transport), "{}", error),
        }
    }

    #[test]
    fn wis_carries_what_it_says(
        message in sensible(),
        transport in transport(),
        base in "https?://[a-z.]{1,9}(:[0-9]{2,4})?(/[a-z/]{0,9})?",
        path in "[a-zA-Z0-9/._-]{0,24}",
        retrieve in of("/?[a-z0-9/.-]{0,12}(\\?[a-z=&]{0,8})?"),
    ) {
        let mut message = message;
        (message.base_url, message.rel_path, message.retrieve_path) = (base, path, retrieve);
        let wire = encode(&message, Format::Wis, &context(Format::Wis, transport)).expect("written");
        prop_assert_eq!(detect(&wire.incoming()), Format::Wis);
        let back = decode(&wire.incoming(), None).expect("what was written is read");
        prop_assert_eq!(back, carried(&message, Format::Wis, transport));
    }

    #[test]
    fn v03_carries_everything(message in sensible(), transport in transport()) {
        let wire = encode(&message, Format::V03, &context(Format::V03, transport)).expect("written");
        prop_assert_eq!(decode(&wire.incoming(), None), Ok(message));
    }

    #[test]
    fn the_decoder_agrees_with_the_plain_one(
        members in vec((0usize..22, "[ \n\t]{0,2}", json()), 0..8),
        times in any::<bool>(),
        tail in "|||}|,|x",
    ) {
        // Written by hand, so that keys can come twice and with escapes.
        const KEYS: [&str; 22] = [
            "pubTime", "baseUrl", "relPath", "retrievePath", "source", "identity", "mode", "size",
            "mtime", "atime", "contentType", "fileOp", "content", "blocks", "rename", "integrity",
            "retPath", "parts", "x", "y", "re\\u006cPath", "",
        ];
        let mut text = String::from("{");
        if times {
            text += r#""pubTime":"20261122T015207.5","baseUrl":"b","relPath":"r","z":1"#;
        }
        for (key, blank, value) in members {
            let comma = if text.len() > 1 { "," } else { "" };
            text += &format!("{comma}{blank}\"{}\"{blank}:{value}", KEYS[key]);
        }
        text += &format!("}}{tail}");
        crate::targets::v03(text.as_bytes());
    }
}
