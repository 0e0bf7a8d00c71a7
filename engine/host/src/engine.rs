//! The wasmtime engine all plugins of a process share, and its clock tick.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use flow_config::Proxies;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::cache::Cache;
use crate::error::Error;
use crate::store::Guest;
use crate::web::Web;

/// How often a computing guest makes room for others, and its deadline is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What a [`Host`] is made from.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// Where compiled plugins are kept, so that the next start is instant. Made with mode 0700 if
    /// it does not exist; not used if somebody else could have written there. None: compile anew.
    pub cache_dir: Option<PathBuf>,
}

/// Runs plugins. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    native_roots: OnceLock<Arc<rustls::RootCertStore>>,
    web: Arc<Web>,
    /// Dropped with the host, which ends the ticker.
    _ticker: mpsc::Sender<()>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Host {
    /// Starts the engine and its ticker thread.
    ///
    /// A cache directory that can't be used is a warning in the log, not an error: plugins are
    /// compiled at every start then.
    ///
    /// # Errors
    /// The machine can't run plugins at all, e.g. a thread could not be started.
    pub fn new(options: HostOptions) -> Result<Self, Error> {
        Self::with_proxies(options, Proxies::default())
    }

    /// As [`new`](Self::new), with the proxies through which plugins ask over HTTP.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_proxies(options: HostOptions, proxies: Proxies) -> Result<Self, Error> {
        let engine = Engine::new(&config()).map_err(unusable)?;
        let linker = crate::imports::linker(&engine).map_err(unusable)?;
        let cache = options.cache_dir.and_then(|directory| {
            Cache::open(directory, &engine)
                .inspect_err(|error| tracing::warn!("{error}"))
                .ok()
        });
        let ticker = start_ticker(&engine)?;
        let native_roots = OnceLock::new();
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                cache,
                native_roots,
                web: Arc::new(Web::new(proxies)),
                _ticker: ticker,
            }),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.inner.linker
    }

    /// The HTTP clients of this process.
    pub(crate) fn web(&self) -> Arc<Web> {
        Arc::clone(&self.inner.web)
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref()
    }

    /// The certificate authorities of the machine, read on first use.
    pub(crate) fn native_roots(&self) -> Arc<rustls::RootCertStore> {
        Arc::clone(
            self.inner
                .native_roots
                .get_or_init(|| Arc::new(flow_trust::native_roots())),
        )
    }
}

fn config() -> Config {
    let mut config = Config::new();
    // The contract has no `async func`; support for it makes every call four times as dear.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::new(
        "plugin/engine",
        format!("plugins can't run on this machine: {error:#}"),
    )
    .hint("it has to allow flow threads, and memory that may be executed; `ulimit -a` lists limits")
}

/// Ticks until the host is gone.
fn start_ticker(engine: &Engine) -> Result<mpsc::Sender<()>, Error> {
    let (alive, gone) = mpsc::channel();
    let engine = engine.weak();
    let tick = move || {
        while gone.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("flow-ticker".into())
        .spawn(tick)
        .map_err(unusable)?;
    Ok(alive)
}

#[cfg(test)]
mod tests {
    use super::unusable;

    #[test]
    fn a_machine_that_can_not_run_plugins_is_told_why() {
        let error = unusable(std::io::Error::from_raw_os_error(11));
        assert_eq!(
            error.to_string(),
            "plugins can't run on this machine: Resource temporarily unavailable (os error 11) [plugin/engine]\n  \
             = hint: it has to allow flow threads, and memory that may be executed; `ulimit -a` lists limits"
        );
    }
}
