//! Which keys servers have.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::Handler;
use russh::keys::known_hosts::{known_host_keys_path, learn_known_hosts_path};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::Error;

/// The hosts that are known.
#[derive(Debug)]
pub(super) struct Hosts {
    file: Option<PathBuf>,
    /// Unknown ones are refused.
    strict: bool,
    /// Those learnt without a file; also the lock around the file.
    learnt: Mutex<HashMap<(String, u16), PublicKey>>,
}

impl Hosts {
    pub(super) fn new(file: Option<PathBuf>, strict: bool) -> Self {
        Self {
            file,
            strict,
            learnt: Mutex::default(),
        }
    }

    /// The keys known for a host.
    pub(super) fn known(&self, host: &str, port: u16) -> Result<Vec<PublicKey>, Error> {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&learnt, host, port)
    }

    fn look(
        &self,
        learnt: &HashMap<(String, u16), PublicKey>,
        host: &str,
        port: u16,
    ) -> Result<Vec<PublicKey>, Error> {
        let mut keys: Vec<_> = learnt
            .get(&(host.to_owned(), port))
            .into_iter()
            .cloned()
            .collect();
        if let Some(file) = &self.file {
            let found = known_host_keys_path(host, port, file).map_err(|error| {
                Error::config(format!(
                    "the keys of `{host}` in {} can't be read: {error}",
                    file.display()
                ))
            })?;
            keys.extend(found.into_iter().map(|(_, key)| key));
        }
        Ok(keys)
    }

    /// Whether `key` is the key of a host; learns it where none is known.
    fn check(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Error> {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.look(&learnt, host, port)?;
        if known.iter().any(|known| known.key_data() == key.key_data()) {
            return Ok(());
        }
        let print = key.fingerprint(HashAlg::Sha256);
        let place = match &self.file {
            Some(file) => file.display().to_string(),
            None => "the memory of this flow".into(),
        };
        if !known.is_empty() {
            return Err(Error::config(format!(
                "`{host}` port {port} has another key than {place} says, now {print}: somebody may \
                 be in between; if the server was changed, remove its old line there"
            )));
        }
        if self.strict {
            return Err(Error::config(format!(
                "`{host}` port {port} is not in {place} (`tlsRigour: strict`); its key is {print}"
            )));
        }
        match &self.file {
            Some(file) => learn_known_hosts_path(host, port, key, file).map_err(|error| {
                Error::temporary(format!(
                    "the key of `{host}` can't be remembered in {place}: {error}"
                ))
            })?,
            None => {
                learnt.insert((host.to_owned(), port), key.clone());
            }
        }
        tracing::info!(host, port, key = %print, "The key of an unknown server is remembered.");
        Ok(())
    }
}

/// Whether one of `known` can be asked for as `kind`.
pub(super) fn is_for(known: &[PublicKey], kind: &Algorithm) -> bool {
    known.iter().any(|key| match key.algorithm() {
        Algorithm::Rsa { .. } => matches!(kind, Algorithm::Rsa { .. }),
        own => own == *kind,
    })
}

/// Why a key was refused, for whoever connects.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<Error>>>);

impl Refusal {
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Asked for the key of one server.
#[derive(Debug)]
pub(super) struct Checker {
    hosts: Arc<Hosts>,
    host: String,
    port: u16,
    refusal: Refusal,
}

impl Checker {
    pub(super) fn new(hosts: Arc<Hosts>, host: String, port: u16) -> Self {
        Self {
            hosts,
            host,
            port,
            refusal: Refusal::default(),
        }
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }
}

impl Handler for Checker {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else {
            return Ok(false);
        };
        match self.hosts.check(&self.host, self.port, key) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.refusal.set(error);
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::{PublicKey, parse_public_key_base64};

    use super::Hosts;
    use crate::Kind;

    fn key(number: usize) -> PublicKey {
        let keys = [
            "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
            "AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF",
        ];
        parse_public_key_base64(keys[number]).unwrap()
    }

    #[test]
    fn the_first_key_is_remembered_and_another_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("known_hosts");
        for place in [None, Some(file.clone())] {
            let hosts = Hosts::new(place.clone(), false);
            hosts.check("h", 22, &key(0)).unwrap();
            hosts.check("h", 22, &key(0)).unwrap();
            hosts.check("h", 2022, &key(1)).unwrap();
            let error = hosts.check("h", 22, &key(1)).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(
                error.to_string().contains("has another key than"),
                "{error}"
            );
        }
        let lines = std::fs::read_to_string(&file).unwrap();
        assert_eq!(lines.lines().filter(|line| !line.is_empty()).count(), 2);
        // Another flow knows them too.
        let hosts = Hosts::new(Some(file), true);
        hosts.check("h", 22, &key(0)).unwrap();
        let error = hosts.check("new", 22, &key(0)).unwrap_err();
        assert!(error.to_string().contains("`tlsRigour: strict`"), "{error}");
    }
}
