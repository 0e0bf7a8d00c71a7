//! Time, chance and credentials, real and written down.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use flow_config::{SafeUrl, Secret};
use flow_message::Timestamp;
use flow_runtime::ports::{self, Failure};
use serde_json::{Value, json};

use super::{Instance, form};
use crate::outside;
use crate::secrets::{self, Credential};

pub(super) struct Senses {
    instance: Arc<Instance>,
    began: Instant,
}

impl Senses {
    pub(super) fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            began: Instant::now(),
        }
    }
}

impl outside::Senses for Senses {
    fn wall(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        self.instance
            .note(json!({ "wall": [now.as_secs(), now.subsec_nanos()] }));
        now
    }

    fn monotonic(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.instance.note(json!({ "monotonic": now }));
        now
    }

    fn seed(&self) -> [u8; 32] {
        self.instance.seed
    }
}

pub(super) struct Clock {
    real: Arc<dyn ports::Clock>,
    instance: Arc<Instance>,
}

impl Clock {
    pub(super) fn new(real: Arc<dyn ports::Clock>, instance: &Arc<Instance>) -> Self {
        Self {
            real,
            instance: Arc::clone(instance),
        }
    }
}

#[async_trait]
impl ports::Clock for Clock {
    fn now(&self) -> Timestamp {
        let now = self.real.now();
        self.instance.note(json!({ "now": now.to_string() }));
        now
    }

    async fn sleep(&self, duration: Duration) {
        self.real.sleep(duration).await;
    }

    fn random(&self) -> f64 {
        self.real.random()
    }
}

pub(super) struct Secrets {
    real: Arc<dyn secrets::Secrets>,
    instance: Arc<Instance>,
}

impl Secrets {
    pub(super) fn new(real: Arc<dyn secrets::Secrets>, instance: &Arc<Instance>) -> Self {
        Self {
            real,
            instance: Arc::clone(instance),
        }
    }

    fn note<T>(
        &self,
        what: &str,
        url: &str,
        answer: &Result<T, Failure>,
        gives: impl FnOnce(&T) -> Value,
    ) {
        // Before the line is written: the URL may hold the password that is asked for.
        let (end, value) = match answer {
            Ok(found) => ("gives", gives(found)),
            Err(failure) => ("fails", form::failure(failure)),
        };
        self.instance
            .note(json!({ (what): public(url), (end): value }));
    }
}

/// A URL without its password.
pub(crate) fn public(url: &str) -> String {
    SafeUrl::parse(url).map_or_else(|_| url.to_owned(), |url| url.without_password())
}

#[async_trait]
impl secrets::Secrets for Secrets {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let answer = self.real.credential(url);
        self.note("credential", url, &answer, |found| {
            let stand_in = |secret: &Secret| self.instance.scrubber().stand_in(secret.expose());
            let options = found.options.iter();
            json!({
                "user": found.user,
                "password": stand_in(&found.password),
                "options": options.map(|(name, value)| (name, stand_in(value))).collect::<Vec<_>>(),
            })
        });
        answer
    }

    async fn bearer_token(&self, url: &str) -> Result<Secret, Failure> {
        let answer = self.real.bearer_token(url).await;
        self.note("bearerToken", url, &answer, |token| {
            json!(self.instance.scrubber().stand_in(token.expose()))
        });
        answer
    }
}
