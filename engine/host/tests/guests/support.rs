//! What the tests share: the built guests, a flow, and ports that keep everything in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use flow_config::{
    CallbackSpec, Filters, Flow, FlowName, Kind, Limits, OptionValue, Placement, SafeUrl, Secret,
    Template,
};
use flow_host::{
    Catalogue, Credential, Error, FlowPlugins, Host, HostOptions, Secrets, Surroundings,
};
use flow_message::{Message, Timestamp};
use flow_runtime::ports::{
    Callback, CallbackFactory, Clock, Content, ContentReader, ContentWriter, Desk, Edit, Event,
    Failure, HttpRequest, HttpResponse, Item, Location, Observer, State, Submit, Verdict,
};

/// The guests of `tests/guests`, built once; the directory of their components.
pub(crate) fn guests() -> &'static Path {
    static GUESTS: OnceLock<PathBuf> = OnceLock::new();
    GUESTS.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
        let target = scratch("guests");
        let guests =
            flow_xtask::build_example_guests(&workspace, &target, flow_xtask::Profile::Dev)
                .expect("the guests build");
        let (_, noop) = guests
            .iter()
            .find(|(name, _)| name == "noop")
            .expect("there is a guest `noop`");
        noop.parent().expect("a file has a parent").to_owned()
    })
}

/// A directory that outlives the test run, for what is dear to make.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

pub(crate) fn bytes(guest: &str) -> Vec<u8> {
    std::fs::read(guests().join(format!("{guest}.wasm"))).expect("the guest was built")
}

/// One host for all tests, so that each guest is compiled once, and kept for the next run.
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        let host = Host::new(HostOptions {
            cache_dir: Some(scratch("compiled")),
        })
        .expect("a host");
        Catalogue::new(host, &[], Some(guests().to_owned()))
    })
}

/// A flow with one callback, whose options are text.
pub(crate) fn flow(plugin: &str, options: &[(&str, &str)]) -> Flow {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OptionValue::Text((*value).to_owned())))
        .collect();
    let spec = CallbackSpec {
        plugin: plugin.to_owned(),
        options,
        filters: None,
        limits: Limits::default(),
        sha256: None,
        minisign: None,
        pins: Vec::new(),
        origin: "poll/test.yaml:3".into(),
    };
    let name = FlowName {
        kind: Kind::Poll,
        name: "test".into(),
    };
    Flow {
        file: PathBuf::from("poll/test.yaml"),
        poll_url: Some(SafeUrl::parse("test://me:hunter2@origin.example/").expect("a URL")),
        sleep: Duration::from_secs(1),
        batch: 100,
        concurrency: 1,
        filters: Filters {
            placement: Placement {
                directory: Some(Template::parse("/data/in/${%Y-%m-%d}").expect("a template")),
                ..Placement::default()
            },
            ..Filters::default()
        },
        callbacks: vec![spec],
        nodupe: None,
        timeout: Duration::from_secs(10),
        fsync: false,
        settings: Vec::new(),
        ..Flow::new(name)
    }
}

/// Sets a limit of the flow's callback.
pub(crate) fn limited(mut flow: Flow, change: impl FnOnce(&mut Limits)) -> Flow {
    change(&mut flow.callbacks[0].limits);
    flow
}

pub(crate) fn plugins(flow: &Flow) -> Result<FlowPlugins, Error> {
    FlowPlugins::new(catalogue(), flow, &World::default().surroundings())
}

/// The flow's callback, not started.
pub(crate) async fn callback(flow: &Flow) -> Box<dyn Callback> {
    plugins(flow)
        .expect("the plugin loads")
        .create(0, 0)
        .await
        .expect("an instance")
}

/// What a plugin stands in, to look at afterwards.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) credentials: HashMap<String, Credential>,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn surroundings(self) -> Surroundings {
        let world = Arc::new(self);
        Surroundings {
            secrets: world.clone(),
            observer: world.clone(),
            clock: world,
            world: None,
        }
    }

    pub(crate) fn with_credential(
        mut self,
        url: &str,
        user: &str,
        password: &str,
        token: Option<&str>,
    ) -> Self {
        let options = token
            .map(|token| ("bearer_token".to_owned(), Secret::new(token)))
            .into_iter()
            .collect();
        self.credentials.insert(
            url.into(),
            Credential {
                user: user.into(),
                password: Secret::new(password),
                options,
            },
        );
        self
    }
}

#[async_trait]
impl Secrets for World {
    fn credential(&self, url: &str) -> Result<Credential, Failure> {
        let missing = || {
            Failure::Config(format!(
                "there are no credentials for `{url}` in credentials.conf"
            ))
        };
        self.credentials.get(url).cloned().ok_or_else(missing)
    }
}

impl Observer for World {
    fn event(&self, event: &Event<'_>) {
        self.events
            .lock()
            .expect("not poisoned")
            .push(format!("{event:?}"));
    }
}

/// The moment every test happens at.
pub(crate) const NOW: &str = "20261122T120000";

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        NOW.parse().expect("a time")
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    fn random(&self) -> f64 {
        0.5
    }
}

/// State in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

impl State for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.lock().expect("not poisoned").get(key).cloned())
    }
    fn put(&self, key: &str, value: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        let mut map = self.0.lock().expect("not poisoned");
        match value {
            Some(value) => map.insert(key.to_owned(), value),
            None => map.remove(key),
        };
        Ok(())
    }
    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let map = self.0.lock().expect("not poisoned");
        let keys = map
            .keys()
            .filter(|key| key.starts_with(prefix) && key.as_str() > after);
        Ok(keys.take(limit).cloned().collect())
    }
}

