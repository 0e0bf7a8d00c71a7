//! `flow check [NAME…]`: everything that is wrong, at once, without network.

use serde_json::json;

use flow_config::{Finding, Flow, Report};
use flow_daemon::Engine;

use crate::args::{FormatArg, SetArg};
use crate::context::Context;
use crate::passed_over;
use crate::render::{plural, printable};
use crate::stop::Exit;

/// Arguments of `flow check`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Reads each flow, what it includes, credentials.conf and the manifests of the plugins it names, and \
reports everything it finds: unknown options, wrong units, rules that can't match, missing \
credentials. Nothing is started and nothing is asked over the network. With no names, users.yaml is \
read as well, as `flow declare --users` would, and files that look like flows and are passed over \
(`.yml`, `.conf`, a directory that is no kind) are named on stderr.

Findings go to stdout, the summary to stderr; with it, for each plugin that is not shipped, what it \
asks for and what the flow allows it. With --format json, stdout is one array of
{\"flow\", \"code\", \"severity\", \"file\", \"line\", \"column\", \"length\", \"message\", \"label\", \"notes\", \"hints\"}; \
`severity` is `error` or `warning`, `line` and `column` count from 1 and may be null, as `flow` is for \
users.yaml.

Examples:
  flow check                    every flow
  flow check 'poll/*'
  flow check --format json | jq -r '.[].message'

Exit codes: 0 nothing found (warnings aside), 1 errors found, 2 could not check.")]
pub(crate) struct Args {
    /// Which flows: `kind/name`, or a pattern such as `poll/mail-*`; none means all
    #[arg(value_name = "FLOW")]
    flows: Vec<String>,
    #[command(flatten)]
    set: SetArg,
    #[command(flatten)]
    format: FormatArg,
}

/// Checks, prints findings, counts.
///
/// # Errors
/// The configuration directory can't be read, a name selects nothing, or stdout can't be written.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine()?;
    let names = context.select_or_all(&engine, &args.flows)?;
    if names.is_empty() {
        let config = context.directories()?.config;
        context
            .console
            .talk(&format!("no flows in {}", config.display()));
    }
    if args.flows.is_empty() {
        for text in passed_over::all(&engine.directories().config) {
            context.console.talk(&format!("warning: {text}"));
        }
    }
    let users = match args.flows.is_empty() {
        true => engine.check_users(),
        false => None,
    };
    let mut checked = Vec::new();
    let mut good = Vec::new();
    for name in names {
        let (report, flow) = context.look(&engine, &name, &args.set.set)?;
        good.extend(flow);
        // Programs look at each flow by itself.
        let report = match args.format.is_json() {
            true => report,
            false => unsaid(&report, &checked),
        };
        checked.push((name.to_string(), report));
    }
    if args.format.is_json() {
        context.console.print(&serde_json::to_string_pretty(&rows(
            &checked,
            users.as_ref(),
        )?)?)?;
    } else {
        let reports = checked.iter().map(|(_, report)| report);
        let texts: Vec<String> = reports
            .chain(&users)
            .filter(|report| !report.is_empty())
            .map(|report| context.advised(report.render(context.console.paint().is_on())))
            .collect();
        context.console.print(&texts.join("\n"))?;
    }
    for flow in &good {
        introduce(&engine, flow, context)?;
    }
    let (exit, summary) = summary(&checked, users.as_ref());
    context.console.talk(&summary);
    Ok(exit)
}

/// Without what was said of an earlier flow already: an error in credentials.conf or in a file that
/// several flows include is one.
fn unsaid(report: &Report, checked: &[(String, Report)]) -> Report {
    let said = |finding: &Finding| {
        checked
            .iter()
            .flat_map(|(_, earlier)| earlier.findings())
            .any(|other| other == finding)
    };
    let findings = report.findings().iter().filter(|finding| !said(finding));
    Report::from(findings.cloned().collect::<Vec<_>>())
}

/// Says what the plugins of a flow that are not shipped may do in it.
fn introduce(engine: &Engine, flow: &Flow, context: &Context) -> anyhow::Result<()> {
    for asks in engine.strangers(flow)? {
        let text = asks.to_string();
        context
            .console
            .talk(&format!("{}: {}", flow.name, printable(&text)));
    }
    Ok(())
}

