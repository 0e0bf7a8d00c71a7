//! Parts of file names that weather services build paths of.
//!
//! A bulletin is named `TTAAii_CCCC_YYGGgg`, with or without `_BBB`; a file that came through
//! Sundew has further fields after colons, the seventh being the time it was received. Of a name
//! that is built otherwise the parts are empty.

use flow_message::{Message, Timestamp};
use jiff::Zoned;
use jiff::tz::TimeZone;

/// One part of a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Letters `start..end` of the `field`th part between underscores of the bulletin's name.
    Bulletin {
        name: &'static str,
        field: usize,
        start: usize,
        end: usize,
    },
    /// Digits `start..end` of the time it was received, or of now.
    Received {
        name: &'static str,
        start: usize,
        end: usize,
    },
    /// `WHATFN`: all before the first colon.
    What,
    /// `HEADFN`: the first two parts between underscores of that.
    Head,
    /// `SENDER`: what follows `SENDER=`, up to a colon.
    Sender,
    /// `TIME`: the fourteen digits at the end of the name, or those of pubTime.
    Time,
}

const fn bulletin(name: &'static str, field: usize, start: usize, end: usize) -> Part {
    Part::Bulletin {
        name,
        field,
        start,
        end,
    }
}

const fn received(name: &'static str, start: usize, end: usize) -> Part {
    Part::Received { name, start, end }
}

const PARTS: [Part; 20] = [
    bulletin("T1", 0, 0, 1),
    bulletin("T2", 0, 1, 2),
    bulletin("A1", 0, 2, 3),
    bulletin("A2", 0, 3, 4),
    bulletin("ii", 0, 4, 6),
    bulletin("CCCC", 1, 0, 4),
    bulletin("YY", 2, 0, 2),
    bulletin("GG", 2, 2, 4),
    bulletin("Gg", 2, 4, 6),
    bulletin("BBB", 3, 0, 3),
    received("RYYYY", 0, 4),
    received("RMM", 4, 6),
    received("RDD", 6, 8),
    received("RHH", 8, 10),
    received("RMN", 10, 12),
    received("RSS", 12, 14),
    Part::What,
    Part::Head,
    Part::Sender,
    Part::Time,
];

impl Part {
    /// The part called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        PARTS.into_iter().find(|part| part.name() == name)
    }

    /// Its name between the braces.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bulletin { name, .. } | Self::Received { name, .. } => name,
            Self::What => "WHATFN",
            Self::Head => "HEADFN",
            Self::Sender => "SENDER",
            Self::Time => "TIME",
        }
    }

    /// The part of the file name of `message`.
    pub(super) fn of(self, message: Option<&Message>, now: Timestamp) -> String {
        let file = message.map_or("", |message| {
            message.rel_path.rsplit('/').next().unwrap_or("")
        });
        let what = file.split(':').next().unwrap_or("");
        match self {
            Self::Bulletin {
                field, start, end, ..
            } => {
                let text = what.split('_').nth(field).unwrap_or("");
                text.get(start..end.min(text.len()))
                    .unwrap_or("")
                    .to_owned()
            }
            Self::Received { start, end, .. } => {
                let time = file.split(':').nth(6).filter(|time| is_time(time));
                time.map_or_else(|| digits(now), str::to_owned)[start..end].to_owned()
            }
            Self::What => what.to_owned(),
            Self::Head => {
                let mut fields = what.splitn(3, '_');
                match (fields.next(), fields.next()) {
                    (Some(first), Some(second)) => format!("{first}_{second}"),
                    _ => what.to_owned(),
                }
            }
            Self::Sender => file
                .split_once("SENDER=")
                .and_then(|(_, rest)| rest.split(':').next())
                .unwrap_or("")
                .to_owned(),
            Self::Time => match file.rsplit(':').next().filter(|time| is_time(time)) {
                Some(time) => time.to_owned(),
                None => message.map_or_else(|| digits(now), |message| digits(message.pub_time)),
            },
        }
    }
}

/// `YYYYMMDDHHMMSS`.
fn is_time(text: &str) -> bool {
    text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn digits(time: Timestamp) -> String {
    let zoned: Zoned = time.as_jiff().to_zoned(TimeZone::UTC);
    // Years of five digits or before Christ would not fit, and mean nothing here.
    let year = zoned.year().clamp(0, 9999);
    format!(
        "{year:04}{:02}{:02}{:02}{:02}{:02}",
        zoned.month(),
        zoned.day(),
        zoned.hour(),
        zoned.minute(),
        zoned.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, file: &str) -> String {
        let now = "20260301T003005.25".parse().expect("a time");
        let sent = "20261122T015207".parse().expect("a time");
        let message = Message::new(sent, "https://host.example/", format!("a/{file}"));
        Part::named(name).expect(name).of(Some(&message), now)
    }

    #[test]
    fn parts_of_bulletins_and_of_names_from_sundew() {
        let bulletin = "SACN31_CWAO_300651_RRA";
        for (name, expected) in [
            ("T1", "S"),
            ("T2", "A"),
            ("A1", "C"),
            ("A2", "N"),
            ("ii", "31"),
            ("CCCC", "CWAO"),
            ("YY", "30"),
            ("GG", "06"),
            ("Gg", "51"),
            ("BBB", "RRA"),
            ("RYYYY", "2026"),
            ("RMM", "03"),
            ("RSS", "05"),
            ("WHATFN", bulletin),
            ("HEADFN", "SACN31_CWAO"),
            ("SENDER", ""),
            ("TIME", "20261122015207"),
        ] {
            assert_eq!(part(name, bulletin), expected, "{name}");
        }
        let long = "SACN31_CWAO_300651:pds:CWAO:SA:3:Direct:20250102030405";
        for (name, expected) in [
            ("BBB", ""),
            ("Gg", "51"),
            ("RYYYY", "2025"),
            ("RMN", "04"),
            ("WHATFN", "SACN31_CWAO_300651"),
            ("TIME", "20250102030405"),
        ] {
            assert_eq!(part(name, long), expected, "{name}");
        }
        assert_eq!(part("SENDER", "x:SENDER=y.txt:z"), "y.txt");
        for name in ["T1", "ii", "CCCC", "BBB"] {
            assert_eq!(part(name, ""), "", "{name}");
            assert_eq!(part(name, "ü").len(), 0, "{name}");
        }
        assert_eq!(part("HEADFN", "x.txt"), "x.txt");
    }
}
