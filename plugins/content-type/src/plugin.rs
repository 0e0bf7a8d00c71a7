//! The plugin: whom to ask, and what follows.

use std::collections::HashMap;

use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Edit, Failure, Lifecycle, Manifest, Message,
    OptionKind, Result, Verdict, log, manifest, naming, option,
};

use crate::types::{self, Pattern};

/// Of a type the flow does not want.
const WRONG_TYPE: u16 = 415;

/// Who is asked for the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    Message,
    Name,
    Content,
}

/// The plugin.
#[derive(Debug)]
pub struct ContentType {
    by: Vec<Witness>,
    own: HashMap<String, String>,
    accept: Vec<Pattern>,
    reject: Vec<Pattern>,
    accept_unknown: bool,
    set: bool,
}

impl Describe for ContentType {
    fn describe() -> Manifest {
        manifest("content-type", env!("CARGO_PKG_VERSION"), "finds out the type of content, and accepts or rejects by it")
            .doc(include_str!("../README.md"))
            .option(
                option("by", OptionKind::Choice, "Who is asked for the type, in this order: what the message says, what its name ends in, how its content begins.")
                    .repeated()
                    .choices(&["message", "name", "content"])
                    .default("[message, name]"),
            )
            .option(option("types", OptionKind::Text, "Types of suffixes beyond the usual ones, each `SUFFIX = TYPE`.").repeated().example("['wx = text/x-weather']"))
            .option(option("accept", OptionKind::Text, "Types to accept, `image/*` for all that begin so; all if unset.").repeated().example("[application/pdf, 'image/*']"))
            .option(option("reject", OptionKind::Text, "Types to reject, whatever `accept` says.").repeated().example("[application/zip]"))
            .option(option("accept_unknown", OptionKind::Flag, "Whether content of unknown type passes `accept`.").default("off"))
            .option(option("set", OptionKind::Flag, "Whether what was found out is written into the message's `contentType`.").default("on"))
            .build()
    }
}

impl Lifecycle for ContentType {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let wrong = |name: &'static str| {
            move |reason: String| Failure::config(format!("option `{name}`: {reason}"))
        };
        let patterns = |name: &'static str| {
            let list = given.list(name)?;
            let patterns = list
                .iter()
                .map(|text| Pattern::parse(text).map_err(wrong(name)));
            patterns.collect::<Result<Vec<_>>>()
        };
        let by: Vec<Witness> = given
            .list("by")?
            .iter()
            .map(|name| match name.as_str() {
                "content" => Witness::Content,
                "name" => Witness::Name,
                _ => Witness::Message,
            })
            .collect();
        if by.is_empty() {
            return Err(wrong("by")(
                "names nobody to ask, so no type would be known".to_owned(),
            ));
        }
        let own = given.list("types")?;
        let own = own
            .iter()
            .map(|text| types::own(text).map_err(wrong("types")));
        Ok(Self {
            by,
            own: own.collect::<Result<_>>()?,
            accept: patterns("accept")?,
            reject: patterns("reject")?,
            accept_unknown: given.flag("accept_unknown")?,
            set: given.flag("set")?,
        })
    }
}

impl AfterAccept for ContentType {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        if self.by.contains(&Witness::Content) {
            return Ok(vec![Verdict::Keep; batch.len()]);
        }
        Ok(batch.iter().map(|message| self.one(message)).collect())
    }
}

impl AfterWork for ContentType {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        if !self.by.contains(&Witness::Content) {
            return Ok(vec![Verdict::Keep; batch.len()]);
        }
        Ok(batch.iter().map(|message| self.one(message)).collect())
    }
}

impl ContentType {
    fn one(&self, message: &Message) -> Verdict {
        match self.find(message) {
            Ok(kind) => self.judge(message, kind),
            Err(failure) => Verdict::Fail(failure.context("content not looked at")),
        }
    }

