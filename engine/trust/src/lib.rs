//! Whom TLS connections trust: the machine's certificate authorities, a flow's own (`caFile`), just the
//! one certificate a server is known to have (`tlsPin`), or anybody (`tlsRigour: lax`).
//!
//! What brokers, transfers and plugins have in common when they connect. It dials nothing and looks at
//! no certificate of a server: that is rustls, and what a refusal means is told where it is known
//! what was connected to.
//!
//! # Invariants
//! - The crypto is ring's, whatever else is linked: no process-wide default is asked or set.
//! - A `caFile` adds to the machine's authorities. One that can't be used is an error, never passed
//!   over.
//! - With pins, authorities have no say: a server with another certificate is refused, whoever signed it.

mod pin;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

pub use pin::{Mismatch, Pin, lax_config, pinned_config};

/// Why a file of certificate authorities can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It can't be read.
    #[error("{0}")]
    Unreadable(String),
    /// There is something else in it than PEM.
    #[error("not PEM: {0}")]
    NotPem(String),
    /// A certificate in it is none of an authority.
    #[error("no certificate authority: {0}")]
    NoAuthority(String),
    /// Perhaps only a key.
    #[error("there is no certificate in it")]
    Empty,
}

/// The crypto of all connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificate authorities the machine trusts; fewer, or none, if they can't be read, which is
/// logged.
pub fn native_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("some of the machine's certificate authorities can't be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Adds the certificates of a PEM file.
///
/// # Errors
/// One of them is no authority, or there is none.
pub fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), Unusable> {
    let pem = std::fs::read(file).map_err(|error| Unusable::Unreadable(error.to_string()))?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| Unusable::NotPem(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| Unusable::NoAuthority(error.to_string()))?;
        found += 1;
    }
    match found {
        0 => Err(Unusable::Empty),
        _ => Ok(()),
    }
}

/// The machine's authorities and those of a file, if there is one.
///
/// # Errors
/// As [`add_file`].
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Unusable> {
    let mut roots = native_roots();
    if let Some(file) = ca_file {
        add_file(&mut roots, file)?;
    }
    Ok(roots)
}

/// The client side of TLS for connections that trust `roots` and show no certificate of their own.
pub fn client_config(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions rustls has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::RootCertStore;

    use super::{Unusable, add_file, client_config, roots};

    fn authority() -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn files_add_to_what_is_trusted() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ca.pem");
        fs::write(&file, format!("text\n{}{}", authority(), authority())).unwrap();
        let mut alone = RootCertStore::empty();
        add_file(&mut alone, &file).unwrap();
        assert_eq!(alone.len(), 2);
        let all = roots(Some(&file)).unwrap();
        assert_eq!(all.len(), roots(None).unwrap().len() + 2);
        client_config(all);
    }

    #[test]
    fn files_that_can_not_be_used_say_why() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("ca.pem");
        let refused = |text: &str| {
            fs::write(&file, text).unwrap();
            roots(Some(&file)).unwrap_err()
        };
        assert_eq!(refused(""), Unusable::Empty);
        assert_eq!(
            refused("no certificate").to_string(),
            "there is no certificate in it"
        );
        let broken = authority().replace("MII", "%%%");
        assert!(matches!(refused(&broken), Unusable::NotPem(_)));
        let nonsense = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let reason = refused(nonsense).to_string();
        assert!(reason.starts_with("no certificate authority: "), "{reason}");
        let missing = roots(Some(&home.path().join("gone"))).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "No such file or directory (os error 2)"
        );
    }
}
