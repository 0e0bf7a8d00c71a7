//! The plugin around the steps: options, and edits.

use flow_plugin::template::{Missing, Template};
use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Edit, Failure, Lifecycle, Manifest, Message,
    OptionKind, Rejection, Result, Verdict, manifest, naming, option,
};
use regex::Regex;

use crate::keyword;
use crate::steps::{Case, Field, Replacement, Steps};

/// The plugin.
#[derive(Debug)]
pub struct Rename {
    steps: Steps,
    /// Directories that move from relPath to baseUrl.
    shift: usize,
    reject_missing: bool,
    late: bool,
}

impl Describe for Rename {
    fn describe() -> Manifest {
        manifest("rename", env!("CARGO_PKG_VERSION"), "gives files and paths other names")
            .doc(include_str!("../README.md"))
            .option(
                option("field", OptionKind::Choice, "What is renamed: the file's name, its whole path below the root, or the root.")
                    .choices(&["name", "path", "base_url"])
                    .default("name"),
            )
            .option(option("only", OptionKind::Regex, "Only what this matches somewhere is renamed; its groups are known to `to`.").example(r"'^(\w+)\.tmp$'"))
            .option(option("keyword", OptionKind::Text, "Keywords of sr3 for names made of `:` fields, joined with `:`.").example("WHATFN:TIME"))
            .option(
                option("replace", OptionKind::Text, "Replacements in their order, each `PATTERN => TEXT`: every match of the regular expression becomes the text.")
                    .repeated()
                    .example(r"['\.tmp$ =>', ' => _']"),
            )
            .option(option("to", OptionKind::Text, "The whole new value, made of the message's fields.").example("'{stem}_{pubTime:%Y%m%d}{suffix}'"))
            .option(option("case", OptionKind::Choice, "How letters are written at the end.").choices(&["keep", "lower", "upper"]).default("keep"))
            .option(option("shift_to_base_url", OptionKind::Count, "How many leading directories move from relPath to the end of baseUrl, 0 to 100; the URL stays the same.").default("0"))
            .option(option("missing", OptionKind::Choice, "What becomes of a message that lacks a field a text asks for: it keeps its name, or is rejected.").choices(&["keep", "reject"]).default("keep"))
            .option(option("stage", OptionKind::Choice, "When: before anything is fetched, or after the work, where the parts other plugins derive are renamed too.").choices(&["accept", "work"]).default("accept"))
            .build()
    }
}

impl Lifecycle for Rename {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let wrong = |name: &'static str| {
            move |reason: String| Failure::config(format!("option `{name}`: {reason}"))
        };
        let field = match given.text("field")?.as_str() {
            "path" => Field::Path,
            "base_url" => Field::BaseUrl,
            _ => Field::Name,
        };
        let only = given
            .get::<String>("only")?
            .map(|text| Regex::new(&text).map_err(|error| wrong("only")(error.to_string())))
            .transpose()?;
        let keyword = given.get::<String>("keyword")?;
        if let Some(reason) = keyword.as_deref().and_then(keyword::wrong) {
            return Err(wrong("keyword")(reason));
        }
        if keyword.is_some() && field != Field::Name {
            return Err(wrong("keyword")(
                "is about file names, but `field` says otherwise; leave one of them out".to_owned(),
            ));
        }
        let replace = given
            .list("replace")?
            .iter()
            .map(|text| Replacement::parse(text).map_err(wrong("replace")))
            .collect::<Result<Vec<_>>>()?;
        let to = given
            .get::<String>("to")?
            .map(|text| Template::parse(&text).map_err(wrong("to")))
            .transpose()?;
        let case = match given.text("case")?.as_str() {
            "lower" => Case::Lower,
            "upper" => Case::Upper,
            _ => Case::Keep,
        };
        let shift = given.count("shift_to_base_url")?;
        let shift = usize::try_from(shift)
            .ok()
            .filter(|shift| *shift <= 100)
            .ok_or_else(|| {
                wrong("shift_to_base_url")(format!("is {shift}, but has to be from 0 to 100"))
            })?;
        let nothing = keyword.is_none() && replace.is_empty() && to.is_none() && case == Case::Keep;
        if nothing && shift == 0 {
            return Err(Failure::config(
                "no option says what to do, so every name would stay; set `replace`, `to`, `keyword`, `case` or `shift_to_base_url`",
            ));
        }
        Ok(Self {
            steps: Steps {
                field,
                only,
                keyword,
                replace,
                to,
                case,
            },
            shift,
            reject_missing: given.text("missing")? == "reject",
            late: given.text("stage")? == "work",
        })
    }
}

