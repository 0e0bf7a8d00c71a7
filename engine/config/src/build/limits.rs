//! `limits` of a callback: ceilings of one instance.

use super::values::Scalar;
use super::{Builder, lasting};
use crate::Origin;
use crate::explain as code;
use crate::flow::Limits;
use crate::mask;
use crate::suggest::closest;
use crate::units::{self, Wrong};
use crate::yaml::{Entry, Value};

impl Builder<'_> {
    pub(super) fn limits(&mut self, at: &str, entry: Option<&Entry>) -> Limits {
        let mut limits = Limits::default();
        let (mut deadline, mut memory, mut output) = (None, None, None);
        if let Some(entry) = entry {
            let Value::Map(entries) = &entry.value.value else {
                let is = entry.value.kind();
                self.out
                    .error(
                        code::WRONG_TYPE,
                        entry.value.span,
                        format!("`limits` is a mapping, this is {is}"),
                    )
                    .label("write `limits: {deadline: 30s, memory: 64MiB, output: 16MiB}`");
                return limits;
            };
            for entry in entries {
                match entry.key.as_str() {
                    "deadline" => deadline = self.limit(entry, "30s", lasting),
                    "memory" => {
                        memory =
                            self.limit(entry, "64MiB", |text| size_between(text, 1 << 20, 4 << 30));
                    }
                    "output" => {
                        output =
                            self.limit(entry, "16MiB", |text| size_between(text, 1 << 10, 1 << 30));
                    }
                    key => {
                        let close = closest(key, ["deadline", "memory", "output"]);
                        let message = format!("`{}` is not a limit", mask::quotable(key));
                        let draft = self
                            .out
                            .error(code::UNKNOWN_OPTION, entry.key_span, message);
                        if let Some(close) = close {
                            draft.label(format!("did you mean `{close}`?"));
                        }
                        draft.hint("limits are `deadline`, `memory` and `output`");
                    }
                }
            }
        }
        for (name, given, default) in [
            (
                "deadline",
                deadline.as_ref().map(|(_, scalar)| scalar),
                "30s",
            ),
            ("memory", memory.as_ref().map(|(_, scalar)| scalar), "64MiB"),
            ("output", output.as_ref().map(|(_, scalar)| scalar), "16MiB"),
        ] {
            let (value, origin) = match given {
                Some(Scalar { text, origin, .. }) => (text.clone(), origin.clone()),
                None => (default.to_owned(), Origin::Default),
            };
            self.set(format!("{at}.limits.{name}"), value, origin);
        }
        limits.deadline = deadline.map_or(limits.deadline, |(value, _)| value);
        limits.memory = memory.map_or(limits.memory, |(value, _)| value);
        limits.output = output.map_or(limits.output, |(value, _)| value);
        limits
    }

    fn limit<T>(
        &mut self,
        entry: &Entry,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<(T, Scalar)> {
        let scalar = self.scalar(&entry.key, &entry.value, example)?;
        match parse(&scalar.text) {
            Ok(value) => Some((value, scalar)),
            Err(wrong) => {
                self.wrong(&entry.key, &scalar, wrong);
                None
            }
        }
    }
}

pub(super) fn size_between(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    let size = units::size(text)?;
    if (least..=most).contains(&size) {
        return Ok(size);
    }
    let label = format!("write a size from {} to {}", binary(least), binary(most));
    Err(Wrong::new(code::OUT_OF_RANGE, "is out of range", label))
}

fn binary(size: u64) -> String {
    match size {
        size if size < 1 << 10 => format!("`{size}B`"),
        size if size >= 1 << 30 => format!("`{}GiB`", size >> 30),
        size if size >= 1 << 20 => format!("`{}MiB`", size >> 20),
        size => format!("`{}KiB`", size >> 10),
    }
}
