//! Errors as text that goes through the socket and into logs.

use std::error::Error as _;

use crate::Error;

/// Everything an error says, on one or several lines; findings with the lines they are about.
pub(crate) fn words(error: &Error) -> String {
    if let Error::Findings(report) = error {
        return report.render(false).trim_end().to_owned();
    }
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Many errors repeat their source in their own text, or say it again behind a number.
        if !text.contains(&told) && !told.ends_with(&format!(": {last}")) {
            text.push_str(": ");
            text.push_str(&told);
        }
        last = told;
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = Error::File {
            path: "/x/flow.lock".into(),
            source: std::io::Error::other("read-only file system"),
        };
        assert_eq!(
            words(&error),
            "can't use /x/flow.lock: read-only file system"
        );
        let error = Error::Flow(flow_runtime::Error::Config("no such queue".into()));
        assert_eq!(words(&error), "no such queue");
    }
}
