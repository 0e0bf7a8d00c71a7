//! Reads single options: the value given or the default, checked, and recorded for `flow show`.

use std::path::PathBuf;
use std::time::Duration;

use super::{Builder, constant, lasting};
use crate::collect::Span;
use crate::explain as code;
use crate::flow::Strip;
use crate::mask;
use crate::options::{OptionType, option};
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::variables::{self, Expanded};
use crate::yaml::{Node, Value};
use crate::{Origin, Template};

/// A single value with its early variables filled in.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Before variables were filled in.
    pub(super) raw: String,
    pub(super) span: Span,
    pub(super) names: Vec<String>,
    pub(super) origin: Origin,
}

impl Scalar {
    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        Expanded::shown(&self.names, &self.text)
    }
}

impl Builder<'_> {
    /// Where a value comes from.
    pub(super) fn origin(&self, span: Span, names: &[String]) -> Origin {
        let at = self.out.file_line_column(span);
        if at == crate::collect::COMMAND_LINE {
            Origin::CommandLine
        } else if names.is_empty() {
            Origin::File(at)
        } else {
            Origin::Environment {
                file: at,
                names: names.to_vec(),
            }
        }
    }

    /// Fills in the value of `name`, which has to be a single one. `example` is what to write.
    fn expanded(
        &mut self,
        name: &str,
        node: &Node,
        late: bool,
        example: &str,
    ) -> Option<(String, Expanded)> {
        match &node.value {
            Value::Scalar(text, _) => {
                let expanded =
                    variables::expand(self.out, &self.variables, name, node.span, text, late)?;
                Some((text.clone(), expanded))
            }
            Value::Null => {
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`{name}` has no value"),
                    )
                    .label(format!("write `{name}: {example}`"));
                None
            }
            _ => {
                let is = node.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        node.span,
                        format!("`{name}` takes a single value, this is {is}"),
                    )
                    .label(format!("write `{name}: {example}`"));
                None
            }
        }
    }

    /// A single value without late variables.
    pub(super) fn scalar(&mut self, name: &str, node: &Node, example: &str) -> Option<Scalar> {
        let short = name.rsplit('.').next().unwrap_or(name);
        let (raw, expanded) = self.expanded(short, node, false, example)?;
        let text = expanded.constant()?;
        let origin = self.origin(node.span, &expanded.names);
        Some(Scalar {
            text,
            raw,
            span: node.span,
            names: expanded.names,
            origin,
        })
    }

    /// The finding about a value; `name` as the message calls it.
    pub(super) fn wrong(&mut self, name: &str, scalar: &Scalar, wrong: Wrong) {
        // What comes from a variable that sounds like a secret is not quoted back.
        let blind = scalar.names.iter().any(|name| mask::sounds_secret(name));
        let message = if blind {
            "has a value it can't have"
        } else {
            wrong.message.as_str()
        };
        let draft = self
            .out
            .error(wrong.code, scalar.span, format!("`{name}` {message}"));
        if let Some(label) = wrong.label.filter(|_| !blind) {
            draft.label(label);
        }
        if !scalar.names.is_empty() && !blind {
            let names: Vec<String> = scalar
                .names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            draft.note(format!(
                "it is `{}`, with {} from the environment",
                mask::quotable(&scalar.text),
                names.join(", ")
            ));
        }
        if let Some(hint) = wrong.hint {
            draft.hint(hint);
        }
    }

    /// Reads the option `name`, or its default, which always reads.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let declared = option(name).expect("only declared options are asked for");
        if let Some((_, node)) = self.given.get(name).cloned()
            && let Some(scalar) = self.scalar(name, &node, declared.example)
        {
            match parse(&scalar.text) {
                Ok(value) => {
                    let shown = if declared.secret {
                        mask::MASK.to_owned()
                    } else {
                        scalar.shown()
                    };
                    self.set(name, shown, scalar.origin);
                    return Some(value);
                }
                Err(wrong) => self.wrong(name, &scalar, wrong),
            }
        }
        let (default, origin) = self.default_of(declared);
        self.unset(name, default.unwrap_or("none"), origin);
        default.and_then(|default| parse(default).ok())
    }

    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.read(name, units::flag).unwrap_or_default()
    }

    pub(super) fn duration(&mut self, name: &'static str) -> Duration {
        self.read(name, units::duration).unwrap_or_default()
    }

    /// A size; `none` is 0.
    pub(super) fn size(&mut self, name: &'static str) -> u64 {
        self.read(name, units::size).unwrap_or_default()
    }

    pub(super) fn positive(&mut self, name: &'static str) -> Duration {
        self.read(name, lasting).unwrap_or_default()
    }

    pub(super) fn mode(&mut self, name: &'static str) -> u32 {
        self.read(name, units::mode).unwrap_or_default()
    }

    pub(super) fn count(&mut self, name: &'static str) -> i64 {
        let (least, most) = option(name).map_or((0, i64::MAX), |option| option.range);
        self.read(name, |text| units::count(text, least, most))
            .unwrap_or_default()
    }

    /// A number whose default was worked out.
    pub(super) fn count_or(&mut self, name: &'static str, default: i64) -> i64 {
        let (least, most) = option(name).map_or((0, i64::MAX), |option| option.range);
        match self.read(name, |text| units::count(text, least, most)) {
            Some(value) => value,
            None => {
                self.replace_setting(name, &default.to_string(), Origin::Default);
                default
            }
        }
    }

    /// Text that is not empty; `none` is none.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let text = self.read(name, |text| match text.trim() {
            "" => Err(Wrong::new(
                code::BAD_VALUE,
                "is empty",
                "remove it, or give it a value",
            )),
            text => Ok(text.to_owned()),
        })?;
        Some(text).filter(|text| text != "none" || name == "topicPrefix")
    }

    /// Text whose default was worked out.
    pub(super) fn text_or(&mut self, name: &'static str, default: String) -> String {
        match self.read(name, |text| Ok(text.trim().to_owned())) {
            Some(text) => text,
            None => {
                let shown = if default.is_empty() { "none" } else { &default };
                self.replace_setting(name, shown, Origin::Default);
                default
            }
        }
    }

    pub(super) fn choice(&mut self, name: &'static str) -> &'static str {
        let choices = option(name).map_or(&[] as &[&str], |option| option.choices);
        self.read(name, |text| one_of(text.trim(), choices.iter().copied()))
            .unwrap_or("")
    }

    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        let home = self.variables.env.get("HOME").cloned();
        self.read(name, |text| {
            Ok(PathBuf::from(with_home(text, home.as_deref())))
        })
    }

    pub(super) fn strip(&mut self) -> Strip {
        self.read("strip", strip_of).unwrap_or_default()
    }

    pub(super) fn flatten(&mut self) -> Option<String> {
        self.read("flatten", flatten_of).flatten()
    }

    /// A template of the flow.
    pub(super) fn template(&mut self, name: &'static str) -> Option<Template> {
        let declared = option(name).expect("only declared options are asked for");
        debug_assert_eq!(declared.kind, OptionType::Template);
        let template = match self.given.get(name).cloned() {
            Some((_, node)) => self.template_at(name, name, &node, declared.example),
            None => None,
        };
        if template.is_none() {
            self.unset(name, "none", Origin::Default);
        }
        template
    }

    /// A template at a place; `name` is its name for `flow show`, `option` that in messages.
    pub(super) fn template_at(
        &mut self,
        name: &str,
        option: &str,
        node: &Node,
        example: &str,
    ) -> Option<Template> {
        let (_, expanded) = self.expanded(option, node, true, example)?;
        let template = Template::from_pieces(expanded.pieces);
        let origin = self.origin(node.span, &expanded.names);
        self.set(
            name,
            Expanded::shown(&expanded.names, template.as_str()),
            origin,
        );
        Some(template)
    }

    pub(super) fn directory(&mut self) -> Option<Template> {
        let Some((_, node)) = self.given.get("directory").cloned() else {
            self.unset("directory", "none", Origin::Default);
            return None;
        };
        self.directory_at("directory", &node)
    }

    pub(super) fn directory_at(&mut self, name: &str, node: &Node) -> Option<Template> {
        let template = self.template_at(name, "directory", node, "${HOME}/inbox")?;
        let template = self.at_home("directory", node, template)?;
        let start = template.fixed_start().to_owned();
        if start.trim().is_empty() && template.is_constant() {
            self.out
                .error(code::BAD_VALUE, node.span, "`directory` is empty")
                .label("write a path such as `/data`");
            return None;
        }
        // What is sent goes below `sendTo`.
        let here = !self.is_given("sendTo");
        if here && !start.is_empty() && !start.starts_with('/') {
            self.out
                .warning(
                    code::RELATIVE_DIRECTORY,
                    node.span,
                    "`directory` depends on where flow is started",
                )
                .label("start it with `/`, `~/` or `${HOME}/`");
        }
        Some(template)
    }

    /// The same with a `~` at its start filled in.
    pub(super) fn at_home(
        &mut self,
        option: &str,
        node: &Node,
        template: Template,
    ) -> Option<Template> {
        let start = template.fixed_start();
        if start != "~" && !start.starts_with("~/") {
            return Some(template);
        }
        let Some(home) = self.variables.env.get("HOME").cloned() else {
            self.out
                .error(
                    code::UNKNOWN_VARIABLE,
                    node.span,
                    format!("`~` in `{option}` stands for `${{HOME}}`, which is not set"),
                )
                .label("write the whole path");
            return None;
        };
        let rest = template.as_str().strip_prefix('~').unwrap_or_default();
        let joined = format!("{}{rest}", constant(&home).as_str());
        Template::parse(&joined).ok()
    }

    pub(super) fn filename(&mut self) -> Option<Template> {
        let Some((_, node)) = self.given.get("filename").cloned() else {
            self.unset("filename", "none", Origin::Default);
            return None;
        };
        self.filename_at("filename", &node)
    }

    pub(super) fn filename_at(&mut self, name: &str, node: &Node) -> Option<Template> {
        let template = self.template_at(name, "filename", node, "report-${%Y%m%d}.pdf")?;
        let text = template.as_str();
        if let Some(instead) = keyword(text) {
            self.out
                .error(
                    code::BAD_VALUE,
                    node.span,
                    "`filename` takes no keywords of Sundew",
                )
                .label(instead);
            return None;
        }
        if matches!(text, "None" | "none") {
            return None;
        }
        if template.fixed_texts().any(|text| text.contains('/')) || text.trim().is_empty() {
            self.out
                .error(
                    code::BAD_VALUE,
                    node.span,
                    "`filename` is the name of a file, without directories",
                )
                .label("directories belong into `directory`");
            return None;
        }
        Some(template)
    }
}

