//! Writes the plugins of a flow with the options that are theirs.

use super::document::{Node, Value};
use super::plugins::{self, As, Fixed, To};
use super::report::Fate;
use super::values;
use super::walk::{Callback, Stranger, Walk};
use crate::manifest::CALLBACK_KEYS;
use crate::mask;

/// sr3's keywords for file names are a plugin here.
pub(super) fn keywords(walk: &mut Walk) {
    let mut used: Vec<&String> = walk.keywords.iter().flatten().collect();
    used.extend(&walk.keyword);
    let Some(first) = used.first().map(|first| (*first).clone()) else {
        return;
    };
    let accepting = walk.masks.iter().filter(|mask| mask.accept).count();
    let everywhere = walk
        .keywords
        .iter()
        .flatten()
        .all(|keyword| *keyword == first)
        && walk.keywords.iter().flatten().count() == accepting
        && walk
            .keyword
            .as_ref()
            .is_none_or(|keyword| *keyword == first);
    if !everywhere {
        walk.remark_whole(
            Fate::Refused,
            "filename",
            "rules name files in different ways (`WHATFN` and the like): the plugin `rename` does it with `keyword` and `only`, named once for each",
        );
        return;
    }
    walk.remark_whole(
        Fate::Kept,
        "filename",
        format!("`{first}` is the plugin `rename` with `keyword: {first}`"),
    );
    let entries = vec![("keyword".to_owned(), Node::from(Value::Text(first)))];
    let line = super::lines::Line {
        file: 0,
        number: 0,
        words: Vec::new(),
        rest: String::new(),
        comments: Vec::new(),
    };
    walk.doc
        .set("callbacks", Value::List(Vec::new()), Vec::new());
    walk.callbacks.push(Callback {
        name: "rename".into(),
        canonical: String::new(),
        to: None,
        entries,
        comments: Vec::new(),
        line,
    });
}

/// Gives the options nobody knows to the plugins they are for.
pub(super) fn plugin_options(walk: &mut Walk) {
    for index in 0..walk.callbacks.len() {
        if let Some(To::Plugin { fixed, .. }) = walk.callbacks[index].to {
            for (key, value) in fixed {
                let value = match value {
                    Fixed::Text(text) => Value::text(*text),
                    Fixed::List(texts) => Value::List(
                        texts
                            .iter()
                            .map(|text| Node::from(Value::Quoted((*text).to_owned())))
                            .collect(),
                    ),
                };
                walk.callbacks[index]
                    .entries
                    .push(((*key).to_owned(), value.into()));
            }
        }
    }
    for stranger in std::mem::take(&mut walk.strangers) {
        if !known_option(walk, &stranger) {
            unknown_option(walk, stranger);
        }
    }
}

