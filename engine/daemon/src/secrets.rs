//! `credentials.conf` as the plugin host asks for it, and what a flow will miss in it.

use flow_config::{
    Credentials, Finding, Flow, Grant, Manifest, OptionKind, OptionValue, Origin, Plugins, Report,
    SafeUrl,
};
use flow_host::{Credential, Secrets};
use flow_runtime::ports::Failure;

/// Credentials as they were when the flow started.
pub(crate) struct FileSecrets(pub(crate) Credentials);

impl Secrets for FileSecrets {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let url = SafeUrl::parse(url).map_err(|error| {
            Failure::Config(format!(
                "credentials were asked for what is no URL: {error}"
            ))
        })?;
        let found = self
            .0
            .get(&url)
            .map_err(|finding| Failure::Config(finding.to_string()))?;
        Ok(Credential {
            user: found.user.clone(),
            password: found.password.clone().unwrap_or_default(),
            options: found.options.clone().into_iter().collect(),
        })
    }
}

/// An error for each URL whose credentials `flow` or a plugin of it will ask for in vain.
///
/// That is `pollUrl` where a plugin may ask at all, and what such a plugin's own URLs name a user
/// for. Other URLs may well do without.
///
/// And one for each broker that will refuse the flow, as its URL names a user nobody has a password of.
pub(crate) fn missing(flow: &Flow, plugins: &dyn Plugins, credentials: &Credentials) -> Report {
    let mut findings: Vec<Finding> = Vec::new();
    let mut expect = |url: &SafeUrl, note: String| {
        if url.host().is_none_or(str::is_empty) || credentials.find(url).is_some() {
            return;
        }
        let mut finding = credentials.missing(url);
        // One line mends all that ask for it.
        if findings
            .iter()
            .all(|other| other.message != finding.message)
        {
            finding.notes.push(note);
            findings.push(finding);
        }
    };
    let input = flow.input.as_ref().map(|input| ("broker", &input.broker));
    let output = flow.output.as_ref();
    let output = output.map(|output| ("post_broker", &output.broker));
    for (name, url) in input.into_iter().chain(output) {
        if asks_password(url) {
            expect(url, format!("`{name}`{} names it", place(flow, name)));
        }
    }
    for spec in &flow.callbacks {
        let Some(Ok(manifest)) = plugins.manifest(&spec.plugin) else {
            continue;
        };
        if !manifest.grants.contains(&Grant::Secrets) {
            continue;
        }
        if let Some(url) = &flow.poll_url {
            expect(url, format!("`pollUrl`{} names it", place(flow, "pollUrl")));
        }
        for (name, url) in own_urls(&manifest, spec.options.iter()) {
            if !url.user().is_empty() {
                expect(
                    &url,
                    format!(
                        "`{name}` of plugin `{}` ({}) names it",
                        spec.plugin, spec.origin
                    ),
                );
            }
        }
    }
    findings.into()
}

/// Whether a broker's URL names a user that needs a password; as in sr3, `anonymous` needs none.
pub(crate) fn asks_password(broker: &SafeUrl) -> bool {
    !broker.user().is_empty() && broker.user() != "anonymous"
}

/// Where an option stands, in brackets; nothing where nobody wrote it.
fn place(flow: &Flow, name: &str) -> String {
    let setting = flow.settings.iter().find(|setting| setting.name == name);
    match setting.map(|setting| &setting.origin) {
        None | Some(Origin::Default | Origin::Kind) => String::new(),
        Some(origin) => format!(" ({origin})"),
    }
}

