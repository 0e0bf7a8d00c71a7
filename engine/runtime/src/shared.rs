//! What all parts of a worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use flow_config::{Flow, SafeUrl};
use flow_message::{Message, Timestamp};

use crate::content::Local;
use crate::inbox::Inbox;
use crate::places::Places;
use crate::ports::{Callback, Clock, Debugger, EntryPoints, Event, Observer, Side, State};
use crate::stamp::Stamp;
use crate::state::{Overlay, StateView};
use crate::store::Store;
use crate::trouble::Falls;

/// What all parts of a worker share.
pub(crate) struct Shared {
    pub(crate) flow: Arc<Flow>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) local: Arc<Local>,
    pub(crate) places: Places,
    pub(crate) stamp: Stamp,
    /// Who looks into the flow, if somebody does.
    pub(crate) debugger: Option<Arc<dyn Debugger>>,
    /// By number of the callback: its name in the store.
    pub(crate) names: Vec<String>,
    /// What comes from outside the loop.
    pub(crate) inbox: Arc<Inbox>,
    /// Plugins that fell over beside the loop.
    pub(crate) falls: Falls,
    ids: AtomicU64,
    /// By side: 0 nobody knows, 1 down, 2 up.
    connections: [AtomicU8; 3],
}

/// What a kind of callback can do, asked once of its first instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ability {
    pub(crate) entry_points: EntryPoints,
    pub(crate) schemes: Vec<String>,
    /// It is no plugin: those have no brackets in their names.
    pub(crate) built_in: bool,
}

impl Ability {
    /// What `callback` can do in `flow`. Where messages come from a queue, a plugin that could
    /// gather is there to download; it gathers as well only if the flow says from where. Of several
    /// workers only the one that `leads` gathers.
    pub(crate) fn of(callback: &dyn Callback, flow: &Flow, leads: bool) -> Self {
        let mut entry_points = callback.entry_points();
        if !leads || (flow.input.is_some() && flow.poll_url.is_none()) {
            entry_points.gather = false;
            entry_points.wake = false;
        }
        Self {
            entry_points,
            schemes: callback.schemes().to_vec(),
            built_in: callback.name().starts_with('('),
        }
    }

    /// Whether it is what delivers to `send_to`.
    pub(crate) fn sends_to(&self, send_to: &SafeUrl) -> bool {
        let scheme = send_to.scheme();
        self.entry_points.send
            && self
                .schemes
                .iter()
                .any(|own| own.eq_ignore_ascii_case(scheme))
    }

    /// Whether it downloads what `message` announces.
    pub(crate) fn downloads(&self, message: &Message) -> bool {
        self.entry_points.download
            && scheme(&message.base_url).is_some_and(|scheme| {
                self.schemes
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(scheme))
            })
    }
}

/// The scheme of a URL.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    url.split_once(':').map(|(scheme, _)| scheme)
}

impl Shared {
    pub(crate) fn new(
        flow: Arc<Flow>,
        store: Store,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        local: Arc<Local>,
    ) -> Self {
        let (places, stamp) = (Places::new(&flow), Stamp::new(&flow));
        let names = flow.callback_names();
        let inbox = Arc::new(Inbox::new(store.clone()));
        Self {
            flow,
            store,
            clock,
            observer,
            local,
            places,
            stamp,
            debugger: None,
            names,
            inbox,
            falls: Falls::default(),
            ids: AtomicU64::new(1),
            connections: Default::default(),
        }
    }

    /// A number for an item.
    pub(crate) fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The state of a callback, seen through `overlay`.
    pub(crate) fn state(&self, callback: usize, overlay: &Arc<Overlay>) -> Arc<dyn State> {
        Arc::new(StateView {
            store: self.store.clone(),
            overlay: Arc::clone(overlay),
            callback: self.names.get(callback).cloned().unwrap_or_default(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// Tells the observer about a single message, if it wants that.
    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if self.observer.wants_messages() {
            self.observer.event(&event());
        }
    }

    /// Whether a connection works, as it has just turned out; the observer hears of changes.
    pub(crate) fn connection(&self, side: Side, up: bool) {
        let new = 1 + u8::from(up);
        if self.connections[side as usize].swap(new, Ordering::Relaxed) != new {
            self.observer.event(&Event::Connection { side, up });
        }
    }

    /// Whether a connection worked when it was last used.
    pub(crate) fn is_connected(&self, side: Side) -> bool {
        self.connections[side as usize].load(Ordering::Relaxed) == 2
    }

    pub(crate) fn callback_named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    pub(crate) fn paused(&self, reason: &str, wait: Duration) {
        self.observer.event(&Event::Paused { reason, wait });
    }
}