impl AfterAccept for Rename {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(false, &batch))
    }
}

impl AfterWork for Rename {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(true, &batch))
    }
}

impl Rename {
    fn at(&self, late: bool, batch: &[Message]) -> Vec<Verdict> {
        let judge = |message| {
            if late == self.late {
                self.one(message)
            } else {
                Verdict::Keep
            }
        };
        batch.iter().map(judge).collect()
    }

    fn one(&self, message: &Message) -> Verdict {
        let mut edits = match self.steps.apply(message) {
            Ok(None) => Vec::new(),
            Ok(Some(value)) => match self.edits(message, &value) {
                Ok(edits) => edits,
                Err(rejection) => return Verdict::Reject(rejection),
            },
            Err(Missing(field)) if self.reject_missing => {
                return Verdict::rejected(
                    422,
                    format!("the message has no field `{field}` to be named by"),
                );
            }
            Err(Missing(_)) => return Verdict::Keep,
        };
        if self.shift > 0 {
            shift(message, self.shift, &mut edits);
        }
        if edits.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Update(edits)
        }
    }

    fn edits(&self, message: &Message, value: &str) -> std::result::Result<Vec<Edit>, Rejection> {
        match self.steps.field {
            Field::Name => naming::rename(message, value),
            Field::Path => naming::move_to(message, value),
            Field::BaseUrl if is_url(value) => Ok(vec![Edit::BaseUrl(value.to_owned())]),
            Field::BaseUrl => Err(Rejection::new(
                422,
                format!("`{}` is no URL", value.escape_debug()),
            )),
        }
    }
}

