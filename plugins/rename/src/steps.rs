//! What becomes of one value: keyword, replacements, the whole, case. Pure.

use std::borrow::Cow;

use flow_plugin::template::{Missing, Template};
use flow_plugin::time::Time;
use flow_plugin::{Message, naming};
use regex::{Captures, Regex};

use crate::keyword;

/// What is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The file name.
    Name,
    /// relPath.
    Path,
    /// baseUrl.
    BaseUrl,
}

/// How the letters are written at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Keep,
    Lower,
    Upper,
}

/// The steps, in their order.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) field: Field,
    pub(crate) only: Option<Regex>,
    pub(crate) keyword: Option<String>,
    pub(crate) replace: Vec<Replacement>,
    pub(crate) to: Option<Template>,
    pub(crate) case: Case,
}

/// `PATTERN => TEXT`.
#[derive(Debug)]
pub(crate) struct Replacement {
    pattern: Regex,
    text: Template,
}

impl Replacement {
    /// Reads it as it is written.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (pattern, text) = text
            .split_once(" =>")
            .ok_or_else(|| format!("`{text}` is not written `PATTERN => TEXT`"))?;
        let pattern = Regex::new(pattern.trim_end())
            .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
        let text = Template::parse(text.strip_prefix(' ').unwrap_or(text))?;
        Ok(Self { pattern, text })
    }
}

impl Steps {
    /// The value as it is.
    pub(crate) fn value<'a>(&self, message: &'a Message) -> Cow<'a, str> {
        match self.field {
            Field::Name => Cow::Borrowed(naming::current_name(message)),
            Field::Path => naming::current_path(message),
            Field::BaseUrl => Cow::Borrowed(&message.base_url),
        }
    }

    /// The value as it is to be; none where it stays.
    pub(crate) fn apply(&self, message: &Message) -> Result<Option<String>, Missing> {
        let old = self.value(message).into_owned();
        if self.only.as_ref().is_some_and(|only| !only.is_match(&old)) {
            return Ok(None);
        }
        let mut value = old.clone();
        if let Some(keywords) = &self.keyword {
            let time = Time::parse(&message.pub_time).and_then(|t| t.format("%Y%m%d%H%M%S").ok());
            value = keyword::apply(keywords, &value, time.as_deref());
        }
        // Fields named in templates are those of the value as far as it is.
        let mut working = message.clone();
        for Replacement { pattern, text } in &self.replace {
            self.put(&mut working, &value);
            value = replace_all(pattern, text, &working, &value)?;
        }
        if let Some(to) = &self.to {
            self.put(&mut working, &value);
            let groups = self.only.as_ref().and_then(|only| only.captures(&old));
            value = to.render(&working, &|name| group(groups.as_ref(), name))?;
        }
        value = match self.case {
            Case::Keep => value,
            Case::Lower => value.to_lowercase(),
            Case::Upper => value.to_uppercase(),
        };
        Ok((value != old).then_some(value))
    }

    fn put(&self, working: &mut Message, value: &str) {
        match self.field {
            Field::Name => working.filename = Some(value.to_owned()),
            Field::Path => {
                value.clone_into(&mut working.rel_path);
                working.filename = None;
            }
            Field::BaseUrl => value.clone_into(&mut working.base_url),
        }
    }
}

fn replace_all(
    pattern: &Regex,
    text: &Template,
    message: &Message,
    value: &str,
) -> Result<String, Missing> {
    let mut out = String::with_capacity(value.len());
    let mut at = 0;
    for found in pattern.captures_iter(value) {
        let whole = found.get_match();
        out.push_str(&value[at..whole.start()]);
        out.push_str(&text.render(message, &|name| group(Some(&found), name))?);
        at = whole.end();
    }
    out.push_str(&value[at..]);
    Ok(out)
}

/// A group by number or name; one that took no part is empty.
fn group<'a>(groups: Option<&Captures<'_>>, name: &str) -> Option<Cow<'a, str>> {
    let groups = groups?;
    let text = |found: Option<regex::Match<'_>>| {
        Cow::Owned(found.map_or("", |found| found.as_str()).to_owned())
    };
    match name.parse::<usize>() {
        Ok(number) => (number < groups.len()).then(|| text(groups.get(number))),
        Err(_) => groups.name(name).map(|found| text(Some(found))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(field: Field, replace: &[&str], to: Option<&str>) -> Steps {
        Steps {
            field,
            only: None,
            keyword: None,
            replace: replace
                .iter()
                .map(|text| Replacement::parse(text).unwrap())
                .collect(),
            to: to.map(|text| Template::parse(text).unwrap()),
            case: Case::Keep,
        }
    }

    fn message() -> Message {
        let mut message = Message::new(1, "http://h/base/", "a/b/Report 7.tmp");
        message.pub_time = "20240305T070809".to_owned();
        message
    }

    #[test]
    fn replacements_follow_each_other_and_know_their_groups() {
        let steps = steps(
            Field::Name,
            &[
                r"\.tmp$ =>",
                r" (?<number>\d+) => -{number}{1}",
                "Report => R",
            ],
            Some("{stem}_{pubTime:%Y%m%d}.txt"),
        );
        assert_eq!(
            steps.apply(&message()).unwrap().as_deref(),
            Some("R-77_20240305.txt")
        );
    }

    #[test]
    fn paths_and_roots() {
        let path = steps(Field::Path, &["^a/ => x/"], Some("{pubTime:%H}/{path}"));
        assert_eq!(
            path.apply(&message()).unwrap().as_deref(),
            Some("07/x/b/Report 7.tmp")
        );
        let root = steps(Field::BaseUrl, &["^http: => https:"], None);
        assert_eq!(
            root.apply(&message()).unwrap().as_deref(),
            Some("https://h/base/")
        );
    }

    #[test]
    fn only_limits_and_lends_its_groups() {
        let mut steps = steps(Field::Name, &[], Some("{1}.txt"));
        steps.only = Some(Regex::new(r"(\d+)\.tmp$").unwrap());
        assert_eq!(steps.apply(&message()).unwrap().as_deref(), Some("7.txt"));
        steps.only = Some(Regex::new(r"\.pdf$").unwrap());
        assert_eq!(steps.apply(&message()).unwrap(), None);
    }

    #[test]
    fn case_comes_last_and_nothing_new_is_no_change() {
        let mut steps = steps(Field::Name, &["Report => REPORT"], None);
        steps.case = Case::Lower;
        assert_eq!(
            steps.apply(&message()).unwrap().as_deref(),
            Some("report 7.tmp")
        );
        steps.replace.clear();
        steps.case = Case::Keep;
        assert_eq!(steps.apply(&message()).unwrap(), None);
        steps.to = Some(Template::parse("{other}").unwrap());
        assert_eq!(steps.apply(&message()), Err(Missing("other".into())));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            Replacement::parse("a=b").unwrap_err(),
            "`a=b` is not written `PATTERN => TEXT`"
        );
        assert!(
            Replacement::parse("( => x")
                .unwrap_err()
                .starts_with("`(` is no regular expression")
        );
    }
}
