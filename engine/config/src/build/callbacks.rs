//! Callbacks: which plugins, with which options, as their manifests have them.

use std::collections::BTreeMap;

use super::Builder;
use super::values::{Scalar, one_of};
use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::flow::{CallbackSpec, Filters, OptionValue, Placement};
use crate::manifest::{CALLBACK_KEYS, Manifest, OptionKind, OptionSpec};
use crate::mask::{self, MASK};
use crate::options::option;
use crate::source::items;
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::yaml::{self, Entry, Node, Value};
use crate::{Origin, SafeUrl, Secret};

impl Builder<'_> {
    pub(super) fn callbacks(&mut self, accept_unmatched: bool) -> Vec<CallbackSpec> {
        let Some((_, node)) = self.given.get("callbacks").cloned() else {
            return Vec::new();
        };
        let list = match node.value {
            Value::List(list) => list,
            Value::Null => return Vec::new(),
            _ => {
                let is = node.kind();
                self.out
                    .error(code::WRONG_TYPE, node.span, format!("`callbacks` is a list of plugins, this is {is}"))
                    .label("write `callbacks: [reader]`, or one entry in a line, each with `- plugin:`");
                return Vec::new();
            }
        };
        let mut callbacks = Vec::new();
        for (index, item) in list.iter().enumerate() {
            callbacks.extend(self.callback(index, item, accept_unmatched));
        }
        callbacks
    }

    fn callback(
        &mut self,
        index: usize,
        node: &Node,
        accept_unmatched: bool,
    ) -> Option<CallbackSpec> {
        let at = format!("callbacks[{index}]");
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        let plugin_node = match &node.value {
            Value::Map(entries) => match entries.iter().find(|entry| entry.key == "plugin") {
                Some(entry) => &entry.value,
                None => {
                    self.missing_plugin(node, entries);
                    return None;
                }
            },
            _ => node,
        };
        let scalar = self.scalar("plugin", plugin_node, "news")?;
        let (name, place) = (scalar.text.trim().to_owned(), scalar.span);
        self.set(format!("{at}.plugin"), &name, scalar.origin);
        // Filters and limits are looked at even if the plugin is unknown.
        let filters = entries
            .iter()
            .find(|entry| entry.key == "filters")
            .map(|entry| {
                let placement = Placement::default();
                let rules = self.rules(&format!("{at}.filters"), &entry.value, &placement);
                Filters {
                    rules: rules.into(),
                    accept_unmatched,
                    placement,
                }
            });
        let limits = self.limits(&at, entries.iter().find(|entry| entry.key == "limits"));
        let pin = entries.iter().find(|entry| entry.key == "sha256");
        let key = entries.iter().find(|entry| entry.key == "minisign");
        let pinned = self.pin(&at, &name, pin);
        let pinned = pinned.and_then(|pin| Ok((pin, self.signature(&at, &name, key)?)));
        let Ok((sha256, minisign)) = pinned else {
            // What it would do is not known, so that nothing is said to be missing.
            self.manifests.insert(name, None);
            return None;
        };
        let pins = entries.iter().find(|entry| entry.key == "tlsPin");
        let pins = self.certificates(&at, pins);
        let manifest = self.manifest(&name, place)?;
        let mut options = BTreeMap::new();
        let given: Vec<&Entry> = entries
            .iter()
            .filter(|entry| !CALLBACK_KEYS.contains(&entry.key.as_str()))
            .collect();
        for entry in &given {
            if !manifest.options.iter().any(|spec| spec.name == entry.key) {
                self.unknown_plugin_option(&manifest, entry);
            }
        }
        for spec in &manifest.options {
            let entry = given.iter().find(|entry| entry.key == spec.name);
            let value = match entry {
                Some(entry) => self.plugin_option(&at, spec, entry),
                None => self.plugin_default(&at, &name, spec, place),
            };
            options.extend(value.map(|value| (spec.name.clone(), value)));
        }
        let origin = self.out.file_line(place);
        Some(CallbackSpec {
            plugin: name,
            options,
            filters,
            limits,
            sha256,
            minisign,
            pins,
            origin,
        })
    }

    fn missing_plugin(&mut self, node: &Node, entries: &[Entry]) {
        let close = entries
            .iter()
            .find(|entry| closest(&entry.key, ["plugin"]).is_some())
            .map(|entry| entry.key_span);
        let draft = match close {
            Some(span) => self
                .out
                .error(
                    code::MISSING_OPTION,
                    span,
                    "a callback needs the name of its plugin",
                )
                .label("did you mean `plugin`?"),
            None => self
                .out
                .error(
                    code::MISSING_OPTION,
                    node.span,
                    "a callback needs the name of its plugin",
                )
                .label("add `plugin:`"),
        };
        draft.hint("for example `- plugin: reader`; `flow list plugins` shows what there is");
    }

    /// The manifest of `name`, asked for once.
    fn manifest(&mut self, name: &str, place: Span) -> Option<Manifest> {
        if let Some(known) = self.manifests.get(name)
            && known.is_some()
        {
            return known.clone();
        }
        let found = match self.plugins.manifest(name) {
            Some(Ok(manifest)) => match flaw(&manifest) {
                None => Some(manifest),
                Some(flaw) => {
                    self.unusable(name, &flaw, place);
                    None
                }
            },
            Some(Err(reason)) => {
                self.unusable(name, &reason, place);
                None
            }
            None => {
                let names = self.plugins.names();
                let close = closest(name, names.iter().map(String::as_str)).map(str::to_owned);
                let draft = self.out.error(
                    code::UNKNOWN_PLUGIN,
                    place,
                    format!("there is no plugin `{}`", mask::quotable(name)),
                );
                if let Some(close) = close {
                    draft.label(format!("did you mean `{close}`?"));
                }
                draft.hint("`flow list plugins` shows what there is");
                None
            }
        };
        self.manifests.insert(name.to_owned(), found.clone());
        found
    }

    fn unusable(&mut self, name: &str, reason: &str, place: Span) {
        self.out
            .error(
                code::PLUGIN_UNUSABLE,
                place,
                format!("plugin `{name}` can't be used: {reason}"),
            )
            .hint("the flow is not at fault: update the plugin, or tell its author");
    }

    fn unknown_plugin_option(&mut self, manifest: &Manifest, entry: &Entry) {
        // Whatever it was meant to be, nobody knows whether its value may be seen.
        let close = closest(
            &entry.key,
            manifest
                .options
                .iter()
                .map(|spec| spec.name.as_str())
                .chain(CALLBACK_KEYS),
        );
        if manifest
            .options
            .iter()
            .any(|spec| spec.secret && Some(spec.name.as_str()) == close)
        {
            self.hide(&entry.value);
        }
        let of_flow = option(&entry.key).is_some();
        let key = mask::quotable(&entry.key);
        let draft = self.out.error(
            code::UNKNOWN_OPTION,
            entry.key_span,
            format!("`{key}` is not an option of plugin `{}`", manifest.name),
        );
        match close {
            Some(close) => draft.label(format!("did you mean `{close}`?")),
            None if of_flow => {
                draft.label("it is an option of the flow: move it out of `callbacks`")
            }
            None if manifest.options.is_empty() => draft.label("the plugin has no options"),
            None => draft,
        };
        draft.hint(format!(
            "`flow plugin show {}` lists every option with its default",
            manifest.name
        ));
    }

    fn hide(&mut self, node: &Node) {
        self.out.hide(node.span);
    }

    /// The value of a plugin's option that is set.
    fn plugin_option(&mut self, at: &str, spec: &OptionSpec, entry: &Entry) -> Option<OptionValue> {
        if spec.secret {
            self.hide(&entry.value);
        }
        let example = spec
            .example
            .as_deref()
            .or(spec.default.as_deref())
            .unwrap_or("…");
        let name = format!("{at}.{}", spec.name);
        if spec.repeated {
            let scalars: Vec<Scalar> = items(&entry.value)
                .iter()
                .filter_map(|item| self.scalar(&spec.name, item, example))
                .collect();
            let mut texts = Vec::with_capacity(scalars.len());
            for scalar in &scalars {
                texts.extend(self.plugin_value(spec, scalar).map(|_| scalar.text.clone()));
            }
            let names: Vec<String> = scalars
                .iter()
                .flat_map(|scalar| scalar.names.clone())
                .collect();
            let origin = self.origin(entry.value.span, &names);
            let shown: Vec<String> = scalars.iter().map(Scalar::shown).collect();
            self.set(name, shown.join(", "), origin);
            return Some(OptionValue::List(texts));
        }
        let scalar = self.scalar(&spec.name, &entry.value, example)?;
        let value = self.plugin_value(spec, &scalar)?;
        let shown = if spec.secret {
            MASK.to_owned()
        } else {
            scalar.shown()
        };
        self.set(name, shown, scalar.origin);
        Some(value)
    }

    /// Reads one value by its manifest.
    fn plugin_value(&mut self, spec: &OptionSpec, scalar: &Scalar) -> Option<OptionValue> {
        let result = match spec.kind {
            OptionKind::Url => {
                let url = self.checked_url(&spec.name, scalar)?;
                self.urls.push(url);
                Ok(OptionValue::Text(scalar.text.trim().to_owned()))
            }
            OptionKind::Regex => {
                self.compile(&spec.name, scalar, &scalar.text)?;
                Ok(OptionValue::Text(scalar.text.clone()))
            }
            _ => value_of(spec, &scalar.text),
        };
        match result {
            Ok(OptionValue::Text(text)) if spec.secret => {
                Some(OptionValue::Secret(Secret::new(text)))
            }
            Ok(value) => Some(value),
            Err(wrong) if spec.secret => {
                let wrong = Wrong {
                    message: "has a value it can't have".into(),
                    hint: None,
                    ..wrong
                };
                let blind = Scalar {
                    names: Vec::new(),
                    ..scalar.clone()
                };
                self.wrong(&spec.name, &blind, wrong);
                None
            }
            Err(wrong) => {
                self.wrong(&spec.name, scalar, wrong);
                None
            }
        }
    }

    /// The default of a plugin's option that is not set.
    fn plugin_default(
        &mut self,
        at: &str,
        plugin: &str,
        spec: &OptionSpec,
        place: Span,
    ) -> Option<OptionValue> {
        let name = format!("{at}.{}", spec.name);
        let Some(default) = &spec.default else {
            if spec.required {
                let draft = self
                    .out
                    .error(
                        code::MISSING_OPTION,
                        place,
                        format!("plugin `{plugin}` needs the option `{}`", spec.name),
                    )
                    .label(format!("add `{}:`", spec.name));
                if let Some(example) = &spec.example {
                    draft.hint(format!("for example `{}: {example}`", spec.name));
                }
                draft.hint(format!("`flow plugin show {plugin}` says what it is for"));
            } else {
                self.set(name, "none", Origin::Default);
            }
            return None;
        };
        let value = if spec.repeated {
            Some(OptionValue::List(list_default(default)))
        } else {
            default_value(spec, default).ok()
        };
        if let OptionKind::Url = spec.kind
            && let Ok(url) = SafeUrl::parse(default)
        {
            self.urls.push(url);
        }
        let shown = if spec.secret {
            MASK.to_owned()
        } else {
            mask::masked_url(default)
        };
        self.set(name, shown, Origin::Default);
        value
    }
}

