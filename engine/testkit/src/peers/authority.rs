//! A certificate authority of our own, for servers on loopback.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A freshly made authority and one certificate it signed for `localhost` and `127.0.0.1`.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// Makes both and writes `ca.pem`, `cert.pem` and `key.pem` (mode 600) into `directory`.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn create(directory: &Path) -> Result<Self> {
        Self::make(directory, false)
    }

    /// As [`create`](Self::create), but the server's certificate ended long ago.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_expired(directory: &Path) -> Result<Self> {
        Self::make(directory, true)
    }

    /// One certificate that signed itself is both.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_self_signed(directory: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = leaf()?.self_signed(&key)?.pem();
        let authority = Self {
            directory: directory.to_owned(),
        };
        fs::write(authority.ca_file(), &certificate)?;
        fs::write(authority.cert_file(), &certificate)?;
        write_private(&authority.key_file(), &key.serialize_pem())?;
        Ok(authority)
    }

    fn make(directory: &Path, expired: bool) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "flow test authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_cert = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate()?;
        let mut leaf = leaf()?;
        leaf.use_authority_key_identifier_extension = true;
        if expired {
            leaf.not_before = rcgen::date_time_ymd(2001, 1, 1);
            leaf.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;

        let authority = Self {
            directory: directory.to_owned(),
        };
        fs::write(authority.ca_file(), ca_cert.pem())?;
        fs::write(authority.cert_file(), leaf.pem())?;
        write_private(&authority.key_file(), &key.serialize_pem())?;
        Ok(authority)
    }

    /// The authority's certificate, PEM: what a client has to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The server's certificate, PEM.
    pub fn cert_file(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    /// The server's key, PEM.
    pub fn key_file(&self) -> PathBuf {
        self.directory.join("key.pem")
    }
}

/// A certificate of a server on loopback, to be signed.
fn leaf() -> Result<CertificateParams> {
    let mut leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(leaf)
}

/// Writes a file only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
