//! What a result of the sandbox means, and what is to be done about it.
//!
//! Words the sandbox says and nobody here knows count as unknown or as an error, never as clean.

use flow_plugin::{Failure, Result};

/// How much of the content was scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Full,
    Partial,
    Unscanned,
    Error,
}

/// What the sandbox thinks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Clean,
    Unwanted,
    Dangerous,
    Unknown,
}

/// What to do with the message. The words are those of a mail server's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Goes on.
    Ok,
    /// Goes on, marked.
    AddHeader,
    /// Is dropped, once a copy is in quarantine.
    Discard,
    /// Is refused for good.
    Error,
    /// Is to be tried again later.
    Rejected,
    /// Goes on unscanned.
    Failure,
}

/// A row of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Clean,
    Unwanted,
    Dangerous,
    /// Nothing was found in a part of it.
    Partial,
    Unknown,
    Unscanned,
    Error,
    Timeout,
}

/// All rows, with the options that set them.
pub(crate) const CASES: [(Case, &str); 8] = [
    (Case::Clean, "on_clean"),
    (Case::Unwanted, "on_unwanted"),
    (Case::Dangerous, "on_dangerous"),
    (Case::Partial, "on_partial"),
    (Case::Unknown, "on_unknown"),
    (Case::Unscanned, "on_unscanned"),
    (Case::Error, "on_error"),
    (Case::Timeout, "on_timeout"),
];

/// Every action by its word.
pub(crate) const ACTIONS: [&str; 6] =
    ["ok", "addheader", "discard", "error", "rejected", "failure"];

impl State {
    /// Reads the sandbox's word.
    pub(crate) fn read(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "FULL" => Self::Full,
            "PARTIAL" => Self::Partial,
            "UNSCANNED" => Self::Unscanned,
            _ => Self::Error,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Unscanned => "unscanned",
            Self::Error => "error",
        }
    }
}

impl Judgement {
    /// Reads the sandbox's word; none is unknown.
    pub(crate) fn read(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "CLEAN" => Self::Clean,
            "UNWANTED" => Self::Unwanted,
            "DANGEROUS" => Self::Dangerous,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Unwanted => "unwanted",
            Self::Dangerous => "dangerous",
            Self::Unknown => "unknown",
        }
    }
}

impl Action {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AddHeader => "addheader",
            Self::Discard => "discard",
            Self::Error => "error",
            Self::Rejected => "rejected",
            Self::Failure => "failure",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "ok" => Self::Ok,
            "addheader" => Self::AddHeader,
            "discard" => Self::Discard,
            "error" => Self::Error,
            "rejected" => Self::Rejected,
            "failure" => Self::Failure,
            _ => return None,
        })
    }
}

/// What is known of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    pub(crate) judgement: Judgement,
    pub(crate) threat: Option<String>,
    /// Empty where it was never scanned.
    pub(crate) scan_id: String,
    /// What went wrong, where something did.
    pub(crate) trouble: Option<String>,
    /// Nobody waits for it any longer.
    pub(crate) late: bool,
}

impl Verdict {
    /// Content that was not scanned, and why.
    pub(crate) fn unscanned(state: State, why: impl Into<String>) -> Self {
        Self {
            state,
            judgement: Judgement::Unknown,
            threat: None,
            scan_id: String::new(),
            trouble: Some(why.into()),
            late: false,
        }
    }

    /// The row of the policy.
    pub(crate) fn case(&self) -> Case {
        match (self.state, self.judgement) {
            (_, Judgement::Dangerous) => Case::Dangerous,
            _ if self.late => Case::Timeout,
            (State::Error, _) => Case::Error,
            (State::Unscanned, _) => Case::Unscanned,
            (_, Judgement::Unwanted) => Case::Unwanted,
            (_, Judgement::Unknown) => Case::Unknown,
            (State::Partial, Judgement::Clean) => Case::Partial,
            (State::Full, Judgement::Clean) if self.trouble.is_some() => Case::Error,
            (State::Full, Judgement::Clean) => Case::Clean,
        }
    }

    /// Whether it says the same of the same content for a while.
    pub(crate) fn lasts(&self) -> bool {
        self.state == State::Full
            && self.judgement != Judgement::Unknown
            && self.trouble.is_none()
            && !self.late
    }

    /// For people.
    pub(crate) fn reason(&self) -> String {
        let mut text = format!("the sandbox says {}", self.judgement.word());
        if let Some(threat) = &self.threat {
            text = format!("{text}: {threat}");
        }
        if self.state != State::Full {
            text = format!("{text} ({})", self.state.word());
        }
        if let Some(trouble) = &self.trouble {
            text = format!("{text}; {trouble}");
        }
        text
    }
}

/// One action for each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy([Action; 8]);

