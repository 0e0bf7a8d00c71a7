//! From the bytes of a charset to UTF-8: labels as mailers write them, and a guess where the label
//! is missing or wrong.
//!
//! Streaming: [`TextDecoder`] holds a few KiB at most, whatever the size of the text, and gives
//! the same result however the text is cut. It never fails: what cannot be decoded becomes U+FFFD.
//! It does not look at declarations inside the text, an HTML `charset=` in the first KiB excepted.
//!
//! The guess knows UTF-8, ISO-2022-JP, the Cyrillic charsets and windows-1252, in the order of
//! what unlabelled mail really holds.

use encoding_rs::{
    CoderResult, Decoder, Encoding, IBM866, KOI8_R, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE,
};

use crate::guess;

/// How much unlabelled text is looked at, from its first byte that is not ASCII.
const WINDOW: usize = 8 * 1024;
/// Where an HTML `charset=` is looked for.
const META: usize = 1024;

/// What a charset label stands for.
#[derive(Clone, Copy)]
pub enum Charset {
    /// A charset of the WHATWG list.
    Known(&'static Encoding),
    /// UTF-7, which that list leaves out.
    Utf7,
    /// A single-byte charset only mail-parser knows, such as cp850.
    Table(fn(&[u8]) -> String),
    /// Nothing usable: look at the text.
    Guess,
    /// Known, but no decoder is at hand (HZ, ISO-2022-KR): the bytes stay as they are.
    Unsupported,
}

/// Reads a charset label. Never fails; nonsense means [`Charset::Guess`].
#[must_use]
pub fn resolve(label: &str) -> Charset {
    let label = label.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let squashed: String = label
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(40)
        .collect();
    match squashed.as_str() {
        // ASCII with 8-bit bytes is a wrong label, so ASCII is looked at as well.
        "" | "ascii" | "usascii" | "ansix341968" | "iso646us" | "unknown" | "xunknown"
        | "unknown8bit" | "8bit" | "7bit" | "binary" | "default" | "defaultcharset" | "none"
        | "utf8mb3" | "xuserdefined" => return Charset::Guess,
        "utf8" | "unicode11utf8" | "xutf8" | "cputf8" | "cp65001" | "utf8mb4" => {
            return Charset::Known(UTF_8);
        }
        "utf7" | "unicode11utf7" | "unicode20utf7" | "xunicode20utf7" | "csutf7" | "cp65000" => {
            return Charset::Utf7;
        }
        "koi8r" | "koi8" | "xkoi8r" | "cskoi8r" | "20866" | "cp20866" => {
            return Charset::Known(KOI8_R);
        }
        "koi8u" | "koi8ru" | "xkoi8u" | "cskoi8u" | "21866" | "cp21866" => {
            return Charset::Known(encoding_rs::KOI8_U);
        }
        "866" | "dos866" | "ibm866" | "cp866" | "xcp866" | "alt" => return Charset::Known(IBM866),
        // Without a byte order mark big-endian is the rule for mail (RFC 2781 §4.3); a mark wins.
        "utf16" | "csutf16" | "utf16be" => return Charset::Known(UTF_16BE),
        _ => {}
    }
    if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
        return if encoding == REPLACEMENT {
            Charset::Unsupported
        } else {
            Charset::Known(encoding)
        };
    }
    let digits = squashed.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let prefix = &squashed[..squashed.len() - digits.len()];
    if matches!(
        prefix,
        "" | "cp" | "win" | "windows" | "xcp" | "xwindows" | "ms" | "windowscp" | "wincp" | "ansi"
    ) && let Some(encoding) = Encoding::for_label(format!("windows-{digits}").as_bytes())
    {
        return Charset::Known(encoding);
    }
    if (prefix == "iso" || prefix == "xiso")
        && let Some(part) = digits.strip_prefix("8859")
        && let Some(encoding) = Encoding::for_label(format!("iso-8859-{part}").as_bytes())
    {
        return Charset::Known(encoding);
    }
    match mail_parser::decoders::charsets::map::charset_decoder(label.as_bytes()) {
        Some(table) => Charset::Table(table),
        None => Charset::Guess,
    }
}