/// Reads a value whose kind needs nothing but the text.
fn value_of(spec: &OptionSpec, text: &str) -> Result<OptionValue, Wrong> {
    match spec.kind {
        OptionKind::Flag => units::flag(text).map(OptionValue::Flag),
        OptionKind::Count => units::count(text, i64::MIN, i64::MAX).map(OptionValue::Count),
        OptionKind::Size => units::size(text).map(OptionValue::Size),
        OptionKind::Duration => units::duration(text).map(OptionValue::Duration),
        OptionKind::Choice => one_of(text.trim(), spec.choices.iter().map(String::as_str))
            .map(|choice| OptionValue::Text(choice.to_owned())),
        OptionKind::Text | OptionKind::Url | OptionKind::Regex => {
            Ok(OptionValue::Text(text.to_owned()))
        }
    }
}

/// As [`value_of`], with the checks that need no place, for defaults.
fn default_value(spec: &OptionSpec, text: &str) -> Result<OptionValue, Wrong> {
    let not = |what: &str| Wrong::new(code::PLUGIN_UNUSABLE, format!("is not {what}"), "");
    match spec.kind {
        OptionKind::Url => drop(SafeUrl::parse(text).map_err(|_| not("a URL"))?),
        OptionKind::Regex => {
            drop(regex::Regex::new(text).map_err(|_| not("a regular expression"))?);
        }
        _ => {}
    }
    match value_of(spec, text)? {
        OptionValue::Text(text) if spec.secret => Ok(OptionValue::Secret(Secret::new(text))),
        value => Ok(value),
    }
}

