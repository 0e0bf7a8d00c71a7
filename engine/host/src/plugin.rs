//! A plugin: a component that was looked into, described itself, and is ready to be instantiated.
//!
//! Loading runs nothing of the plugin but `describe`, in a store that was given nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_config::{Grant, Limits, Manifest};
use flow_message::Timestamp;
use flow_runtime::ports::{Clock, EntryPoints, Event, Failure, Observer};
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};

use crate::bindings::exports::flow::plugin as exports;
use crate::engine::Host;
use crate::error::Error;
use crate::grants::Grants;
use crate::outside::Place;
use crate::secrets::{Credential, Secrets};
use crate::store::{Call, Guest, Metrics, Setup};
use crate::surface::{Surface, VERSION, Version, WASI_HTTP};
use crate::tls::Trust;
use crate::trap::About;
use crate::{manifest, trap};

/// What `describe` may take.
const DESCRIBE: Limits = Limits {
    deadline: Duration::from_secs(5),
    memory: 64 << 20,
    output: 4 << 20,
};

/// A loaded plugin.
pub struct Plugin {
    manifest: Manifest,
    entry_points: EntryPoints,
    imports: Vec<String>,
    contract: Version,
    sha256: String,
    size: u64,
    pre: InstancePre<Guest>,
    indices: Indices,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.manifest.name)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

macro_rules! entry_points {
    ($($entry:ident),+ $(,)?) => {
        /// Where the exports of a component are; those it has.
        struct Indices { $($entry: Option<exports::$entry::GuestIndices>,)+ }

        /// The exports of an instance; those it has.
        pub(crate) struct Exports { $(pub(crate) $entry: Option<exports::$entry::Guest>,)+ }

        impl Indices {
            fn new(pre: &InstancePre<Guest>, has: &[String]) -> wasmtime::Result<Self> {
                Ok(Self { $($entry: if has.iter().any(|name| name == stringify!($entry)) {
                    Some(exports::$entry::GuestIndices::new(pre)?)
                } else {
                    None
                },)+ })
            }

            fn load(&self, store: &mut Store<Guest>, instance: &wasmtime::component::Instance) -> wasmtime::Result<Exports> {
                Ok(Exports { $($entry: match &self.$entry {
                    Some(indices) => Some(indices.load(&mut *store, instance)?),
                    None => None,
                },)+ })
            }
        }

        fn entry_points(has: &[String]) -> EntryPoints {
            EntryPoints { $($entry: has.iter().any(|name| name == stringify!($entry)),)+ }
        }
    };
}

entry_points!(
    lifecycle,
    gather,
    wake,
    settled,
    after_accept,
    download,
    send,
    after_work,
    post,
    request,
    line,
);

impl Host {
    /// Loads a plugin: compiles it or takes it from the cache, checks it against the contract, and
    /// asks it to describe itself. `origin` is what errors call it.
    ///
    /// Blocks: for less than 5 ms from the cache, for up to seconds when it has to be compiled.
    ///
    /// # Errors
    /// It is no component, was made for another version of the contract, needs or exports what this
    /// version does not have, or describes itself wrongly. Codes `plugin/…`.
    pub fn load(&self, origin: &str, bytes: &[u8]) -> Result<Plugin, Error> {
        let sha256 = sha256(bytes);
        let component = self.compile(origin, bytes, &sha256)?;
        let surface = Surface::of(&component, self.engine());
        surface.check(origin)?;
        let contract = surface.version.unwrap_or(VERSION);
        let pre = self
            .linker()
            .instantiate_pre(&component)
            .map_err(|error| mismatch(origin, contract, &error))?;
        let indices = Indices::new(&pre, &surface.entry_points)
            .map_err(|error| mismatch(origin, contract, &error))?;
        let manifest = self.describe(origin, contract, &pre, &indices)?;
        let manifest = manifest::read(manifest, surface.entry_points.clone());
        let findings = manifest::findings(&manifest);
        if !findings.is_empty() {
            let error = Error::new(
                "plugin/manifest",
                format!("plugin `{origin}` describes itself wrongly"),
            );
            return Err(findings
                .into_iter()
                .fold(error, Error::note)
                .hint("this is for the plugin's author to correct"));
        }
        Ok(Plugin {
            entry_points: entry_points(&surface.entry_points),
            manifest,
            imports: surface.imports,
            contract,
            sha256,
            size: bytes.len() as u64,
            pre,
            indices,
        })
    }

    fn compile(&self, origin: &str, bytes: &[u8], sha256: &str) -> Result<Component, Error> {
        if let Some(component) = self
            .cache()
            .and_then(|cache| cache.load(self.engine(), sha256))
        {
            return Ok(component);
        }
        if !bytes.starts_with(b"\0asm") {
            let what = match bytes {
                [] => "it is empty",
                _ => "it does not begin like WebAssembly at all",
            };
            let hint = "a plugin is a .wasm file, as `flow plugin build` makes it";
            return Err(not_a_component(origin).note(what).hint(hint));
        }
        // The layer, after the magic: 1 is a component, 0 a plain module.
        if bytes.get(6..8) == Some(&[0, 0]) {
            return Err(not_a_component(origin)
                .note("it is a plain WebAssembly module")
                .hint("build it for the target `wasm32-wasip2`"));
        }
        let started = std::time::Instant::now();
        let component = Component::from_binary(self.engine(), bytes).map_err(|error| {
            not_a_component(origin)
                .note(trap::first_line(&error))
                .hint("the file seems cut short or damaged: fetch it again, or build it anew")
        })?;
        tracing::debug!(plugin = origin, elapsed = ?started.elapsed(), "compiled");
        if let Some(cache) = self.cache() {
            cache.store(&component, sha256);
        }
        Ok(component)
    }

