//! URLs, brokers, and what plugins may reach.

use super::Builder;
use super::values::Scalar;
use crate::collect::Span;
use crate::explain as code;
use crate::flow::Allow;
use crate::mask;
use crate::options::option;
use crate::source::{items, password_finding};
use crate::suggest::closest;
use crate::units::Wrong;
use crate::variables;
use crate::yaml::Value;
use crate::{Origin, SafeUrl, Template};

impl Builder<'_> {
    /// A URL option of the flow; it is one the flow may reach.
    pub(super) fn url(&mut self, name: &'static str) -> Option<SafeUrl> {
        let declared = option(name)?;
        let node = self.given.get(name).map(|(_, node)| node.clone());
        let url = node.and_then(|node| {
            let scalar = self.scalar(name, &node, declared.example)?;
            let url = self.checked_url(name, &scalar)?;
            self.set(name, scalar.shown(), scalar.origin);
            Some(url)
        });
        match &url {
            Some(url) => self.urls.push(url.clone()),
            None => self.unset(name, "none", Origin::Default),
        }
        url
    }

    /// A URL that may be written in a flow: it has a scheme and no password.
    pub(super) fn checked_url(&mut self, name: &str, scalar: &Scalar) -> Option<SafeUrl> {
        let text = scalar.text.trim();
        let url = match SafeUrl::parse(text) {
            Ok(url) => url,
            Err(error) => {
                if self.holds_password(name, scalar) {
                    return None;
                }
                let why = match error {
                    url::ParseError::RelativeUrlWithoutBase => "it has no scheme".to_owned(),
                    url::ParseError::InvalidPort => {
                        "what follows the last `:` of the host is no port".to_owned()
                    }
                    error => error.to_string(),
                };
                let wrong = Wrong::new(code::BAD_URL, format!("is not a URL: {why}"), "")
                    .hint("a URL looks like `https://me%40example.com@data.example.com/new`; an `@` in the user is `%40`");
                self.wrong(
                    name,
                    scalar,
                    Wrong {
                        label: None,
                        ..wrong
                    },
                );
                return None;
            }
        };
        if url.expose().password().is_some() {
            if !self.holds_password(name, scalar) {
                // It came together only with the variables filled in.
                self.out.hide(scalar.span);
                password_finding(self.out, Some(name), scalar.span);
            }
            return None;
        }
        if url.host().is_none_or(str::is_empty) && text.contains("://") && url.scheme() != "file" {
            self.wrong(
                name,
                scalar,
                Wrong::new(
                    code::BAD_URL,
                    "is a URL without a host",
                    "write `scheme://host/`",
                ),
            );
            return None;
        }
        Some(url)
    }

    /// Whether what is written looks like a URL with a password, perhaps with characters in it that
    /// have to be encoded. Makes the finding unless [`check_secrets`](crate::source) made it.
    fn holds_password(&mut self, name: &str, scalar: &Scalar) -> bool {
        if mask::url_password(&scalar.raw).is_some() {
            return true;
        }
        let Some(range) = mask::password_ranges(&scalar.raw).into_iter().next() else {
            return false;
        };
        let place = variables::inside(self.out, scalar.span, &scalar.raw, range);
        password_finding(self.out, Some(name), place);
        true
    }

    /// The URL of a broker; the embedded one if it can't be read.
    pub(super) fn broker(&mut self, name: &'static str) -> SafeUrl {
        let embedded = SafeUrl::parse("embedded:").expect("a scheme and nothing else is a URL");
        let Some((_, node)) = self.given.get(name).cloned() else {
            self.unset(name, "embedded:", Origin::Default);
            return embedded;
        };
        let Some(scalar) = self.scalar(name, &node, "embedded:") else {
            return embedded;
        };
        if scalar.text.trim() == "embedded" {
            let wrong = Wrong::new(
                code::BAD_URL,
                "is a URL, so it ends in a colon",
                "write `embedded:`",
            );
            self.wrong(name, &scalar, wrong);
            return embedded;
        }
        let Some(url) = self.checked_url(name, &scalar) else {
            return embedded;
        };
        match url.scheme() {
            "embedded" | "amqp" | "amqps" | "mqtt" | "mqtts" | "mqttw" | "mqttws" => {}
            "amqp1" | "amqp1s" => {
                let wrong = Wrong::new(
                    code::UNSUPPORTED_BROKER,
                    "names a broker of AMQP 1.0, which this version can't use",
                    "use AMQP 0-9-1, `amqp:`, which most such brokers speak as well",
                );
                self.wrong(name, &scalar, wrong);
                return embedded;
            }
            other => {
                let message = format!("names no broker: there is none for `{other}:`");
                self.wrong(
                    name,
                    &scalar,
                    Wrong::new(
                        code::BAD_URL,
                        message,
                        "write `embedded:`, `amqps://user@host/` or `mqtts://user@host/`",
                    ),
                );
                return embedded;
            }
        }
        self.set(name, url.to_string(), scalar.origin);
        url
    }

    pub(super) fn allow(&mut self) -> Allow {
        let mut allow = Allow::default();
        let Some((_, node)) = self.given.get("allow").cloned() else {
            return allow;
        };
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => return allow,
            _ => {
                let is = node.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`allow` is a mapping of lists, this is {is}"),
                    )
                    .label("write `allow: {connect: ['data.example.com:993']}`");
                return allow;
            }
        };
        for entry in entries {
            let (list, example) = match entry.key.as_str() {
                "connect" => (&mut allow.connect, "data.example.com:993"),
                "http" => (&mut allow.http, "api.example.com:443"),
                "secrets" => (&mut allow.secrets, "https://api.example.com/"),
                key => {
                    let close = closest(key, ["connect", "http", "secrets"]);
                    let message =
                        format!("`{}` is nothing that can be allowed", mask::quotable(key));
                    let draft = self
                        .out
                        .error(code::UNKNOWN_OPTION, entry.key_span, message);
                    if let Some(close) = close {
                        draft.label(format!("did you mean `{close}`?"));
                    }
                    draft.hint("there are `connect` and `http` for addresses, and `secrets` for URLs with credentials");
                    continue;
                }
            };
            let name = format!("allow.{}", entry.key);
            for (index, item) in items(&entry.value).iter().enumerate() {
                let Some(scalar) = self.scalar(&name, item, example) else {
                    continue;
                };
                let text = scalar.text.trim().to_owned();
                let good = if entry.key == "secrets" {
                    self.checked_url("secrets", &scalar).is_some()
                } else {
                    match address(&text, example) {
                        Ok(()) => true,
                        Err(wrong) => {
                            self.wrong(&entry.key, &scalar, wrong);
                            false
                        }
                    }
                };
                if good {
                    self.set(format!("{name}[{index}]"), scalar.shown(), scalar.origin);
                    list.push(text);
                }
            }
        }
        allow
    }

    pub(super) fn header(&mut self) -> Vec<(String, Template)> {
        const FIXED: [&str; 9] = [
            "pubTime",
            "baseUrl",
            "relPath",
            "retrievePath",
            "identity",
            "size",
            "content",
            "fileOp",
            "blocks",
        ];
        let Some((_, node)) = self.given.get("header").cloned() else {
            return Vec::new();
        };
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => return Vec::new(),
            _ => {
                let is = node.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`header` is a mapping of names to values, this is {is}"),
                    )
                    .label("write `header: {source: office}`");
                return Vec::new();
            }
        };
        let mut header = Vec::new();
        for entry in entries {
            if FIXED.contains(&entry.key.as_str()) {
                self.fixed_field(&entry.key, entry.key_span);
                continue;
            }
            let name = format!("header.{}", entry.key);
            let template = self.template_at(&name, &entry.key, &entry.value, "office");
            header.extend(template.map(|template| (entry.key.clone(), template)));
        }
        header
    }

    fn fixed_field(&mut self, key: &str, span: Span) {
        self.out
            .error(code::BAD_VALUE, span, format!("`header` can't set `{key}`"))
            .label("the engine fills it in for every message");
    }
}

