//! Where a flow listens, and whether somebody answers there.

use std::path::PathBuf;

use super::Builder;
use crate::explain as code;
use crate::flow::{Flow, Kind, Listen, ListenHttp};
use crate::options::option;
use crate::units::Wrong;
use crate::{Origin, SafeUrl};

/// Entry points that do something in a flow nobody speaks to from outside.
const OTHERS: [&str; 6] = [
    "gather",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
];

impl Builder<'_> {
    pub(super) fn listen(&mut self) -> Option<Listen> {
        let cert = self.path("tlsCert");
        let key = self.path("tlsKey");
        let body_max = self.size("bodyMax");
        let declared = option("listen")?;
        let node = self.given.get("listen").map(|(_, node)| node.clone());
        let Some(node) = node else {
            self.unset("listen", "none", Origin::Default);
            return None;
        };
        let scalar = self.scalar("listen", &node, declared.example)?;
        // Unlike other URLs it is none that plugins may reach because it is written here.
        let url = self.checked_url("listen", &scalar)?;
        let place = match url.scheme() {
            "unix" => socket(&url).map(Listen::Socket),
            "http" | "https" => address(&url).map(|(host, port, path)| {
                let tls = cert.clone().zip(key.clone());
                Listen::Http(ListenHttp {
                    host,
                    port,
                    path,
                    tls: tls.filter(|_| url.scheme() == "https"),
                    body_max,
                })
            }),
            _ => Err(Wrong::new(
                code::BAD_URL,
                "is nothing a flow can listen at",
                "write `http://127.0.0.1:8080/name`, `https://…`, or `unix:/run/name.sock`",
            )),
        };
        let place = match place {
            Ok(place) => place,
            Err(wrong) => {
                self.wrong("listen", &scalar, wrong);
                return None;
            }
        };
        if url.scheme() == "https" && (cert.is_none() || key.is_none()) {
            let lacks = if cert.is_none() { "tlsCert" } else { "tlsKey" };
            self.out
                .error(
                    code::MISSING_OPTION,
                    scalar.span,
                    format!("to listen at `https:` the flow needs the option `{lacks}`"),
                )
                .hint(format!(
                    "for example `{lacks}: /etc/ssl/private/flow.pem`; both files are PEM"
                ));
        }
        if url.scheme() != "https" {
            for name in ["tlsCert", "tlsKey"] {
                self.no_effect(name, "without `listen: https://…`", "remove this");
            }
        }
        if url.scheme() == "unix" {
            self.no_effect("bodyMax", "without `listen: http://…`", "remove this");
        }
        self.set("listen", scalar.shown(), scalar.origin);
        Some(place)
    }

    /// A listener needs a plugin that answers, a plugin that answers a listener.
    pub(super) fn check_listener(&mut self, flow: &Flow) {
        if !self.given.contains_key("listen") {
            for name in ["tlsCert", "tlsKey", "bodyMax"] {
                self.no_effect(
                    name,
                    "without `listen`",
                    "add `listen: https://…`, or remove this",
                );
            }
        }
        let known = self.manifests.values().all(Option::is_some);
        if let Some(listen) = &flow.listen
            && known
        {
            let (entry, what) = match listen {
                Listen::Http(_) => ("request", "HTTP requests"),
                Listen::Socket(_) => ("line", "lines"),
            };
            if !self.has_entry_point(&[entry])
                && let Some((_, node)) = self.given.get("listen")
            {
                let span = node.span;
                self.out
                    .error(
                        code::NOBODY_ANSWERS,
                        span,
                        format!("no plugin of this flow answers {what}"),
                    )
                    .label(format!("none of them has the entry point `{entry}`"))
                    .hint("name one that has it under `callbacks`; `flow plugin show NAME` lists the entry points of a plugin");
            }
        }
        // What could not be read may say where; a plugin's test has no need to.
        let somewhere = matches!(flow.listen, Some(Listen::Http(_))) || !self.complete;
        if somewhere || self.given.contains_key("listen") {
            return;
        }
        // One that does other things as well may be here for those.
        let deaf = self.manifests.values().flatten().find(|manifest| {
            let has = |name: &str| manifest.entry_points.iter().any(|entry| entry == name);
            has("request") && !has("line") && !OTHERS.iter().any(|name| has(name))
        });
        let Some(name) = deaf.map(|manifest| manifest.name.clone()) else {
            return;
        };
        let draft = self.out.error_in(
            code::NOTHING_LISTENS,
            self.file,
            format!("plugin `{name}` answers HTTP requests, but this flow listens nowhere"),
        );
        if self.name.kind == Kind::Flow {
            draft.hint("add `listen: http://127.0.0.1:8080/name`");
        } else {
            draft.hint("only a flow of kind `flow` listens: move the file to `flow/`, and add `listen: http://127.0.0.1:8080/name`");
        }
    }

    /// Somebody else than the flow's broker posts.
    pub(super) fn check_poster(&mut self, flow: &Flow) {
        let posting =
            |manifest: &&crate::Manifest| manifest.entry_points.iter().any(|entry| entry == "post");
        let names: Vec<String> = flow
            .callbacks
            .iter()
            .filter_map(|spec| self.manifests.get(&spec.plugin)?.as_ref())
            .filter(posting)
            .map(|manifest| manifest.name.clone())
            .collect();
        let Some(first) = names.first() else {
            return;
        };
        if let Some((key, _)) = self.given.get("post_exchange") {
            let span = *key;
            self.out
                .error(
                    code::CONFLICT,
                    span,
                    format!("plugin `{first}` posts in place of a broker, so there is no `post_exchange`"),
                )
                .label("remove this, or the plugin")
                .hint("to post to both, let another flow consume what this one posts");
        }
        if names.len() > 1 {
            self.out.error_in(
                code::CONFLICT,
                self.file,
                format!(
                    "`{}` both post; a flow has one publisher",
                    names.join("` and `")
                ),
            );
        }
    }
}

fn socket(url: &SafeUrl) -> Result<PathBuf, Wrong> {
    let path = url.expose().path();
    let path = percent_decoded(path);
    if path.starts_with('/') && path.len() > 1 && url.host().is_none_or(str::is_empty) {
        return Ok(PathBuf::from(path));
    }
    Err(Wrong::new(
        code::BAD_URL,
        "names no socket",
        "write `unix:/run/name.sock`",
    ))
}

fn address(url: &SafeUrl) -> Result<(String, u16, String), Wrong> {
    let exposed = url.expose();
    if exposed.query().is_some() || exposed.fragment().is_some() || !exposed.username().is_empty() {
        return Err(Wrong::new(
            code::BAD_URL,
            "has more than an address and a path",
            "write `http://127.0.0.1:8080/name`",
        ));
    }
    let host = exposed.host_str().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = exposed.port_or_known_default().unwrap_or(80);
    let path = exposed.path().trim_end_matches('/').to_owned();
    Ok((host, port, path))
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
