//! A flow that does nothing, for tests to change.

use std::path::PathBuf;
use std::time::Duration;

use flow_config::{
    Allow, CallbackSpec, Filters, Flow, FlowName, IdentityMethod, Inflight, Kind, Limits, Output,
    RetryPolicy, SafeUrl,
};

/// A flow without input, output, filters or callbacks.
pub(crate) fn plain_flow() -> Flow {
    Flow {
        name: FlowName {
            kind: Kind::Flow,
            name: "test".into(),
        },
        file: PathBuf::from("flow/test.yaml"),
        input: None,
        output: None,
        poll_url: None,
        sleep: Duration::from_secs(60),
        batch: 100,
        concurrency: 1,
        download: false,
        filters: Filters {
            accept_unmatched: true,
            ..Filters::default()
        },
        callbacks: Vec::new(),
        allow: Allow::default(),
        own_urls: Vec::new(),
        nodupe: None,
        retry: RetryPolicy {
            attempts: 0,
            ttl: Duration::ZERO,
        },
        housekeeping: Duration::from_secs(300),
        timeout: Duration::from_secs(30),
        message_age_max: Duration::ZERO,
        file_age_max: Duration::ZERO,
        file_age_min: Duration::ZERO,
        inflight: Inflight::Dot,
        identity: IdentityMethod::Sha512,
        overwrite: true,
        fsync: false,
        perm_default: 0,
        perm_dir_default: 0o755,
        ca_file: None,
        header: Vec::new(),
        settings: Vec::new(),
    }
}

/// An output to `xs_out`, as if on the embedded broker.
pub(crate) fn output() -> Output {
    Output {
        broker: SafeUrl::parse("embedded:").expect("a URL"),
        exchange: "xs_out".into(),
        topic_prefix: "v03".into(),
        base_url: None,
        base_dir: None,
    }
}

/// A use of `plugin` without options.
pub(crate) fn callback(plugin: &str) -> CallbackSpec {
    CallbackSpec {
        plugin: plugin.into(),
        options: std::collections::BTreeMap::new(),
        filters: None,
        limits: Limits::default(),
        origin: "flow/test.yaml:1".into(),
    }
}
