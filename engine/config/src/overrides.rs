//! `--set option=value`: the command line on top of the file.
//!
//! A value is read as YAML, so that lists work (`allow.connect='[a:1]'`); what is no YAML is text.

use crate::collect::{COMMAND_LINE, Collector, Span};
use crate::explain as code;
use crate::source::check_secrets;
use crate::suggest::closest;
use crate::yaml::{self, Entry, Node, Value};

/// Puts every override on top of `entries`. Later ones win.
pub(crate) fn apply(out: &mut Collector, entries: &mut Vec<Entry>, overrides: &[(String, String)]) {
    for (option, value) in overrides {
        let file = out.add(COMMAND_LINE, format!("{option}={value}"));
        let key_span = Span::new(file, 0..option.len());
        let value = read(out, file, option, value);
        check_secrets(out, Some(option), &value);
        match path(option) {
            Some(path) => set(out, entries, &path, key_span, value),
            None => malformed(out, option, key_span),
        }
    }
}

/// The value as a tree whose spans are those in `option=value`.
fn read(out: &mut Collector, file: usize, option: &str, value: &str) -> Node {
    let start = option.len() + 1;
    let span = Span::new(file, start..start + value.len());
    let mut aside = Collector::default();
    let inner = aside.add(COMMAND_LINE, value);
    let parsed = yaml::parse(&mut aside, inner)
        .ok()
        .flatten()
        .filter(|_| !aside.has_errors());
    if crate::mask::sounds_secret(option) {
        out.hide(span);
    }
    match parsed {
        // A mapping would surprise whoever types `filename=a: b`.
        Some(mut node) if !matches!(node.value, Value::Map(_)) || value.starts_with('{') => {
            shift(&mut node, file, start);
            node
        }
        _ => Node {
            span,
            value: Value::Scalar(value.to_owned(), true),
        },
    }
}

fn shift(node: &mut Node, file: usize, by: usize) {
    let moved = |span: Span| Span {
        file,
        start: span.start + by,
        end: span.end + by,
    };
    node.span = moved(node.span);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, file, by)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_span = moved(entry.key_span);
                shift(&mut entry.value, file, by);
            }
        }
        Value::Null | Value::Scalar(..) => {}
    }
}

/// One step of `callbacks[0].limits.deadline`.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn path(text: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in text.split('.') {
        let (key, index) = match part.split_once('[') {
            Some((key, rest)) => (key, Some(rest.strip_suffix(']')?.parse().ok()?)),
            None => (part, None),
        };
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key));
        steps.extend(index.map(Step::Index));
    }
    Some(steps)
}

fn malformed(out: &mut Collector, option: &str, span: Span) {
    out.error(
        code::BAD_OVERRIDE,
        span,
        format!("`{option}` does not name an option"),
    )
    .label("write `option`, `plugin.option` or `callbacks[0].option`");
}

