//! Options as a struct: its fields make the manifest's list, and are filled in at start.
//!
//! ```
//! use std::time::Duration;
//! use flow_plugin::{Choice, Options, OptionSet as _};
//!
//! #[derive(Options)]
//! struct Settings {
//!     /// How long an answer may take.
//!     #[option(default = "10s")]
//!     patience: Duration,
//!     /// Files larger than this are left alone.
//!     limit: Option<u64>,
//!     /// What becomes of the rest.
//!     #[option(default = "keep")]
//!     after: After,
//! }
//!
//! #[derive(Choice)]
//! enum After {
//!     Keep,
//!     Remove,
//! }
//!
//! let specs = Settings::specs();
//! assert_eq!(specs[0].default.as_deref(), Some("10s"));
//! assert_eq!(specs[2].choices, ["keep", "remove"]);
//! ```
//!
//! | Type of the field | Kind | Written in a flow |
//! | --- | --- | --- |
//! | `bool` | flag; `false` where unset | `yes`, `off` |
//! | `i64`, `i32`, `u32`, `u16`, `u8`, `usize` | count | `5` |
//! | `u64` | size, in bytes | `10MiB` |
//! | `Duration` | duration | `30s` |
//! | `String` | text; `kind = "url"` or `"regex"`, or `choices("a", "b")` | |
//! | an enum with `#[derive(Choice)]` | choice | its variants in `snake_case` |
//! | `Vec<String>` | a list of them; empty where unset | `[a, b]` |
//! | `Option<…>` of any of these | the same, and may be unset | |
//!
//! A field that is none of `bool`, `Vec`, `Option` and has no `default` has to be set by the flow.
//! `#[option(…)]` says `default`, `example`, `name` (else the field's), `kind`, `choices(…)` and
//! `secret`; the doc comment is what `flow plugin show` prints.

use std::time::Duration;

use crate::manifest::{OptionBuilder, option};
use crate::{Failure, OptionKind, OptionSpec, Options, Result, Setting};

/// A struct of options; `#[derive(Options)]` implements it.
pub trait OptionSet: Sized {
    /// What the manifest says of them.
    fn specs() -> Vec<OptionSpec>;
    /// Fills it in, from what the host has checked against `specs`.
    ///
    /// # Errors
    /// `config` where an option holds something else, e.g. a number too large for its type.
    fn read(options: &Options) -> Result<Self>;
}

/// What a field of a struct of options may be.
pub trait OptionValue: Sized {
    /// What the flow writes.
    const KIND: OptionKind;
    /// Whether that is a list.
    const REPEATED: bool = false;
    /// Whether it may be unset without a default.
    const OPTIONAL: bool = false;
    /// The values of a choice.
    fn choices() -> &'static [&'static str] {
        &[]
    }
    /// Reads it.
    ///
    /// # Errors
    /// `config` if it is not there or holds something else.
    fn read(options: &Options, name: &str) -> Result<Self>;
}

/// Starts the spec of an option of type `T`.
#[doc(hidden)]
pub fn option_of<T: OptionValue>(name: &str, doc: &str) -> OptionBuilder {
    let mut spec = option(name, T::KIND, doc).choices(T::choices());
    if T::REPEATED {
        spec = spec.repeated();
    }
    if !T::OPTIONAL {
        spec = spec.required();
    }
    spec
}

impl OptionValue for bool {
    const KIND: OptionKind = OptionKind::Flag;
    const OPTIONAL: bool = true;

    fn read(options: &Options, name: &str) -> Result<Self> {
        Ok(options.get(name)?.unwrap_or_default())
    }
}

impl OptionValue for String {
    const KIND: OptionKind = OptionKind::Text;

    fn read(options: &Options, name: &str) -> Result<Self> {
        options.text(name)
    }
}

impl OptionValue for Duration {
    const KIND: OptionKind = OptionKind::Duration;

    fn read(options: &Options, name: &str) -> Result<Self> {
        options.duration(name)
    }
}

impl OptionValue for Vec<String> {
    const KIND: OptionKind = OptionKind::Text;
    const REPEATED: bool = true;
    const OPTIONAL: bool = true;

    fn read(options: &Options, name: &str) -> Result<Self> {
        options.list(name)
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: OptionKind = T::KIND;
    const REPEATED: bool = T::REPEATED;
    const OPTIONAL: bool = true;

    fn choices() -> &'static [&'static str] {
        T::choices()
    }

