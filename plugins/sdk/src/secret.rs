//! Credentials, by the URL they are for.

pub use crate::bindings::imports::flow::plugin::secret::Credentials;
pub use crate::sys::{bearer_token, credential};

impl Credentials {
    /// An option behind the URL in `credentials.conf`.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