fn set(out: &mut Collector, entries: &mut Vec<Entry>, path: &[Step<'_>], span: Span, value: Node) {
    match path {
        [Step::Key("include")] => {
            out.error(code::BAD_OVERRIDE, span, "`include` can't be set here")
                .label("includes are read before");
        }
        [Step::Key(key)] => put(entries, key, span, value),
        [Step::Key(mapping @ ("allow" | "header")), rest @ ..] => {
            put_below(entries, mapping, rest, span, value);
        }
        [Step::Key("callbacks"), Step::Index(index), rest @ ..] if !rest.is_empty() => {
            let callbacks = callbacks(entries);
            let count = callbacks.len();
            match callbacks.get_mut(*index) {
                Some(callback) => put_in(as_mapping(callback), rest, span, value),
                None => {
                    out.error(
                        code::BAD_OVERRIDE,
                        span,
                        format!("the flow has no `callbacks[{index}]`"),
                    )
                    .label(match count {
                        0 => "it has no callbacks".to_owned(),
                        1 => "its only one is `callbacks[0]`".to_owned(),
                        count => format!("its last one is `callbacks[{}]`", count - 1),
                    });
                }
            }
        }
        [Step::Key(plugin), rest @ ..] if matches!(rest.first(), Some(Step::Key(_))) => {
            let callbacks = callbacks(entries);
            let names: Vec<String> = callbacks.iter().filter_map(plugin_name).collect();
            let mut found = false;
            for callback in callbacks
                .iter_mut()
                .filter(|callback| plugin_name(callback).as_deref() == Some(*plugin))
            {
                found = true;
                put_in(as_mapping(callback), rest, span, value.clone());
            }
            if !found {
                let draft = out.error(
                    code::BAD_OVERRIDE,
                    span,
                    format!("the flow has no callback `{plugin}`"),
                );
                match closest(plugin, names.iter().map(String::as_str)) {
                    Some(close) => draft.label(format!("did you mean `{close}`?")),
                    None if names.is_empty() => draft.label("it has no callbacks"),
                    None => draft.label(format!("it has {}", quoted(&names))),
                };
            }
        }
        _ => {
            out.error(
                code::BAD_OVERRIDE,
                span,
                "this can't be set on the command line",
            )
            .label("write `option`, `plugin.option` or `callbacks[0].option`");
        }
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn put(entries: &mut Vec<Entry>, key: &str, key_span: Span, value: Node) {
    let entry = Entry {
        key: key.to_owned(),
        key_span,
        value,
    };
    match entries.iter_mut().find(|entry| entry.key == key) {
        Some(old) => *old = entry,
        None => entries.push(entry),
    }
}

fn put_below(entries: &mut Vec<Entry>, mapping: &str, rest: &[Step<'_>], span: Span, value: Node) {
    if !entries.iter().any(|entry| entry.key == mapping) {
        put(
            entries,
            mapping,
            span,
            Node {
                span,
                value: Value::Map(Vec::new()),
            },
        );
    }
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == mapping) {
        if matches!(entry.value.value, Value::Null) {
            entry.value.value = Value::Map(Vec::new());
        }
        if let Value::Map(inner) = &mut entry.value.value {
            put_in(inner, rest, span, value);
        }
    }
}

/// Sets what `rest` names; a step that is no key is left to become an unknown option.
fn put_in(entries: &mut Vec<Entry>, rest: &[Step<'_>], span: Span, value: Node) {
    match rest {
        [Step::Key(key)] => put(entries, key, span, value),
        [Step::Key(key), rest @ ..] => put_below(entries, key, rest, span, value),
        _ => {}
    }
}

fn callbacks(entries: &mut [Entry]) -> &mut [Node] {
    match entries.iter_mut().find(|entry| entry.key == "callbacks") {
        Some(Entry {
            value:
                Node {
                    value: Value::List(items),
                    ..
                },
            ..
        }) => items,
        _ => &mut [],
    }
}

fn plugin_name(callback: &Node) -> Option<String> {
    let name = match &callback.value {
        Value::Map(entries) => &entries.iter().find(|entry| entry.key == "plugin")?.value,
        _ => callback,
    };
    match &name.value {
        Value::Scalar(name, _) => Some(name.clone()),
        _ => None,
    }
}

/// The entries of a callback; one that is only a name becomes a mapping.
fn as_mapping(callback: &mut Node) -> &mut Vec<Entry> {
    if !matches!(callback.value, Value::Map(_)) {
        let name = callback.clone();
        let plugin = Entry {
            key: "plugin".to_owned(),
            key_span: name.span,
            value: name,
        };
        callback.value = Value::Map(vec![plugin]);
    }
    match &mut callback.value {
        Value::Map(entries) => entries,
        _ => unreachable!("it was made a mapping above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Step::{Index, Key};
        assert_eq!(path("sleep"), Some(vec![Key("sleep")]));
        assert_eq!(
            path("callbacks[1].after"),
            Some(vec![Key("callbacks"), Index(1), Key("after")])
        );
        assert_eq!(
            path("reader.limits.deadline"),
            Some(vec![Key("reader"), Key("limits"), Key("deadline")])
        );
        for text in ["", ".", "a.", "a[", "a[x]", "a[1", "[0]"] {
            assert_eq!(path(text), None, "{text}");
        }
    }
}
