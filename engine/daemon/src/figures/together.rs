//! Several observers as one.

use std::sync::Arc;
use std::time::Duration;

use flow_runtime::ports::{Event, Observer};

/// Tells every observer everything: a meter beside a log, for example. Those that did not ask for
/// events about single messages may get them.
pub struct Together {
    observers: Vec<Arc<dyn Observer>>,
    messages: bool,
}

impl Together {
    /// These, in this order. What they want is asked once.
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        let messages = observers.iter().any(|observer| observer.wants_messages());
        Self {
            observers,
            messages,
        }
    }
}

impl Observer for Together {
    fn event(&self, event: &Event<'_>) {
        for observer in &self.observers {
            observer.event(event);
        }
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }

    fn wants_waiting(&self) -> Option<Duration> {
        self.observers
            .iter()
            .filter_map(|observer| observer.wants_waiting())
            .min()
    }
}
