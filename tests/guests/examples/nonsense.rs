//! Describes itself wrongly in every way there is.
use guests::describe::{Manifest, OptionKind, OptionSpec};
use guests::*;
struct Nonsense;
guests::describe!(
    Nonsense,
    Manifest {
        name: "Non Sense".into(),
        version: String::new(),
        schemes: vec!["imap://".into()],
        options: vec![
            OptionSpec {
                default: Some("30".into()),
                ..option("pause", OptionKind::Duration)
            },
            OptionSpec {
                default: Some("1.5".into()),
                ..option("tries", OptionKind::Count)
            },
            OptionSpec {
                default: Some("maybe".into()),
                ..option("enabled", OptionKind::Flag)
            },
            OptionSpec {
                default: Some("10 parsecs".into()),
                ..option("largest", OptionKind::Size)
            },
            option("mode", OptionKind::Choice),
            OptionSpec {
                default: Some("c".into()),
                choices: vec!["a".into(), "b".into()],
                ..option("after", OptionKind::Choice)
            },
            OptionSpec {
                default: Some("x".into()),
                required: true,
                ..option("where", OptionKind::Text)
            },
            OptionSpec {
                default: Some("not a url".into()),
                ..option("url", OptionKind::Url)
            },
            option("after", OptionKind::Text),
            option("limits", OptionKind::Text),
            option("sha256", OptionKind::Text),
            option("minisign", OptionKind::Text),
            option("tlsPin", OptionKind::Text),
            option("", OptionKind::Text),
            option("noLimit", OptionKind::Text),
        ],
        ..manifest("x")
    }
);
impl guests::after_accept::Guest for Nonsense {
    fn after_accept(_: Vec<guests::Message>) -> Result<Vec<guests::Verdict>, guests::Failure> {
        Ok(Vec::new())
    }
}
guests::export!(Nonsense: describe, after_accept);
