//! What belongs to one instance, and what belongs to the call at hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_config::Limits;
use flow_message::Timestamp;
use flow_runtime::ports::{Clock, Content, Lines, Observer, State, Submit};
use tokio::sync::futures::OwnedNotified;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::error::Error;
use crate::grants::Grants;
use crate::imports::content::{Reader, Writer};
use crate::imports::wasi_http::WasiHttp;
use crate::journey::BODY;
use crate::meter::{Away, Meter};
use crate::outside::Place;
use crate::redact::Redactor;
use crate::secrets::Secrets;
use crate::senses;
use crate::tls::Trust;
use crate::usage::{End, Usage};
use crate::voice::{Pace, Printer, Stream, Voice};
use crate::web::Web;

/// Elements of all tables; a guest's functions and handles.
const TABLE_ELEMENTS: usize = 100_000;
/// Modules, memories and tables of one component: toolchains make less than ten of each.
const PARTS: usize = 100;
/// Whatever the host keeps for an instance, WASI's own included.
const RESOURCES: usize = 1024;
/// Connections an instance may have open: each takes a file of the process.
const CONNECTIONS: usize = 64;
/// Content readers and writers an instance may have open.
const CONTENTS: usize = 256;
/// What one call from the guest may hand over, at least: a guest with a small `limits.output` still
/// writes content in chunks of its liking, and makes requests of the size it may.
const LEAST_HANDOVER: usize = BODY + (1 << 20);

/// What all instances of one callback share.
pub(crate) struct Setup {
    pub(crate) flow: String,
    pub(crate) plugin: String,
    pub(crate) limits: Limits,
    pub(crate) timeout: Duration,
    pub(crate) grants: Grants,
    pub(crate) trust: Arc<Trust>,
    pub(crate) web: Arc<Web>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) usage: Arc<Usage>,
    /// How much it may say.
    pub(crate) pace: Arc<Pace>,
    /// Below these a plugin may choose directories.
    pub(crate) directories: Vec<PathBuf>,
    /// Who reads lines of this flow.
    pub(crate) lines: Option<Arc<dyn Lines>>,
    /// Held over the two halves of `state.swap`.
    pub(crate) swap: Mutex<()>,
}

/// Counters and gauges of the plugins of a flow, by name (`plugin_<name>`).
#[derive(Debug, Default)]
pub struct Metrics(Mutex<BTreeMap<String, f64>>);

impl Metrics {
    /// Names a flow's plugins may use together.
    const MOST: usize = 256;

    /// Every number there is.
    pub fn snapshot(&self) -> BTreeMap<String, f64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update(&self, name: &str, change: impl FnOnce(&mut f64)) {
        let name: String = name
            .chars()
            .take(64)
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("plugin_{name}");
        if numbers.len() < Self::MOST || numbers.contains_key(&name) {
            change(numbers.entry(name).or_default());
        }
    }
}

/// The data of one instance's store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    pub(crate) wasi_http: WasiHttp,
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) voice: Arc<Voice>,
    pub(crate) setup: Arc<Setup>,
    /// What stands around it in place of the real world.
    pub(crate) place: Place,
    pub(crate) call: Call,
    /// What it holds open.
    pub(crate) connections: Held<CONNECTIONS>,
    pub(crate) contents: Held<CONTENTS>,
}

/// How many of a kind of thing an instance holds, `MOST` being possible.
#[derive(Debug, Default)]
pub(crate) struct Held<const MOST: usize>(usize);

impl<const MOST: usize> Held<MOST> {
    /// Whether there is room for one more; if not, the error that says so.
    pub(crate) fn room(&self, plugin: &str, what: &str) -> Result<(), Error> {
        if self.0 < MOST {
            return Ok(());
        }
        let text = format!("plugin `{plugin}` has {MOST} {what} open, the most there may be");
        Err(Error::new("plugin/too-many", text)
            .hint("this is for the plugin's author to correct: close those that are done with"))
    }

    pub(crate) fn one_more(&mut self) {
        self.0 += 1;
    }