fn rows(
    checked: &[(String, Report)],
    users: Option<&Report>,
) -> serde_json::Result<Vec<serde_json::Value>> {
    let mut rows = Vec::new();
    let flows = checked.iter().map(|(name, report)| (Some(name), report));
    for (name, report) in flows.chain(users.map(|report| (None, report))) {
        for finding in report.findings() {
            let mut row = serde_json::to_value(finding)?;
            if let Some(row) = row.as_object_mut() {
                row.insert("flow".to_owned(), json!(name));
                // An excerpt is for people; programs have the place.
                row.remove("source");
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn summary(checked: &[(String, Report)], users: Option<&Report>) -> (Exit, String) {
    let mut flows = plural(checked.len() as u64, "flow");
    if users.is_some() {
        flows.push_str(" and users.yaml");
    }
    let reports = || checked.iter().map(|(_, report)| report).chain(users);
    let findings: usize = reports().map(|report| report.findings().len()).sum();
    let errors: usize = reports().map(Report::errors).sum();
    let touched = reports().filter(|report| !report.is_empty()).count();
    let exit = if errors > 0 { Exit::No } else { Exit::Done };
    if findings == 0 {
        return (exit, format!("{flows} checked, nothing found"));
    }
    let parts = [(errors, "error"), (findings - errors, "warning")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| plural(*n as u64, noun))
        .collect();
    (
        exit,
        format!("{flows} checked, {} in {touched}", parts.join(" and ")),
    )
}

#[cfg(test)]
mod tests {
    use flow_config::Severity;

    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            code: "config/missing-unit",
            severity,
            file: "poll/mail.yaml".into(),
            line: Some(4),
            column: Some(8),
            length: 2,
            message: "`sleep` needs a unit".into(),
            label: Some("write `30s`".into()),
            notes: Vec::new(),
            hints: Vec::new(),
            source: None,
        }
    }

    #[test]
    fn the_summary_counts_and_decides_the_exit_code() {
        let clean = ("flow/a".to_owned(), Report::default());
        let warned = (
            "flow/b".to_owned(),
            Report::from(vec![finding(Severity::Warning)]),
        );
        let wrong = (
            "flow/c".to_owned(),
            Report::from(vec![finding(Severity::Error), finding(Severity::Error)]),
        );
        let check = |checked: &[&(String, Report)], exit, text: &str| {
            let checked: Vec<_> = checked.iter().map(|c| (*c).clone()).collect();
            assert_eq!(summary(&checked, None), (exit, text.to_owned()));
        };
        check(&[&clean], Exit::Done, "1 flow checked, nothing found");
        check(
            &[&clean, &warned],
            Exit::Done,
            "2 flows checked, 1 warning in 1",
        );
        check(
            &[&clean, &warned, &wrong],
            Exit::No,
            "3 flows checked, 2 errors and 1 warning in 2",
        );
    }

    #[test]
    fn users_count_beside_the_flows() {
        let clean = [("flow/a".to_owned(), Report::default())];
        let wrong = Report::from(vec![finding(Severity::Error)]);
        assert_eq!(
            summary(&clean, Some(&Report::default())),
            (
                Exit::Done,
                "1 flow and users.yaml checked, nothing found".to_owned()
            )
        );
        assert_eq!(
            summary(&clean, Some(&wrong)),
            (
                Exit::No,
                "1 flow and users.yaml checked, 1 error in 1".to_owned()
            )
        );
        let rows = rows(&clean, Some(&wrong)).expect("findings serialise");
        assert_eq!(rows.len(), 1);
        assert!(rows[0]["flow"].is_null());
    }

    #[test]
    fn what_several_flows_share_is_said_once() {
        let both = Report::from(vec![finding(Severity::Error)]);
        assert_eq!(unsaid(&both, &[]).findings().len(), 1);
        let checked = [("flow/a".to_owned(), both.clone())];
        assert!(unsaid(&both, &checked).is_empty());
    }

    #[test]
    fn the_json_shape_is_pinned() {
        let checked = [(
            "poll/mail".to_owned(),
            Report::from(vec![finding(Severity::Error)]),
        )];
        let rows = rows(&checked, None).expect("findings serialise");
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows).expect("values serialise"));
    }
}
