//! The plugin: where headings come from, and what is made of them.

use std::collections::HashSet;
use std::io::Write;

use flow_plugin::template::Template;
use flow_plugin::time::Time;
use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Edit, Failure, Lifecycle, Manifest, Message,
    NewMessage, OptionKind, Rejection, Result, Verdict, log, manifest, naming, option,
};

use crate::heading::Heading;
use crate::wmo00::{self, Next};

/// Not a bulletin.
const UNUSABLE: u16 = 422;
/// Most bulletins taken out of one file: each becomes a message held in memory.
const BULLETINS_MAX: usize = 20_000;

/// Where a heading is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Name,
    Content,
}

/// The plugin.
#[derive(Debug)]
pub struct WmoBulletin {
    by: Vec<Source>,
    name: Option<Template>,
    path: Option<Template>,
    headers: bool,
    reject_invalid: bool,
    split: bool,
    keep_envelope: bool,
}

impl Describe for WmoBulletin {
    fn describe() -> Manifest {
        manifest("wmo-bulletin", env!("CARGO_PKG_VERSION"), "reads WMO bulletins: headings, names, and files of many")
            .doc(include_str!("../README.md"))
            .option(option("by", OptionKind::Choice, "Where the heading is read from, in this order: the file's name, the start of its content.").repeated().choices(&["name", "content"]).default("[name]"))
            .option(option("name", OptionKind::Text, "The new file name, made of the heading and of the message's fields; it stays if unset.").example("'{TTAAii}_{CCCC}_{YYGGgg}{_BBB}'"))
            .option(option("path", OptionKind::Text, "The new path, made likewise, with `name` applied before.").example("'{time:%Y%m%d}/{TT}/{CCCC}/{GG}/{name}'"))
            .option(option("headers", OptionKind::Flag, "Whether the headers `heading` and `headingTime` are set.").default("on"))
            .option(option("invalid", OptionKind::Choice, "What becomes of a message without a sound heading.").choices(&["keep", "reject"]).default("keep"))
            .option(option("split", OptionKind::Flag, "Whether files of format WMO 00 and 01 are taken apart into their bulletins.").default("off"))
            .option(option("envelope", OptionKind::Choice, "With `split`: whether bulletins keep their starting line and end.").choices(&["remove", "keep"]).default("remove"))
            .build()
    }
}

impl Lifecycle for WmoBulletin {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let template = |name: &'static str| {
            given
                .get::<String>(name)?
                .map(|text| Template::parse(&text))
                .transpose()
                .map_err(|reason| Failure::config(format!("option `{name}`: {reason}")))
        };
        let by: Vec<Source> = given
            .list("by")?
            .iter()
            .map(|name| match name.as_str() {
                "content" => Source::Content,
                _ => Source::Name,
            })
            .collect();
        if by.is_empty() {
            return Err(Failure::config(
                "option `by` names no place, so no heading would be found; write `name` or `content`",
            ));
        }
        Ok(Self {
            by,
            name: template("name")?,
            path: template("path")?,
            headers: given.flag("headers")?,
            reject_invalid: given.text("invalid")? == "reject",
            split: given.flag("split")?,
            keep_envelope: given.text("envelope")? == "keep",
        })
    }
}

impl AfterAccept for WmoBulletin {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        if self.is_late() {
            return Ok(vec![Verdict::Keep; batch.len()]);
        }
        let judge = |message: &Message| {
            let name = naming::current_name(message);
            self.judge(message, Heading::from_name(name).as_ref())
        };
        Ok(batch.iter().map(judge).collect())
    }
}

impl AfterWork for WmoBulletin {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        if !self.is_late() {
            return Ok(vec![Verdict::Keep; batch.len()]);
        }
        let judge = |message| {
            let verdict = self.look(message);
            verdict.unwrap_or_else(|failure| Verdict::Fail(failure.context("bulletin not read")))
        };
        Ok(batch.iter().map(judge).collect())
    }
}

impl WmoBulletin {
    /// Whether content has to be here.
    fn is_late(&self) -> bool {
        self.split || self.by.contains(&Source::Content)
    }

