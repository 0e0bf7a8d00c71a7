//! What is wrong only in company: an option that is missing, or has no effect by itself.

use super::{Builder, filters};
use crate::explain as code;
use crate::flow::{Flow, Kind};
use crate::manifest::Manifest;
use crate::options::options;

impl Builder<'_> {
    /// What the flow can't do without. Asked only if every include could be read.
    pub(super) fn check_missing(&mut self, flow: &Flow) {
        for option in options() {
            if option.required.contains(&self.name.kind) && !self.given.contains_key(option.name) {
                self.out
                    .error_in(
                        code::MISSING_OPTION,
                        self.file,
                        format!(
                            "a `{}` flow needs the option `{}`",
                            self.name.kind, option.name
                        ),
                    )
                    .hint(format!("for example `{}: {}`", option.name, option.example));
            }
        }
        self.check_directory(flow);
        self.check_gather(flow);
        let tells = ["send", "post", "after_work"];
        let manifests: Vec<_> = self.manifests.values().collect();
        let known = manifests.iter().all(|manifest| manifest.is_some());
        let told = manifests.iter().copied().flatten().any(|manifest| {
            manifest
                .entry_points
                .iter()
                .any(|entry| tells.contains(&entry.as_str()))
        });
        if self.name.kind == Kind::Poll
            && known
            && !told
            && !self.given.contains_key("post_exchange")
        {
            self.out
                .warning_in(
                    code::NOWHERE_TO_POST,
                    self.file,
                    "the poll tells nobody what it finds",
                )
                .hint(
                    "add `post_exchange: xs_…`, and `exchange: xs_…` to the flow that is to get it",
                );
        }
    }

    /// Content that is fetched has to have a place.
    fn check_directory(&mut self, flow: &Flow) {
        if !flow.download || self.given.contains_key("directory") {
            return;
        }
        let homeless = flow
            .filters
            .rules
            .iter()
            .find(|rule| rule.accept && rule.placement.directory.is_none());
        let closed = flow
            .filters
            .rules
            .iter()
            .any(|rule| filters::matches_all(&rule.regex));
        let message = match homeless {
            Some(rule) => format!("nothing says where to store what `{}` accepts", rule.text),
            None if flow.filters.accept_unmatched && !closed => {
                "nothing says where to store what is downloaded".to_owned()
            }
            None => return,
        };
        let note = homeless.map(|rule| format!("the rule is in {}", rule.origin));
        let draft = self
            .out
            .error_in(code::MISSING_DIRECTORY, self.file, message);
        if let Some(note) = note {
            draft.note(note);
        }
        draft.hint("add `directory: ${HOME}/inbox`, or `download: off` if nothing is to be stored");
    }

    /// A flow into which nothing can come does nothing for ever.
    fn check_gather(&mut self, flow: &Flow) {
        if self.given.contains_key("exchange") || self.name.kind == Kind::Subscribe {
            return;
        }
        if self.manifests.values().any(Option::is_none) {
            return;
        }
        let gathers = |manifest: &Manifest| {
            manifest
                .entry_points
                .iter()
                .any(|entry| matches!(entry.as_str(), "gather" | "request" | "line"))
        };
        if flow.callbacks.is_empty() && !self.given.contains_key("callbacks") {
            let hint = match self.name.kind {
                Kind::Poll => {
                    "name the plugin that asks `pollUrl` under `callbacks`; `flow list plugins` shows what there is"
                }
                _ => {
                    "add `exchange: xs_…` to consume a queue, or a plugin that gathers to `callbacks`"
                }
            };
            self.out
                .error_in(
                    code::NOTHING_GATHERS,
                    self.file,
                    "no message can ever come into this flow",
                )
                .hint(hint);
        } else if !self.manifests.values().flatten().any(gathers) {
            self.out
                .warning_in(code::NOTHING_GATHERS, self.file, "none of the flow's callbacks gathers messages")
                .hint("`flow plugin show NAME` lists the entry points of a plugin; one has to have `gather`");
        }
    }

    /// Options that are right, and useless without another.
    pub(super) fn check_effect(&mut self, flow: &Flow) {
        const OF_INPUT: [&str; 5] = ["broker", "subtopic", "queueName", "expire", "prefetch"];
        const OF_OUTPUT: [&str; 5] = [
            "post_broker",
            "post_topicPrefix",
            "post_baseUrl",
            "post_baseDir",
            "header",
        ];
        let mut idle = Vec::new();
        if flow.input.is_none()
            && self.name.kind == Kind::Flow
            && !self.given.contains_key("exchange")
        {
            idle.extend(OF_INPUT.map(|name| (name, "exchange")));
        }
        if flow.output.is_none() && !self.given.contains_key("post_exchange") {
            idle.extend(OF_OUTPUT.map(|name| (name, "post_exchange")));
        }
        for (name, needed) in idle {
            // A default of a directory may be included by all its flows, so it is no error.
            if let Some((key, _)) = self.given.get(name)
                && key.file == self.file
            {
                let key = *key;
                self.out
                    .warning(
                        code::NO_EFFECT,
                        key,
                        format!("`{name}` has no effect without `{needed}`"),
                    )
                    .label(format!("add `{needed}`, or remove this"));
            }
        }
    }
}
