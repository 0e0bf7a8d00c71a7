//! Invented mails, each with one thing that goes wrong elsewhere.
//!
//! Used by `flow demo` and by tests: every sample says which files are in it, byte for byte.
//! People, companies and numbers do not exist.

mod build;
mod mails;

/// A mail and what is in it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What is special about it, for a person.
    pub about: &'static str,
    /// The mail.
    pub raw: Vec<u8>,
    /// The files attached or inlined, in order; bodies are not listed.
    pub files: Vec<File>,
}

/// A file in a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name its sender gave it, decoded.
    pub name: &'static str,
    /// Its content, decoded.
    pub content: Vec<u8>,
}

/// All samples, always the same.
pub fn all() -> Vec<Sample> {
    vec![
        mails::pdf(),
        mails::koi8_r_subject(),
        mails::windows_1251_text(),
        mails::inline_image(),
        mails::nested(),
        mails::duplicate_names(),
        mails::rfc_2231_name(),
        mails::iso_2022_jp(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_always_the_same_and_use_crlf_throughout() {
        let (first, second) = (all(), all());
        assert_eq!(first.len(), 8);
        for (sample, again) in first.iter().zip(&second) {
            assert_eq!(sample.raw, again.raw, "{}", sample.about);
            let bare = sample
                .raw
                .windows(2)
                .filter(|two| two[1] == b'\n' && two[0] != b'\r')
                .count();
            assert_eq!(bare, 0, "{}", sample.about);
            assert!(sample.raw.starts_with(b"From: "), "{}", sample.about);
        }
    }
}