/// What to write in place of a file naming keyword, if `text` is one.
fn keyword(text: &str) -> Option<String> {
    let (head, rest) = text.split_at(text.find([':', '=']).unwrap_or(text.len()));
    match head {
        "WHATFN" | "HEADFN" | "SENDER" | "TIME" => Some(format!("write `${{{head}}}`")),
        "DESTFN" => Some(format!("write `{}`", rest.trim_start_matches('='))),
        "DESTFNSCRIPT" => Some("a plugin can rename in `after_accept`".to_owned()),
        "NONE" | "NONESENDER" | "SATNET" => {
            Some("write the name, with `${…}` for what differs".to_owned())
        }
        _ => None,
    }
}

/// One of a few words.
pub(super) fn one_of<'c>(
    text: &str,
    choices: impl Iterator<Item = &'c str> + Clone,
) -> Result<&'c str, Wrong> {
    if let Some(found) = choices.clone().find(|choice| *choice == text) {
        return Ok(found);
    }
    let list = choices
        .clone()
        .map(|choice| format!("`{choice}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let message = format!("can't be `{}`", mask::quotable(text));
    Err(match closest(text, choices) {
        Some(close) => Wrong::new(
            code::BAD_CHOICE,
            message,
            format!("did you mean `{close}`?"),
        )
        .hint(format!("it is one of {list}")),
        None => Wrong::new(code::BAD_CHOICE, message, format!("one of {list}")),
    })
}

pub(super) fn strip_of(text: &str) -> Result<Strip, Wrong> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match units::count(text, 0, 1_000)? {
            0 => Ok(Strip::None),
            count => Ok(Strip::Count(usize::try_from(count).unwrap_or(usize::MAX))),
        };
    }
    if matches!(text, "none" | "off") {
        return Ok(Strip::None);
    }
    regex::Regex::new(text).map(Strip::Regex).map_err(|_| {
        Wrong::new(
            code::BAD_REGEX,
            "is neither a number nor a regular expression",
            "write a number of directories, or an expression such as `'.*incoming/'`",
        )
    })
}

pub(super) fn flatten_of(text: &str) -> Result<Option<String>, Wrong> {
    match text {
        "/" | "none" => Ok(None),
        text if text.contains('/') => Err(Wrong::new(
            code::BAD_VALUE,
            "joins directories to a file name, so no `/` can be in it",
            "write `_`, or `/` to leave paths as they are",
        )),
        text => Ok(Some(text.to_owned())),
    }
}

fn with_home(text: &str, home: Option<&str>) -> String {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => text.to_owned(),
    }
}
