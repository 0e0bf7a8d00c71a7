//! Options that take one value or several.
//!
//! A list is a YAML list. Where values hold no blanks or commas, commas in one value separate too,
//! as in sr3.

use std::net::IpAddr;

use super::Builder;
use super::values::{Scalar, one_of};
use crate::explain as code;
use crate::options::{OptionDoc, option};
use crate::source::items;
use crate::units::{self, Wrong};
use crate::yaml::{Node, Value};
use crate::{Origin, Template};

impl Builder<'_> {
    /// The values of an option that is set; none: it is not.
    fn items_of(&mut self, declared: &OptionDoc) -> Option<Vec<Scalar>> {
        let (_, node) = self.given.get(declared.name).cloned()?;
        if matches!(node.value, Value::Null) {
            return None;
        }
        Some(self.scalars(declared.name, &node, declared.example))
    }

    pub(super) fn scalars(&mut self, name: &str, node: &Node, example: &str) -> Vec<Scalar> {
        items(node)
            .iter()
            .filter_map(|item| self.scalar(name, item, example))
            .collect()
    }

    /// Records the values as `name`, or `name[0]`, `name[1]`….
    pub(super) fn set_list(&mut self, name: &str, scalars: &[Scalar]) {
        for (index, scalar) in scalars.iter().enumerate() {
            let at = if scalars.len() == 1 {
                name.to_owned()
            } else {
                format!("{name}[{index}]")
            };
            self.set(at, scalar.shown(), scalar.origin.clone());
        }
    }

    /// One text or several.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let declared = option(name).expect("only declared options are asked for");
        if let Some(scalars) = self.items_of(declared)
            && !scalars.is_empty()
        {
            self.set_list(name, &scalars);
            return scalars.into_iter().map(|scalar| scalar.text).collect();
        }
        let (default, origin) = self.default_of(declared);
        self.unset(name, default.unwrap_or("none"), origin);
        default.map(str::to_owned).into_iter().collect()
    }

    /// One text or several at a place inside an option.
    pub(super) fn texts_at(&mut self, name: &str, node: &Node, example: &str) -> Vec<String> {
        let scalars = self.scalars(name, node, example);
        self.set_list(name, &scalars);
        scalars.into_iter().map(|scalar| scalar.text).collect()
    }

    /// One template or several.
    pub(super) fn templates(&mut self, name: &'static str) -> Vec<Template> {
        let declared = option(name).expect("only declared options are asked for");
        let node = self.given.get(name).map(|(_, node)| node.clone());
        let nodes = node.as_ref().map_or(&[][..], items);
        let templates: Vec<Template> = nodes
            .iter()
            .enumerate()
            .filter_map(|(index, item)| {
                let at = if nodes.len() == 1 {
                    name.to_owned()
                } else {
                    format!("{name}[{index}]")
                };
                let template = self.template_at(&at, name, item, declared.example)?;
                self.at_home(name, item, template)
            })
            .collect();
        if templates.is_empty() {
            self.unset(name, "none", Origin::Default);
        }
        templates
    }

    /// Single words, numbers, times: what commas may separate. `none` is an empty list.
    fn small<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<T> {
        let declared = option(name).expect("only declared options are asked for");
        if let Some(scalars) = self.items_of(declared) {
            let mut values = Vec::new();
            for scalar in &scalars {
                for part in parts(&scalar.text) {
                    match parse(part) {
                        Ok(value) => values.push(value),
                        Err(wrong) => self.wrong(name, scalar, wrong),
                    }
                }
            }
            self.set_joined(name, &scalars);
            return values;
        }
        let (default, origin) = self.default_of(declared);
        self.unset(name, default.unwrap_or("none"), origin);
        parts(default.unwrap_or("none"))
            .filter_map(|part| parse(part).ok())
            .collect()
    }

    fn set_joined(&mut self, name: &str, scalars: &[Scalar]) {
        let shown: Vec<String> = scalars.iter().map(Scalar::shown).collect();
        let shown = if shown.is_empty() {
            "none".to_owned()
        } else {
            shown.join(", ")
        };
        let origin = match scalars {
            [] => Origin::Default,
            [first, ..] => first.origin.clone(),
        };
        self.set(name, shown, origin);
    }

    /// Some of the option's words.
    pub(super) fn words(&mut self, name: &'static str) -> Vec<&'static str> {
        let choices = option(name).map_or(&[] as &[&str], |option| option.choices);
        self.small(name, |text| one_of(text, choices.iter().copied()))
    }

    /// Whole numbers.
    pub(super) fn counts(&mut self, name: &'static str) -> Vec<i64> {
        let (least, most) = option(name).map_or((0, i64::MAX), |option| option.range);
        self.small(name, |text| units::count(text, least, most))
    }

    /// Times of the day, in minutes since midnight.
    pub(super) fn times(&mut self, name: &'static str) -> Vec<u16> {
        self.small(name, units::time_of_day)
    }

    /// IP addresses.
    pub(super) fn addresses(&mut self, name: &'static str) -> Vec<IpAddr> {
        self.small(name, |text| {
            text.parse().map_err(|_| {
                Wrong::new(
                    code::WRONG_TYPE,
                    format!(
                        "is an IP address, and `{}` is none",
                        crate::mask::quotable(text)
                    ),
                    "write an address such as `192.0.2.7`, not a name",
                )
            })
        })
    }
}

/// What commas separate; nothing for `none`.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "none")
}