/// Whether a plugin in the table has the option.
fn known_option(walk: &mut Walk, stranger: &Stranger) -> bool {
    let found = walk
        .callbacks
        .iter()
        .enumerate()
        .find_map(|(index, callback)| {
            let Some(To::Plugin { options, .. }) = callback.to else {
                return None;
            };
            let meant = stranger
                .of
                .as_ref()
                .is_none_or(|of| *of == callback.canonical);
            let (_, ours, of) = options.iter().find(|(name, _, _)| *name == stranger.name)?;
            meant.then_some((index, *ours, *of))
        });
    let Some((index, ours, of)) = found else {
        return false;
    };
    let value = stranger.value.as_str();
    let (text, list) = match of {
        As::List => (value.to_owned(), true),
        As::Count => (value.to_owned(), false),
        As::NotNegative if value.starts_with('-') => ("0".to_owned(), false),
        As::NotNegative => (value.to_owned(), false),
        As::Duration => (values::duration(value).text, false),
        As::Not if values::is_true(value) => ("off".to_owned(), false),
        As::Not => ("on".to_owned(), false),
        As::Joined => {
            let entries = &walk.callbacks[index].entries;
            match entries.iter().find(|(name, _)| name == ours) {
                Some((
                    _,
                    Node {
                        value: Value::Text(first),
                        ..
                    },
                )) => (format!("{first} {value}"), false),
                _ => (value.to_owned(), false),
            }
        }
        As::Arrow => {
            let (from, to) = value.split_once(',').unwrap_or((value, ""));
            (format!("{} => {}", from.trim(), to.trim()), true)
        }
        As::Assign => {
            let (name, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            (format!("{name} = {}", value.trim()), true)
        }
    };
    let name = walk.callbacks[index].name.clone();
    walk.remark(
        &stranger.line,
        Fate::Kept,
        format!("it is `{ours}` of the plugin `{name}`"),
    );
    add(
        &mut walk.callbacks[index],
        ours,
        text,
        list,
        stranger.line.comments.clone(),
    );
    true
}

fn unknown_option(walk: &mut Walk, stranger: Stranger) {
    let Stranger {
        line,
        name,
        value,
        of,
    } = stranger;
    let missing = |callback: &Callback| matches!(callback.to, None | Some(To::Nothing(_)));
    let index = walk.callbacks.iter().position(|callback| match &of {
        Some(of) => *of == callback.canonical,
        None => missing(callback) && !callback.canonical.is_empty(),
    });
    // A slip of the pen is no option of a plugin.
    let index = index
        .filter(|_| is_name(&name))
        .filter(|_| of.is_some() || Walk::meant(&name).is_none());
    let Some(index) = index else {
        if plugins::idle_option(&name) {
            walk.remark(
                &line,
                Fate::Dropped,
                "it is for a plugin that is not needed here",
            );
        } else if of.is_some() {
            walk.remark(&line, Fate::Dropped, "the flow has no such plugin");
        } else {
            walk.remark(&line, Fate::Dropped, Walk::unknown(&name));
        }
        return;
    };
    let plugin = walk.callbacks[index].name.clone();
    if mask::sounds_secret(&name) {
        let variable = name.to_ascii_uppercase();
        walk.remark(
            &line,
            Fate::Changed,
            format!("what it holds is not in the flow: set the environment variable `{variable}`"),
        );
        add(
            &mut walk.callbacks[index],
            &name,
            format!("${{{variable}}}"),
            false,
            line.comments,
        );
        return;
    }
    if missing(&walk.callbacks[index]) {
        walk.remark(
            &line,
            Fate::Changed,
            format!("it is kept as an option of the plugin `{plugin}`, which has to be written"),
        );
    } else {
        walk.remark(
            &line,
            Fate::Refused,
            format!("the plugin `{plugin}` has no such option: `flow plugin show {plugin}` lists what it has"),
        );
        return;
    }
    let again = walk.callbacks[index]
        .entries
        .iter()
        .any(|(key, _)| *key == name);
    add(
        &mut walk.callbacks[index],
        &name,
        value,
        again,
        line.comments,
    );
}

/// Whether an option of a plugin can be called so.
fn is_name(name: &str) -> bool {
    !CALLBACK_KEYS.contains(&name)
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Adds an option to a callback; one that is there becomes a list.
fn add(callback: &mut Callback, key: &str, text: String, list: bool, comments: Vec<String>) {
    let value = Value::Text(text);
    match callback.entries.iter_mut().find(|(name, _)| name == key) {
        Some((
            _,
            Node {
                value: Value::List(nodes),
                ..
            },
        )) => {
            nodes.push(Node { comments, value });
        }
        Some((_, node)) if list => {
            let first = std::mem::replace(&mut node.value, Value::List(Vec::new()));
            node.value = Value::List(vec![first.into(), Node { comments, value }]);
        }
        Some((_, node)) => {
            node.value = value;
            node.comments.extend(comments);
        }
        None => {
            let value = if list {
                Value::List(vec![value.into()])
            } else {
                value
            };
            callback
                .entries
                .push((key.to_owned(), Node { comments, value }));
        }
    }
}

/// Writes the list.
pub(super) fn write(walk: &mut Walk) {
    if walk.callbacks.is_empty() {
        walk.doc.remove("callbacks");
        return;
    }
    let nodes = std::mem::take(&mut walk.callbacks)
        .into_iter()
        .map(|callback| {
            let mut comments = callback.comments;
            if matches!(callback.to, Some(To::Nothing(_)))
                || callback.to.is_none() && !callback.canonical.is_empty()
            {
                comments.push(format!(
                    " {}:{} names `{}`, which is not here; `flow convert` said what to do",
                    walk.files[callback.line.file].display(),
                    callback.line.number,
                    callback.canonical
                ));
            }
            let value = if callback.entries.is_empty() {
                Value::Text(callback.name)
            } else {
                let mut entries =
                    vec![("plugin".to_owned(), Node::from(Value::Text(callback.name)))];
                entries.extend(callback.entries);
                Value::Map(entries)
            };
            Node { comments, value }
        })
        .collect();
    walk.doc.set("callbacks", Value::List(nodes), Vec::new());
}
