//! Keys that are no option of this flow: what they may have been meant to be.

use super::Builder;
use crate::explain as code;
use crate::flow::Kind;
use crate::mask;
use crate::options::{OptionDoc, option, options, refused, today};
use crate::suggest::closest;
use crate::yaml::Entry;

impl Builder<'_> {
    /// The finding about a key at the top of a flow. Never about the value, which may be a secret.
    pub(super) fn unknown_option(&mut self, entry: &Entry) {
        let kind = self.name.kind;
        let key = entry.key.as_str();
        let shown = mask::quotable(key);
        if let Some(known) = option(key) {
            return self.other_kind(entry, known);
        }
        if let Some(gone) = refused(key) {
            let (code, message) = if gone.needed {
                (
                    code::NOT_IN_THIS_VERSION,
                    format!("flow has no option `{key}`, as sr3 has"),
                )
            } else {
                (
                    code::NOT_NEEDED,
                    format!("flow does without the option `{key}` of sr3"),
                )
            };
            self.out
                .error(code, entry.key_span, message)
                .label("remove it")
                .note(gone.why);
            return;
        }
        let owner = self
            .manifests
            .values()
            .flatten()
            .find(|manifest| manifest.options.iter().any(|spec| spec.name == key))
            .map(|manifest| manifest.name.clone());
        let label = if matches!(key, "accept" | "reject") {
            Some("rules are entries of `filters`".to_owned())
        } else if let Some(name) = today(key) {
            Some(format!("it is spelled `{name}`"))
        } else if let Some(plugin) = owner {
            Some(format!(
                "it is an option of plugin `{plugin}`: move it to its entry in `callbacks`"
            ))
        } else {
            suggestion(key, kind)
        };
        let hint = match key {
            "accept" | "reject" => Some(format!("for example `filters: [{{{key}: '.*\\.pdf$'}}]`")),
            _ if today(key).is_some() => Some("`flow convert` rewrites older spellings".to_owned()),
            _ if label.is_none() => {
                Some("`flow explain config/unknown-option` shows where options go".to_owned())
            }
            _ => None,
        };
        let draft = self.out.error(
            code::UNKNOWN_OPTION,
            entry.key_span,
            format!("`{shown}` is not an option of a `{kind}` flow"),
        );
        if let Some(label) = label {
            draft.label(label);
        }
        if let Some(hint) = hint {
            draft.hint(hint);
        }
    }

    fn other_kind(&mut self, entry: &Entry, known: &OptionDoc) {
        let name = known.name;
        let kind = self.name.kind;
        let (kinds, why) = (listed(known.kinds), known.why_not);
        let draft = self
            .out
            .error(
                code::NOT_HERE,
                entry.key_span,
                format!("`{name}` means nothing in a `{kind}` flow"),
            )
            .label(format!("a {kind} {why}"));
        match (kind, name) {
            (Kind::Poll, "broker") => draft.hint("a poll posts, so its broker is `post_broker`"),
            (Kind::Poll, "exchange") => {
                draft.hint("a poll posts, so its exchange is `post_exchange`")
            }
            (Kind::Poll, "download" | "directory") => draft.hint(
                "a `flow` flow polls and downloads in one; or let a `subscribe` flow download",
            ),
            (Kind::Shovel | Kind::Winnow, "download" | "directory") => {
                draft.hint("a `sarra` flow downloads and posts")
            }
            (Kind::Post, "sleep") => draft.hint("a `watch` flow goes on"),
            _ => draft.hint(format!("it belongs to {kinds} flows")),
        };
    }
}

/// Kinds as a sentence names them.
fn listed(kinds: &[Kind]) -> String {
    let names: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// The closest option of this kind, of another one, or behind an older spelling.
fn suggestion(key: &str, kind: Kind) -> Option<String> {
    let here = options().iter().filter(|option| option.is_for(kind));
    if let Some(close) = closest(key, here.map(|option| option.name)) {
        return Some(format!("did you mean `{close}`?"));
    }
    let close = closest(key, options().iter().map(|option| option.name))?;
    let kinds = listed(option(close)?.kinds);
    Some(format!(
        "did you mean `{close}`? It belongs to {kinds} flows"
    ))
}
