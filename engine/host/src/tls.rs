//! TLS for guest connections: the machine's certificate authorities and the flow's own.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use flow_trust::{Mismatch, Pin};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::bindings::flow::plugin::types::Failure;
use crate::engine::Host;
use crate::error::Error;

/// What a flow trusts; read when the first TLS connection is made.
#[derive(Debug)]
pub(crate) struct Trust {
    host: Host,
    ca_file: Option<PathBuf>,
    /// The certificates servers may have; none: what authorities say counts.
    pins: Vec<Pin>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    pub(crate) fn new(host: Host, ca_file: Option<PathBuf>) -> Self {
        Self {
            host,
            ca_file,
            pins: Vec::new(),
            config: OnceLock::new(),
        }
    }

    /// The same for a plugin whose servers have one of these certificates, and no other.
    pub(crate) fn pinned(&self, pins: Vec<Pin>) -> Self {
        Self {
            pins,
            ..Self::new(self.host.clone(), self.ca_file.clone())
        }
    }

    /// The certificates servers may have, where only these count.
    pub(crate) fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// The flow's own authorities.
    pub(crate) fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }

    /// The configuration for a connection.
    ///
    /// # Errors
    /// `caFile` can't be read; the text says why.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        self.config.get_or_init(|| self.read()).clone()
    }

    fn read(&self) -> Result<Arc<ClientConfig>, String> {
        if !self.pins.is_empty() {
            return Ok(Arc::new(flow_trust::pinned_config(&self.pins)));
        }
        let mut roots = RootCertStore::clone(&self.host.native_roots());
        if let Some(file) = &self.ca_file {
            flow_trust::add_file(&mut roots, file)
                .map_err(|why| format!("`caFile` {}: {why}", file.display()))?;
        }
        let config = flow_trust::client_config(roots);
        Ok(Arc::new(config))
    }
}

/// The failure of a handshake with `peer`. Not `config`: certificates are renewed, and a captive
/// portal goes away by itself.
pub(crate) fn insecure(peer: &str, error: &std::io::Error) -> Failure {
    let (why, hint) = explain(error);
    let text = format!("no secure connection to `{peer}`: {why}");
    let mut error = Error::new("plugin/tls", text);
    if let Some(hint) = hint {
        error = error.hint(hint);
    }
    Failure::temporary(error.to_string())
}

/// What is wrong with a handshake, in words, and what may be done about it.
fn explain(error: &std::io::Error) -> (String, Option<&'static str>) {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = inner else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => (
                "the server closed the connection during the TLS handshake".into(),
                None,
            ),
            _ => (
                format!("no TLS: {error}"),
                Some("check that the port speaks TLS from the start"),
            ),
        };
    };
    use CertificateError as C;
    if let Some(mismatch) = Mismatch::of(why) {
        return (
            format!("its certificate is not the one the flow asks for: {mismatch}"),
            Some(
                "find out whether the server has a new certificate; if so, write its SHA-256 as `tlsPin`, beside the old one while both are in use",
            ),
        );
    }
    const CA_FILE: &str = "if it is signed by your own authority, name that authority's certificate: `caFile: /path/to/ca.pem`";
    match why {
        C::UnknownIssuer => (
            "its certificate is signed by an authority this machine does not trust".into(),
            Some(CA_FILE),
        ),
        C::Expired | C::ExpiredContext { .. } => (
            "its certificate has expired".into(),
            Some(
                "check the clock of this machine; if it is right, the server needs a new certificate",
            ),
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => (
            "its certificate is not valid yet".into(),
            Some("check the clock of this machine"),
        ),
        C::NotValidForName => (
            "its certificate is for another name".into(),
            Some("write the server's name in the URL as the certificate has it"),
        ),
        C::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() {
                "none".into()
            } else {
                presented.join(", ")
            };
            (
                format!("its certificate is for another name ({names})"),
                Some("write the server's name in the URL as the certificate has it"),
            )
        }
        C::Revoked => ("its certificate was revoked".into(), None),
        other => (
            format!("its certificate can't be used: {other}"),
            Some(CA_FILE),
        ),
    }
}