impl Policy {
    /// Reads the options, asked for by name; those of doubt that are unset do as `on_doubt` says.
    ///
    /// # Errors
    /// Something that is not known to be dangerous would be dropped.
    pub(crate) fn read(given: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let read = |name: &str| -> Result<Option<Action>> {
            let Some(word) = given(name)? else {
                return Ok(None);
            };
            Action::read(&word)
                .map(Some)
                .ok_or_else(|| Failure::config(format!("option `{name}`: `{word}` is no action")))
        };
        let doubt = read("on_doubt")?.unwrap_or(Action::Rejected);
        let mut actions = [doubt; 8];
        for (case, name) in CASES {
            let action = match (read(name)?, case) {
                (Some(action), _) => action,
                (None, Case::Clean) => Action::Ok,
                (None, Case::Unwanted) => Action::AddHeader,
                (None, Case::Dangerous) => Action::Discard,
                (None, _) => doubt,
            };
            let known = matches!(case, Case::Unwanted | Case::Dangerous);
            if action == Action::Discard && !known {
                let option = match read(name)? {
                    Some(_) => name,
                    None => "on_doubt",
                };
                return Err(Failure::config(format!(
                    "`{option}: discard` would drop what nobody found dangerous, and with it mail that is lost; \
                     write `rejected` (it is tried again) or `failure` (it goes on unscanned)"
                )));
            }
            actions[case as usize] = action;
        }
        Ok(Self(actions))
    }

    pub(crate) fn action(&self, case: Case) -> Action {
        self.0[case as usize]
    }

    /// Whether anything may be dropped.
    pub(crate) fn discards(&self) -> bool {
        self.0.contains(&Action::Discard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(state: &str, judgement: &str) -> Verdict {
        Verdict {
            state: State::read(state),
            judgement: Judgement::read(judgement),
            trouble: None,
            ..Verdict::unscanned(State::Full, "")
        }
    }

    fn policy(options: &[(&str, &str)]) -> Result<Policy> {
        Policy::read(|name| {
            let found = options.iter().find(|(key, _)| *key == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn every_state_and_verdict_has_its_row() {
        for (state, judgement, case) in [
            ("FULL", "CLEAN", Case::Clean),
            ("full", "clean", Case::Clean),
            ("FULL", "UNWANTED", Case::Unwanted),
            ("PARTIAL", "UNWANTED", Case::Unwanted),
            ("FULL", "DANGEROUS", Case::Dangerous),
            ("PARTIAL", "DANGEROUS", Case::Dangerous),
            ("UNSCANNED", "DANGEROUS", Case::Dangerous),
            ("UNKNOWN", "DANGEROUS", Case::Dangerous),
            ("PARTIAL", "CLEAN", Case::Partial),
            ("FULL", "UNKNOWN", Case::Unknown),
            ("FULL", "", Case::Unknown),
            ("FULL", "SUSPICIOUS", Case::Unknown),
            ("PARTIAL", "HARMLESS?", Case::Unknown),
            ("UNSCANNED", "", Case::Unscanned),
            ("UNSCANNED", "CLEAN", Case::Unscanned),
            ("UNSCANNED", "UNWANTED", Case::Unscanned),
            ("UNKNOWN", "CLEAN", Case::Error),
            ("DONE", "CLEAN", Case::Error),
            ("", "UNWANTED", Case::Error),
        ] {
            assert_eq!(
                verdict(state, judgement).case(),
                case,
                "{state} {judgement}"
            );
        }
        let troubled = Verdict {
            trouble: Some("TIMEOUT_ERROR".into()),
            ..verdict("FULL", "CLEAN")
        };
        assert_eq!(troubled.case(), Case::Error);
        assert!(!troubled.lasts() && verdict("FULL", "CLEAN").lasts());
        let late = Verdict {
            late: true,
            ..Verdict::unscanned(State::Error, "too late")
        };
        assert_eq!(late.case(), Case::Timeout);
    }

    #[test]
    fn defaults_are_the_careful_ones() {
        let policy = policy(&[]).unwrap();
        let words = CASES.map(|(case, _)| policy.action(case).word());
        assert_eq!(
            words,
            [
                "ok",
                "addheader",
                "discard",
                "rejected",
                "rejected",
                "rejected",
                "rejected",
                "rejected"
            ]
        );
    }

    #[test]
    fn each_row_is_an_option_and_doubt_has_a_default() {
        let open = policy(&[("on_doubt", "failure"), ("on_timeout", "addheader")]).unwrap();
        assert_eq!(open.action(Case::Unknown), Action::Failure);
        assert_eq!(open.action(Case::Timeout), Action::AddHeader);
        assert_eq!(open.action(Case::Dangerous), Action::Discard);
        let bounce = policy(&[("on_dangerous", "error")]).unwrap();
        assert!(!bounce.discards());
        assert!(policy(&[("on_unwanted", "discard")]).unwrap().discards());
    }

    #[test]
    fn what_is_not_known_to_be_bad_is_never_dropped() {
        for name in [
            "on_doubt",
            "on_clean",
            "on_partial",
            "on_unknown",
            "on_unscanned",
            "on_error",
            "on_timeout",
        ] {
            let failure = policy(&[(name, "discard")]).unwrap_err();
            assert!(matches!(failure, Failure::Config(_)));
            assert!(
                failure.reason().contains(&format!("`{name}: discard`")),
                "{failure:?}"
            );
        }
    }
}
