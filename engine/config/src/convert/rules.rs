//! Masks and what stands above them, as rules that carry their own placement.

use super::document::{Node, Value};
use super::regexes;

/// Where what is accepted goes, as it stands at some line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) directory: Option<String>,
    pub(super) mirror: bool,
    /// A number or an expression.
    pub(super) strip: Option<String>,
    pub(super) flatten: Option<String>,
    pub(super) filename: Option<String>,
}

/// The options of a placement, in the order they are written.
pub(super) const OPTIONS: [&str; 5] = ["directory", "mirror", "strip", "flatten", "filename"];

impl Placement {
    /// The value of `option`; none: not set, so what is the default here.
    fn get(&self, option: &str, default_mirror: bool) -> Option<Value> {
        match option {
            "directory" => self.directory.clone().map(Value::Text),
            "mirror" if self.mirror == default_mirror => None,
            "mirror" => Some(Value::text(if self.mirror { "on" } else { "off" })),
            "strip" => self.strip.clone().map(|strip| {
                if strip.bytes().all(|b| b.is_ascii_digit()) {
                    Value::Text(strip)
                } else {
                    Value::Quoted(strip)
                }
            }),
            "flatten" => self.flatten.clone().map(Value::Quoted),
            _ => self.filename.clone().map(Value::Text),
        }
    }

    /// As [`get`](Self::get), with the default written out, to overrule what the flow says.
    fn explicit(&self, option: &str, default_mirror: bool) -> Option<Value> {
        self.get(option, default_mirror).or(match option {
            "mirror" => Some(Value::text(if self.mirror { "on" } else { "off" })),
            "strip" => Some(Value::text("0")),
            "flatten" => Some(Value::Quoted("/".into())),
            _ => None,
        })
    }
}

/// An `accept` or `reject` line with the placement that stood above it.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    pub(super) accept: bool,
    /// As it is here; as it was if it can't be.
    pub(super) regex: String,
    pub(super) placement: Placement,
    pub(super) comments: Vec<String>,
}

/// Rules, and what the flow says for all of them.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) rules: Vec<Node>,
    pub(super) flow: Vec<(&'static str, Value)>,
}

/// Spreads placements: what is the same everywhere is said once, by the flow.
///
/// `last` is the placement at the end, which is for what no mask matches; `unmatched` whether such
/// messages pass; `places` whether anything is stored or sent at all.
pub(super) fn spread(
    masks: &[Mask],
    last: &Placement,
    unmatched: bool,
    places: bool,
    default_mirror: bool,
) -> Rules {
    let closed = masks
        .iter()
        .any(|mask| regexes::matches_everything(&mask.regex));
    let falls_through = unmatched && !closed;
    let accepting: Vec<&Mask> = masks.iter().filter(|mask| mask.accept).collect();
    let mut out = Rules::default();
    let mut rules: Vec<Vec<(String, Node)>> = masks
        .iter()
        .map(|mask| {
            let verb = if mask.accept { "accept" } else { "reject" };
            vec![(
                verb.to_owned(),
                Node::from(Value::Quoted(mask.regex.clone())),
            )]
        })
        .collect();
    let mut everything_else: Vec<(String, Node)> = Vec::new();
    for option in OPTIONS.into_iter().filter(|_| places) {
        let value = |placement: &Placement| placement.get(option, default_mirror);
        let common = match accepting.first() {
            Some(first) if !falls_through => value(&first.placement),
            _ => value(last),
        };
        if accepting
            .iter()
            .all(|mask| value(&mask.placement) == common)
        {
            out.flow.extend(common.map(|value| (option, value)));
            continue;
        }
        // A rule can't unset what has no neutral value, so the flow must not set it either.
        let unset = matches!(option, "directory" | "filename")
            && accepting
                .iter()
                .any(|mask| value(&mask.placement).is_none());
        let of_flow = if falls_through && !unset {
            value(last)
        } else {
            None
        };
        if falls_through
            && unset
            && let Some(value) = value(last)
        {
            everything_else.push((option.to_owned(), value.into()));
        }
        for (mask, rule) in masks.iter().zip(&mut rules).filter(|(mask, _)| mask.accept) {
            let own = value(&mask.placement);
            if own == of_flow {
                continue;
            }
            let own = match of_flow {
                Some(_) => mask.placement.explicit(option, default_mirror),
                None => own,
            };
            rule.extend(own.map(|own| (option.to_owned(), own.into())));
        }
        out.flow.extend(of_flow.map(|value| (option, value)));
    }
    if !everything_else.is_empty() {
        everything_else.insert(0, ("accept".into(), Value::Quoted(".*".into()).into()));
        rules.push(everything_else);
    }
    let mut comments = masks.iter().map(|mask| mask.comments.clone());
    out.rules = rules
        .into_iter()
        .map(|entries| Node {
            comments: comments.next().unwrap_or_default(),
            value: Value::Map(entries),
        })
        .collect();
    out
}
