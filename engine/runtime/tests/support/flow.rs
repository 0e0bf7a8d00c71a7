//! A flow that does nothing, for tests to change.

use std::path::PathBuf;
use std::time::Duration;

use flow_config::{Flow, FlowName, Kind, Output, RetryPolicy, SafeUrl};

/// A flow without input, output, filters or callbacks.
pub(crate) fn plain_flow() -> Flow {
    let name = FlowName {
        kind: Kind::Flow,
        name: "test".into(),
    };
    Flow {
        file: PathBuf::from("flow/test.yaml"),
        sleep: Duration::from_secs(60),
        concurrency: 1,
        retry: RetryPolicy::new(0, Duration::ZERO),
        timeout: Duration::from_secs(30),
        fsync: false,
        perm_default: 0,
        settings: Vec::new(),
        ..Flow::new(name)
    }
}

/// An output to `xs_out`, as if on the embedded broker.
pub(crate) fn output() -> Output {
    Output::new(SafeUrl::parse("embedded:").expect("a URL"), "xs_out")
}