pub(crate) fn state() -> Arc<dyn State> {
    Arc::new(Memory::default())
}

/// Content in memory: what is there by id, and what was written.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) there: HashMap<u64, Vec<u8>>,
    pub(crate) written: Arc<Mutex<Vec<(String, String)>>>,
    /// Names that end so are not wanted.
    pub(crate) unwanted: &'static str,
}

struct Bytes(std::io::Cursor<Vec<u8>>);
impl ContentReader for Bytes {
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Failure> {
        assert!(max <= 64 << 10, "reads are clamped");
        let mut bytes = vec![0; max];
        let count = std::io::Read::read(&mut self.0, &mut bytes).expect("memory reads");
        bytes.truncate(count);
        Ok(bytes)
    }
}

struct Writing {
    name: String,
    bytes: Vec<u8>,
    written: Arc<Mutex<Vec<(String, String)>>>,
}
impl ContentWriter for Writing {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(data);
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        let mut written = self.written.lock().expect("not poisoned");
        written.push((self.name, String::from_utf8_lossy(&self.bytes).into_owned()));
        Ok(100 + written.len() as u64)
    }
}

impl Contents {
    fn writer(&self, name: String) -> Box<dyn ContentWriter> {
        Box::new(Writing {
            name,
            bytes: Vec::new(),
            written: self.written.clone(),
        })
    }
}

impl Content for Contents {
    fn open(&self, id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        let bytes = self
            .there
            .get(&id)
            .cloned()
            .ok_or_else(|| Failure::temporary("it is not here"))?;
        let size = bytes.len() as u64;
        Ok((Box::new(Bytes(std::io::Cursor::new(bytes))), size))
    }
    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        Ok(self.writer(format!("message {id}")))
    }
    fn derive(
        &self,
        _: u64,
        path: &str,
        _: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        if !self.unwanted.is_empty() && path.ends_with(self.unwanted) {
            return Ok(None);
        }
        Ok(Some(self.writer(path.to_owned())))
    }
}

/// Items with the given paths, numbered from 1.
pub(crate) fn items(paths: &[&str]) -> Vec<Item> {
    let item = |(index, path): (usize, &&str)| Item {
        id: index as u64 + 1,
        key: format!("key-{path}"),
        attempt: 0,
        message: Message::new(
            NOW.parse().expect("a time"),
            "test://origin.example/",
            *path,
        )
        .into(),
        location: Some(Location {
            directory: PathBuf::from("/data/in"),
            filename: "x".into(),
        }),
        other: None,
    };
    paths.iter().enumerate().map(item).collect()
}

/// What `after_accept` says about messages with the given paths.
pub(crate) async fn judged(
    callback: &mut Box<dyn Callback>,
    paths: &[&str],
) -> Result<Vec<Verdict>, Failure> {
    callback.after_accept(&items(paths), state()).await
}

/// The header a guest set to tell us something.
pub(crate) fn told(verdict: &Verdict, header: &str) -> String {
    let Verdict::Update(edits) = verdict else {
        panic!("no update: {verdict:?}")
    };
    let value = edits.iter().find_map(|edit| match edit {
        Edit::Header(name, Some(value)) if name == header => value.as_str(),
        _ => None,
    });
    value
        .unwrap_or_else(|| panic!("no header `{header}` in {edits:?}"))
        .to_owned()
}

/// The text of a failure of the plugin itself.
pub(crate) fn plugin_failure<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Plugin(text)) => text,
        other => panic!("no failure of the plugin: {other:?}"),
    }
}

/// The log of the current thread while the guard lives.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Sink(Arc<Mutex<Vec<u8>>>);
impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn capture() -> Self {
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let sink = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_writer(move || Sink(sink.clone()))
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.lock().expect("not poisoned")).into_owned()
    }

    /// What plugins said, a line each, without the fields.
    pub(crate) fn of_plugins(&self) -> Vec<String> {
        let text = self.text();
        let ours = text.lines().filter(|line| line.contains(" plugin: "));
        ours.map(|line| {
            line.trim()
                .split(" flow=")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
    }
}

/// Takes messages from outside, or refuses them.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) taken: Mutex<Vec<Message>>,
    refuses: bool,
}

impl Front {
    pub(crate) fn refusing() -> Arc<Self> {
        Arc::new(Self {
            refuses: true,
            ..Self::default()
        })
    }
}

#[async_trait]
impl Submit for Front {
    async fn submit(&self, messages: Vec<Message>) -> Result<(), Failure> {
        if self.refuses {
            return Err(Failure::temporary("no more for now"));
        }
        self.taken.lock().expect("not poisoned").extend(messages);
        Ok(())
    }
}

pub(crate) fn desk(front: Arc<Front>) -> Desk {
    Desk {
        submit: front,
        state: state(),
    }
}

/// What a guest answers to a request.
pub(crate) async fn asked(
    callback: &mut Box<dyn Callback>,
    path: &str,
    front: impl Into<Arc<Front>>,
) -> Result<HttpResponse, Failure> {
    let request = HttpRequest {
        method: "POST".into(),
        path: path.into(),
        query: "q=1".into(),
        headers: vec![("x-asked".into(), "yes".into())],
        body: b"body".to_vec(),
        peer: "127.0.0.1".into(),
    };
    callback.request(&request, desk(front.into())).await
}