    pub(crate) fn one_less(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// What the call at hand brought, and what the guest did in it.
#[derive(Default)]
pub(crate) struct Call {
    /// Counts calls: connections outlive them, content does not.
    pub(crate) number: u64,
    pub(crate) entry_point: &'static str,
    pub(crate) state: Option<Arc<dyn State>>,
    pub(crate) content: Option<Arc<dyn Content>>,
    /// Takes messages from outside the loop.
    pub(crate) submit: Option<Arc<dyn Submit>>,
    /// The ids of the messages in hand.
    pub(crate) ids: Vec<u64>,
    /// The message whose content the guest asked for last.
    pub(crate) last: Option<u64>,
    /// Readers and writers opened, closed when the call ends.
    pub(crate) opened: Vec<u32>,
    /// Messages whose download was finished.
    pub(crate) downloaded: Vec<u64>,
    /// Bytes of state it wrote.
    pub(crate) state_bytes: usize,
    /// Handles of derived content, each good for one message.
    pub(crate) derived: Vec<u64>,
    /// Fires when the host needs the instance during `wake.wait`.
    pub(crate) interrupt: Option<Interrupt>,
}

/// Completes once, when the instance is wanted or the wait has lasted long enough.
pub(crate) struct Interrupt {
    pub(crate) wanted: Pin<Box<OwnedNotified>>,
    pub(crate) timeout: Pin<Box<tokio::time::Sleep>>,
}

impl Interrupt {
    pub(crate) async fn fired(&mut self) {
        tokio::select! {
            () = self.wanted.as_mut() => {}
            () = self.timeout.as_mut() => {}
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl Guest {
    /// A store for a new instance.
    pub(crate) fn store(
        engine: &Engine,
        setup: &Arc<Setup>,
        place: &Place,
        instance: u32,
    ) -> Store<Self> {
        let limits = setup.limits;
        let voice = Voice::new(
            &setup.flow,
            &setup.plugin,
            instance,
            Arc::clone(&setup.redactor),
            Arc::clone(&setup.usage),
            Arc::clone(&setup.pace),
        );
        // Clocks and randomness are what is left: no files, environment, arguments or sockets.
        let mut wasi = WasiCtxBuilder::new();
        if let Some(senses) = &place.senses {
            senses::give(&mut wasi, senses);
        }
        let wasi = wasi
            .stdout(Printer {
                voice: Arc::clone(&voice),
                stream: Stream::Stdout,
            })
            .stderr(Printer {
                voice: Arc::clone(&voice),
                stream: Stream::Stderr,
            })
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let meter = Meter::new(limits.deadline);
        let guest = Self {
            wasi,
            wasi_http: WasiHttp::new(setup, place, &meter, &voice),
            table,
            limiter: Limiter {
                memory: usize::try_from(limits.memory).unwrap_or(usize::MAX),
                used: 0,
                elements: 0,
                denied: false,
            },
            meter: Arc::clone(&meter),
            voice,
            setup: Arc::clone(setup),
            place: place.clone(),
            call: Call::default(),
            connections: Held::default(),
            contents: Held::default(),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(
            usize::try_from(limits.output)
                .unwrap_or(usize::MAX)
                .max(LEAST_HANDOVER),
        );
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| meter.tick());
        store
    }

    /// Where its credentials come from.
    pub(crate) fn secrets(&self) -> &Arc<dyn Secrets> {
        self.place.secrets.as_ref().unwrap_or(&self.setup.secrets)
    }

    /// The time messages it makes get.
    pub(crate) fn now(&self) -> Timestamp {
        self.place.clock.as_ref().unwrap_or(&self.setup.clock).now()
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, call: Call) {
        self.voice.enter(call.entry_point);
        self.setup.usage.begun(call.entry_point, call.ids.len());
        let number = self.call.number + 1;
        self.call = Call { number, ..call };
        self.limiter.denied = false;
        self.meter.start();
    }

    /// Notes how a call ended, and what it took.
    pub(crate) fn note(&self, entry_point: &str, end: End) {
        // In this order: what was computed is never more than the whole.
        let computing = self.meter.used();
        let time = (self.meter.elapsed(), computing);
        let usage = &self.setup.usage;
        usage.ended(entry_point, end, time, self.limiter.used);
    }

    /// The guest waits for somebody outside.
    pub(crate) fn away(&self) -> Away {
        self.voice.waits();
        self.meter.pause()
    }

    /// A call ended: content handles the guest kept are of no use any more.
    pub(crate) fn end(&mut self) {
        self.voice.leave();
        self.wasi_http.end();
        for handle in std::mem::take(&mut self.call.opened) {
            let Ok(resource) = self.table.get_any_mut(handle) else {
                continue;
            };
            if let Some(reader) = resource.downcast_mut::<Reader>() {
                reader.close();
            } else if let Some(writer) = resource.downcast_mut::<Writer>() {
                writer.close();
            }
        }
        self.call.state = None;
        self.call.content = None;
        self.call.submit = None;
        self.call.interrupt = None;
    }
}

/// Memory and tables of one instance.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    /// Bytes of all its memories; a component may have several.
    used: usize,
    /// Elements of all its tables.
    elements: usize,
    /// It asked for more than it may have.
    pub(crate) denied: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.used - current.min(self.used) + desired;
        if total > self.memory || maximum.is_some_and(|maximum| desired > maximum) {
            self.denied = true;
            return Ok(false);
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.elements - current.min(self.elements) + desired;
        if total > TABLE_ELEMENTS || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::ResourceLimiter;

    use super::{Held, Limiter, TABLE_ELEMENTS};

    fn limiter() -> Limiter {
        Limiter {
            memory: 10 << 16,
            used: 0,
            elements: 0,
            denied: false,
        }
    }

    #[test]
    fn memories_count_together() {
        let mut limiter = limiter();
        let mut grow = |from: usize, to: usize| {
            let grown = limiter.memory_growing(from << 16, to << 16, None);
            (grown.expect("an answer"), limiter.denied)
        };
        assert_eq!(grow(0, 4), (true, false));
        assert_eq!(grow(0, 4), (true, false));
        assert_eq!(grow(4, 7), (false, true), "a page more than all may have");
        assert_eq!(grow(4, 6), (true, true));
        assert_eq!(limiter.used, 10 << 16);
        assert!(
            !limiter
                .memory_growing(0, 1 << 16, Some(1))
                .expect("an answer")
        );
    }

    #[test]
    fn tables_count_together() {
        let mut limiter = limiter();
        let half = TABLE_ELEMENTS / 2;
        for (from, to, grown) in [
            (0, half, true),
            (0, half, true),
            (0, 1, false),
            (half, half + 1, false),
        ] {
            let answer = limiter.table_growing(from, to, None).expect("an answer");
            assert_eq!(answer, grown, "{from} to {to}");
        }
    }

    #[test]
    fn who_gives_back_may_take_again() {
        let mut held = Held::<2>::default();
        held.one_more();
        held.one_more();
        let error = held.room("p", "connections").expect_err("both are taken");
        assert_eq!(
            error.to_string().lines().next(),
            Some("plugin `p` has 2 connections open, the most there may be [plugin/too-many]")
        );
        held.one_less();
        assert!(held.room("p", "connections").is_ok());
    }
}
