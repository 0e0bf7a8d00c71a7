//! TLS as the flow wants it: rustls with ring, the machine's authorities and the flow's own.

use std::sync::Arc;

use flow_config::TlsRigour;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::{Error, Tls};

/// The client side of TLS for a flow; protocols that start TLS themselves use it as it is.
///
/// # Errors
/// `Config` when `caFile` can't be read.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = flow_trust::provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions rustls has");
    if tls.rigour == TlsRigour::Lax {
        let lax = Arc::new(Lax(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(lax)
            .with_no_client_auth());
    }
    let mut roots = flow_trust::native_roots();
    if let Some(file) = &tls.ca_file {
        flow_trust::add_file(&mut roots, file)
            .map_err(|why| Error::config(format!("`caFile` {}: {why}", file.display())))?;
    }
    if roots.is_empty() {
        // Nothing can be verified, so every connection will say so; plain ones still work.
        tracing::warn!("this machine trusts no certificate authority and no `caFile` is set");
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::config(format!("certificates can't be verified: {error}")))?;
    Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
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

/// Takes any certificate (`tlsRigour: lax`); signatures are still checked, as they cost nothing.
#[derive(Debug)]
struct Lax(Arc<CryptoProvider>);

impl ServerCertVerifier for Lax {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
