//! Mail to order, by the thousand or by the hundred megabytes, with its decoded content known.
//!
//! Everything is a function of the seed, so a failing test can be run again with the same mails.
//! Attachment names are unique within a seed: a directory of decoded files can be compared with
//! what was sent by name and SHA-256 alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest::{Context, Digest, SHA256};

/// A mail and what decoding it must yield.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The mail.
    pub raw: Vec<u8>,
    /// Its Message-ID, without the angle brackets.
    pub message_id: String,
    /// Its attachments, in order.
    pub parts: Vec<Part>,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its file name: letters, digits, `-` and `.` only.
    pub name: String,
    /// Decoded length, bytes.
    pub size: u64,
    /// SHA-256 of the decoded content, lower case hexadecimal.
    pub sha256: String,
}

/// `count` mails of `average` bytes (from a fifth to nine fifths of it), one to three attachments
/// each.
pub fn mails(count: usize, average: usize, seed: u64) -> impl Iterator<Item = Generated> {
    (0..count).map(move |number| one(number, average, seed))
}

fn one(number: usize, average: usize, seed: u64) -> Generated {
    let mut random = Random::new(seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let target = average / 5 + random.below(average * 8 / 5 + 1);
    let attachments = 1 + random.below(3);
    let message_id = format!("{seed:x}.{number}@generated.example");
    let boundary = format!("=_{seed:x}_{number}");
    let mut raw = Vec::with_capacity(target + target / 8);
    // 28 days are in every month.
    let (day, hour, minute) = (number / 1440 % 28 + 1, number / 60 % 24, number % 60);
    raw.extend(
        format!(
            "From: Sender {number} <sender{number}@generated.example>\r\n\
             To: receiver@example.com\r\n\
             Subject: Generated mail {number}\r\n\
             Date: {day:02} Sep 2026 {hour:02}:{minute:02}:00 +0000\r\n\
             Message-ID: <{message_id}>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             Mail number {number}, with {attachments} attachments.\r\n"
        )
        .bytes(),
    );
    // What base64 and its line ends leave of the rest; never nothing.
    let decoded = target.saturating_sub(raw.len() + 200 * attachments) * 57 / 78;
    let mut parts = Vec::new();
    for index in 0..attachments {
        let name = format!("part-{seed:x}-{number:05}-{index}.bin");
        let extra = 1 + random.below(64);
        let content = random.bytes(decoded / attachments + extra);
        raw.extend(part_header(&boundary, &name).bytes());
        push_base64(&mut raw, &content);
        parts.push(Part {
            name,
            size: content.len() as u64,
            sha256: sha256(&content),
        });
    }
    raw.extend(format!("--{boundary}--\r\n").bytes());
    Generated {
        raw,
        message_id,
        parts,
    }
}

fn part_header(boundary: &str, name: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    )
}

fn push_base64(raw: &mut Vec<u8>, content: &[u8]) {
    let text = BASE64.encode(content);
    for line in text.as_bytes().chunks(76) {
        raw.extend_from_slice(line);
        raw.extend(b"\r\n");
    }
}

/// Writes one mail of about `size` bytes, holding little of it, and says what its only attachment
/// decodes to.
///
/// # Errors
/// What `out` reports.
pub fn write_big_mail(out: &mut dyn Write, size: u64, seed: u64) -> io::Result<Part> {
    /// Whole base64 lines: 57 bytes become 76 characters.
    const BLOCK: usize = 57 * 1024;
    let mut random = Random::new(seed);
    // A few blocks in random order: cheap to make, and a block lost, doubled or moved shows.
    let blocks: Vec<(Vec<u8>, Vec<u8>)> = (0..16)
        .map(|_| {
            let content = random.bytes(BLOCK);
            let mut encoded = Vec::with_capacity(BLOCK * 78 / 57);
            push_base64(&mut encoded, &content);
            (content, encoded)
        })
        .collect();
    let boundary = "=_big";
    let name = format!("big-{seed:x}.bin");
    write!(
        out,
        "From: big@generated.example\r\nTo: receiver@example.com\r\nSubject: A big mail\r\n\
         Date: 01 Sep 2026 00:00:00 +0000\r\nMessage-ID: <big-{seed:x}@generated.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n{}",
        part_header(boundary, &name)
    )?;
    let mut hash = Context::new(&SHA256);
    let (mut written, mut decoded) = (0, 0);
    while written < size {
        let (content, encoded) = &blocks[random.below(blocks.len())];
        out.write_all(encoded)?;
        hash.update(content);
        written += encoded.len() as u64;
        decoded += content.len() as u64;
    }
    write!(out, "--{boundary}--\r\n")?;
    Ok(Part {
        name,
        size: decoded,
        sha256: hex(&hash.finish()),
    })
}

/// SHA-256, lower case hexadecimal.
pub fn sha256(data: &[u8]) -> String {
    hex(&ring::digest::digest(&SHA256, data))
}

/// SHA-256 of a file of any size.
///
/// # Errors
/// The file can't be read.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finish())),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn hex(digest: &Digest) -> String {
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// SplitMix64: small, and the same for ever, which a library's generator does not promise.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that always yields the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..limit`; `limit` is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next_u64() % limit as u64).expect("smaller than `limit`")
    }

    /// That many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn mails_are_of_the_size_asked_for_and_repeatable() {
        let mails: Vec<Generated> = mails(200, 50_000, 7).collect();
        let average = mails.iter().map(|mail| mail.raw.len()).sum::<usize>() / mails.len();
        assert!((45_000..55_000).contains(&average), "{average}");
        let names: BTreeSet<&str> = mails
            .iter()
            .flat_map(|mail| &mail.parts)
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(
            names.len(),
            mails.iter().map(|mail| mail.parts.len()).sum::<usize>()
        );
        assert_eq!(one(3, 50_000, 7).raw, mails[3].raw);
        assert_ne!(one(3, 50_000, 8).raw, mails[3].raw);
    }

    #[test]
    fn parts_decode_to_what_is_promised() {
        let mail = one(0, 5_000, 1);
        let text = String::from_utf8(mail.raw).expect("ASCII");
        let parts: Vec<Vec<u8>> = text
            .split("Content-Transfer-Encoding: base64\r\n\r\n")
            .skip(1)
            .map(|part| {
                let body = part
                    .split("--=_")
                    .next()
                    .unwrap_or_default()
                    .replace("\r\n", "");
                BASE64.decode(body).expect("base64")
            })
            .collect();
        assert_eq!(parts.len(), mail.parts.len());
        for (content, part) in parts.iter().zip(&mail.parts) {
            assert_eq!(
                (content.len() as u64, sha256(content)),
                (part.size, part.sha256.clone())
            );
        }
    }

    #[test]
    fn a_big_mail_is_as_big_as_asked() {
        let mut raw = Vec::new();
        let part = write_big_mail(&mut raw, 1_000_000, 1).expect("memory takes all");
        assert!((1_000_000..1_100_000).contains(&raw.len()), "{}", raw.len());
        assert!((700_000..800_000).contains(&part.size), "{}", part.size);
    }
}
