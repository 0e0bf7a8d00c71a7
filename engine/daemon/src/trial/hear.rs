//! What a plugin says, heard instead of logged.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::stage::lock;

/// The lines, shared with the subscriber that hears them.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// How many there are by now.
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// Those after the first `count`.
    pub(super) fn since(&self, count: usize) -> Vec<String> {
        lock(&self.0).iter().skip(count).cloned().collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        self.since(0)
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Beside the plugin's own, what the host has to say about it.
        metadata.target() == "plugin" || *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_lowercase();
        lock(&self.0).push(format!("{level}: {}", text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
