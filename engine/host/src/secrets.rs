//! Where credentials come from, as this crate sees it.

use async_trait::async_trait;
use flow_config::Secret;
use flow_runtime::ports::Failure;

/// What `credentials.conf` holds for a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// The user, percent-decoded.
    pub user: String,
    /// The password, percent-decoded; empty if there is none.
    pub password: Secret,
    /// The options behind the URL, e.g. `bearer_token`.
    pub options: Vec<(String, Secret)>,
}

/// Finds credentials. Which plugin may ask for which URL is decided before.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The credentials for `url`; the user, if in the URL, has to match.
    ///
    /// # Errors
    /// [`Failure::Config`] when there are none; the text names the file and the line to add.
    fn credential(&self, url: &str) -> Result<Credential, Failure>;

    /// A current OAuth 2 access token for `url`.
    ///
    /// As it is, the `bearer_token` of the credentials.
    ///
    /// # Errors
    /// As [`credential`](Self::credential), also when there are credentials without a token.
    async fn bearer_token(&self, url: &str) -> Result<Secret, Failure> {
        let options = self.credential(url)?.options;
        let token = options
            .into_iter()
            .find(|(name, _)| name == "bearer_token")
            .map(|(_, token)| token);
        token.ok_or_else(|| {
            let url = flow_config::SafeUrl::parse(url)
                .map(|url| url.without_password())
                .unwrap_or_default();
            Failure::Config(format!(
                "there is no `bearer_token` for `{url}` in credentials.conf"
            ))
        })
    }
}
