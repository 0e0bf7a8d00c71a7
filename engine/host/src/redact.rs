//! Takes secrets out of text that leaves for the log.
//!
//! A last resort: it knows only what was handed out, as it was handed out. A plugin that encodes a
//! password before logging it is not caught.

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shorter ones would turn every log line into stars, and protect nothing.
const SHORTEST: usize = 4;

/// The secrets given to the instances of one callback.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    any: AtomicBool,
    secrets: Mutex<Vec<String>>,
}

impl Redactor {
    /// Remembers a secret before it is handed out.
    pub(crate) fn add(&self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let mut secrets = self
            .secrets
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
            // The longest first: one secret may contain another.
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            self.any.store(true, Ordering::Release);
        }
    }

    /// `text` with every secret replaced by `****`.
    pub(crate) fn clean<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let mut text = text.into();
        if !self.any.load(Ordering::Acquire) {
            return text;
        }
        let secrets = self
            .secrets
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for secret in secrets.iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), "****"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Redactor;

    #[test]
    fn the_longest_secret_goes_first_and_short_ones_stay() {
        let redactor = Redactor::default();
        assert_eq!(redactor.clean("hunter2"), "hunter2");
        redactor.add("hunter");
        redactor.add("hunter2hunter");
        redactor.add("abc");
        assert_eq!(
            redactor.clean("a hunter2hunter, a hunter, abc"),
            "a ****, a ****, abc"
        );
    }
}
