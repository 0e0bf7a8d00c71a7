//! The name of a plugin, in the forms languages want.

/// A name in kebab-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

/// Names are files and crates, too.
const LONGEST: usize = 64;

impl Name {
    /// Letters, digits and single hyphens, a letter first.
    ///
    /// # Errors
    /// Why not, and the name that was perhaps meant.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fits = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && !name.ends_with('-')
                && !name.contains("--")
                && name.len() <= LONGEST
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if fits(text) {
            return Ok(Self(text.to_owned()));
        }
        let mut why = format!(
            "it has to be lower-case letters, digits and single hyphens, a letter first, at most {LONGEST}"
        );
        let mended = mended(text);
        if fits(&mended) {
            why.push_str(&format!("; did you mean `{mended}`?"));
        }
        Err(why)
    }

    /// `no-temporaries`.
    pub(crate) fn kebab(&self) -> &str {
        &self.0
    }

    /// `no_temporaries`.
    pub(crate) fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `NoTemporaries`.
    pub(crate) fn pascal(&self) -> String {
        let mut text = String::new();
        for part in self.0.split('-') {
            let mut letters = part.chars();
            text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            text.push_str(letters.as_str());
        }
        text
    }
}

fn mended(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() && name.ends_with(|last: char| last.is_ascii_lowercase()) {
            name.push('-');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_have_other_forms() {
        let name = Name::parse("csv-to-json2").expect("a good name");
        assert_eq!(
            (name.snake().as_str(), name.pascal().as_str()),
            ("csv_to_json2", "CsvToJson2")
        );
        for (wrong, meant) in [
            ("CsvToJson", Some("csv-to-json")),
            ("csv_json", Some("csv-json")),
            ("-x-", Some("x")),
            ("../up", Some("up")),
            ("2fast", None),
            ("", None),
        ] {
            let why = Name::parse(wrong).expect_err("no good name");
            match meant {
                Some(meant) => assert!(why.ends_with(&format!("did you mean `{meant}`?")), "{why}"),
                None => assert!(!why.contains("did you mean"), "{why}"),
            }
        }
    }
}
