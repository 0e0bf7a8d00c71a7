//! What the played sandbox does: how long scans take, what they find, and what goes wrong.

use std::time::Duration;

/// How it behaves; change it at any time.
pub struct Plan {
    /// How long a scan takes.
    pub delay: Delay,
    /// What a scan finds.
    pub judge: Box<dyn Fn(&Sample) -> Verdict + Send>,
    /// What goes wrong, in order for each path.
    pub faults: Vec<Fault>,
    /// The only key that is taken.
    pub key: String,
    /// How long an upload is kept for a scan.
    pub ttl: Duration,
    /// An upload in chunks is refused with 411, as the product is said to.
    pub reject_chunked: bool,
    /// While a scan runs, those who allow it get an early result that says clean.
    pub preflight: bool,
    /// The health it tells.
    pub health: String,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("delay", &self.delay)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            delay: Delay::None,
            judge: Box::new(by_words),
            faults: Vec::new(),
            key: super::Sandbox::KEY.to_owned(),
            ttl: Duration::from_secs(3600),
            reject_chunked: true,
            preflight: false,
            health: "OK".to_owned(),
        }
    }
}

impl Plan {
    /// Adds a fault of the next request whose path ends so.
    pub fn fault(&mut self, path: &str, kind: Kind) {
        self.faults(path, 1, kind);
    }

    /// Adds a fault of the next requests whose path ends so.
    pub fn faults(&mut self, path: &str, times: usize, kind: Kind) {
        self.faults.push(Fault {
            path: path.to_owned(),
            times,
            kind,
        });
    }

    /// The fault of a request, which is used up by it.
    pub(super) fn take_fault(&mut self, path: &str) -> Option<Kind> {
        let fault = self
            .faults
            .iter_mut()
            .find(|fault| fault.times > 0 && path.ends_with(&fault.path))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

/// How long scans take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// They are over at once.
    None,
    /// All the same.
    Always(Duration),
    /// Anything up to this: a function of the number of the scan, spread evenly.
    UpTo(Duration),
}

impl Delay {
    /// How long the scan of that number takes.
    pub(super) fn of(self, number: u64) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Always(delay) => delay,
            // Steps of the golden ratio are spread evenly, in an order that looks like none.
            Self::UpTo(most) => {
                let step = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
                most.mul_f64(step as f64 / f64::from(1 << 20))
            }
        }
    }
}

/// Content as the judge sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The name it is scanned under.
    pub name: String,
    /// Its first 4 KiB.
    pub head: Vec<u8>,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// What a scan finds, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `scan_state`.
    pub state: String,
    /// `verdict`; none is left out.
    pub verdict: Option<String>,
    /// `threat`; none is left out.
    pub threat: Option<String>,
    /// Types of `errors`.
    pub errors: Vec<String>,
}

impl Verdict {
    /// One without threat and errors.
    pub fn new(state: &str, verdict: &str) -> Self {
        Self {
            state: state.to_owned(),
            verdict: (!verdict.is_empty()).then(|| verdict.to_owned()),
            threat: None,
            errors: Vec::new(),
        }
    }

    /// With a threat.
    #[must_use]
    pub fn threat(mut self, threat: &str) -> Self {
        self.threat = Some(threat.to_owned());
        self
    }
}

/// Content that contains `please say STATE VERDICT` gets those words, `please say -` none; what
/// contains `malware` is dangerous, `adware` unwanted, and the rest clean. The threat of what is
/// dangerous ends in the beginning of its fingerprint, so that no two have the same.
fn by_words(sample: &Sample) -> Verdict {
    let head = String::from_utf8_lossy(&sample.head);
    if let Some((_, words)) = head.split_once("please say ") {
        let mut words = words.split_ascii_whitespace();
        let state = words.next().unwrap_or_default();
        return Verdict::new(
            state,
            words.next().filter(|word| *word != "-").unwrap_or_default(),
        );
    }
    let mark = &sample.sha256[..12];
    if head.contains("malware") {
        return Verdict::new("FULL", "DANGEROUS").threat(&format!("Trojan.Test.{mark}"));
    }
    if head.contains("adware") {
        return Verdict::new("FULL", "UNWANTED").threat(&format!("Adware.Test.{mark}"));
    }
    Verdict::new("FULL", "CLEAN")
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// End of the path.
    pub path: String,
    /// How often.
    pub times: usize,
    /// What.
    pub kind: Kind,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It answers that, without having done anything.
    Status(u16),
    /// It answers 429 and names the seconds to wait.
    Busy(u64),
    /// The connection ends before the request was read whole.
    CutRequest,
    /// It does what was asked, and the connection ends before the answer.
    CutBefore,
    /// It does what was asked, and the connection ends half-way through the answer.
    CutAnswer,
    /// It does what was asked, and answers something else.
    Garbage(String),
    /// It answers after a while.
    Slow(Duration),
}