/// A list as a manifest writes its default: as in a flow, or one item in a line, or separated by commas.
fn list_default(default: &str) -> Vec<String> {
    let mut aside = Collector::default();
    let file = aside.add("", default);
    if let Ok(Some(Node {
        value: Value::List(items),
        ..
    })) = yaml::parse(&mut aside, file)
    {
        let texts = items.into_iter().map(|item| match item.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        });
        if let Some(texts) = texts.collect() {
            return texts;
        }
    }
    default
        .split([',', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What is wrong with a manifest itself.
fn flaw(manifest: &Manifest) -> Option<String> {
    for spec in &manifest.options {
        let name = &spec.name;
        if CALLBACK_KEYS.contains(&name.as_str()) {
            return Some(format!("its option `{name}` has a name that is taken"));
        }
        // A list has no form that can't be printed.
        if spec.repeated && spec.secret {
            return Some(format!("its option `{name}` is both a list and a secret"));
        }
        if spec.kind == OptionKind::Choice && spec.choices.is_empty() {
            return Some(format!("its option `{name}` is a choice of nothing"));
        }
        if let Some(default) = &spec.default {
            let values = if spec.repeated {
                list_default(default)
            } else {
                vec![default.clone()]
            };
            if values
                .iter()
                .any(|value| default_value(spec, value).is_err())
            {
                return Some(format!(
                    "the default of its option `{name}` is not of its own type"
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::list_default;

    #[test]
    fn the_default_of_a_list_reads_as_in_a_flow() {
        let check = |default: &str, expected: &[&str]| {
            assert_eq!(list_default(default), expected, "{default}");
        };
        check("[.tmp, .part]", &[".tmp", ".part"]);
        check("['.tmp', \"a, b\"]", &[".tmp", "a, b"]);
        check("- one\n- two\n", &["one", "two"]);
        check("[]", &[]);
        check("", &[]);
        check("one, two", &["one", "two"]);
        check("one\ntwo", &["one", "two"]);
    }
}
