//! What outlives a call: scans under way, and verdicts of content seen lately.
//!
//! Both are pairs of the plugin's state, which becomes durable with the fate of the messages: a crash
//! in the middle of a call forgets the scans it asked for, and they are asked for again.

use std::time::Duration;

use flow_plugin::{Message, Result, open, state};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::options::Settings;
use crate::policy::{Judgement, State, Verdict};

/// Scans that were put aside.
const SCAN: &str = "scan/";
/// Messages that no scan was asked for yet.
const SEEN: &str = "seen/";
/// Longest key of a message that is a key here as it is.
const KEY_MAX: usize = 900;
/// Tickets of messages nobody offers again disappear after this and `give_up`.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// And these, where nothing is given up.
const KEEP_LONG: Duration = Duration::from_secs(30 * 24 * 3600);

/// A message that waits for its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// When it was seen first: seconds since 1970.
    pub(crate) since: i64,
    pub(crate) scan: Option<Under>,
}

/// A scan under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Under {
    pub(crate) scan_id: String,
    /// Fingerprint of the content it is about.
    pub(crate) sha256: String,
}

impl Ticket {
    /// Finds the ticket of a message.
    pub(crate) fn of(key: &str) -> Result<Option<Self>> {
        for prefix in [SCAN, SEEN] {
            if let Some(text) = state::get_text(&key_of(prefix, key))?
                && let Some(ticket) = Self::parse(&text)
            {
                return Ok(Some(ticket));
            }
        }
        Ok(None)
    }

    fn parse(text: &str) -> Option<Self> {
        let found: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
        let scan = match (text("scan_id"), text("sha256")) {
            (Some(scan_id), Some(sha256)) => Some(Under { scan_id, sha256 }),
            _ => None,
        };
        Some(Self {
            since: found.get("since")?.as_i64()?,
            scan,
        })
    }

    /// Writes it down.
    pub(crate) fn keep(&self, key: &str, settings: &Settings) -> Result<()> {
        let ttl = settings
            .give_up
            .map_or(KEEP_LONG, |give_up| give_up * 2 + KEEP);
        let (prefix, other, text) = match &self.scan {
            Some(scan) => {
                let text =
                    json!({ "since": self.since, "scan_id": scan.scan_id, "sha256": scan.sha256 });
                (SCAN, SEEN, text)
            }
            None => (SEEN, SCAN, json!({ "since": self.since })),
        };
        state::delete(&key_of(other, key))?;
        state::put_for(&key_of(prefix, key), text.to_string(), ttl)
    }

    /// Forgets what is known of a message.
    pub(crate) fn forget(key: &str) -> Result<()> {
        state::delete(&key_of(SCAN, key))?;
        state::delete(&key_of(SEEN, key))
    }
}

/// How many scans were put aside; `most` is enough to know.
pub(crate) fn put_aside(most: usize) -> Result<usize> {
    let limit = u32::try_from(most).unwrap_or(u32::MAX);
    Ok(state::list(SCAN, "", limit)?.len())
}

fn key_of(prefix: &str, key: &str) -> String {
    if key.len() <= KEY_MAX {
        return format!("{prefix}{key}");
    }
    format!("{prefix}#{}", hex(&Sha256::digest(key.as_bytes())))
}

/// The fingerprint of a message's content.
pub(crate) fn fingerprint(message: &Message) -> Result<String> {
    let mut content = open(message.id)?;
    let mut hash = Sha256::new();
    loop {
        let chunk = content.read_chunk()?;
        if chunk.is_empty() {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk);
    }
}

/// Short, and the same in every build.
pub(crate) fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))[..16].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Verdicts of content seen lately, as this scanner with these options gave them.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    prefix: String,
    ttl: Duration,
}

impl Cache {
    /// None where nothing is remembered.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        let ttl = settings.cache_ttl?;
        let scanner = format!(
            "{} {} {} {:?}",
            settings.base, settings.one_step, settings.analysis, settings.passwords
        );
        let prefix = format!("verdict/{}/", short_hash(&scanner));
        Some(Self { prefix, ttl })
    }

    pub(crate) fn get(&self, sha256: &str) -> Result<Option<Verdict>> {
        let Some(text) = state::get_text(&format!("{}{sha256}", self.prefix))? else {
            return Ok(None);
        };
        let found: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        let verdict = Verdict {
            state: State::read(text("state").unwrap_or_default()),
            judgement: Judgement::read(text("verdict").unwrap_or_default()),
            threat: text("threat").map(str::to_owned),
            scan_id: text("scan_id").unwrap_or_default().to_owned(),
            trouble: None,
            late: false,
        };
        Ok(Some(verdict).filter(Verdict::lasts))
    }

    pub(crate) fn put(&self, sha256: &str, verdict: &Verdict) -> Result<()> {
        if !verdict.lasts() {
            return Ok(());
        }
        let mut text = json!({
            "state": verdict.state.word(),
            "verdict": verdict.judgement.word(),
            "scan_id": verdict.scan_id,
        });
        if let Some(threat) = &verdict.threat {
            text["threat"] = threat.as_str().into();
        }
        state::put_for(
            &format!("{}{sha256}", self.prefix),
            text.to_string(),
            self.ttl,
        )
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::Host;

    use super::*;

    #[test]
    fn tickets_are_read_back_and_forgotten() {
        let _host = Host::default().install();
        let settings = crate::plugin::tests::settings(&[]);
        let long = "k".repeat(2000);
        for key in ["queue/7", &long] {
            assert_eq!(Ticket::of(key).unwrap(), None);
            let seen = Ticket {
                since: 17,
                scan: None,
            };
            seen.keep(key, &settings).unwrap();
            assert_eq!(
                (Ticket::of(key).unwrap(), put_aside(9).unwrap()),
                (Some(seen), 0)
            );
            let scan = Some(Under {
                scan_id: "s-1".into(),
                sha256: "ab".into(),
            });
            let under = Ticket { since: 17, scan };
            under.keep(key, &settings).unwrap();
            assert_eq!(
                (Ticket::of(key).unwrap(), put_aside(9).unwrap()),
                (Some(under), 1)
            );
            Ticket::forget(key).unwrap();
            assert_eq!((Ticket::of(key).unwrap(), put_aside(9).unwrap()), (None, 0));
        }
    }

    #[test]
    fn only_lasting_verdicts_are_remembered_and_for_the_same_scanner() {
        let _host = Host::default().install();
        let cache = Cache::new(&crate::plugin::tests::settings(&[])).unwrap();
        let mut verdict = Verdict {
            state: State::Full,
            judgement: Judgement::Dangerous,
            threat: Some("Trojan".into()),
            scan_id: "s".into(),
            trouble: None,
            late: false,
        };
        cache.put("aa", &verdict).unwrap();
        assert_eq!(cache.get("aa").unwrap(), Some(verdict.clone()));
        assert_eq!(cache.get("bb").unwrap(), None);
        verdict.state = State::Partial;
        cache.put("cc", &verdict).unwrap();
        assert_eq!(cache.get("cc").unwrap(), None);
        let other = [("analysis_depth", flow_plugin::Setting::Count(5))];
        let other = Cache::new(&crate::plugin::tests::settings(&other)).unwrap();
        assert_eq!(other.get("aa").unwrap(), None);
    }
}
