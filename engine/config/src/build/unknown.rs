//! Keys that are no option of this flow: what they may have been meant to be.

use super::Builder;
use crate::explain as code;
use crate::flow::Kind;
use crate::mask;
use crate::options::{OptionDoc, later, option, options, today};
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
        if later(key) {
            self.out
                .error(
                    code::NOT_IN_THIS_VERSION,
                    entry.key_span,
                    format!("the option `{key}` of sr3 is not in this version"),
                )
                .label("remove it");
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
        let kinds: Vec<String> = known.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        let name = known.name;
        let draft = self
            .out
            .error(
                code::NOT_HERE,
                entry.key_span,
                format!("`{name}` means nothing in a `{}` flow", self.name.kind),
            )
            .label(format!("it belongs to {} flows", kinds.join(" and ")));
        match (self.name.kind, name) {
            (Kind::Poll, "broker") => draft.hint("a poll posts, so its broker is `post_broker`"),
            (Kind::Poll, "exchange") => {
                draft.hint("a poll posts, so its exchange is `post_exchange`")
            }
            _ => draft.hint("remove it, or move the flow to the folder of that kind"),
        };
    }
}

/// The closest option of this kind, of another one, or behind an older spelling.
fn suggestion(key: &str, kind: Kind) -> Option<String> {
    let here = options()
        .iter()
        .filter(|option| option.kinds.contains(&kind));
    if let Some(close) = closest(key, here.map(|option| option.name)) {
        return Some(format!("did you mean `{close}`?"));
    }
    let close = closest(key, options().iter().map(|option| option.name))?;
    let kinds: Vec<String> = option(close)?
        .kinds
        .iter()
        .map(|kind| format!("`{kind}`"))
        .collect();
    Some(format!(
        "did you mean `{close}`? It belongs to {} flows",
        kinds.join(" and ")
    ))
}
