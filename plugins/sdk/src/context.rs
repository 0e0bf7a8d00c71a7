//! What `start` is told, and reading options out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bindings::exports_lifecycle::exports::flow::plugin::lifecycle as raw;
use crate::{Failure, Result, Setting};

/// Where an instance runs and how it is set up.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// `kind/name`.
    pub flow: String,
    /// The flow's kind.
    pub kind: String,
    /// Which of several equal instances this is, from 0. Instance 0 gathers.
    pub instance: u32,
    /// Whether this flow fetches content, or only announces it.
    pub downloads: bool,
    /// The flow's `pollUrl`.
    pub poll_url: Option<String>,
    /// The options.
    pub options: Options,
}

#[doc(hidden)]
pub fn context_from_raw(context: raw::Context) -> Context {
    Context {
        flow: context.flow,
        kind: context.kind,
        instance: context.instance,
        downloads: context.downloads,
        poll_url: context.poll_url,
        options: context.options.into_iter().collect(),
    }
}

/// The options that are set or have a default, already checked against the manifest by the host.
///
/// The named getters are for options that are required or have a default; [`Options::get`] is for
/// those that may be unset.
#[derive(Debug, Clone, Default)]
pub struct Options(BTreeMap<String, Setting>);

impl FromIterator<(String, Setting)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, Setting)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl Options {
    /// An option that may be unset.
    ///
    /// # Errors
    /// `config` if it holds something else, which the host's check should have stopped.
    pub fn get<T: FromSetting>(&self, name: &str) -> Result<Option<T>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(setting) => match T::from_setting(setting) {
                Some(value) => Ok(Some(value)),
                None => Err(Failure::config(format!(
                    "option `{name}` is not {}",
                    T::WHAT
                ))),
            },
        }
    }

    /// What an option was set to, whatever that is.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// An option that has to be there.
    ///
    /// # Errors
    /// `config` if it is unset or holds something else.
    pub fn require<T: FromSetting>(&self, name: &str) -> Result<T> {
        self.get(name)?
            .ok_or_else(|| Failure::config(format!("option `{name}` has to be set")))
    }

    /// A flag.
    ///
    /// # Errors
    /// As [`Options::require`].
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.require(name)
    }

    /// A whole number.
    ///
    /// # Errors
    /// As [`Options::require`].
    pub fn count(&self, name: &str) -> Result<i64> {
        self.require(name)
    }

    /// Bytes.
    ///
    /// # Errors
    /// As [`Options::require`].
    pub fn size(&self, name: &str) -> Result<u64> {
        self.require(name)
    }

    /// A time span.
    ///
    /// # Errors
    /// As [`Options::require`].
    pub fn duration(&self, name: &str) -> Result<Duration> {
        self.require(name)
    }

    /// Text, a URL, a choice or a regular expression.
    ///
    /// # Errors
    /// As [`Options::require`].
    pub fn text(&self, name: &str) -> Result<String> {
        self.require(name)
    }

    /// A list; empty if unset.
    ///
    /// # Errors
    /// As [`Options::get`].
    pub fn list(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.get(name)?.unwrap_or_default())
    }
}

/// What an option can be read as.
pub trait FromSetting: Sized {
    /// The type in words, for messages: `a time span`.
    const WHAT: &'static str;
    /// The value, if the setting holds this type.
    fn from_setting(setting: &Setting) -> Option<Self>;
}

macro_rules! from_setting {
    ($($type:ty, $what:literal: $pattern:pat => $value:expr;)+) => {$(
        impl FromSetting for $type {
            const WHAT: &'static str = $what;
            fn from_setting(setting: &Setting) -> Option<Self> {
                match setting { $pattern => Some($value), _ => None }
            }
        }
    )+};
}

from_setting! {
    bool, "yes or no": Setting::Flag(value) => *value;
    i64, "a whole number": Setting::Count(value) => *value;
    u64, "a size": Setting::Size(value) => *value;
    Duration, "a time span": Setting::Duration(ms) => Duration::from_millis(*ms);
    String, "text": Setting::Text(value) => value.clone();
    Vec<String>, "a list": Setting::List(value) => value.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_by_type_and_name_themselves_when_wrong() {
        let options: Options = [
            ("idle".to_owned(), Setting::Duration(1500)),
            ("after".to_owned(), Setting::Text("keep".to_owned())),
        ]
        .into_iter()
        .collect();
        assert_eq!(options.duration("idle"), Ok(Duration::from_millis(1500)));
        assert_eq!(options.text("after"), Ok("keep".to_owned()));
        assert_eq!(options.get::<u64>("limit"), Ok(None));
        assert_eq!(
            options.size("limit"),
            Err(Failure::config("option `limit` has to be set"))
        );
        assert_eq!(
            options.flag("after"),
            Err(Failure::config("option `after` is not yes or no"))
        );
    }
}
