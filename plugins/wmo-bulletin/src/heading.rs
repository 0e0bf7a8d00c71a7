//! The abbreviated heading: `TTAAii CCCC YYGGgg [BBB]`. Pure.

use std::borrow::Cow;
use std::fmt;

use flow_plugin::time::Time;

/// How far into content a heading is looked for, bytes: behind a starting line, at most.
const SEARCH: usize = 200;
/// Days that a heading may be from its announcement, each way, and still be told the month.
const NEAR_DAYS: i64 = 15;

/// A heading, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    /// What kind of data, from where, which of several.
    pub(crate) ttaaii: String,
    /// The centre that made it.
    pub(crate) cccc: String,
    /// Day of the month, hour, minute, UTC.
    pub(crate) yygggg: String,
    /// Delayed, corrected, amended, or a part.
    pub(crate) bbb: Option<String>,
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.ttaaii, self.cccc, self.yygggg)?;
        self.bbb.iter().try_for_each(|bbb| write!(f, " {bbb}"))
    }
}

impl Heading {
    /// Puts a heading together, if the parts are those of one.
    fn new(ttaaii: &str, cccc: &str, yygggg: &str, bbb: Option<&str>) -> Option<Self> {
        let upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase());
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let sound = ttaaii.len() == 6
            && ttaaii.is_ascii()
            && upper(&ttaaii[..4])
            && digits(&ttaaii[4..])
            && cccc.len() == 4
            && cccc
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && cccc.as_bytes()[0].is_ascii_uppercase()
            && is_time(yygggg)
            && bbb.is_none_or(is_bbb);
        sound.then(|| Self {
            ttaaii: ttaaii.to_owned(),
            cccc: cccc.to_owned(),
            yygggg: yygggg.to_owned(),
            bbb: bbb.map(str::to_owned),
        })
    }

    /// Reads a line of content.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (ttaaii, cccc, yygggg) = (words.next()?, words.next()?, words.next()?);
        let bbb = words.next();
        if words.next().is_some() {
            return None;
        }
        Self::new(ttaaii, cccc, yygggg, bbb)
    }

    /// Finds the heading at the start of content: the first line, or the one behind a starting line
    /// (`SOH CR CR LF nnn`).
    pub(crate) fn from_content(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(SEARCH)];
        let mut lines = start
            .split(|byte| matches!(byte, b'\r' | b'\n' | 1))
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace));
        let first = lines.next()?;
        let read = |line: &[u8]| Self::from_line(std::str::from_utf8(line).ok()?);
        let number = |line: &[u8]| line.iter().all(|b| b.is_ascii_digit() || *b == b' ');
        read(first).or_else(|| number(first).then(|| lines.next().and_then(read))?)
    }

    /// Reads the name of a file: `SACN31_CWAO_011200_RRA…`, `A_SACN31CWAO011200RRA_C_…`, or
    /// `T_SACN31RRA_C_CWAO_20240301120000…`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.split(':').next()?;
        let parts: Vec<&str> = name.split('_').collect();
        // The last part may end in `.txt`.
        let bare = |part: &str| part.split('.').next().unwrap_or_default().to_owned();
        match parts[..] {
            ["A", all, ..] if all.is_ascii() => {
                let all = bare(all);
                let rest = all.get(16..)?;
                let bbb = (!rest.is_empty()).then_some(rest);
                Self::new(all.get(..6)?, all.get(6..10)?, all.get(10..16)?, bbb)
            }
            ["T", product, "C", cccc, time, ..] if product.is_ascii() => {
                let (ttaaii, rest) = product.split_at_checked(6)?;
                let bbb = (!rest.is_empty()).then_some(rest);
                let time = bare(time);
                let full = Time::parse(&time)?;
                Self::new(ttaaii, cccc, &full.format("%d%H%M").ok()?, bbb)
            }
            [ttaaii, cccc, yygggg, ref rest @ ..] => {
                let next = rest.first().map(|part| bare(part));
                let bbb = next.as_deref().filter(|part| is_bbb(part));
                Self::new(ttaaii, cccc, &bare(yygggg), bbb)
            }
            _ => None,
        }
    }

    /// The heading's time with its month and year: the day nearest to `announced` that fits.
    pub(crate) fn time(&self, announced: Time) -> Option<String> {
        let day = &self.yygggg[..2];
        let shifts = (0..=NEAR_DAYS).flat_map(|days| [-days, days]);
        let date = shifts
            .map(|days| Time::from_unix(announced.unix() + days * 86_400))
            .find(|time| time.format("%d").as_deref() == Ok(day))?;
        let date = date.format("%Y%m%d").ok()?;
        Some(format!("{date}T{}00", &self.yygggg[2..]))
    }

    /// A field of the heading, by the names templates use.
    pub(crate) fn field(&self, name: &str) -> Option<Cow<'static, str>> {
        let (product, time) = (&self.ttaaii, &self.yygggg);
        let bbb = self.bbb.as_deref().unwrap_or_default();
        let text = match name {
            "TTAAii" => product,
            "TT" => &product[..2],
            "T1" => &product[..1],
            "T2" => &product[1..2],
            "AA" => &product[2..4],
            "A1" => &product[2..3],
            "A2" => &product[3..4],
            "ii" => &product[4..],
            "CCCC" => &self.cccc,
            "YYGGgg" => time,
            "YY" => &time[..2],
            "GG" => &time[2..4],
            "gg" => &time[4..],
            "BBB" => bbb,
            "_BBB" if bbb.is_empty() => "",
            "_BBB" => return Some(Cow::Owned(format!("_{bbb}"))),
            "heading" => return Some(Cow::Owned(self.to_string())),
            _ => return None,
        };
        Some(Cow::Owned(text.to_owned()))
    }
}

