//! What a flow can't do without.

use super::{Builder, filters};
use crate::SafeUrl;
use crate::explain as code;
use crate::flow::{Flow, Kind};
use crate::options::{OptionDoc, option, options};

/// Schemes the engine lists, fetches and sends to without a plugin.
const LISTED: [&str; 12] = [
    "file", "ftp", "ftps", "sftp", "http", "https", "s3", "azure", "azblob", "az", "gs", "gcs",
];
/// Those of them it does not send to.
const READ_ONLY: [&str; 2] = ["http", "https"];

/// Whether the engine lists what is at `url`, unless a plugin gathers.
pub(super) fn is_listed(url: &SafeUrl) -> bool {
    LISTED.contains(&url.scheme())
}

impl Builder<'_> {
    /// What the flow can't do without. Asked only if every include could be read.
    pub(super) fn check_missing(&mut self, flow: &Flow) {
        for option in options() {
            if option.required.contains(&self.name.kind)
                && !self.is_given(option.name)
                && !self.done_without(option.name)
            {
                self.missing(option);
            }
        }
        if self.name.kind.consumes()
            && !self.is_given("exchange")
            && flow.input.is_none()
            && !self.is_given("bindings")
            && let Some(option) = option("exchange")
        {
            self.missing(option);
        }
        self.check_directory(flow);
        self.check_sender(flow);
        self.check_gather(flow);
        self.check_posts(flow);
    }

    fn missing(&mut self, option: &OptionDoc) {
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

    /// Whether a plugin takes the place of an option.
    fn done_without(&self, name: &str) -> bool {
        let instead: &[&str] = match name {
            "sendTo" => &["send"],
            "path" => &["gather", "request", "line"],
            _ => return false,
        };
        self.has_entry_point(instead) || self.manifests.values().any(Option::is_none)
    }

    pub(super) fn has_entry_point(&self, names: &[&str]) -> bool {
        self.manifests.values().flatten().any(|manifest| {
            manifest
                .entry_points
                .iter()
                .any(|entry| names.contains(&entry.as_str()))
        })
    }

    /// Whether a plugin of the flow gathers.
    pub(super) fn any_gathers(&self) -> bool {
        self.has_entry_point(&["gather", "request", "line"])
    }

    /// A flow whose messages nobody hears of does nothing, or loses them.
    fn check_posts(&mut self, flow: &Flow) {
        let known = self.manifests.values().all(Option::is_some);
        let told = self.has_entry_point(&["send", "post", "after_work"]);
        if flow.output.is_some() || self.is_given("post_exchange") || !known || told {
            return;
        }
        let kind = self.name.kind;
        match kind {
            Kind::Poll => {
                self.out
                    .warning_in(
                        code::NOWHERE_TO_POST,
                        self.file,
                        "the poll tells nobody what it finds",
                    )
                    .hint("add `post_exchange: xs_…`, and `exchange: xs_…` to the flow that is to get it");
            }
            Kind::Post | Kind::Watch => {
                self.out
                    .error_in(
                        code::NOWHERE_TO_POST,
                        self.file,
                        format!("the {kind} tells nobody what it finds"),
                    )
                    .hint("add `post_exchange: xs_…`, and `exchange: xs_…` to the flow that is to get it");
            }
            Kind::Shovel | Kind::Winnow => {
                self.out
                    .error_in(
                        code::NOWHERE_TO_POST,
                        self.file,
                        format!("the {kind} would take messages from its queue and drop them"),
                    )
                    .hint("add `post_exchange: xs_…`");
            }
            Kind::Sarra => {
                self.out
                    .warning_in(
                        code::NOWHERE_TO_POST,
                        self.file,
                        "the sarra tells nobody where data is now",
                    )
                    .hint("add `post_exchange: xs_…`, or make it a `subscribe` flow");
            }
            Kind::Subscribe | Kind::Sender | Kind::Flow => {}
        }
    }

    /// What is sent needs somebody who speaks to the server.
    fn check_sender(&mut self, flow: &Flow) {
        let Some(url) = &flow.send_to else {
            return;
        };
        let scheme = url.scheme().to_owned();
        let plugin = self.manifests.values().any(|manifest| match manifest {
            Some(manifest) => {
                manifest.entry_points.iter().any(|entry| entry == "send")
                    && manifest.schemes.contains(&scheme)
            }
            None => true,
        });
        if plugin || is_listed(url) && !READ_ONLY.contains(&scheme.as_str()) {
            return;
        }
        let Some((_, node)) = self.given.get("sendTo") else {
            return;
        };
        let span = node.span;
        self.out
            .error(
                code::NOBODY_SENDS,
                span,
                format!("nobody here can send to `{scheme}:`"),
            )
            .label("not built in, and no plugin of the flow claims it")
            .hint("built in are `file:`, `ftp:`, `ftps:`, `sftp:`, `s3:`, `azure:` and `gs:`; `flow list plugins` shows the others; a plugin that sends and has no scheme needs no `sendTo`");
    }

    /// Content that is fetched has to have a place.
    fn check_directory(&mut self, flow: &Flow) {
        let placed = ["directory", "post_baseDir", "delete_destination"]
            .iter()
            .any(|name| self.is_given(name));
        if !flow.download || placed {
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
            .any(|rule| rule.conditions.is_empty() && filters::matches_all(&rule.regex));
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
        let kind = self.name.kind;
        let built_in = self.lists || matches!(kind, Kind::Post | Kind::Watch);
        if built_in || kind.consumes() || self.is_given("exchange") || flow.input.is_some() {
            return;
        }
        // What is wrong with the bindings has been said.
        if self.is_given("bindings") || self.manifests.values().any(Option::is_none) {
            return;
        }
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
        } else if !self.any_gathers() {
            self.out
                .warning_in(code::NOTHING_GATHERS, self.file, "none of the flow's callbacks gathers messages")
                .hint("`flow plugin show NAME` lists the entry points of a plugin; one has to have `gather`");
        }
    }
}