/// Moves the first `count` directories of relPath to the end of baseUrl, as far as there are any.
fn shift(message: &Message, count: usize, edits: &mut Vec<Edit>) {
    let mut path = message.rel_path.trim_start_matches('/').to_owned();
    let mut base = message.base_url.clone();
    let mut retrieve = message.retrieve_path.clone();
    for edit in std::mem::take(edits) {
        match edit {
            Edit::RelPath(new) => path = new,
            Edit::BaseUrl(new) => base = new,
            Edit::RetrievePath(new) => retrieve = new,
            other => edits.push(other),
        }
    }
    let at = path.match_indices('/').nth(count - 1).map(|(at, _)| at);
    if let Some(at) = at {
        let moved = path[..at].to_owned();
        let below = |path: &str| {
            let rest = path.trim_start_matches('/').strip_prefix(&moved)?;
            rest.strip_prefix('/').map(str::to_owned)
        };
        // What to fetch has to stay what it is.
        let kept = match &retrieve {
            None => Some(None),
            Some(retrieve) => below(retrieve).map(Some),
        };
        if let Some(kept) = kept {
            retrieve = kept;
            base = format!("{}/{moved}/", base.trim_end_matches('/'));
            path.drain(..=at);
        }
    }
    if path != message.rel_path {
        edits.push(Edit::RelPath(path));
    }
    if base != message.base_url {
        edits.push(Edit::BaseUrl(base));
    }
    if retrieve != message.retrieve_path {
        edits.push(Edit::RetrievePath(retrieve));
    }
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use flow_plugin::Setting;
    use flow_plugin::testing::context;

    use super::*;

    fn start(more: &[(&str, Setting)]) -> Result<Rename> {
        let text = |value: &str| Setting::Text(value.to_owned());
        let mut settings = vec![
            ("field", text("name")),
            ("case", text("keep")),
            ("shift_to_base_url", Setting::Count(0)),
            ("missing", text("keep")),
            ("stage", text("accept")),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        Rename::start(context(None, &settings))
    }

    fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    fn message() -> Message {
        let mut message = Message::new(1, "http://h/base/", "a/b/x.tmp");
        message.pub_time = "20240305T070809".to_owned();
        message
    }

    fn verdict(more: &[(&str, Setting)]) -> Verdict {
        let mut plugin = start(more).unwrap();
        plugin.after_accept(vec![message()]).unwrap().remove(0)
    }

    #[test]
    fn a_date_is_appended() {
        assert_eq!(
            verdict(&[("to", text("{stem}_{pubTime:%Y%m%d%H%M%S}{suffix}"))]),
            Verdict::Update(vec![
                Edit::RelPath("a/b/x_20240305070809.tmp".into()),
                Edit::RetrievePath(Some("a/b/x.tmp".into())),
            ])
        );
    }

    #[test]
    fn a_stored_file_keeps_what_to_fetch() {
        let mut stored = message();
        stored.directory = Some("/data".to_owned());
        stored.filename = Some("x.tmp".to_owned());
        let mut plugin = start(&[("replace", Setting::List(vec![r"\.tmp$ =>".into()]))]).unwrap();
        assert_eq!(
            plugin.after_accept(vec![stored.clone()]).unwrap(),
            [Verdict::Update(vec![Edit::Filename("x".into())])]
        );
        assert_eq!(plugin.after_work(vec![stored]).unwrap(), [Verdict::Keep]);
    }

    #[test]
    fn stage_work_waits_for_the_work() {
        let mut plugin = start(&[("case", text("upper")), ("stage", text("work"))]).unwrap();
        assert_eq!(
            plugin.after_accept(vec![message()]).unwrap(),
            [Verdict::Keep]
        );
        let late = plugin.after_work(vec![message()]).unwrap();
        assert!(
            matches!(&late[0], Verdict::Update(edits) if edits[0] == Edit::RelPath("a/b/X.TMP".into()))
        );
    }

    #[test]
    fn names_from_headers_stay_inside() {
        let mut evil = message();
        evil.headers = vec![flow_plugin::Header::text("subject", "../../etc/passwd")];
        let mut plugin = start(&[("to", text("{subject}"))]).unwrap();
        let verdicts = plugin.after_accept(vec![evil]).unwrap();
        assert!(
            matches!(&verdicts[0], Verdict::Reject(r) if r.code == 422),
            "{verdicts:?}"
        );
    }

    #[test]
    fn a_missing_field_keeps_or_rejects() {
        assert_eq!(verdict(&[("to", text("{subject}"))]), Verdict::Keep);
        let rejected = verdict(&[("to", text("{subject}")), ("missing", text("reject"))]);
        assert_eq!(
            rejected,
            Verdict::rejected(422, "the message has no field `subject` to be named by")
        );
    }

    #[test]
    fn directories_move_to_the_root() {
        let shifted = |count| verdict(&[("shift_to_base_url", Setting::Count(count))]);
        assert_eq!(
            shifted(1),
            Verdict::Update(vec![
                Edit::RelPath("b/x.tmp".into()),
                Edit::BaseUrl("http://h/base/a/".into())
            ])
        );
        assert_eq!(shifted(3), Verdict::Keep);
        let both = verdict(&[
            ("shift_to_base_url", Setting::Count(2)),
            ("replace", Setting::List(vec!["tmp => txt".into()])),
        ]);
        assert_eq!(
            both,
            Verdict::Update(vec![
                Edit::RelPath("x.txt".into()),
                Edit::BaseUrl("http://h/base/a/b/".into()),
                Edit::RetrievePath(Some("x.tmp".into())),
            ])
        );
    }

    #[test]
    fn roots_have_to_be_urls() {
        let https = verdict(&[
            ("field", text("base_url")),
            ("replace", Setting::List(vec!["^http: => https:".into()])),
        ]);
        assert_eq!(
            https,
            Verdict::Update(vec![Edit::BaseUrl("https://h/base/".into())])
        );
        let broken = verdict(&[("field", text("base_url")), ("to", text("no url"))]);
        assert_eq!(broken, Verdict::rejected(422, "`no url` is no URL"));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (options, expected) in [
            (vec![], "no option says what to do"),
            (vec![("to", text("{x"))], "option `to`: `{` is never closed"),
            (
                vec![("keyword", text("WAT"))],
                "option `keyword`: `WAT` is none",
            ),
            (
                vec![("keyword", text("WHATFN")), ("field", text("path"))],
                "option `keyword`: is about file names",
            ),
            (
                vec![("shift_to_base_url", Setting::Count(-1))],
                "option `shift_to_base_url`: is -1",
            ),
        ] {
            let failure = start(&options).unwrap_err();
            assert!(matches!(failure, Failure::Config(_)));
            assert!(failure.reason().starts_with(expected), "{failure:?}");
        }
    }
}
