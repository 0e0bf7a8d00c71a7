//! What becomes of the headers of one message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flow_plugin::template::{Missing, Template};
use flow_plugin::{Edit, Header, Message, Value};
use regex::{Captures, Regex};

/// Fields with an edit of their own that may be set as text.
const CONTENT_TYPE: &str = "contentType";
/// Fields that say where and what content is: changing them is the business of others.
const FIXED: [&str; 8] = [
    "pubTime",
    "baseUrl",
    "relPath",
    "retrievePath",
    "size",
    "mtime",
    "identity",
    "topic",
];
/// Fields that can be deleted, but not made from text.
const TYPED: [&str; 5] = ["content", "fileOp", "blocks", "mode", "atime"];

/// The steps, in their order.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) from: Template,
    pub(crate) extract: Vec<Regex>,
    pub(crate) rename: Vec<(String, String)>,
    pub(crate) set: Vec<(String, Template)>,
    pub(crate) default: Vec<(String, Template)>,
    pub(crate) delete: Vec<String>,
    /// Whether a field that a text asks for has to be there, and one of `extract` has to match.
    pub(crate) strict: bool,
}

/// Reads `name = text`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not written `NAME = TEXT`"))?;
    let name = check(name.trim())?;
    if TYPED.contains(&name) {
        return Err(format!("`{name}` is no text, it can only be deleted"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// A name that may be set or deleted.
pub(crate) fn check(name: &str) -> Result<&str, String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(format!("`{}` is no name of a header", name.escape_debug()));
    }
    if FIXED.contains(&name) {
        return Err(format!(
            "`{name}` says where or what content is and is not changed here; names and paths are changed by the plugin `rename`"
        ));
    }
    Ok(name)
}

impl Steps {
    /// The edits for one message, or what is missing for them.
    pub(crate) fn apply(&self, message: &Message) -> Result<Vec<Edit>, String> {
        // Works on a copy, so that later steps see what earlier ones did, and edits say only what
        // is different in the end.
        let mut now = message.clone();
        let found = self.extracted(message)?;
        for (name, value) in &found {
            put(&mut now, name, Some(Value::Text(value.clone())));
        }
        for (old, new) in &self.rename {
            if let Some(at) = now.headers.iter().position(|header| header.name == *old) {
                let value = now.headers.remove(at).value;
                put(&mut now, new, Some(value));
            }
        }
        let group = |name: &str| found.get(name).cloned().map(Cow::Owned);
        for (name, text) in &self.default {
            if value_of(&now, name).is_none() {
                self.set(&mut now, name, text, &group)?;
            }
        }
        for (name, text) in &self.set {
            self.set(&mut now, name, text, &group)?;
        }
        for pattern in &self.delete {
            if matches(pattern, CONTENT_TYPE) {
                now.content_type = None;
            }
            now.headers.retain(|header| !matches(pattern, &header.name));
        }
        Ok(edits(message, &now))
    }

    /// The groups of the first pattern that matches.
    fn extracted(&self, message: &Message) -> Result<BTreeMap<String, String>, String> {
        if self.extract.is_empty() {
            return Ok(BTreeMap::new());
        }
        let from = match self.from.render(message, &|_| None) {
            Ok(from) => from,
            Err(Missing(field)) if self.strict => return Err(lacking(&field)),
            Err(_) => return Ok(BTreeMap::new()),
        };
        let found = self
            .extract
            .iter()
            .find_map(|pattern| Some((pattern, pattern.captures(&from)?)));
        match found {
            Some((pattern, groups)) => Ok(named(pattern, &groups)),
            None if self.strict => {
                let shown: String = from
                    .chars()
                    .take(200)
                    .flat_map(char::escape_debug)
                    .collect();
                Err(format!("no pattern of `extract` matches `{shown}`"))
            }
            None => Ok(BTreeMap::new()),
        }
    }

    fn set(
        &self,
        now: &mut Message,
        name: &str,
        text: &Template,
        group: &dyn Fn(&str) -> Option<Cow<'static, str>>,
    ) -> Result<(), String> {
        let rendered = text.render(now, &|name| group(name));
        match rendered {
            Ok(text) => put(now, name, Some(Value::Text(text))),
            Err(Missing(field)) if self.strict => return Err(lacking(&field)),
            Err(_) => {}
        }
        Ok(())
    }
}

fn lacking(field: &str) -> String {
    format!("the message has no field `{field}`")
}

/// Groups with a name that took part.
fn named(pattern: &Regex, groups: &Captures<'_>) -> BTreeMap<String, String> {
    pattern
        .capture_names()
        .flatten()
        .filter_map(|name| Some((name.to_owned(), groups.name(name)?.as_str().to_owned())))
        .collect()
}

/// Whether `name` is `pattern`, which may end in `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn value_of(message: &Message, name: &str) -> Option<Value> {
    if name == CONTENT_TYPE {
        return message.content_type.clone().map(Value::Text);
    }
    let header = message.headers.iter().find(|header| header.name == name)?;
    Some(header.value.clone())
}

