//! Every target on its corpus, and on what little changes make of it: a short, repeatable piece of
//! fuzzing in every test run. `tests/fuzz` does the long one.

use std::path::Path;

use crate::targets::{TARGETS, Target};

/// A generator that is the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % limit.max(1)
    }
}

/// Pieces that mean something to a decoder.
const WORDS: [&[u8]; 28] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"%20",
    b"%23",
    b"\n",
    b" ",
    b"sum: L,00\n",
    b"oldname: x\n",
    b"parts: i,1,2,3,4\n",
    b"link: =5\n",
    b"\"fileOp\":{\"remove\":\"\"},",
    b"\"size\":\"7\",",
    b"\"$serde_json::private::Number\":\"1\",",
    b"\"identity\":null,",
    b"T",
];

fn mutate(random: &mut Random, data: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(12)).min(data.len());
        match random.below(6) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 => drop(data.drain(at..end)),
            2 => {
                let word = WORDS[random.below(WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
            3 => {
                let word = WORDS[random.below(WORDS.len())];
                data.splice(at..end, word.iter().copied());
            }
            4 => {
                let piece = data[at..end].to_vec();
                let to = random.below(data.len() + 1);
                data.splice(to..to, piece);
            }
            _ => data.truncate(at),
        }
    }
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("readable"),
            )
        })
        .collect()
}

fn run(target: Target, what: &str, data: &[u8]) {
    if std::panic::catch_unwind(|| target(data)).is_err() {
        panic!("see above; {what} became {}", data.escape_ascii());
    }
}

#[test]
fn nothing_near_the_corpus_breaks_a_decoder() {
    const ROUNDS: usize = 400;
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for (number, (file, data)) in corpus.iter().enumerate() {
            run(target, file, data);
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
            let mut changed = data.clone();
            for round in 0..ROUNDS {
                // Changes pile up for a while, and begin anew before nothing is left to read.
                if round % 4 == 0 {
                    changed.clone_from(data);
                }
                mutate(&mut random, &mut changed);
                run(target, file, &changed);
            }
        }
    }
}

#[test]
fn what_is_large_or_deep_is_refused_in_little_memory() {
    use flow_message::codec::{MAX_BODY, decode};
    use flow_message::{Incoming, wis};
    let refused = |body: &[u8]| {
        let incoming = Incoming {
            body,
            ..Incoming::default()
        };
        decode(&incoming, None).expect_err("refused").to_string()
    };
    let base = r#"{"pubTime":"20261122T015207","baseUrl":"b","relPath":"r","x":"#;
    let many = format!("{base}[{}1]}}", "1,".repeat(300_000));
    assert_eq!(
        refused(many.as_bytes()),
        "bodies of 300003 JSON values are too large: at most 200000 are read"
            .replace("300003", &values(&many))
    );
    let large = vec![b' '; MAX_BODY + 1];
    assert_eq!(
        refused(&large),
        "bodies of 16777217 bytes are too large: at most 16777216 are read"
    );
    let deep = format!("{base}{}{}}}", "[".repeat(90_000), "]".repeat(90_000));
    assert!(refused(deep.as_bytes()).contains("recursion limit"));
    assert!(wis::decode(deep.as_bytes(), Some("t")).is_err());
    // Text is no value, however many commas it has.
    let text = format!("{base}\"{}\"}}", ",[{\\\"".repeat(200_000));
    let incoming = Incoming {
        body: text.as_bytes(),
        ..Incoming::default()
    };
    decode(&incoming, None).expect("a message with a long text");
}

/// How many values the check counts: the body's own object and members beside the list's.
fn values(body: &str) -> String {
    (1 + body.matches([',', '[', '{']).count()).to_string()
}
