//! One condition, and what follows for messages that meet it.

use std::borrow::Cow;
use std::collections::HashSet;

use flow_plugin::template::Template;
use flow_plugin::{
    AfterAccept, AfterWork, Context, Describe, Failure, Lifecycle, Manifest, Message, OptionKind,
    Result, Verdict, manifest, option,
};
use regex::Regex;

/// Not wanted, as the engine's own filters say it.
const UNWANTED: u16 = 404;

/// The plugin.
#[derive(Debug)]
pub struct FilterFields {
    value: Template,
    pattern: Option<Regex>,
    key: Option<Template>,
    keys: HashSet<String>,
    size_min: u64,
    size_max: u64,
    reject: bool,
    late: bool,
}

impl Describe for FilterFields {
    fn describe() -> Manifest {
        manifest("filter-fields", env!("CARGO_PKG_VERSION"), "accepts or rejects messages by any of their fields")
            .doc(include_str!("../README.md"))
            .option(option("value", OptionKind::Text, "What is looked at, made of the message's fields; a message that lacks one does not match.").default("{url}").example("'{to_clusters}'"))
            .option(option("pattern", OptionKind::Regex, "Has to match somewhere in the value.").example("'^(DDI|ALL)$'"))
            .option(option("key", OptionKind::Text, "What is looked up in `keys`, made of the groups of `pattern` and of fields; the whole value if unset.").example("'{1}_{2}'"))
            .option(option("keys", OptionKind::Text, "The keys that match; any if unset.").repeated().example("[CASBV, CASFT]"))
            .option(option("size_min", OptionKind::Size, "Smallest content that matches; a message without a size does not match unless this is 0.").default("0"))
            .option(option("size_max", OptionKind::Size, "Largest content that matches; 0: no limit. A message without a size does not match a limit.").default("0").example("10MiB"))
            .option(option("then", OptionKind::Choice, "What becomes of a message that matches; the others meet the opposite.").choices(&["accept", "reject"]).default("accept"))
            .option(option("stage", OptionKind::Choice, "When: before anything is fetched, or after the work, where the parts other plugins derive are seen too.").choices(&["accept", "work"]).default("accept"))
            .build()
    }
}

impl Lifecycle for FilterFields {
    fn start(context: Context) -> Result<Self> {
        let given = &context.options;
        let wrong = |name: &'static str| {
            move |reason: String| Failure::config(format!("option `{name}`: {reason}"))
        };
        let pattern = given
            .get::<String>("pattern")?
            .map(|text| Regex::new(&text).map_err(|error| wrong("pattern")(error.to_string())))
            .transpose()?;
        let key = given
            .get::<String>("key")?
            .map(|text| Template::parse(&text).map_err(wrong("key")))
            .transpose()?;
        let keys: HashSet<String> = given.list("keys")?.into_iter().collect();
        let (size_min, size_max) = (given.size("size_min")?, given.size("size_max")?);
        if key.is_some() && keys.is_empty() {
            return Err(wrong("key")(
                "there are no `keys` to look it up in; set them, or leave it out".to_owned(),
            ));
        }
        if pattern.is_none() && keys.is_empty() && size_min == 0 && size_max == 0 {
            return Err(Failure::config(
                "no option says what to look for, so every message would match; set `pattern`, `keys`, `size_min` or `size_max`",
            ));
        }
        if size_max > 0 && size_min > size_max {
            return Err(wrong("size_min")(format!(
                "is {size_min} bytes and `size_max` {size_max}, so no message could match"
            )));
        }
        Ok(Self {
            value: Template::parse(&given.text("value")?).map_err(wrong("value"))?,
            pattern,
            key,
            keys,
            size_min,
            size_max,
            reject: given.text("then")? == "reject",
            late: given.text("stage")? == "work",
        })
    }
}

impl AfterAccept for FilterFields {
    fn after_accept(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(false, &batch))
    }
}

impl AfterWork for FilterFields {
    fn after_work(&mut self, batch: Vec<Message>) -> Result<Vec<Verdict>> {
        Ok(self.at(true, &batch))
    }
}