/// `host:port`, `host:*`, `*.domain:port`, `[::1]:port`.
fn address(text: &str, example: &str) -> Result<(), Wrong> {
    let wrong = |message: &str, label: String| Err(Wrong::new(code::BAD_VALUE, message, label));
    if text.contains("://") || text.contains(['/', '@', ' ']) {
        return wrong(
            "takes addresses, not URLs",
            format!("write host and port: `{example}`"),
        );
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) => {
            return wrong(
                "has an IPv6 address without brackets",
                format!("write `[{text}]:443`"),
            );
        }
        None => {
            let host = if text.is_empty() { "host" } else { text };
            return wrong(
                "needs a port",
                format!("write `{host}:443`, or `{host}:*` for any"),
            );
        }
    };
    if port != "*" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return wrong(
            "has a port that is none",
            "a port is a number from 1 to 65535, or `*`".into(),
        );
    }
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if plain.is_empty() || plain.contains('*') {
        return wrong(
            "allows more than can be meant",
            "`*.` stands only before a domain: `*.example.com:443`".into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses() {
        for text in [
            "a.example:993",
            "a:*",
            "*.example.com:443",
            "[::1]:25",
            "127.0.0.1:80",
        ] {
            assert!(address(text, "").is_ok(), "{text}");
        }
        for text in [
            "a.example",
            "https://a/",
            "a:0",
            "a:http",
            "*:443",
            "*.*:1",
            "::1",
            "",
            "a b:1",
            ":1",
            "*.:1",
        ] {
            assert!(address(text, "").is_err(), "{text}");
        }
    }
}
