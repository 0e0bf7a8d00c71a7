//! `credentials.conf` as the plugin host asks for it.

use flow_config::{Credentials, SafeUrl};
use flow_host::{Credential, Secrets};
use flow_runtime::ports::Failure;

/// Credentials as they were when the flow started.
pub(crate) struct FileSecrets(pub(crate) Credentials);

impl Secrets for FileSecrets {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let url = SafeUrl::parse(url).map_err(|error| {
            Failure::Config(format!("credentials were asked for what is no URL: {error}"))
        })?;
        let found =
            self.0.get(&url).map_err(|finding| Failure::Config(finding.to_string()))?;
        Ok(Credential {
            user: found.user.clone(),
            password: found.password.clone().unwrap_or_default(),
            options: found.options.clone().into_iter().collect(),
        })
    }
}
