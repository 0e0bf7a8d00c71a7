//! The reference page of all options, `OPTIONS.md`, made of the table.

use std::fmt::Write;

use super::refused::GONE;
use super::spellings::all as spellings;
use super::{Differs, OptionDoc, options, sections};
use crate::flow::Kind;

/// The page, Markdown. A test compares it with the file beside this crate.
pub fn page() -> String {
    let mut page = String::from(
        "# Options of a flow\n\n\
         Made from `src/options`; `UPDATE_OPTIONS=1 cargo test -p flow-config --test reference` writes it.\n\n\
         Names are those of sr3, each with one spelling; order does not matter.\n\
         Time spans and sizes need units; flags are `on` and `off`; where a list can stand, a single value is a list of one.\n\
         An option that means nothing for a kind of flow is refused.\n\
         Kinds *with a queue* are subscribe, sarra, sender, shovel, winnow and flow.\n",
    );
    for (title, options) in sections() {
        let _ = write!(
            page,
            "\n## {title}\n\n| Option | Type | Default | Kinds | Meaning |\n|---|---|---|---|---|\n"
        );
        for option in options {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} For example `{}`. |",
                option.name,
                type_of(option),
                defaults(option),
                kinds(option),
                option.doc,
                option.example.replace('|', "\\|"),
            );
        }
    }
    page.push_str(
        "\n## Defaults that differ from sr3\n\n| Option | Here | sr3 | Why |\n|---|---|---|---|\n",
    );
    for option in options() {
        if let Some(Differs::Default(theirs, why)) = option.sr3 {
            let _ = writeln!(
                page,
                "| `{}` | {} | {theirs} | {why} |",
                option.name,
                defaults(option)
            );
        }
    }
    page.push_str("\n## Options sr3 has not\n\n");
    for option in options() {
        match option.sr3 {
            Some(Differs::New) => {
                let _ = writeln!(page, "- `{}`", option.name);
            }
            Some(Differs::Named(from)) => {
                let _ = writeln!(page, "- `{}`, in place of {from}", option.name);
            }
            _ => {}
        }
    }
    page.push_str(
        "\n## Options of sr3 that are not here\n\n\
         `flow convert` leaves them out and says so. *Refused*: something is missing without it. *Unnecessary*: nothing is.\n\n\
         | Option | | Why |\n|---|---|---|\n",
    );
    for gone in GONE {
        let fate = if gone.needed {
            "refused"
        } else {
            "unnecessary"
        };
        let names: Vec<String> = std::iter::once(&gone.name)
            .chain(gone.older)
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = writeln!(page, "| {} | {fate} | {} |", names.join(", "), gone.why);
    }
    page.push_str(
        "\nSeveral `broker` lines in one flow are refused: a flow has one queue. \
         Write one flow for each broker, with what they share in an `include`; both may post to the same exchange.\n\
         Several `post_broker` lines are refused: a message is done when its one post is confirmed. \
         Let a `shovel` flow pass it on to each further broker; then an outage of one holds up no other.\n\
         Options of lines in `credentials.conf` (`passive`, `active`, `ascii`, `binary`, `implicit_ftps`, `prot_p`, `ssh_keyfile`, \
         `bearer_token`, `login_method`, `s3_endpoint`, `s3_session_token`, `s3_anonymous`, …) stay there, as in sr3. \
         One is new: `s3_region`, for a bucket whose server does not tell.\n\
         \n## Older spellings\n\nKnown to `flow convert`, and to the hints of `flow check`; no flow file takes them.\n\n",
    );
    for option in options() {
        let old: Vec<String> = spellings()
            .filter(|(_, name)| *name == option.name)
            .map(|(old, _)| format!("`{old}`"))
            .collect();
        if !old.is_empty() {
            let _ = writeln!(page, "- `{}`: {}", option.name, old.join(", "));
        }
    }
    page
}

fn type_of(option: &OptionDoc) -> String {
    let mut text = option.kind.as_str().to_owned();
    if !option.choices.is_empty() {
        let _ = write!(text, ": `{}`", option.choices.join("`, `"));
    }
    let numbers = matches!(
        option.kind,
        super::OptionType::Count | super::OptionType::Counts
    );
    match option.range {
        (least, i64::MAX) if numbers => {
            let _ = write!(text, ", {least} or more");
        }
        (least, most) if numbers => {
            let _ = write!(text, ", {least} to {most}");
        }
        _ => {}
    }
    text
}

fn defaults(option: &OptionDoc) -> String {
    if !option.required.is_empty() && option.required.len() == option.kinds.len() {
        return "required".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    parts.extend(option.default.map(|default| format!("`{default}`")));
    parts.extend(
        option
            .kind_defaults
            .iter()
            .map(|(kind, default)| format!("{kind} `{default}`")),
    );
    parts.extend(
        option
            .listing_default
            .map(|default| format!("poll of listings `{default}`")),
    );
    if !option.required.is_empty() {
        let names: Vec<&str> = option.required.iter().map(|kind| kind.as_str()).collect();
        parts.push(format!("required for {}", names.join(", ")));
    }
    if parts.is_empty() {
        "–".to_owned()
    } else {
        parts.join("; ")
    }
}

fn kinds(option: &OptionDoc) -> String {
    let names =
        |of: &mut dyn Iterator<Item = Kind>| of.map(Kind::as_str).collect::<Vec<_>>().join(", ");
    let missing = Kind::ALL.len() - option.kinds.len();
    if missing == 0 {
        "all".to_owned()
    } else if option.why_not == "consumes no queue" {
        "with a queue".to_owned()
    } else if missing <= 2 {
        let mut others = Kind::ALL.into_iter().filter(|kind| !option.is_for(*kind));
        format!("all but {}", names(&mut others))
    } else {
        names(&mut option.kinds.iter().copied())
    }
}
