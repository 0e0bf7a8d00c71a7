//! Errors as people read them: what happened, what it means, what to do.

use crate::stop::Problem;

use super::{Paint, known, printable_lines};

/// The whole text of an error, several lines.
pub(crate) fn error(error: &anyhow::Error, paint: Paint) -> String {
    // Findings in files have a look of their own, with the lines they are about.
    if let Some(report) = error.chain().find_map(known::report) {
        // What was being done, where the findings alone do not say it.
        let mut doing = String::new();
        for cause in error.chain() {
            if known::report(cause).is_some() {
                break;
            }
            doing.push_str(&head(paint, None, &cause.to_string()));
        }
        return doing + &report.render(paint.is_on());
    }
    let (mut code, mut notes, mut hints) = (None, Vec::new(), Vec::new());
    let mut causes = Vec::new();
    for cause in error.chain() {
        let told = known::tell(cause);
        // Many errors repeat their source in their own text.
        if causes
            .last()
            .is_none_or(|said: &String| !repeats(said, &told.message))
        {
            causes.push(told.message);
        }
        code = code.or(told.code);
        notes.extend(told.notes);
        hints.extend(told.hints);
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            code = code.or(Some(problem.code.to_owned()));
            notes.extend(problem.notes.iter().cloned());
            hints.extend(problem.hints.iter().cloned());
        }
    }
    let mut causes = causes.into_iter();
    let mut text = head(paint, code.as_deref(), &causes.next().unwrap_or_default());
    for note in causes.chain(notes) {
        text.push_str(&tail(paint, "note", &note));
    }
    for hint in hints {
        text.push_str(&tail(paint, "hint", &hint));
    }
    text
}

/// Whether a cause says nothing new: it is in what was said last, or is that behind a number.
fn repeats(said: &str, cause: &str) -> bool {
    said.contains(cause) || cause.ends_with(&format!(": {said}"))
}

fn head(paint: Paint, code: Option<&str>, message: &str) -> String {
    let code = code.map(|code| format!("[{code}]")).unwrap_or_default();
    format!(
        "{}: {}\n",
        paint.red(&format!("error{code}")),
        printable_lines(message, "    ")
    )
}

fn tail(paint: Paint, what: &str, text: &str) -> String {
    format!(
        "    {} {what}: {}\n",
        paint.blue("="),
        printable_lines(text, "            ")
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn what_findings_are_in_the_way_of_is_said() {
        let finding = flow_config::Finding {
            code: "config/missing-unit",
            severity: flow_config::Severity::Error,
            file: "poll/mail.yaml".into(),
            line: Some(4),
            column: Some(8),
            length: 2,
            message: "`sleep` needs a unit".into(),
            label: None,
            notes: Vec::new(),
            hints: Vec::new(),
            source: None,
        };
        let report = || flow_config::Report::from(vec![finding.clone()]);
        let plain: anyhow::Error = flow_daemon::Error::Findings(report()).into();
        let alone = error(&plain, Paint::off());
        assert!(alone.starts_with("error[config/missing-unit]"), "{alone}");
        let told = error(&plain.context("nothing was deleted"), Paint::off());
        assert_eq!(told, format!("error: nothing was deleted\n{alone}"));
    }

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let problem = Problem::new("cli/unknown-example", "there is no example `pol/mail`")
            .note("examples: flow/mail, poll/mail")
            .hint("did you mean `poll/mail`?");
        insta::assert_snapshot!(error(&problem.into(), Paint::off()));
    }

    #[test]
    fn what_is_known_already_is_not_said_again_with_a_number() {
        let full = "database or disk is full";
        assert!(repeats(full, "Error code 13: database or disk is full"));
        assert!(repeats(&format!("no room: {full}"), full));
        assert!(!repeats(full, "Error code 10: disk I/O error"));
    }

    #[test]
    fn causes_become_notes_unless_said_already() {
        let io = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "permission denied");
        let chain = Err::<(), _>(io)
            .context("can't write `poll/mail.yaml`: permission denied")
            .context("can't add `poll/mail`")
            .expect_err("it is an error");
        assert_eq!(
            error(&chain, Paint::off()),
            "error: can't add `poll/mail`\n    = note: can't write `poll/mail.yaml`: permission denied\n"
        );
    }
}