    /// Runs `describe`. On a thread of its own, as the caller may or may not be inside a runtime.
    fn describe(
        &self,
        origin: &str,
        contract: Version,
        pre: &InstancePre<Guest>,
        indices: &Indices,
    ) -> Result<exports::describe::Manifest, Error> {
        let setup = Setup::of_nobody(self, origin);
        let describe = exports::describe::GuestIndices::new(pre)
            .map_err(|error| mismatch(origin, contract, &error))?;
        let work = async {
            let mut store = Guest::store(self.engine(), &setup, &Place::default(), 0);
            store.data_mut().begin(Call {
                entry_point: "describe",
                ..Call::default()
            });
            let meter = Arc::clone(&store.data().meter);
            let result = {
                let store = &mut store;
                let call = async move {
                    let instance = pre.instantiate_async(&mut *store).await?;
                    // A type that differs from the contract is found here, not in the first flow.
                    indices
                        .load(store, &instance)
                        .map_err(|error| error.context(Mismatch))?;
                    let describe = describe
                        .load(&mut *store, &instance)
                        .map_err(|error| error.context(Mismatch))?;
                    describe.call_describe(&mut *store).await
                };
                meter.watch(call).await
            };
            store.data_mut().end();
            result.map_err(|error| {
                if error.is::<Mismatch>() {
                    mismatch(origin, contract, &error)
                } else {
                    trap::explain(&error, store.data(), "describe", About::Nothing)
                }
            })
        };
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("flow-describe".into());
            let work =
                thread.spawn_scoped(scope, || runtime().map(|runtime| runtime.block_on(work)));
            let failed = |why: String| {
                Error::new(
                    "plugin/engine",
                    format!("plugin `{origin}` could not be asked: {why}"),
                )
            };
            let work = work.map_err(|error| failed(error.to_string()))?;
            work.join()
                .map_err(|_| failed("its thread panicked".into()))?
                .map_err(|error| failed(error.to_string()))?
        })
    }
}

#[derive(Debug)]
struct Mismatch;

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it differs from the contract")
    }
}

impl Plugin {
    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it can do.
    pub fn entry_points(&self) -> EntryPoints {
        self.entry_points
    }

    /// The interfaces of the contract it uses, sorted, and `wasi:http` if it makes requests over that:
    /// what it may ask the host for.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// What its manifest asks for, as flows write it; of `http` how it is used, if not only by the
    /// contract's own interface.
    pub fn asks(&self) -> Vec<&'static str> {
        let imports = |name: &str| self.imports.iter().any(|known| known == name);
        let asks = self.manifest.grants.iter().map(|grant| match grant {
            Grant::Http if imports(WASI_HTTP) => match imports("http") {
                true => "http (also by wasi:http)",
                false => "http (by wasi:http)",
            },
            _ => grant.name(),
        });
        asks.collect()
    }

    /// The version of the contract it was made for.
    pub fn contract(&self) -> String {
        self.contract.to_string()
    }

    /// Fingerprint of the component, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Bytes of the component.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// A fresh instance in a store of its own.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        self.indices.load(store, &instance)
    }
}

fn not_a_component(origin: &str) -> Error {
    Error::new(
        "plugin/not-a-component",
        format!("plugin `{origin}` is not a WebAssembly component"),
    )
}

fn mismatch(origin: &str, version: Version, error: &wasmtime::Error) -> Error {
    let mismatch = |text: String, hint| {
        Error::new("plugin/contract-mismatch", text)
            .note(trap::first_line(error))
            .hint(hint)
    };
    if version > VERSION {
        let text = format!(
            "plugin `{origin}` was made for version {version} of the plugin contract, and needs what version {VERSION}, which this flow has, does not have"
        );
        return mismatch(
            text,
            "install a newer flow, or a version of the plugin made for this one",
        );
    }
    let text = format!(
        "plugin `{origin}` says it follows version {version} of the plugin contract, but does not"
    );
    mismatch(text, "build it anew against this version's plugin kit")
}

/// The fingerprint of a component, hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// What `describe` is given: nothing.
pub(crate) struct Nobody;

#[async_trait]
impl Secrets for Nobody {
    fn credential(&self, _: &str) -> Result<Credential, Failure> {
        Err(Failure::Config(
            "there are no credentials in `describe`".into(),
        ))
    }
}

impl Observer for Nobody {
    fn event(&self, _: &Event<'_>) {}
}

#[async_trait]
impl Clock for Nobody {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(0, 0)
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    fn random(&self) -> f64 {
        0.5
    }
}

impl Setup {
    fn of_nobody(host: &Host, origin: &str) -> Arc<Self> {
        Arc::new(Self {
            flow: String::new(),
            plugin: origin.to_owned(),
            limits: DESCRIBE,
            timeout: DESCRIBE.deadline,
            grants: Grants::default(),
            trust: Arc::new(Trust::new(host.clone(), None)),
            web: host.web(),
            secrets: Arc::new(Nobody),
            observer: Arc::new(Nobody),
            clock: Arc::new(Nobody),
            redactor: Arc::default(),
            metrics: Arc::new(Metrics::default()),
            usage: Arc::default(),
            pace: Arc::default(),
            directories: Vec::new(),
            lines: None,
            swap: std::sync::Mutex::new(()),
        })
    }
}