impl FilterFields {
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
        match (self.matches(message), self.reject) {
            (Ok(()), false) | (Err(_), true) => Verdict::Keep,
            (Ok(()), true) => Verdict::rejected(UNWANTED, "it is what `filter-fields` rejects"),
            (Err(why), false) => Verdict::rejected(UNWANTED, why),
        }
    }

    /// Whether the message matches, or why it does not.
    fn matches(&self, message: &Message) -> std::result::Result<(), String> {
        if self.size_min > 0 || self.size_max > 0 {
            let Some(size) = message.size else {
                return Err("its size is not known".to_owned());
            };
            if size < self.size_min {
                return Err(format!("{size} bytes are less than `size_min`"));
            }
            if self.size_max > 0 && size > self.size_max {
                return Err(format!("{size} bytes are more than `size_max`"));
            }
        }
        if self.pattern.is_none() && self.keys.is_empty() {
            return Ok(());
        }
        let value = self
            .value
            .render(message, &|_| None)
            .map_err(|missing| format!("it has no field `{}`", missing.0))?;
        let groups = match &self.pattern {
            None => None,
            Some(pattern) => Some(
                pattern
                    .captures(&value)
                    .ok_or_else(|| format!("`{}` does not match `pattern`", shown(&value)))?,
            ),
        };
        if self.keys.is_empty() {
            return Ok(());
        }
        let key = match &self.key {
            None => Cow::Borrowed(value.as_str()),
            Some(key) => {
                let group = |name: &str| {
                    let groups = groups.as_ref()?;
                    let found = match name.parse::<usize>() {
                        Ok(number) if number >= groups.len() => return None,
                        Ok(number) => groups.get(number),
                        Err(_) => Some(groups.name(name)?),
                    };
                    let text = found.map_or("", |found| found.as_str());
                    Some(Cow::Owned(text.to_owned()))
                };
                let key = key.render(message, &group);
                Cow::Owned(key.map_err(|missing| format!("it has no field `{}`", missing.0))?)
            }
        };
        if self.keys.contains(key.as_ref()) {
            return Ok(());
        }
        Err(format!("`{}` is not in `keys`", shown(&key)))
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use flow_plugin::testing::context;
    use flow_plugin::{Header, Setting};

    use super::*;

    fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    fn list(items: &[&str]) -> Setting {
        Setting::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn start(more: &[(&str, Setting)]) -> Result<FilterFields> {
        let mut settings = vec![
            ("value", text("{url}")),
            ("size_min", Setting::Size(0)),
            ("size_max", Setting::Size(0)),
            ("then", text("accept")),
            ("stage", text("accept")),
        ];
        for (name, setting) in more {
            settings.retain(|(n, _)| n != name);
            settings.push((name, setting.clone()));
        }
        FilterFields::start(context(None, &settings))
    }

    fn check(more: &[(&str, Setting)], expected: Option<&str>) {
        let mut message = Message::new(1, "http://h/", "radar/CASBV/a.gif");
        message.size = Some(1000);
        message.headers = vec![Header::text("to_clusters", "DDI")];
        let verdicts = start(more).unwrap().after_accept(vec![message]).unwrap();
        let wanted = expected.map_or(Verdict::Keep, |why| Verdict::rejected(404, why));
        assert_eq!(verdicts, [wanted], "{more:?}");
    }

    #[test]
    fn values_have_to_match() {
        let value = ("value", text("{to_clusters}"));
        check(&[value.clone(), ("pattern", text("^(DDI|ALL)$"))], None);
        check(
            &[value.clone(), ("pattern", text("^ALL$"))],
            Some("`DDI` does not match `pattern`"),
        );
        check(&[value.clone(), ("keys", list(&["ALL", "DDI"]))], None);
        check(
            &[value, ("keys", list(&["ALL"]))],
            Some("`DDI` is not in `keys`"),
        );
        check(
            &[("value", text("{absent}")), ("pattern", text("."))],
            Some("it has no field `absent`"),
        );
    }

    #[test]
    fn keys_are_made_of_groups() {
        let pattern = ("pattern", text(r"(\w+)/(?<station>\w+)/[^/]*(x)?$"));
        for (key, keys, expected) in [
            ("{station}", "CASBV", None),
            ("{1}_{2}{3}", "radar_CASBV", None),
            ("{station}", "CASFT", Some("`CASBV` is not in `keys`")),
            ("{4}", "CASFT", Some("it has no field `4`")),
        ] {
            let options = [pattern.clone(), ("key", text(key)), ("keys", list(&[keys]))];
            check(&options, expected);
        }
    }

    #[test]
    fn sizes() {
        let size = |name, bytes| vec![(name, Setting::Size(bytes))];
        check(&size("size_max", 1000), None);
        check(
            &size("size_max", 999),
            Some("1000 bytes are more than `size_max`"),
        );
        check(&size("size_min", 1000), None);
        check(
            &size("size_min", 1001),
            Some("1000 bytes are less than `size_min`"),
        );
        let mut plugin = start(&size("size_max", 5)).unwrap();
        let verdicts = plugin
            .after_accept(vec![Message::new(1, "b", "a")])
            .unwrap();
        assert_eq!(verdicts, [Verdict::rejected(404, "its size is not known")]);
    }

    #[test]
    fn rejecting_is_the_opposite() {
        let reject = ("then", text("reject"));
        check(
            &[reject.clone(), ("pattern", text("radar"))],
            Some("it is what `filter-fields` rejects"),
        );
        check(&[reject.clone(), ("pattern", text("sat"))], None);
        check(
            &[reject, ("value", text("{absent}")), ("pattern", text("."))],
            None,
        );
    }

    #[test]
    fn stage_work_waits_for_the_work() {
        let options = [("pattern", text("sat")), ("stage", text("work"))];
        let mut plugin = start(&options).unwrap();
        let message = Message::new(1, "http://h/", "a");
        assert_eq!(
            plugin.after_accept(vec![message.clone()]).unwrap(),
            [Verdict::Keep]
        );
        assert!(matches!(
            plugin.after_work(vec![message]).unwrap()[0],
            Verdict::Reject(_)
        ));
    }

    #[test]
    fn mistakes_stop_the_start() {
        for (options, expected) in [
            (vec![], "no option says what to look for"),
            (
                vec![("key", text("{1}"))],
                "option `key`: there are no `keys`",
            ),
            (
                vec![
                    ("size_min", Setting::Size(5)),
                    ("size_max", Setting::Size(4)),
                ],
                "option `size_min`: is 5 bytes",
            ),
            (
                vec![("value", text("{")), ("pattern", text("."))],
                "option `value`: `{` is never closed",
            ),
        ] {
            let failure = start(&options).unwrap_err();
            assert!(failure.reason().starts_with(expected), "{failure:?}");
        }
    }
}
