//! The plugin around the steps: options and verdicts.

use flow_plugin::template::Template;
use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Failure, Lifecycle, Manifest, Message, OptionKind,
    Result, Verdict, manifest, option,
};
use regex::Regex;

use crate::steps::{Steps, check, pair};

/// The plugin.
#[derive(Debug)]
pub struct Headers {
    steps: Steps,
    late: bool,
}

impl Describe for Headers {
    fn describe() -> Manifest {
        manifest("headers", env!("CARGO_PKG_VERSION"), "sets, renames and deletes header fields of messages")
            .doc(include_str!("../README.md"))
            .option(
                option("extract", OptionKind::Regex, "Regular expressions whose named groups become headers; the first that matches somewhere counts.")
                    .repeated()
                    .example(r"['^radar/(?<station>\w+)/']"),
            )
            .option(option("from", OptionKind::Text, "What `extract` looks at, made of the message's fields.").default("{path}").example("'{url}'"))
            .option(option("rename", OptionKind::Text, "Headers to rename, each `OLD = NEW`; the value stays as it is.").repeated().example("['sender = source']"))
            .option(option("default", OptionKind::Text, "Headers to set where they are missing, each `NAME = TEXT`.").repeated().example("['source = {host}']"))
            .option(option("set", OptionKind::Text, "Headers to set, each `NAME = TEXT`; the text is made of the message's fields.").repeated().example("['title = {stem}, {size} bytes']"))
            .option(option("delete", OptionKind::Text, "Headers to delete; a `*` at the end stands for any end.").repeated().example("[to_clusters, 'x_*']"))
            .option(option("missing", OptionKind::Choice, "What becomes of a message that lacks a field a text asks for, or that no pattern matches: the header is left out, or the message is rejected.").choices(&["keep", "reject"]).default("keep"))
            .option(option("stage", OptionKind::Choice, "When: before anything is fetched, or after the work, where the parts other plugins derive are seen too.").choices(&["accept", "work"]).default("accept"))
            .build()
    }
}

fn wrong(name: &'static str) -> impl Fn(String) -> Failure {
    move |reason| Failure::config(format!("option `{name}`: {reason}"))
}

fn templates(context: &Context, name: &'static str) -> Result<Vec<(String, Template)>> {
    context
        .options
        .list(name)?
        .iter()
        .map(|text| {
            let (header, text) = pair(text)?;
            Ok((header, Template::parse(&text)?))
        })
        .collect::<std::result::Result<_, String>>()
        .map_err(wrong(name))
}

impl Lifecycle for Headers {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let extract = given
            .list("extract")?
            .iter()
            .map(|text| {
                let pattern = Regex::new(text).map_err(|error| error.to_string())?;
                let mut names = pattern.capture_names().flatten().peekable();
                if names.peek().is_none() {
                    return Err(format!("`{text}` has no named group, write `(?<name>…)`"));
                }
                names.try_for_each(|name| pair(&format!("{name}=")).map(drop))?;
                Ok(pattern)
            })
            .collect::<std::result::Result<Vec<_>, String>>()
            .map_err(wrong("extract"))?;
        let rename = given
            .list("rename")?
            .iter()
            .map(|text| {
                let (old, new) = pair(text)?;
                Ok((old, pair(&format!("{new}="))?.0))
            })
            .collect::<std::result::Result<Vec<_>, String>>()
            .map_err(wrong("rename"))?;
        let delete = given.list("delete")?;
        delete
            .iter()
            .try_for_each(|name| check(name).map(drop))
            .map_err(wrong("delete"))?;
        let (default, set) = (templates(&context, "default")?, templates(&context, "set")?);
        if extract.is_empty()
            && rename.is_empty()
            && default.is_empty()
            && set.is_empty()
            && delete.is_empty()
        {
            return Err(Failure::config(
                "no option says what to do, so every header would stay; set `extract`, `rename`, `default`, `set` or `delete`",
            ));
        }
        Ok(Self {
            steps: Steps {
                from: Template::parse(&given.text("from")?).map_err(wrong("from"))?,
                extract,
                rename,
                set,
                default,
                delete,
                strict: given.text("missing")? == "reject",
            },
            late: given.text("stage")? == "work",
        })
    }
}

impl AfterAccept for Headers {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(false, &batch))
    }
}

impl AfterWork for Headers {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(true, &batch))
    }
}

impl Headers {
    fn at(&self, late: bool, batch: &[Message]) -> Vec<Verdict> {
        let judge = |message| {
            if late != self.late {
                return Verdict::Keep;
            }
            match self.steps.apply(message) {
                Ok(edits) if edits.is_empty() => Verdict::Keep,
                Ok(edits) => Verdict::Update(edits),
                Err(reason) => Verdict::rejected(422, reason),
            }
        };
        batch.iter().map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::context;
    use flow_plugin::{Edit, Setting};

    use super::*;

    fn start(lists: &[(&str, &str)], stage: &str, missing: &str) -> Result<Headers> {
        let text = |value: &str| Setting::Text(value.to_owned());
        let mut settings = vec![
            ("from", text("{path}")),
            ("missing", text(missing)),
            ("stage", text(stage)),
        ];
        for (name, item) in lists {
            settings.push((name, Setting::List(vec![(*item).to_owned()])));
        }
        Headers::start(context(None, &settings))
    }

    fn message() -> Message {
        Message::new(1, "http://h/", "a/b.txt")
    }

    #[test]
    fn a_stage_is_chosen() {
        let update = [Verdict::Update(vec![Edit::set_header("stem", "b")])];
        let mut early = start(&[("set", "stem = {stem}")], "accept", "keep").unwrap();
        assert_eq!(early.after_accept(vec![message()]).unwrap(), update);
        assert_eq!(early.after_work(vec![message()]).unwrap(), [Verdict::Keep]);
        let mut late = start(&[("set", "stem = {stem}")], "work", "keep").unwrap();
        assert_eq!(late.after_accept(vec![message()]).unwrap(), [Verdict::Keep]);
        assert_eq!(late.after_work(vec![message()]).unwrap(), update);
    }

    #[test]
    fn what_does_not_fit_can_be_rejected() {
        let mut strict = start(&[("extract", "^x/(?<rest>.*)")], "accept", "reject").unwrap();
        assert_eq!(
            strict.after_accept(vec![message()]).unwrap(),
            [Verdict::rejected(
                422,
                "no pattern of `extract` matches `a/b.txt`"
            )]
        );
    }

    #[test]
    fn mistakes_stop_the_start() {
        for (name, item, expected) in [
            (
                "extract",
                "a(b)",
                "option `extract`: `a(b)` has no named group",
            ),
            (
                "extract",
                "(?<size>.)",
                "option `extract`: `size` says where",
            ),
            (
                "rename",
                "a = relPath",
                "option `rename`: `relPath` says where",
            ),
            ("set", "a", "option `set`: `a` is not written"),
            ("set", "a = {", "option `set`: `{` is never closed"),
            (
                "delete",
                "identity",
                "option `delete`: `identity` says where",
            ),
        ] {
            let failure = start(&[(name, item)], "accept", "keep").unwrap_err();
            assert!(failure.reason().starts_with(expected), "{failure:?}");
        }
        let failure = start(&[], "accept", "keep").unwrap_err();
        assert!(failure.reason().starts_with("no option says what to do"));
    }
}