/// The URLs among a plugin's options.
fn own_urls<'a>(
    manifest: &'a Manifest,
    options: impl Iterator<Item = (&'a String, &'a OptionValue)>,
) -> impl Iterator<Item = (&'a str, SafeUrl)> {
    let urls = options.filter(|(name, _)| {
        let is_url = |spec: &&flow_config::OptionSpec| spec.kind == OptionKind::Url;
        manifest
            .options
            .iter()
            .filter(is_url)
            .any(|spec| spec.name == **name)
    });
    urls.flat_map(|(name, value)| {
        let texts = match value {
            OptionValue::Text(text) => std::slice::from_ref(text),
            OptionValue::List(texts) => texts,
            _ => &[],
        };
        let parse = move |text: &String| SafeUrl::parse(text).ok().map(|url| (name.as_str(), url));
        texts.iter().filter_map(parse)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use flow_config::{OptionSpec, Source};

    use super::*;

    fn plugins(grants: &[Grant]) -> BTreeMap<String, Manifest> {
        let option = OptionSpec::new("url", OptionKind::Url);
        let manifest = Manifest {
            name: "fetch".into(),
            options: vec![option],
            schemes: vec!["x".into()],
            grants: grants.to_vec(),
            entry_points: vec!["gather".into(), "download".into()],
            ..Manifest::default()
        };
        BTreeMap::from([("fetch".into(), manifest)])
    }

    #[track_caller]
    fn check(flow: &str, grants: &[Grant], credentials: &str, expected: &[&str]) {
        let plugins = plugins(grants);
        let text = format!("{flow}\ndirectory: /d\n");
        let name = "flow/one".parse().expect("a name");
        let source = Source::new("/config", BTreeMap::new());
        let path = Path::new("/config/flow/one.yaml");
        let loaded = source.load_text(&name, path, &text, &plugins, &[]);
        let flow = loaded.unwrap_or_else(|report| panic!("{report}")).flow;
        let credentials = Credentials::parse(Path::new("c.conf"), credentials).expect("good lines");
        let found = missing(&flow, &plugins, &credentials);
        let found: Vec<_> = found.findings().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    const POLL: &str = "pollUrl: x://me@a.example/in\ncallbacks: [fetch]";

    #[test]
    fn what_will_be_asked_for_in_vain_is_found() {
        let secrets = &[Grant::Connect, Grant::Secrets];
        check(
            POLL,
            secrets,
            "x://me:pw@b.example/",
            &[
                "error[credentials/not-found]: no credentials for `x://me@a.example/in`\n  --> c.conf\n    \
               = note: `pollUrl` (flow/one.yaml:1:10) names it\n    \
               = hint: add the line `x://me:PASSWORD@a.example/` to c.conf (chmod 600)",
            ],
        );
        check(POLL, secrets, "x://me:pw@a.example/", &[]);
        check(POLL, &[Grant::Connect], "", &[]);
        check("callbacks: [fetch]", secrets, "", &[]);
    }

    #[test]
    fn a_plugins_own_url_counts_where_it_names_a_user() {
        let flow = |url: &str| format!("callbacks:\n  - plugin: fetch\n    url: {url}");
        let secrets = &[Grant::Secrets];
        check(&flow("x://open.example/"), secrets, "", &[]);
        check(
            &flow("x://me@shut.example:7/"),
            secrets,
            "",
            &[
                "error[credentials/not-found]: no credentials for `x://me@shut.example:7/`\n  --> c.conf\n    \
               = note: `url` of plugin `fetch` (flow/one.yaml:2) names it\n    \
               = hint: add the line `x://me:PASSWORD@shut.example:7/` to c.conf (chmod 600)",
            ],
        );
    }

    #[test]
    fn a_broker_whose_user_has_no_password_is_found() {
        let flow = |broker: &str| format!("broker: {broker}\nexchange: x\npost_exchange: y");
        check(&flow("amqp://b.example/"), &[], "", &[]);
        check(&flow("mqtt://anonymous@b.example/"), &[], "", &[]);
        check(
            &flow("amqp://me@b.example/"),
            &[],
            "amqp://me:pw@b.example/",
            &[],
        );
        check(
            &flow("amqp://me@b.example/"),
            &[],
            "amqp://you:pw@b.example/",
            &[
                "error[credentials/not-found]: no credentials for `amqp://me@b.example/`\n  --> c.conf\n    \
               = note: `broker` (flow/one.yaml:1:9) names it\n    \
               = hint: add the line `amqp://me:PASSWORD@b.example/` to c.conf (chmod 600)",
            ],
        );
    }

    #[test]
    fn one_line_is_asked_for_once() {
        check(
            "pollUrl: x://me@a.example/in\ncallbacks: [fetch, fetch]",
            &[Grant::Secrets],
            "",
            &[
                "error[credentials/not-found]: no credentials for `x://me@a.example/in`\n  --> c.conf\n    \
               = note: `pollUrl` (flow/one.yaml:1:10) names it\n    \
               = hint: add the line `x://me:PASSWORD@a.example/` to c.conf (chmod 600)",
            ],
        );
    }
}
