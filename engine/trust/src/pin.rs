//! Servers known by their certificate, as ssh knows them by their key; or taken whoever they are.
//!
//! A certificate that is the pinned one is taken as it is: nobody has to have signed it, and neither its
//! names nor its dates are looked at, as neither could make it another. That the server has the key
//! belonging to it is checked as always, even where any certificate will do (`tlsRigour: lax`).

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

/// The SHA-256 of a certificate, as a server sends it (DER).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// That of a certificate.
    pub fn of(certificate: &[u8]) -> Self {
        let mut pin = [0; 32];
        pin.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(pin)
    }
}

impl From<[u8; 32]> for Pin {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A server has another certificate than is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it has.
    pub found: Pin,
    /// What it may have.
    pub pinned: Vec<Pin>,
}

impl Mismatch {
    /// Whether this is what is wrong with a certificate.
    pub fn of(error: &CertificateError) -> Option<&Self> {
        match error {
            CertificateError::Other(OtherError(other)) => other.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned: Vec<String> = self.pinned.iter().map(Pin::to_string).collect();
        write!(
            f,
            "it has the SHA-256 {}, and `tlsPin` is {}",
            self.found,
            pinned.join(" or ")
        )
    }
}

impl std::error::Error for Mismatch {}

/// The client side of TLS for connections to servers that have one of these certificates.
pub fn pinned_config(pins: &[Pin]) -> ClientConfig {
    without_authorities(Some(pins.to_vec()))
}

/// The client side of TLS for connections to servers with whatever certificate.
pub fn lax_config() -> ClientConfig {
    without_authorities(None)
}

fn without_authorities(pins: Option<Vec<Pin>>) -> ClientConfig {
    let provider = crate::provider();
    let verifier = Verifier {
        pins,
        provider: Arc::clone(&provider),
    };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions rustls has")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Verifier {
    /// None: any certificate is taken.
    pins: Option<Vec<Pin>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(pins) = &self.pins else {
            return Ok(ServerCertVerified::assertion());
        };
        let found = Pin::of(end_entity);
        if pins.contains(&found) {
            return Ok(ServerCertVerified::assertion());
        }
        let pinned = pins.clone();
        let other = OtherError(Arc::new(Mismatch { found, pinned }));
        Err(CertificateError::Other(other).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mismatch, Pin};

    #[test]
    fn a_mismatch_names_both_sides() {
        let found = Pin::of(b"");
        let pinned = vec![Pin::from([0x0a; 32]), Pin::from([0xff; 32])];
        let said = Mismatch { found, pinned }.to_string();
        assert_eq!(
            said,
            format!(
                "it has the SHA-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, \
                 and `tlsPin` is {} or {}",
                "0a".repeat(32),
                "ff".repeat(32)
            )
        );
    }
}