    fn read(options: &Options, name: &str) -> Result<Self> {
        match options.setting(name) {
            None => Ok(None),
            Some(_) => T::read(options, name).map(Some),
        }
    }
}

/// A number, be it written as a count or with a unit.
fn number(options: &Options, name: &str) -> Result<i128> {
    match options.setting(name) {
        Some(Setting::Count(value)) => Ok(i128::from(*value)),
        Some(Setting::Size(value)) => Ok(i128::from(*value)),
        Some(_) => Err(Failure::config(format!("option `{name}` is not a number"))),
        None => Err(Failure::config(format!("option `{name}` has to be set"))),
    }
}

macro_rules! numbers {
    ($($type:ty: $kind:ident),+ $(,)?) => {$(
        impl OptionValue for $type {
            const KIND: OptionKind = OptionKind::$kind;

            fn read(options: &Options, name: &str) -> Result<Self> {
                let value = number(options, name)?;
                Self::try_from(value).map_err(|_| {
                    let (least, most) = (Self::MIN, Self::MAX);
                    Failure::config(format!("option `{name}` is {value}; it has to be from {least} to {most}"))
                })
            }
        }
    )+};
}

numbers!(i64: Count, i32: Count, u32: Count, u16: Count, u8: Count, usize: Count, u64: Size);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;

    #[derive(Options, Debug, PartialEq)]
    struct Everything {
        /// Whether to try.
        eager: bool,
        /// How many at a time,
        /// at most.
        #[option(default = 5)]
        most: u16,
        /// Bytes of it.
        #[option(default = "1MiB", name = "limit_size")]
        size: u64,
        /// Where to.
        #[option(kind = "url", example = "https://example.org/")]
        url: String,
        /// The key.
        #[option(secret)]
        key: Option<String>,
        /// Which names.
        names: Vec<String>,
        /// How.
        #[option(default = "move_to")]
        how: How,
        /// Which way.
        #[option(choices("up", "down"), default = "up")]
        way: String,
    }

    #[derive(Choice, Debug, PartialEq)]
    enum How {
        Keep,
        MoveTo,
        #[choice(name = "drop-it")]
        Drop,
    }

    fn set(settings: &[(&str, Setting)]) -> Options {
        settings
            .iter()
            .map(|(name, setting)| ((*name).to_owned(), setting.clone()))
            .collect()
    }

    #[test]
    fn fields_make_the_manifest() {
        let specs = Everything::specs();
        let spec = |name: &str| {
            specs
                .iter()
                .find(|spec| spec.name == name)
                .expect("it is there")
        };
        assert_eq!(spec("eager").kind, OptionKind::Flag);
        assert!(!spec("eager").required);
        assert_eq!(spec("most").doc, "How many at a time, at most.");
        assert_eq!(spec("most").default.as_deref(), Some("5"));
        assert!(!spec("most").required, "it has a default");
        assert_eq!(spec("limit_size").kind, OptionKind::Size);
        assert_eq!(spec("url").kind, OptionKind::Url);
        assert!(spec("url").required);
        assert!(spec("key").secret && !spec("key").required);
        assert!(spec("names").repeated && !spec("names").required);
        assert_eq!(spec("how").choices, ["keep", "move_to", "drop-it"]);
        assert_eq!(spec("way").kind, OptionKind::Choice);
    }

    #[test]
    fn options_become_fields() {
        let text = |text: &str| Setting::Text(text.to_owned());
        let mut given = vec![
            ("most", Setting::Count(7)),
            ("limit_size", Setting::Size(9)),
            ("url", text("https://example.org/")),
            ("how", text("drop-it")),
            ("way", text("down")),
        ];
        let read = Everything::read(&set(&given)).expect("all that is needed is there");
        assert_eq!(
            read,
            Everything {
                eager: false,
                most: 7,
                size: 9,
                url: "https://example.org/".into(),
                key: None,
                names: Vec::new(),
                how: How::Drop,
                way: "down".into(),
            }
        );
        given[0].1 = Setting::Count(70_000);
        assert_eq!(
            Everything::read(&set(&given)),
            Err(Failure::config(
                "option `most` is 70000; it has to be from 0 to 65535"
            ))
        );
        given.remove(2);
        given[0].1 = Setting::Count(1);
        assert_eq!(
            Everything::read(&set(&given)),
            Err(Failure::config("option `url` has to be set"))
        );
    }
}
