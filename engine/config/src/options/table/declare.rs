//! How an option is declared: what most have in common, and the kinds they are for.

use super::super::{Differs, OptionDoc, OptionType as T};
use crate::flow::Kind::{self, Flow, Poll, Post, Sarra, Sender, Shovel, Subscribe, Watch, Winnow};

/// The kinds an option is for, and why it is for no other.
#[derive(Clone, Copy)]
pub(super) struct Scope(&'static [Kind], &'static str);

pub(super) const CONSUMES: Scope = Scope(
    &[Subscribe, Sarra, Sender, Shovel, Winnow, Flow],
    "consumes no queue",
);
pub(super) const ASKS: Scope = Scope(&[Poll, Flow], "asks no server what is new");
pub(super) const LISTENS: Scope = Scope(&[Flow], "listens nowhere");
pub(super) const SENDS: Scope = Scope(&[Sender, Flow], "sends nothing to a server");
pub(super) const LISTS: Scope = Scope(&[Poll, Post, Watch, Flow], "reads no directories");
pub(super) const READS_TREE: Scope = Scope(&[Post, Watch], "reads no files of this machine");
pub(super) const WATCHES: Scope = Scope(&[Watch], "watches no files");
pub(super) const GATHERS: Scope = Scope(
    &[Poll, Watch, Subscribe, Sarra, Sender, Shovel, Winnow, Flow],
    "runs once, and then ends",
);
pub(super) const SCHEDULED: Scope = Scope(&[Poll, Flow], "works when something comes");
pub(super) const MOVES: Scope = Scope(
    &[Subscribe, Sarra, Sender, Flow],
    "moves no content, it only announces it",
);
pub(super) const FETCHES: Scope = Scope(&[Subscribe, Sarra, Flow], "stores no content here");
pub(super) const STORES: Scope = Scope(
    &[Subscribe, Sarra, Sender, Poll, Flow],
    "stores no content here or elsewhere",
);
pub(super) const WITH_CONTENT: Scope = Scope(
    &[Post, Watch, Subscribe, Sarra, Flow],
    "announces no content it has at hand",
);
pub(super) const IDENTIFIES: Scope = Scope(
    &[Poll, Post, Watch, Subscribe, Sarra, Flow],
    "posts the identity it was told",
);
pub(super) const FINDS: Scope = Scope(&[Poll, Post, Watch, Flow], "makes no messages of its own");
pub(super) const HAS_FILES: Scope = Scope(
    &[Post, Watch, Subscribe, Sarra, Sender, Flow],
    "has no files of its own",
);
pub(super) const SPEAKS: Scope = Scope(
    &[Poll, Subscribe, Sarra, Sender, Flow],
    "speaks to no server but its broker",
);
pub(super) const CARRIES_OUT: Scope = Scope(
    &[Post, Watch, Subscribe, Sarra, Sender, Flow],
    "does nothing with files",
);

/// What most options have in common.
pub(super) const fn of(
    name: &'static str,
    kind: T,
    doc: &'static str,
    example: &'static str,
) -> OptionDoc {
    let unit = match kind {
        T::Duration => Some("ms, s, m, h, d, w"),
        T::Size => Some("B, k, M, G, T, KiB, MiB, GiB, TiB"),
        T::Mode => Some("octal"),
        _ => None,
    };
    OptionDoc {
        name,
        kind,
        default: None,
        kind_defaults: &[],
        listing_default: None,
        kinds: &Kind::ALL,
        why_not: "",
        required: &[],
        unit,
        choices: &[],
        range: (0, i64::MAX),
        sr3: None,
        placement: false,
        secret: false,
        doc,
        example,
    }
}

impl OptionDoc {
    pub(super) const fn only(mut self, scope: Scope) -> Self {
        self.kinds = scope.0;
        self.why_not = scope.1;
        self
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn but(mut self, kinds: &'static [(Kind, &'static str)]) -> Self {
        self.kind_defaults = kinds;
        self
    }

    pub(super) const fn listing(mut self, default: &'static str) -> Self {
        self.listing_default = Some(default);
        self
    }

    pub(super) const fn required(mut self, kinds: &'static [Kind]) -> Self {
        self.required = kinds;
        self
    }

    pub(super) const fn one_of(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    pub(super) const fn between(mut self, least: i64, most: i64) -> Self {
        self.range = (least, most);
        self
    }

    pub(super) const fn in_rules(mut self) -> Self {
        self.placement = true;
        self
    }

    /// sr3's default is `theirs`; ours differs because of `why`.
    pub(super) const fn unlike(mut self, theirs: &'static str, why: &'static str) -> Self {
        self.sr3 = Some(Differs::Default(theirs, why));
        self
    }

    pub(super) const fn new_here(mut self) -> Self {
        self.sr3 = Some(Differs::New);
        self
    }

    pub(super) const fn was(mut self, name: &'static str) -> Self {
        self.sr3 = Some(Differs::Named(name));
        self
    }
}