/// Day, hour and minute, as far as they can be.
fn is_time(text: &str) -> bool {
    let number = |from: usize| text[from..from + 2].parse::<u8>().unwrap_or(99);
    text.len() == 6
        && text.bytes().all(|b| b.is_ascii_digit())
        && (1..=31).contains(&number(0))
        && number(2) < 24
        && number(4) < 60
}

/// `RRx` delayed, `CCx` corrected, `AAx` amended, `Pxx` a part.
fn is_bbb(text: &str) -> bool {
    text.len() == 3
        && text.bytes().all(|b| b.is_ascii_uppercase())
        && (text.starts_with("RR")
            || text.starts_with("CC")
            || text.starts_with("AA")
            || text.starts_with('P'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(heading: Option<Heading>) -> Option<String> {
        heading.map(|heading| heading.to_string())
    }

    #[test]
    fn lines_are_headings_or_not() {
        for line in [
            "SACN31 CWAO 011200",
            "SACN31 CWAO 311259 RRA",
            "IUPD01 K7AB 010000 PAB",
        ] {
            assert_eq!(shown(Heading::from_line(line)).as_deref(), Some(line));
        }
        assert_eq!(
            shown(Heading::from_line("  SACN31  CWAO 011200 \r")).as_deref(),
            Some("SACN31 CWAO 011200")
        );
        for line in [
            "",
            "SACN31",
            "SACN31 CWAO",
            "SACN3 CWAO 011200",
            "SAC131 CWAO 011200",
            "sacn31 cwao 011200",
            "SACN31 CWA 011200",
            "SACN31 1WAO 011200",
            "SACN31 CWAO 321200",
            "SACN31 CWAO 012460",
            "SACN31 CWAO 0112",
            "SACN31 CWAO 011200 YYY",
            "SACN31 CWAO 011200 RRA METAR",
            "SÄCN1 CWAO 011200",
        ] {
            assert_eq!(Heading::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn content_may_begin_with_a_starting_line() {
        for (start, expected) in [
            (
                &b"SACN31 CWAO 011200\r\r\nMETAR"[..],
                Some("SACN31 CWAO 011200"),
            ),
            (
                b"\x01\r\r\n123\r\r\nSACN31 CWAO 011200 RRA\r\r\n",
                Some("SACN31 CWAO 011200 RRA"),
            ),
            (
                b"\r\n\r\n00123 \nSACN31 CWAO 011200\n",
                Some("SACN31 CWAO 011200"),
            ),
            (b"METAR\r\nSACN31 CWAO 011200\r\n", None),
            (b"", None),
            (b"\xff\xfe\r\n", None),
            (
                b"ISIE01 CWAO 010000\r\r\nBUFR\xff\0\x80",
                Some("ISIE01 CWAO 010000"),
            ),
        ] {
            assert_eq!(
                shown(Heading::from_content(start)).as_deref(),
                expected,
                "{start:?}"
            );
        }
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("SACN31_CWAO_011200", Some("SACN31 CWAO 011200")),
            (
                "SACN31_CWAO_011200_RRA_00012.txt",
                Some("SACN31 CWAO 011200 RRA"),
            ),
            ("SACN31_CWAO_011200___00001", Some("SACN31 CWAO 011200")),
            (
                "SACN31_CWAO_011200:ncp1:CWAO:SA:3",
                Some("SACN31 CWAO 011200"),
            ),
            ("SACN31_CWAO_011200.txt", Some("SACN31 CWAO 011200")),
            (
                "A_SACN31CWAO011200CCA_C_CWAO_20240301120000.txt",
                Some("SACN31 CWAO 011200 CCA"),
            ),
            (
                "A_SACN31CWAO011200_C_CWAO_20240301120000.txt",
                Some("SACN31 CWAO 011200"),
            ),
            (
                "T_SACN31RRB_C_CWAO_20240301123000.txt",
                Some("SACN31 CWAO 011230 RRB"),
            ),
            ("report.pdf", None),
            ("A_ж_C", None),
            ("T_S_C_CWAO_1", None),
            ("", None),
        ] {
            assert_eq!(
                shown(Heading::from_name(name)).as_deref(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn times_find_their_month() {
        let heading = |yygggg| Heading::from_line(&format!("SACN31 CWAO {yygggg}")).unwrap();
        for (announced, yygggg, expected) in [
            ("20240301T000500", "292355", Some("20240229T235500")),
            ("20240301T000500", "010000", Some("20240301T000000")),
            ("20231231T235900", "010000", Some("20240101T000000")),
            ("20240315T120000", "151200", Some("20240315T120000")),
            ("20240215T120000", "311200", Some("20240131T120000")),
        ] {
            let time = heading(yygggg).time(Time::parse(announced).unwrap());
            assert_eq!(time.as_deref(), expected, "{announced} {yygggg}");
        }
    }

    #[test]
    fn fields() {
        let heading = Heading::from_line("SACN31 CWAO 011230 RRA").unwrap();
        let all = [
            "T1", "T2", "A1", "A2", "ii", "TT", "AA", "CCCC", "YY", "GG", "gg", "BBB", "_BBB",
        ];
        let values: Vec<_> = all
            .iter()
            .map(|name| heading.field(name).unwrap())
            .collect();
        assert_eq!(
            values,
            [
                "S", "A", "C", "N", "31", "SA", "CN", "CWAO", "01", "12", "30", "RRA", "_RRA"
            ]
        );
        let plain = Heading::from_line("SACN31 CWAO 011230").unwrap();
        assert_eq!(plain.field("_BBB").unwrap(), "");
        assert_eq!(plain.field("subject"), None);
    }
}
