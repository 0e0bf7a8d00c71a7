//! `secret`: credentials, for the URLs the callback may have them for.

use std::sync::Arc;

use crate::bindings::flow::plugin::secret;
use crate::bindings::flow::plugin::types::Failure;
use crate::store::Guest;

impl Guest {
    fn credentials(&self, url: &str) -> Result<secret::Credentials, Failure> {
        self.setup
            .grants
            .secret(&self.setup.plugin, url)
            .map_err(|error| Failure::config(&error))?;
        let found = self.secrets().credential(url)?;
        let expose = |secret: &flow_config::Secret| {
            self.setup.redactor.add(secret.expose());
            secret.expose().to_owned()
        };
        Ok(secret::Credentials {
            password: expose(&found.password),
            options: found
                .options
                .iter()
                .map(|(name, value)| (name.clone(), expose(value)))
                .collect(),
            user: found.user,
        })
    }
}

impl secret::Host for Guest {
    fn credential(
        &mut self,
        url: String,
    ) -> wasmtime::Result<Result<secret::Credentials, Failure>> {
        Ok(self.credentials(&url))
    }

    async fn bearer_token(&mut self, url: String) -> wasmtime::Result<Result<String, Failure>> {
        if let Err(error) = self.setup.grants.secret(&self.setup.plugin, &url) {
            return Ok(Err(Failure::config(&error)));
        }
        let _away = self.meter.pause();
        let secrets = Arc::clone(self.secrets());
        Ok(match secrets.bearer_token(&url).await {
            Ok(token) => {
                self.setup.redactor.add(token.expose());
                Ok(token.expose().to_owned())
            }
            Err(failure) => Err(failure.into()),
        })
    }
}
