//! Flows by the names people type: which there are, and what is in them.

use flow_config::{Flow, FlowName, Report};
use flow_daemon::Engine;

use crate::context::Context;
use crate::names;
use crate::passed_over;
use crate::stop::Problem;

impl Context {
    /// The flows that names and patterns select, each once, in the order of the directory.
    ///
    /// # Errors
    /// One of them selects nothing.
    pub(crate) fn select(
        &self,
        engine: &Engine,
        patterns: &[String],
    ) -> anyhow::Result<Vec<FlowName>> {
        let all = engine.flow_files()?;
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        let mut selected = Vec::new();
        for pattern in patterns {
            let found = names::select(pattern, &texts);
            if found.is_empty() {
                let hint = passed_over::hint(&engine.directories().config, pattern);
                return Err(unknown(pattern, &texts, hint).into());
            }
            selected.extend(
                all.iter()
                    .zip(&texts)
                    .filter(|(_, text)| found.contains(text))
                    .map(|(name, _)| name.clone()),
            );
        }
        selected.sort();
        selected.dedup();
        Ok(selected)
    }

    /// The flows that names and patterns select; none of these means all flows.
    ///
    /// # Errors
    /// As [`Context::select`].
    pub(crate) fn select_or_all(
        &self,
        engine: &Engine,
        patterns: &[String],
    ) -> anyhow::Result<Vec<FlowName>> {
        match patterns {
            [] => Ok(engine.flow_files()?),
            some => self.select(engine, some),
        }
    }

    /// The one flow of a name.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) fn one(&self, engine: &Engine, name: &str) -> anyhow::Result<FlowName> {
        let mut found = self.select(engine, &[name.to_owned()])?;
        match found.pop() {
            Some(flow) if found.is_empty() => Ok(flow),
            _ => Err(Problem::new(
                "cli/unknown-flow",
                format!("`{name}` is more than one flow"),
            )
            .hint("write the kind as well: `poll/mail`")
            .into()),
        }
    }

    /// A flow that can start; what is doubtful in it is said.
    ///
    /// # Errors
    /// There is no such flow, or it has errors: all of them are in the error.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        name: &str,
        set: &[(String, String)],
    ) -> anyhow::Result<Flow> {
        let name = self.one(engine, name)?;
        let (flow, warnings) = engine.load(&name, set)?;
        self.warn(&warnings);
        Ok(flow)
    }

    /// As [`load`](Self::load), to look at only: its passwords may be missing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn read(
        &self,
        engine: &Engine,
        name: &str,
        set: &[(String, String)],
    ) -> anyhow::Result<Flow> {
        let name = self.one(engine, name)?;
        let (flow, warnings) = engine.read(&name, set)?;
        self.warn(&warnings);
        Ok(flow)
    }

    pub(crate) fn warn(&self, warnings: &Report) {
        if !warnings.is_empty() {
            self.console
                .talk(&warnings.render(self.console.paint_err().is_on()));
        }
    }

    /// Everything found in a flow, good or bad.
    ///
    /// # Errors
    /// It could not be checked at all.
    pub(crate) fn report(
        &self,
        engine: &Engine,
        name: &FlowName,
        set: &[(String, String)],
    ) -> anyhow::Result<Report> {
        Ok(self.look(engine, name, set)?.0)
    }

    /// As [`report`](Self::report), with the flow if it is good.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub(crate) fn look(
        &self,
        engine: &Engine,
        name: &FlowName,
        set: &[(String, String)],
    ) -> anyhow::Result<(Report, Option<Flow>)> {
        match engine.load(name, set) {
            Ok((flow, warnings)) => Ok((warnings, Some(flow))),
            Err(flow_daemon::Error::Findings(report)) => Ok((report, None)),
            Err(error) => Err(error.into()),
        }
    }
}

fn unknown(pattern: &str, all: &[String], misnamed: Option<String>) -> Problem {
    let name = names::typed(pattern);
    let problem = Problem::new("cli/unknown-flow", format!("there is no flow `{name}`"));
    if let Some(hint) = misnamed {
        return problem.hint(hint);
    }
    if all
        .iter()
        .any(|flow| flow.split_once('/').is_some_and(|(kind, _)| kind == name))
    {
        return problem.hint(format!("`{name}/*` means every flow of that kind"));
    }
    let near = names::near(name, all.iter().map(String::as_str));
    if !near.is_empty() {
        return problem.hint(format!("did you mean `{}`?", near.join("` or `")));
    }
    if crate::catalogue::example(name).is_some() {
        return problem.hint(format!(
            "`flow add {name}` copies the shipped example of that name"
        ));
    }
    problem.hint("`flow list` shows your flows, `flow list examples` what there is to start from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_is_not_there_is_explained() {
        let all = ["poll/mail".to_owned()];
        assert_eq!(
            unknown("pol/mail", &all, None).hints,
            ["did you mean `poll/mail`?"]
        );
        assert_eq!(
            unknown("poll", &all, None).hints,
            ["`poll/*` means every flow of that kind"]
        );
        assert_eq!(
            unknown("flow/mail.yaml", &[], None).hints,
            ["`flow add flow/mail` copies the shipped example of that name"]
        );
    }
}