    fn look(&self, message: &Message) -> Result<Verdict> {
        let mut heading = None;
        if self.split
            && let Some(verdict) = self.take_apart(message)?
        {
            return Ok(verdict);
        }
        for source in &self.by {
            heading = match source {
                Source::Name => Heading::from_name(naming::current_name(message)),
                Source::Content => match flow_plugin::open(message.id) {
                    Ok(mut content) => Heading::from_content(&content.read_chunk()?),
                    // A removal, a directory, or a flow that does not download.
                    Err(Failure::Permanent(_)) => None,
                    Err(failure) => return Err(failure),
                },
            };
            if heading.is_some() {
                break;
            }
        }
        Ok(self.judge(message, heading.as_ref()))
    }

    fn judge(&self, message: &Message, heading: Option<&Heading>) -> Verdict {
        let Some(heading) = heading else {
            if self.reject_invalid {
                return Verdict::rejected(UNUSABLE, "no heading of a WMO bulletin was found");
            }
            return Verdict::Keep;
        };
        let mut edits = match self.names(message, heading) {
            Ok(edits) => edits,
            Err(rejection) => return Verdict::Reject(rejection),
        };
        let headers = self.headers_of(message, heading);
        let set = |(name, value)| Edit::set_header(name, value);
        edits.extend(headers.into_iter().map(set));
        if edits.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Update(edits)
        }
    }

    fn headers_of(&self, message: &Message, heading: &Heading) -> Vec<(&'static str, String)> {
        if !self.headers {
            return Vec::new();
        }
        let mut headers = vec![("heading", heading.to_string())];
        let time = Time::parse(&message.pub_time).and_then(|time| heading.time(time));
        headers.extend(time.map(|time| ("headingTime", time)));
        headers
    }

    fn names(
        &self,
        message: &Message,
        heading: &Heading,
    ) -> std::result::Result<Vec<Edit>, Rejection> {
        let mut named = message.clone();
        let new_name = self
            .name
            .as_ref()
            .map(|template| render(template, message, heading))
            .transpose()?;
        let Some(path) = &self.path else {
            return new_name.map_or(Ok(Vec::new()), |name| naming::rename(message, &name));
        };
        named.filename = new_name.or(named.filename);
        naming::move_to(message, &render(path, &named, heading)?)
    }

    /// The bulletins of a file; none where it is no file of many.
    fn take_apart(&self, message: &Message) -> Result<Option<Verdict>> {
        let mut file = match flow_plugin::open(message.id) {
            Ok(file) => file,
            Err(Failure::Permanent(_)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut made = Vec::new();
        let mut names = HashSet::new();
        let mut count = 0;
        let broken = loop {
            match wmo00::next(&mut file)? {
                Next::Bulletin(_) if count == BULLETINS_MAX => {
                    break Some(format!("it has more than {BULLETINS_MAX} bulletins"));
                }
                Next::Bulletin(bulletin) => {
                    count += 1;
                    made.extend(self.derive(message, &bulletin, count, &mut names)?);
                }
                Next::End => break None,
                Next::Broken(_) if count == 0 => return Ok(None),
                Next::Broken(why) => break Some(why),
            }
        };
        if count == 0 {
            return Ok(None);
        }
        if let Some(why) = broken {
            log::warn(format!(
                "`{}` goes on beside its first {count} bulletins: {why}",
                message.rel_path
            ));
            return Ok(Some(Verdict::Add(made)));
        }
        if made.is_empty() {
            return Ok(Some(Verdict::rejected(
                404,
                "none of its bulletins is wanted",
            )));
        }
        Ok(Some(Verdict::Replace(made)))
    }

    /// Writes one bulletin of a file.
    fn derive(
        &self,
        message: &Message,
        bulletin: &[u8],
        number: usize,
        names: &mut HashSet<String>,
    ) -> Result<Option<NewMessage>> {
        let heading = Heading::from_content(bulletin);
        if heading.is_none() && self.reject_invalid {
            log::warn(format!(
                "bulletin {number} of `{}` has no sound heading and is left out",
                message.rel_path
            ));
            return Ok(None);
        }
        let name = match &heading {
            None => format!("bulletin-{number}"),
            Some(heading) => match &self.name {
                None => format!(
                    "{}_{}_{}{}",
                    heading.ttaaii,
                    heading.cccc,
                    heading.yygggg,
                    heading.field("_BBB").unwrap_or_default()
                ),
                Some(template) => render(template, message, heading)
                    .map_err(|rejection| Failure::permanent(rejection.reason))?,
            },
        };
        naming::check_element(&name).map_err(|rejection| Failure::permanent(rejection.reason))?;
        let name = unique(name, names);
        let directory = match message.rel_path.rsplit_once('.') {
            Some((stem, suffix)) if !suffix.contains('/') && !stem.is_empty() => stem.to_owned(),
            _ => format!("{}.d", message.rel_path),
        };
        let rel_path = format!("{directory}/{name}");
        let Some(mut writer) = flow_plugin::derive(message.id, &rel_path, None)? else {
            return Ok(None);
        };
        let content = if self.keep_envelope {
            bulletin
        } else {
            wmo00::bare(bulletin)
        };
        writer.write_all(content)?;
        let handle = writer.finish()?;
        let mut made = NewMessage::derived(message, rel_path, handle);
        for (name, value) in heading.iter().flat_map(|h| self.headers_of(message, h)) {
            made = made.with_header(name, value);
        }
        Ok(Some(made))
    }
}

/// Fills a template in; the heading's fields come first.
fn render(
    template: &Template,
    message: &Message,
    heading: &Heading,
) -> std::result::Result<String, Rejection> {
    let field = |name: &str| match name {
        "time" => Time::parse(&message.pub_time)
            .and_then(|time| heading.time(time))
            .map(Into::into),
        name => heading.field(name),
    };
    template.render(message, &field).map_err(|missing| {
        let reason = format!("the message has no field `{}` to be named by", missing.0);
        Rejection::new(UNUSABLE, reason)
    })
}

/// The name, or one with a number that is not taken.
fn unique(name: String, names: &mut HashSet<String>) -> String {
    if names.insert(name.clone()) {
        return name;
    }
    let mut number = 1;
    loop {
        let other = format!("{name}~{number}");
        if names.insert(other.clone()) {
            return other;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::{Host, context};
    use flow_plugin::{Header, Setting};

    use super::*;

    fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    fn start(by: &[&str], more: &[(&str, Setting)]) -> Result<WmoBulletin> {
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        let mut settings = vec![
            ("by", Setting::List(by)),
            ("headers", Setting::Flag(true)),
            ("invalid", text("keep")),
            ("split", Setting::Flag(false)),
            ("envelope", text("remove")),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        WmoBulletin::start(context(None, &settings))
    }

    fn message(path: &str) -> Message {
        let mut message = Message::new(1, "http://h/", path);
        message.pub_time = "20240301T000500".to_owned();
        message
    }

    #[test]
    fn names_give_headers_and_names() {
        let options = [
            (
                "name",
                text("T_{TTAAii}{BBB}_C_{CCCC}_{time:%Y%m%d%H%M%S}.txt"),
            ),
            ("path", text("{time:%Y%m%d}/{TT}/{CCCC}/{GG}/{name}")),
        ];
        let mut plugin = start(&["name"], &options).unwrap();
        let verdicts = plugin
            .after_accept(vec![message("x/SACN31_CWAO_292355_RRA")])
            .unwrap();
        assert_eq!(
            verdicts,
            [Verdict::Update(vec![
                Edit::RelPath("20240229/SA/CWAO/23/T_SACN31RRA_C_CWAO_20240229235500.txt".into()),
                Edit::RetrievePath(Some("x/SACN31_CWAO_292355_RRA".into())),
                Edit::set_header("heading", "SACN31 CWAO 292355 RRA"),
                Edit::set_header("headingTime", "20240229T235500"),
            ])]
        );
    }

    #[test]
    fn content_gives_the_name() {
        let mut host = Host::default();
        let content = b"\x01\r\r\n001\r\r\nSACN31 CWAO 010000\r\r\nMETAR A=";
        host.content.insert(1, content.to_vec());
        let _host = host.install();
        let name = ("name", text("{TTAAii}_{CCCC}_{YYGGgg}{_BBB}"));
        let mut plugin = start(&["name", "content"], &[name]).unwrap();
        let mut stored = message("in/00017.a");
        stored.directory = Some("/data".to_owned());
        stored.filename = Some("00017.a".to_owned());
        assert_eq!(
            plugin.after_accept(vec![stored.clone()]).unwrap(),
            [Verdict::Keep]
        );
        assert_eq!(
            plugin.after_work(vec![stored]).unwrap(),
            [Verdict::Update(vec![
                Edit::Filename("SACN31_CWAO_010000".into()),
                Edit::set_header("heading", "SACN31 CWAO 010000"),
                Edit::set_header("headingTime", "20240301T000000"),
            ])]
        );
    }

    #[test]
    fn what_is_no_bulletin_is_kept_or_rejected() {
        let check = |invalid| {
            let mut plugin = start(&["name"], &[("invalid", text(invalid))]).unwrap();
            plugin
                .after_accept(vec![message("a.pdf")])
                .unwrap()
                .remove(0)
        };
        assert_eq!(check("keep"), Verdict::Keep);
        assert_eq!(
            check("reject"),
            Verdict::rejected(422, "no heading of a WMO bulletin was found")
        );
    }

    fn file(bulletins: &[&str]) -> Vec<u8> {
        let framed = |text: &&str| format!("{:08}00{text}", text.len());
        bulletins
            .iter()
            .map(framed)
            .collect::<String>()
            .into_bytes()
    }

    fn split(content: Vec<u8>, more: &[(&str, Setting)]) -> (Verdict, Vec<(String, String)>) {
        let mut host = Host::default();
        host.content.insert(1, content);
        let host = host.install();
        let mut options = vec![("split", Setting::Flag(true))];
        options.extend_from_slice(more);
        let mut plugin = start(&["name"], &options).unwrap();
        let verdict = plugin
            .after_work(vec![message("in/batch.a")])
            .unwrap()
            .remove(0);
        let derived = &host.borrow().derived;
        let shown = derived.iter().map(|d| {
            (
                d.rel_path.clone(),
                String::from_utf8_lossy(&d.bytes).into_owned(),
            )
        });
        (verdict, shown.collect())
    }

    const A: &str = "\x01\r\r\n001\r\r\nSACN31 CWAO 010000\r\r\nA=\r\r\n\x03";
    const B: &str = "\x01\r\r\n002\r\r\nSACN31 CWAO 010000 RRA\r\r\nB=\r\r\n\x03";

    #[test]
    fn a_file_of_many_becomes_its_bulletins() {
        let (verdict, derived) = split(file(&[A, B, A, "no heading"]), &[]);
        let expected = [
            ("in/batch/SACN31_CWAO_010000", "SACN31 CWAO 010000\r\r\nA="),
            (
                "in/batch/SACN31_CWAO_010000_RRA",
                "SACN31 CWAO 010000 RRA\r\r\nB=",
            ),
            (
                "in/batch/SACN31_CWAO_010000~1",
                "SACN31 CWAO 010000\r\r\nA=",
            ),
            ("in/batch/bulletin-4", "no heading"),
        ];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(derived, expected);
        let Verdict::Replace(made) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(made.len(), 4);
        assert_eq!(made[1].content, Some(2));
        assert_eq!(
            made[1].headers,
            [
                Header::text("heading", "SACN31 CWAO 010000 RRA"),
                Header::text("headingTime", "20240301T000000")
            ]
        );
    }

    #[test]
    fn the_envelope_may_stay() {
        let (_, derived) = split(file(&[A]), &[("envelope", text("keep"))]);
        assert_eq!(derived[0].1, A);
    }

    #[test]
    fn what_is_cut_keeps_the_whole_too() {
        let mut cut = file(&[A, B]);
        cut.pop();
        let (verdict, derived) = split(cut, &[]);
        assert!(matches!(verdict, Verdict::Add(made) if made.len() == 1));
        assert_eq!(derived.len(), 1);
        let (verdict, _) = split(b"just a file".to_vec(), &[]);
        assert_eq!(verdict, Verdict::Keep);
    }

    #[test]
    fn mistakes_stop_the_start() {
        assert!(
            start(&[], &[])
                .unwrap_err()
                .reason()
                .starts_with("option `by`")
        );
        let failure = start(&["name"], &[("name", text("{"))]).unwrap_err();
        assert!(failure.reason().starts_with("option `name`: "));
    }
}