    fn find(&self, message: &Message) -> Result<Option<String>> {
        for witness in &self.by {
            let found = match witness {
                Witness::Message => message.content_type.as_deref().and_then(types::essence),
                Witness::Name => types::by_name(naming::current_name(message), &self.own),
                Witness::Content => match flow_plugin::open(message.id) {
                    Ok(mut content) => types::by_content(&content.read_chunk()?),
                    // There is none: a directory, a removal, or a flow that does not download.
                    Err(Failure::Permanent(reason)) => {
                        log::debug(format!("the type is not told by content: {reason}"));
                        None
                    }
                    Err(failure) => return Err(failure),
                },
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn judge(&self, message: &Message, kind: Option<String>) -> Verdict {
        let Some(kind) = kind else {
            if self.accept.is_empty() || self.accept_unknown {
                return Verdict::Keep;
            }
            return Verdict::rejected(WRONG_TYPE, "its type is not known");
        };
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&kind));
        let shown: String = kind
            .chars()
            .take(100)
            .flat_map(char::escape_debug)
            .collect();
        if any(&self.reject) {
            return Verdict::rejected(WRONG_TYPE, format!("`{shown}` is in `reject`"));
        }
        if !self.accept.is_empty() && !any(&self.accept) {
            return Verdict::rejected(WRONG_TYPE, format!("`{shown}` is not in `accept`"));
        }
        // Parameters such as the charset are worth keeping where the type is the same.
        let said = message.content_type.as_deref().and_then(types::essence);
        if self.set && said.as_ref() != Some(&kind) {
            return Verdict::Update(vec![Edit::ContentType(Some(kind))]);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::Setting;
    use flow_plugin::testing::{Host, context};

    use super::*;

    fn list(items: &[&str]) -> Setting {
        Setting::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn start(by: &[&str], more: &[(&str, Setting)]) -> Result<ContentType> {
        let mut settings = vec![
            ("by", list(by)),
            ("accept_unknown", Setting::Flag(false)),
            ("set", Setting::Flag(true)),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        ContentType::start(context(None, &settings))
    }

    fn named(name: &str, content_type: Option<&str>) -> Message {
        let mut message = Message::new(1, "http://h/", name);
        message.content_type = content_type.map(str::to_owned);
        message
    }

    fn set(kind: &str) -> Verdict {
        Verdict::Update(vec![Edit::ContentType(Some(kind.to_owned()))])
    }

    #[test]
    fn witnesses_are_heard_in_order() {
        let by = |by: &[&str], message| {
            let mut plugin = start(by, &[]).unwrap();
            plugin.after_accept(vec![message]).unwrap().remove(0)
        };
        let says_text = || named("a.pdf", Some("text/plain; charset=utf-8"));
        assert_eq!(by(&["message", "name"], says_text()), Verdict::Keep);
        assert_eq!(
            by(&["name", "message"], says_text()),
            set("application/pdf")
        );
        let says_nothing = named("a.pdf", Some("application/octet-stream"));
        assert_eq!(
            by(&["message", "name"], says_nothing),
            set("application/pdf")
        );
        assert_eq!(by(&["message"], named("a.pdf", None)), Verdict::Keep);
    }

    #[test]
    fn types_are_filtered() {
        let check = |more: &[(&str, Setting)], name: &str, expected: Option<&str>| {
            let mut plugin = start(&["name"], more).unwrap();
            let verdict = plugin
                .after_accept(vec![named(name, None)])
                .unwrap()
                .remove(0);
            match expected {
                Some(why) => assert_eq!(verdict, Verdict::rejected(415, why)),
                None => assert!(!matches!(verdict, Verdict::Reject(_)), "{verdict:?}"),
            }
        };
        let images = [
            ("accept", list(&["image/*"])),
            ("reject", list(&["image/gif"])),
        ];
        check(&images, "a.png", None);
        check(&images, "a.gif", Some("`image/gif` is in `reject`"));
        check(
            &images,
            "a.pdf",
            Some("`application/pdf` is not in `accept`"),
        );
        check(&images, "a", Some("its type is not known"));
        check(&[("reject", list(&["image/*"]))], "a", None);
        let lenient = [
            ("accept", list(&["image/*"])),
            ("accept_unknown", Setting::Flag(true)),
        ];
        check(&lenient, "a", None);
    }

    #[test]
    fn content_tells_what_a_name_hides() {
        let mut host = Host::default();
        host.content.insert(1, b"MZ\x90\0\x03\0\0\0".to_vec());
        let _host = host.install();
        let reject = [("reject", list(&["application/vnd.microsoft.*"]))];
        let mut plugin = start(&["content", "name"], &reject).unwrap();
        let message = named("a.txt", Some("text/plain"));
        assert_eq!(
            plugin.after_accept(vec![message.clone()]).unwrap(),
            [Verdict::Keep]
        );
        let verdicts = plugin.after_work(vec![message]).unwrap();
        assert!(
            matches!(&verdicts[0], Verdict::Reject(r) if r.code == 415),
            "{verdicts:?}"
        );
        let mut without = named("b.txt", None);
        without.id = 2;
        assert_eq!(
            plugin.after_work(vec![without]).unwrap(),
            [set("text/plain")]
        );
    }

    #[test]
    fn mistakes_stop_the_start() {
        let failure = start(&[], &[]).unwrap_err();
        assert!(failure.reason().starts_with("option `by`: names nobody"));
        let failure = start(&["name"], &[("accept", list(&["png"]))]).unwrap_err();
        assert!(
            failure
                .reason()
                .starts_with("option `accept`: `png` is no type")
        );
        let failure = start(&["name"], &[("types", list(&["a"]))]).unwrap_err();
        assert!(
            failure
                .reason()
                .starts_with("option `types`: `a` is not written")
        );
    }
}
