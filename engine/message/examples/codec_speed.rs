//! How long reading and writing one message takes: `cargo run --release -p flow-message --example codec_speed`.
//!
//! Prints nanoseconds per message for each codec, best of many short rounds, since other work on the
//! machine only ever adds to a round.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::hint::black_box;
use std::time::Instant;

use flow_message::codec::{decode, encode};
use flow_message::{Context, Format, v03};

const BODY: &str = concat!(
    r#"{"pubTime":"20261122T015207.001299381","baseUrl":"http://localhost:8000/","#,
    r#""relPath":"20261122/SRC/model/a/b/foo.txt","source":"tsource","#,
    r#""identity":{"method":"sha512","value":"0gX6moEVlXvwNJ+T2lHm0A0gX6moEVlXvwNJ+T2lHm0A0gX6moEVlXvwNJ+T2lHm0A0gX6moEVlXvwNJ+T2lHg=="},"mode":"644","size":17,"#,
    r#""mtime":"20261122T015206.670848846","atime":"20261122T015206.670848846","#,
    r#""contentType":"text/plain","to_clusters":"ALL"}"#
);

fn best(name: &str, mut work: impl FnMut()) {
    const COUNT: u32 = 500;
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..COUNT {
            work();
        }
        start.elapsed() / COUNT
    };
    let best = (0..400)
        .map(|_| round(&mut work))
        .min()
        .expect("some rounds");
    println!("{name:>14}: {:>6} ns", best.as_nanos());
}

fn main() {
    let message = v03::decode(BODY.as_bytes()).expect("a message");
    best("v03 decode", || {
        black_box(v03::decode(black_box(BODY.as_bytes())).expect("a message"));
    });
    best("v03 encode", || {
        black_box(v03::encode(black_box(&message)));
    });
    let context = Context::amqp("v03").with_topic(None);
    for format in Format::ALL {
        let topic = (format == Format::Wis).then_some("origin/a/wis2/x");
        let context = context.with_topic(topic);
        let wire = encode(&message, format, &context).expect("it can be written");
        best(&format!("{format} whole out"), || {
            black_box(encode(black_box(&message), format, &context).expect("written"));
        });
        best(&format!("{format} whole in"), || {
            black_box(decode(black_box(&wire.incoming()), None).expect("read"));
        });
    }
}
