//! `flow add EXAMPLE`: from the catalogue to the configuration directory.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

use crate::catalogue::{self, Example};
use crate::context::Context;
use crate::credentials;
use crate::files::{self, Existing};
use crate::names;
use crate::stop::{Exit, Problem};

/// Arguments of `flow add`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Copies the example to `<config>/kind/name.yaml`, starts a credentials.conf with mode 0600 if there \
is none, and says which lines to edit and what to type next. Nothing that exists is changed without \
--force, and credentials.conf never is.

Examples:
  flow list examples
  flow add poll/mail.yaml
  flow add flow/mail --as flow/invoices

Exit codes: 0 added, 2 could not.")]
pub(crate) struct Args {
    /// Which example, as `flow list examples` names it
    #[arg(value_name = "EXAMPLE", required = true)]
    examples: Vec<String>,
    /// Call the flow something else
    #[arg(long = "as", value_name = "KIND/NAME")]
    name: Option<String>,
    /// Replace a flow of that name
    #[arg(long)]
    force: bool,
}

/// Copies, then says what to do.
///
/// # Errors
/// There is no such example, the flow exists already, or a file can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.name.is_some() && args.examples.len() > 1 {
        return Err(Problem::new(
            "cli/usage",
            "--as names one flow, but several examples are given",
        )
        .into());
    }
    let config = context.directories()?.config;
    // All names are known to be good before the first file is written.
    let mut additions = Vec::new();
    for name in &args.examples {
        let example = catalogue::example(name).ok_or_else(|| unknown(name))?;
        let name = args.name.as_deref().unwrap_or(example.name());
        let name = names::parse(name)?;
        if name.kind.as_str() != example.kind() {
            return Err(Problem::new(
                "cli/usage",
                format!("`{}` can't become `{name}`", example.name()),
            )
            .note("the kind of a flow is part of what it does")
            .hint(format!(
                "keep the kind: `--as {}/{}`",
                example.kind(),
                name.name
            ))
            .into());
        }
        additions.push((example, name.to_string()));
    }
    for (example, name) in additions {
        let text = add(&config, example, &name, args.force, &context.again())?;
        context.console.talk(&text);
    }
    Ok(Exit::Done)
}

fn unknown(name: &str) -> Problem {
    let all: Vec<&str> = catalogue::examples()
        .into_iter()
        .map(Example::name)
        .collect();
    Problem::new(
        "cli/unknown-example",
        format!("there is no example `{name}`"),
    )
    .hint(format!("examples: `{}`", all.join("`, `")))
}

/// Writes the files and returns what to say.
fn add(
    config: &Path,
    example: Example,
    name: &str,
    force: bool,
    flow: &str,
) -> anyhow::Result<String> {
    let path = config.join(format!("{name}.yaml"));
    let existing = if force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    match files::write(&path, example.text, 0o644, existing) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let problem = Problem::new(
                "cli/exists",
                format!("flow `{name}` exists already: {}", path.display()),
            )
            .note("nothing was changed")
            .hint("`--force` replaces it; `--as kind/name` adds it under another name");
            return Err(problem.into());
        }
        other => other.with_context(|| format!("can't write {}", path.display()))?,
    }
    let mut text = format!("added {}\n", path.display());
    let mut edits = Vec::new();
    for edit in example.edits() {
        edits.push((
            format!("{}:{}", path.display(), edit.line),
            edit.text.clone(),
            edit.what.clone(),
        ));
    }
    if let Some(line) = example.credentials() {
        edits.push(ask_password(config, line, &mut text)?);
    }
    // Writing to a String can't fail.
    if !edits.is_empty() {
        let lines = if edits.len() == 1 {
            "one line"
        } else {
            "two lines"
        };
        let _ = writeln!(text, "\nEdit {lines}:");
        for (index, (place, line, what)) in edits.iter().enumerate() {
            let _ = writeln!(
                text,
                "  {}. {place}\n       {line}\n       ({what})",
                index + 1
            );
        }
    }
    let _ = write!(
        text,
        "\nThen type:\n  {flow} check {name}\n  {flow} foreground {name} --once --dry-run\n  {flow} foreground {name}"
    );
    Ok(text)
}

/// Makes sure there is a `credentials.conf`; where to put the password.
fn ask_password(
    config: &Path,
    line: &str,
    text: &mut String,
) -> anyhow::Result<(String, String, String)> {
    let path = config.join("credentials.conf");
    let (template, number) = credentials::template(line);
    let what = "the same user and server, and the password in place of PASSWORD".to_owned();
    match files::write(&path, &template, 0o600, Existing::Keep) {
        Ok(()) => {
            let _ = writeln!(text, "added {} (mode 0600)", path.display());
            Ok((
                format!("{}:{number}", path.display()),
                line.to_owned(),
                what,
            ))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Another example may have left the same line; anything else in there is not ours.
            let there = fs::read_to_string(&path).unwrap_or_default();
            let place = match there.lines().position(|known| known.trim() == line) {
                Some(index) => format!("{}:{}", path.display(), index + 1),
                None => format!("{}, a new line (unless it is there)", path.display()),
            };
            Ok((place, line.to_owned(), what))
        }
        Err(error) => Err(error).with_context(|| format!("can't write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn said(text: &str, config: &Path) -> String {
        text.replace(&config.display().to_string(), "[config]")
    }

    #[test]
    fn adding_says_which_two_lines_to_edit_and_what_to_type() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path();
        let example = catalogue::example("flow/mail").expect("it is shipped");
        let text = add(config, example, "flow/mail", false, "flow").expect("it is added");
        insta::assert_snapshot!(said(&text, config));
        assert_eq!(
            fs::read_to_string(config.join("flow/mail.yaml")).expect("it is there"),
            example.text
        );
        let mode = fs::metadata(config.join("credentials.conf"))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_that_exists_is_changed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path();
        fs::create_dir_all(config.join("flow")).expect("it can be made");
        fs::write(config.join("flow/mail.yaml"), "mine").expect("it can be written");
        fs::write(config.join("credentials.conf"), "secret").expect("it can be written");
        let example = catalogue::example("flow/mail").expect("it is shipped");
        let error = add(config, example, "flow/mail", false, "flow").expect_err("it exists");
        let error = crate::render::error(&error, crate::render::Paint::off());
        insta::assert_snapshot!(said(&error, config));
        add(config, example, "flow/mail", true, "flow").expect("--force replaces");
        assert_eq!(
            fs::read_to_string(config.join("credentials.conf")).expect("it is there"),
            "secret"
        );
    }
}