fn put(message: &mut Message, name: &str, value: Option<Value>) {
    if name == CONTENT_TYPE {
        message.content_type = value.map(|value| match value {
            Value::Text(text) | Value::Json(text) => text,
        });
        return;
    }
    message.headers.retain(|header| header.name != name);
    if let Some(value) = value {
        message.headers.push(Header {
            name: name.to_owned(),
            value,
        });
    }
}

/// What makes `new` of `old`.
fn edits(old: &Message, new: &Message) -> Vec<Edit> {
    let mut edits = Vec::new();
    if old.content_type != new.content_type {
        edits.push(Edit::ContentType(new.content_type.clone()));
    }
    for header in &old.headers {
        if value_of(new, &header.name).is_none() {
            edits.push(Edit::remove_header(header.name.clone()));
        }
    }
    for header in &new.headers {
        if value_of(old, &header.name).as_ref() != Some(&header.value) {
            let value = Some(header.value.clone());
            edits.push(Edit::Header((header.name.clone(), value)));
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(strict: bool) -> Steps {
        Steps {
            from: Template::parse("{path}").unwrap(),
            extract: Vec::new(),
            rename: Vec::new(),
            set: Vec::new(),
            default: Vec::new(),
            delete: Vec::new(),
            strict,
        }
    }

    fn set(text: &str) -> (String, Template) {
        let (name, text) = pair(text).unwrap();
        (name, Template::parse(&text).unwrap())
    }

    fn message() -> Message {
        let mut message = Message::new(1, "http://h/", "radar/CASBV/20240305.gif");
        message.headers = vec![
            Header::text("from_cluster", "ddi"),
            Header::text("to_clusters", "ALL"),
            Header::json("geometry", r#"{"type":"Point"}"#),
        ];
        message
    }

    #[test]
    fn groups_of_the_path_become_headers() {
        let mut steps = steps(false);
        steps.extract = vec![
            Regex::new("^sat/(?<satellite>[^/]+)").unwrap(),
            Regex::new(r"^(?<kind>\w+)/(?<station>[^/]+)/(?<none>x)?").unwrap(),
        ];
        steps.set = vec![set("title = {kind} of {station}, {day|any day}")];
        assert_eq!(
            steps.apply(&message()).unwrap(),
            [
                Edit::set_header("kind", "radar"),
                Edit::set_header("station", "CASBV"),
                Edit::set_header("title", "radar of CASBV, any day"),
            ]
        );
    }

    #[test]
    fn renaming_keeps_the_value_as_it_is() {
        let mut steps = steps(false);
        steps.rename = vec![
            ("geometry".to_owned(), "area".to_owned()),
            ("absent".to_owned(), "x".to_owned()),
        ];
        assert_eq!(
            steps.apply(&message()).unwrap(),
            [
                Edit::remove_header("geometry"),
                Edit::Header((
                    "area".into(),
                    Some(Value::Json(r#"{"type":"Point"}"#.into()))
                )),
            ]
        );
    }

    #[test]
    fn defaults_give_way_and_deleting_comes_last() {
        let mut steps = steps(false);
        steps.default = vec![set("from_cluster = here"), set("source = {from_cluster}")];
        steps.set = vec![set("contentType = image/gif"), set("x_tmp = 1")];
        steps.delete = vec!["to_clusters".to_owned(), "x_*".to_owned()];
        assert_eq!(
            steps.apply(&message()).unwrap(),
            [
                Edit::ContentType(Some("image/gif".into())),
                Edit::remove_header("to_clusters"),
                Edit::set_header("source", "ddi"),
            ]
        );
    }

    #[test]
    fn what_stays_the_same_is_no_edit() {
        let mut steps = steps(true);
        steps.set = vec![set("from_cluster = ddi")];
        steps.delete = vec!["absent".to_owned()];
        assert_eq!(steps.apply(&message()).unwrap(), []);
    }

    #[test]
    fn what_is_missing_counts_only_where_it_is_wanted() {
        let mut steps = steps(false);
        steps.set = vec![set("a = {absent}")];
        assert_eq!(steps.apply(&message()).unwrap(), []);
        steps.strict = true;
        assert_eq!(
            steps.apply(&message()).unwrap_err(),
            "the message has no field `absent`"
        );
        steps.set.clear();
        steps.extract = vec![Regex::new("^sat").unwrap()];
        assert_eq!(
            steps.apply(&message()).unwrap_err(),
            "no pattern of `extract` matches `radar/CASBV/20240305.gif`"
        );
    }

    #[test]
    fn fields_of_others_are_refused() {
        assert_eq!(pair("a").unwrap_err(), "`a` is not written `NAME = TEXT`");
        assert!(pair("relPath = x").unwrap_err().contains("plugin `rename`"));
        assert!(pair("content = x").unwrap_err().contains("only be deleted"));
        assert_eq!(pair(" = x").unwrap_err(), "`` is no name of a header");
        assert_eq!(check("content"), Ok("content"));
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }
}
