//! What calls from outside the loop submit, and lines that are written: real and written down.

use std::sync::Arc;

use async_trait::async_trait;
use flow_message::{Message, v03};
use flow_runtime::ports::{self, Failure, HttpRequest};
use serde_json::{Value, json};

use super::scrub::Scrubber;
use super::{Instance, form};

/// Headers that say who asks.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
];
/// A shorter cookie is a choice, such as a language, and no secret.
const SHORTEST_COOKIE: usize = 8;

/// Credentials of those who make a request of the flow.
pub(super) fn learn(scrubber: &Scrubber, request: &HttpRequest) {
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if CREDENTIALS.contains(&name.as_str()) {
            match value.split_once(' ') {
                Some((scheme, told)) if scheme.eq_ignore_ascii_case("basic") => {
                    // The guest may compare it with what it knows: both get the same stand-in.
                    match form::basic_password(told) {
                        Some(password) => scrubber.stand_in(&password),
                        None => scrubber.stand_in(told),
                    }
                }
                Some((_, told)) => scrubber.stand_in(told.trim()),
                None => scrubber.stand_in(value.trim()),
            };
        } else if name == "cookie" {
            let values = value.split(';').filter_map(|pair| pair.split_once('='));
            for (_, value) in values.filter(|(_, value)| value.trim().len() >= SHORTEST_COOKIE) {
                scrubber.stand_in(value.trim());
            }
        }
    }
}

pub(super) struct Submit {
    pub(super) real: Arc<dyn ports::Submit>,
    pub(super) instance: Arc<Instance>,
}

#[async_trait]
impl ports::Submit for Submit {
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure> {
        let told: Vec<Value> = messages.iter().map(v03::to_value).collect();
        let mut line = json!({ "submit": told });
        let answer = self.real.submit(messages).await;
        if let Err(failure) = &answer {
            line["fails"] = form::failure(failure);
        }
        self.instance.note(line);
        answer
    }
}

pub(super) struct Lines {
    real: Arc<dyn ports::Lines>,
    instance: Arc<Instance>,
}

impl Lines {
    pub(super) fn new(real: Arc<dyn ports::Lines>, instance: &Arc<Instance>) -> Self {
        Self {
            real,
            instance: Arc::clone(instance),
        }
    }
}

#[async_trait]
impl ports::Lines for Lines {
    async fn write(&self, peer: u64, text: &str) -> Result<(), Failure> {
        let mut line = json!({ "lineTo": peer, "text": text });
        let answer = self.real.write(peer, text).await;
        if let Err(failure) = &answer {
            line["fails"] = form::failure(failure);
        }
        self.instance.note(line);
        answer
    }
}