/// Decodes a short text, such as a header or a file name.
#[must_use]
pub fn decode(bytes: &[u8], label: Option<&str>) -> String {
    let mut decoder = TextDecoder::new(label.map_or(Charset::Guess, resolve), false);
    let mut out = String::new();
    decoder.feed(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// Turns text into UTF-8, piece by piece.
pub struct TextDecoder {
    mode: Mode,
    guessed: Option<&'static Encoding>,
    foreign: Option<bool>,
    html: bool,
}

enum Mode {
    /// ASCII so far; `window` fills from the first byte that is not.
    Looking {
        expected: Option<&'static Encoding>,
        head: Vec<u8>,
        window: Vec<u8>,
        passed: bool,
    },
    Running(Decoder),
    Utf7(Utf7),
    Table(fn(&[u8]) -> String),
    Bytes,
}

impl TextDecoder {
    /// `html` allows a `charset=` at the start of the text to decide where the label does not.
    #[must_use]
    pub fn new(charset: Charset, html: bool) -> Self {
        let looking = |expected| Mode::Looking {
            expected,
            head: Vec::new(),
            window: Vec::new(),
            passed: false,
        };
        let mode = match charset {
            Charset::Guess => looking(None),
            Charset::Known(encoding) if encoding == UTF_8 => looking(Some(UTF_8)),
            Charset::Known(encoding) => Mode::Running(encoding.new_decoder()),
            Charset::Utf7 => Mode::Utf7(Utf7::default()),
            Charset::Table(table) => Mode::Table(table),
            Charset::Unsupported => Mode::Bytes,
        };
        let foreign = match &mode {
            Mode::Looking { .. } => None,
            Mode::Running(decoder) => Some(is_foreign(decoder.encoding())),
            Mode::Utf7(_) | Mode::Table(_) => Some(true),
            Mode::Bytes => Some(false),
        };
        Self {
            mode,
            guessed: None,
            foreign,
            html,
        }
    }

    /// The charset that was taken because the label was missing or wrong.
    #[must_use]
    pub fn guessed(&self) -> Option<&'static str> {
        self.guessed.map(Encoding::name)
    }

    /// Whether the text, from its start on, came in another charset than Unicode. Known as soon as
    /// anything of an HTML text is passed on.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.foreign.unwrap_or(false)
    }

    /// Decodes the next bytes into `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut String) {
        match &mut self.mode {
            Mode::Looking { .. } => self.look(bytes, out),
            Mode::Running(decoder) => run(decoder, bytes, out, false),
            Mode::Utf7(state) => state.feed(bytes, out),
            Mode::Table(table) => out.push_str(&table(bytes)),
            Mode::Bytes => out.push_str(&String::from_utf8_lossy(bytes)),
        }
    }

    /// Decodes what was held back.
    pub fn finish(&mut self, out: &mut String) {
        if matches!(&self.mode, Mode::Looking { window, .. } if !window.is_empty()) {
            self.decide(out, true);
        }
        match &mut self.mode {
            Mode::Running(decoder) => run(decoder, &[], out, true),
            Mode::Utf7(state) => state.finish(out),
            _ => {}
        }
    }

    fn look(&mut self, bytes: &[u8], out: &mut String) {
        let Mode::Looking {
            expected,
            head,
            window,
            passed,
        } = &mut self.mode
        else {
            return;
        };
        let mut rest = bytes;
        if self.html && head.len() < META {
            head.extend_from_slice(&rest[..rest.len().min(META - head.len())]);
        }
        // An HTML text is held from its start, so that its charset is known before any of it is
        // passed on.
        if window.is_empty() && (!self.html || *passed) {
            let mut ascii = Encoding::ascii_valid_up_to(rest);
            if expected.is_none() {
                // An escape may start ISO-2022-JP, which is ASCII to the eye.
                ascii = memchr::memchr(0x1b, &rest[..ascii]).unwrap_or(ascii);
            }
            if ascii > 0 {
                // ASCII by the check above, so this never replaces anything.
                out.push_str(&String::from_utf8_lossy(&rest[..ascii]));
                *passed = true;
            }
            rest = &rest[ascii..];
        }
        let take = rest.len().min(WINDOW - window.len());
        window.extend_from_slice(&rest[..take]);
        if window.len() == WINDOW {
            self.decide(out, false);
            self.feed(&rest[take..], out);
        }
    }

    fn decide(&mut self, out: &mut String, whole: bool) {
        let Mode::Looking {
            expected,
            head,
            window,
            passed,
        } = &mut self.mode
        else {
            return;
        };
        let window = std::mem::take(window);
        if window.is_ascii() && !window.contains(&0x1b) {
            out.push_str(&String::from_utf8_lossy(&window));
            *passed = true;
            self.foreign = Some(false);
            return;
        }
        let mark = if *passed {
            None
        } else {
            Encoding::for_bom(&window).map(|(encoding, _)| encoding)
        };
        let declared = if self.html { guess::meta(head) } else { None };
        let encoding = if let Some(mark) = mark {
            mark
        } else if guess::is_utf8(&window, whole) && !window.contains(&0x1b) {
            UTF_8
        } else if expected.is_some() && guess::is_mostly_utf8(&window) {
            // A damaged byte or two in labelled UTF-8 is damage, not another charset.
            UTF_8
        } else {
            declared.unwrap_or_else(|| guess::guess(&window, whole))
        };
        if Some(encoding) != *expected && mark.is_none() {
            self.guessed = Some(encoding);
        }
        self.foreign.get_or_insert(is_foreign(encoding));
        let mut decoder = if *passed {
            encoding.new_decoder_without_bom_handling()
        } else {
            encoding.new_decoder()
        };
        run(&mut decoder, &window, out, false);
        self.mode = Mode::Running(decoder);
    }
}

