//! TLS as the flow wants it: rustls with ring, the machine's authorities and the flow's own.

use flow_config::TlsRigour;
use rustls::{CertificateError, ClientConfig};

use crate::{Error, Tls};

/// The client side of TLS for a flow; protocols that start TLS themselves use it as it is.
///
/// # Errors
/// `Config` when `caFile` can't be read.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    if tls.rigour == TlsRigour::Lax {
        return Ok(flow_trust::lax_config());
    }
    let mut roots = flow_trust::native_roots();
    if let Some(file) = &tls.ca_file {
        flow_trust::add_file(&mut roots, file)
            .map_err(|why| Error::config(format!("`caFile` {}: {why}", file.display())))?;
    }
    if roots.is_empty() {
        // Nothing can be verified, so every connection will say so; plain ones still work.
        tracing::warn!("this machine trusts no certificate authority and no `caFile` is set");
    }
    Ok(flow_trust::client_config(roots))
}

/// What is wrong with a certificate, and what may be done about it; none where that is not it.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match find(error)? {
        rustls::Error::InvalidCertificate(why) => Some(in_words(why)),
        _ => None,
    }
}

/// The TLS error inside others. An I/O error is no source of what it wraps, so it is opened.
fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => find(wrapped),
        None => find(error.source()?),
    }
}

fn in_words(why: &CertificateError) -> String {
    use CertificateError as C;
    match why {
        C::UnknownIssuer => "its certificate is signed by an authority this machine does not \
            trust; if that is your own, name its certificate: `caFile: /path/to/ca.pem`"
            .into(),
        C::Expired | C::ExpiredContext { .. } => {
            "its certificate has expired; check the clock of this machine".into()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "its certificate is not valid yet; check the clock of this machine".into()
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            "its certificate is for another name".into()
        }
        other => format!("its certificate can't be used: {other}"),
    }
}
