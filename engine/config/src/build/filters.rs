//! Rules: what passes, and where it is stored.

use std::collections::HashMap;

use regex::Regex;

use super::Builder;
use super::values::{Scalar, flatten_of, strip_of};
use crate::explain as code;
use crate::flow::{Placement, Rule};
use crate::mask;
use crate::options::{option, options};
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::variables;
use crate::yaml::{Entry, Node, Value};

impl Builder<'_> {
    /// The rules of `name` (`filters` or `callbacks[0].filters`). What a rule does not say about
    /// placement it takes from `base`.
    pub(super) fn rules(&mut self, name: &str, node: &Node, base: &Placement) -> Vec<Rule> {
        let items = match &node.value {
            Value::List(items) => items,
            Value::Null => return Vec::new(),
            _ => {
                let is = node.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`filters` is a list of rules, this is {is}"),
                    )
                    .label("write `- accept: '.*\\.pdf$'`, one rule in a line");
                return Vec::new();
            }
        };
        let mut rules: Vec<Rule> = Vec::new();
        // What decides about everything its expression matches, by that; and the first that does
        // about everything.
        let mut last_words: HashMap<String, usize> = HashMap::new();
        let mut end = None;
        for (index, item) in items.iter().enumerate() {
            let Some((rule, regex_node)) = self.rule(&format!("{name}[{index}]"), item, base)
            else {
                continue;
            };
            let same = last_words.get(rule.regex.as_str()).copied();
            let blocker = [end, same].into_iter().flatten().min();
            if let Some(earlier) = blocker.map(|number| &rules[number]) {
                let everything = matches_all(&earlier.regex);
                let verb = if earlier.accept { "accepts" } else { "rejects" };
                let what = if everything { "everything" } else { "the same" };
                let label = format!("{} {verb} {what} before", earlier.origin);
                self.out
                    .error(code::UNREACHABLE_RULE, regex_node.span, "this rule is never reached")
                    .label(label)
                    .hint("rules are tried in order and the first that matches decides: move it up, or remove it");
            }
            if rule.conditions.is_empty() {
                if end.is_none() && matches_all(&rule.regex) {
                    end = Some(rules.len());
                }
                let words = last_words.entry(rule.regex.as_str().to_owned());
                words.or_insert(rules.len());
            }
            rules.push(rule);
        }
        rules
    }

    fn rule<'n>(
        &mut self,
        name: &str,
        node: &'n Node,
        base: &Placement,
    ) -> Option<(Rule, &'n Node)> {
        let Value::Map(entries) = &node.value else {
            let is = node.kind();
            self.out
                .error(
                    code::WRONG_TYPE,
                    node.span,
                    format!("a rule is `accept:` or `reject:`, this is {is}"),
                )
                .label("write `accept: '.*\\.pdf$'`");
            return None;
        };
        let verbs: Vec<&Entry> = entries
            .iter()
            .filter(|entry| matches!(entry.key.as_str(), "accept" | "reject"))
            .collect();
        let accept = verbs.first().is_some_and(|verb| verb.key == "accept");
        // The rest is looked at in any case, so that all findings come at once.
        let matcher = verbs.first().and_then(|verb| self.matcher(name, verb));
        match verbs.as_slice() {
            // A misspelled one is reported as that, below.
            [] if entries
                .iter()
                .any(|entry| closest(&entry.key, ["accept", "reject"]).is_some()) => {}
            [] => {
                self.out
                    .error(
                        code::MISSING_OPTION,
                        node.span,
                        "a rule needs `accept` or `reject`",
                    )
                    .label("which one?")
                    .hint("for example `- accept: '.*\\.pdf$'`");
            }
            [_, second, ..] => {
                self.out
                    .error(
                        code::NOT_HERE,
                        second.key_span,
                        "a rule either accepts or rejects",
                    )
                    .label("start a new entry with `-`");
            }
            [_] => {}
        }
        let mut placement = base.clone();
        let groups = matcher
            .as_ref()
            .map(|matcher| matcher.regex.captures_len() - 1);
        for entry in entries
            .iter()
            .filter(|entry| !matches!(entry.key.as_str(), "accept" | "reject"))
        {
            if !accept && option(&entry.key).is_some_and(|option| option.placement) {
                self.out
                    .error(
                        code::NOT_HERE,
                        entry.key_span,
                        format!("`{}` has no effect in a `reject`", entry.key),
                    )
                    .label("what is rejected is not stored");
                continue;
            }
            self.placement(name, entry, &mut placement, groups);
        }
        let verb = *verbs.first()?;
        let matcher = matcher?;
        let rule = Rule {
            text: format!("{} {}", verb.key, matcher.text),
            regex: matcher.regex,
            conditions: matcher.conditions,
            accept,
            placement,
            origin: self.out.file_line(verb.key_span),
        };
        Some((rule, &verb.value))
    }

    /// The anchored expression at `node`, recorded as `name`; `option` as messages call it.
    pub(super) fn regex(
        &mut self,
        name: &str,
        option: &str,
        node: &Node,
    ) -> Option<(Regex, Scalar)> {
        let scalar = self.scalar(option, node, "'.*\\.pdf$'")?;
        let regex = self.compile(option, &scalar, &format!("^(?:{})", scalar.text))?;
        self.set(name, scalar.shown(), scalar.origin.clone());
        Some((regex, scalar))
    }

    /// Checks the expression as written, so that places are right, and compiles `anchored`.
    pub(super) fn compile(
        &mut self,
        option: &str,
        scalar: &Scalar,
        anchored: &str,
    ) -> Option<Regex> {
        use regex_syntax::Error;
        let (why, range) = match regex_syntax::parse(&scalar.text) {
            Ok(_) => match Regex::new(anchored) {
                Ok(regex) => return Some(regex),
                Err(regex::Error::CompiledTooBig(_)) => ("it is too large".to_owned(), None),
                // A verbose-mode comment swallows the anchor's closing bracket.
                Err(_) => ("it does not stand by itself".to_owned(), None),
            },
            Err(Error::Parse(error)) => (
                error.kind().to_string(),
                Some(error.span().start.offset..error.span().end.offset),
            ),
            Err(Error::Translate(error)) => (
                error.kind().to_string(),
                Some(error.span().start.offset..error.span().end.offset),
            ),
            Err(error) => (error.to_string(), None),
        };
        let direct = scalar.names.is_empty();
        let place = match range {
            Some(range) if direct => variables::inside(self.out, scalar.span, &scalar.raw, range),
            _ => scalar.span,
        };
        let around = why.contains("look-around") || why.contains("backreference");
        let message = format!(
            "`{option}` is not a regular expression: {}",
            why.trim_end_matches('.')
        );
        let draft = self.out.error(code::BAD_REGEX, place, message);
        if around {
            draft.hint("use an earlier rule that rejects what must not match");
        } else if scalar.text.starts_with(['*', '+', '?']) {
            draft
                .label("nothing is before it")
                .hint("an expression is no file pattern: write `.*` for anything");
        }
        None
    }

    /// One placement option of an `accept`.
    fn placement(
        &mut self,
        rule: &str,
        entry: &Entry,
        placement: &mut Placement,
        groups: Option<usize>,
    ) {
        let name = format!("{rule}.{}", entry.key);
        let node = &entry.value;
        match entry.key.as_str() {
            "directory" => {
                placement.directory = self.directory_at(&name, node);
                self.check_groups("directory", node, placement.directory.as_ref(), groups);
            }
            "filename" => {
                placement.filename = self.filename_at(&name, node);
                self.check_groups("filename", node, placement.filename.as_ref(), groups);
            }
            "mirror" => {
                if let Some(mirror) = self.placed(&name, entry, "on", units::flag) {
                    placement.mirror = mirror;
                }
            }
            "strip" => {
                if let Some(strip) = self.placed(&name, entry, "2", strip_of) {
                    placement.strip = strip;
                }
            }
            "flatten" => {
                if let Some(flatten) = self.placed(&name, entry, "_", flatten_of) {
                    placement.flatten = flatten;
                }
            }
            key => self.unknown_in_rule(key, entry),
        }
    }

    fn placed<T>(
        &mut self,
        name: &str,
        entry: &Entry,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let scalar = self.scalar(&entry.key, &entry.value, example)?;
        match parse(&scalar.text) {
            Ok(value) => {
                self.set(name, scalar.shown(), scalar.origin);
                Some(value)
            }
            Err(wrong) => {
                self.wrong(&entry.key, &scalar, wrong);
                None
            }
        }
    }

    /// `${3}` of a rule with two groups is always empty, which nobody means.
    fn check_groups(
        &mut self,
        option: &str,
        node: &Node,
        template: Option<&crate::Template>,
        groups: Option<usize>,
    ) {
        let (Some(template), Some(groups)) = (template, groups) else {
            return;
        };
        let highest = template.highest_group();
        if highest <= groups {
            return;
        }
        let variable = format!("${{{highest}}}");
        let place = match &node.value {
            Value::Scalar(text, _) => match text.find(&variable) {
                Some(at) => variables::inside(self.out, node.span, text, at..at + variable.len()),
                None => node.span,
            },
            _ => node.span,
        };
        let has = match groups {
            0 => "the rule has no groups".to_owned(),
            1 => "the rule has one group".to_owned(),
            groups => format!("the rule has {groups} groups"),
        };
        self.out
            .error(
                code::BAD_TEMPLATE,
                place,
                format!("`{variable}` in `{option}` is always empty"),
            )
            .label(has)
            .hint("a group is what parentheses in the rule's expression match");
    }

    fn unknown_in_rule(&mut self, key: &str, entry: &Entry) {
        if option(key).is_some() {
            self.out
                .error(
                    code::NOT_HERE,
                    entry.key_span,
                    format!("`{key}` can't be set in a rule"),
                )
                .label("it is an option of the flow");
            return;
        }
        let known = options()
            .iter()
            .filter(|option| option.placement)
            .map(|option| option.name);
        let close = closest(key, known.chain(["accept", "reject"]));
        let draft = self.out.error(
            code::UNKNOWN_OPTION,
            entry.key_span,
            format!("`{}` is not an option of a rule", mask::quotable(key)),
        );
        if let Some(close) = close {
            draft.label(format!("did you mean `{close}`?"));
        }
        draft.hint("a rule has `accept` or `reject`, and `directory`, `mirror`, `strip`, `flatten`, `filename`");
    }
}

/// Whether an anchored expression matches whatever it is given.
pub(super) fn matches_all(regex: &Regex) -> bool {
    let inner = regex
        .as_str()
        .strip_prefix("^(?:")
        .and_then(|rest| rest.strip_suffix(')'));
    matches!(
        inner.unwrap_or(regex.as_str()),
        "" | "^" | "." | ".*" | ".+" | "^.*" | ".*$" | "^.*$" | "^.+$" | ".*?" | "(.*)" | "^(.*)$"
    )
}