fn is_foreign(encoding: &'static Encoding) -> bool {
    ![UTF_8, UTF_16BE, UTF_16LE].contains(&encoding)
}

fn run(decoder: &mut Decoder, mut bytes: &[u8], out: &mut String, last: bool) {
    loop {
        let need = decoder
            .max_utf8_buffer_length(bytes.len())
            .unwrap_or(bytes.len());
        // The bound is three times the input for most charsets; growing in steps is cheaper.
        out.reserve(need.min(bytes.len() + bytes.len() / 2 + 64));
        let (result, read, _) = decoder.decode_to_string(bytes, out, last);
        bytes = &bytes[read..];
        if result == CoderResult::InputEmpty {
            return;
        }
        out.reserve(64);
    }
}

/// RFC 2152, decoded leniently.
#[derive(Default)]
struct Utf7 {
    inside: bool,
    fresh: bool,
    bits: u32,
    count: u32,
    high: Option<u16>,
}

impl Utf7 {
    fn feed(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            if !self.inside {
                if byte == b'+' {
                    *self = Self {
                        inside: true,
                        fresh: true,
                        ..Self::default()
                    };
                } else {
                    push_ascii(byte, out);
                }
                continue;
            }
            if let Some(value) = crate::base64::value(byte) {
                self.fresh = false;
                self.bits = (self.bits << 6 | u32::from(value)) & 0x3f_ffff;
                self.count += 6;
                if self.count >= 16 {
                    self.count -= 16;
                    self.unit((self.bits >> self.count & 0xffff) as u16, out);
                }
                continue;
            }
            if self.fresh {
                // `+-` is a plus; a plus before anything else was meant as one.
                out.push('+');
            }
            self.inside = false;
            self.orphan(out);
            if byte != b'-' {
                push_ascii(byte, out);
            }
        }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let code =
                    0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (high, 0xd800..=0xdbff) => {
                if high.is_some() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                self.high = Some(unit);
            }
            (high, _) => {
                if high.is_some() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    fn orphan(&mut self, out: &mut String) {
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn finish(&mut self, out: &mut String) {
        if self.inside && self.fresh {
            out.push('+');
        }
        self.inside = false;
        self.orphan(out);
    }
}

fn push_ascii(byte: u8, out: &mut String) {
    out.push(if byte.is_ascii() {
        char::from(byte)
    } else {
        char::REPLACEMENT_CHARACTER
    });
}
