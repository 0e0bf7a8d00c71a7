//! A host in memory, for a plugin's own tests on the machine it is built on.
//!
//! [`Host::install`] puts one in place for the current thread; what the plugin then asks of its
//! host, this one answers. Nothing here checks grants or limits: that is the real host's business.

mod written;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::secret::Credentials;
use crate::stream::Security;
use crate::{Context, Failure, NewMessage, Options, Result, Setting, http};

pub use written::{options, start};

/// The peer's side of a connection, as a test plays it.
pub trait Peer: Send {
    /// What the plugin reads next, at most `max` bytes; empty closes the connection.
    ///
    /// # Errors
    /// What the plugin is to see.
    fn read(&mut self, max: usize) -> Result<Vec<u8>>;
    /// Takes what the plugin wrote.
    ///
    /// # Errors
    /// What the plugin is to see.
    fn write(&mut self, data: &[u8]) -> Result<()>;
    /// The plugin asks for TLS.
    ///
    /// # Errors
    /// What the plugin is to see.
    fn start_tls(&mut self) -> Result<()> {
        Ok(())
    }
    /// The plugin sets its timeout; none: the flow's.
    fn set_timeout(&mut self, _timeout: Option<Duration>) {}
}

type Dial = Box<dyn FnMut(&str, u16, Security) -> Result<Box<dyn Peer>>>;
type Wanted = Box<dyn Fn(&str) -> bool>;
type Answer = Box<dyn FnMut(&http::Request) -> Result<http::Response>>;

/// What a plugin derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The message it came from.
    pub parent: u64,
    /// Its name.
    pub rel_path: String,
    /// Its MIME type.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The host a test sets up and looks at. Fields are the plugin's world: change and read them freely.
pub struct Host {
    /// Called for every connection.
    pub dial: Dial,
    /// Called for every HTTP request.
    pub answer: Answer,
    /// Whether the flow's filters want a derived name.
    pub wanted: Wanted,
    /// The plugin's state.
    pub state: BTreeMap<String, Vec<u8>>,
    /// Content by message id: what `open` gives, and what `create` finished.
    pub content: BTreeMap<u64, Vec<u8>>,
    /// Derived content, finished, by handle - 1.
    pub derived: Vec<Derived>,
    /// Credentials by URL; a URL that is not there is a `config` failure.
    pub credentials: BTreeMap<String, Credentials>,
    /// Tokens by URL.
    pub tokens: BTreeMap<String, String>,
    /// Log lines.
    pub logged: Vec<(crate::log::Level, String)>,
    /// Counters.
    pub counted: BTreeMap<String, u64>,
    /// Progress calls: what, done, total, unit.
    pub progress: Vec<(String, u64, u64, String)>,
    /// Messages submitted.
    pub submitted: Vec<NewMessage>,
    /// Lines written, and to which peer.
    pub lines: Vec<(u64, String)>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("state", &self.state)
            .field("logged", &self.logged)
            .finish_non_exhaustive()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            dial: Box::new(|host, port, _| {
                Err(Failure::temporary(format!(
                    "nobody listens at {host}:{port}"
                )))
            }),
            answer: Box::new(|request| {
                Err(Failure::temporary(format!(
                    "nobody answers at {}",
                    request.url
                )))
            }),
            wanted: Box::new(|_| true),
            state: BTreeMap::new(),
            content: BTreeMap::new(),
            derived: Vec::new(),
            credentials: BTreeMap::new(),
            tokens: BTreeMap::new(),
            logged: Vec::new(),
            counted: BTreeMap::new(),
            progress: Vec::new(),
            submitted: Vec::new(),
            lines: Vec::new(),
        }
    }
}

thread_local! {
    static HOST: RefCell<Option<Rc<RefCell<Host>>>> = const { RefCell::new(None) };
}

impl Host {
    /// Makes this the host of the current thread; the handle looks at it afterwards.
    pub fn install(self) -> Rc<RefCell<Self>> {
        let host = Rc::new(RefCell::new(self));
        HOST.set(Some(Rc::clone(&host)));
        host
    }

    /// Adds credentials for a URL.
    #[must_use]
    pub fn with_credential(mut self, url: &str, user: &str, password: &str) -> Self {
        let credential = Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
            options: Vec::new(),
        };
        self.credentials.insert(url.to_owned(), credential);
        self
    }
}

/// A context with options written as settings.
pub fn context(poll_url: Option<&str>, options: &[(&str, Setting)]) -> Context {
    Context {
        flow: "flow/test".to_owned(),
        kind: "flow".to_owned(),
        instance: 0,
        downloads: true,
        poll_url: poll_url.map(str::to_owned),
        options: options
            .iter()
            .map(|(name, setting)| ((*name).to_owned(), setting.clone()))
            .collect::<Options>(),
    }
}

/// The calls, as `crate::sys` has them for a component.
pub(crate) mod sys {
    #![allow(clippy::unnecessary_wraps, reason = "the real host can fail here")]
    use super::*;

    fn with<R>(call: impl FnOnce(&mut Host) -> R) -> R {
        let host = HOST
            .with_borrow(|host| host.clone())
            .expect("testing::Host::install was called on this thread");
        let mut host = host.borrow_mut();
        call(&mut host)
    }

    pub(crate) struct Connection(RefCell<Box<dyn Peer>>);

    impl fmt::Debug for Connection {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Connection")
        }
    }

    impl Connection {
        pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>> {
            self.0.borrow_mut().read(max as usize)
        }

        pub(crate) fn write(&self, data: &[u8]) -> Result<()> {
            self.0.borrow_mut().write(data)
        }

        pub(crate) fn start_tls(&self) -> Result<()> {
            self.0.borrow_mut().start_tls()
        }

        pub(crate) fn set_timeout(&self, ms: u64) {
            let timeout = (ms > 0).then(|| Duration::from_millis(ms));
            self.0.borrow_mut().set_timeout(timeout);
        }
    }

    pub(crate) fn connect(host: &str, port: u16, security: Security) -> Result<Connection> {
        // Taken out for the call, so that a peer may look at the host itself.
        let mut dial = with(|h| {
            std::mem::replace(
                &mut h.dial,
                Box::new(|_, _, _| Err(Failure::temporary("dialling"))),
            )
        });
        let peer = dial(host, port, security);
        with(|h| h.dial = dial);
        Ok(Connection(RefCell::new(peer?)))
    }

    #[derive(Debug)]
    pub(crate) struct Reader {
        bytes: Vec<u8>,
        at: RefCell<usize>,
    }

    impl Reader {
        pub(crate) fn read(&self, max: u32) -> Result<Vec<u8>> {
            let mut at = self.at.borrow_mut();
            let end = (*at + max as usize).min(self.bytes.len());
            let chunk = self.bytes[*at..end].to_vec();
            *at = end;
            Ok(chunk)
        }

        pub(crate) fn size(&self) -> u64 {
            self.bytes.len() as u64
        }
    }

    #[derive(Debug)]
    pub(crate) struct Writer {
        target: Option<u64>,
        derived: Derived,
    }

    impl Writer {
        pub(crate) fn write(&mut self, data: &[u8]) -> Result<()> {
            self.derived.bytes.extend_from_slice(data);
            Ok(())
        }

        pub(crate) fn finish(self) -> Result<u64> {
            Ok(with(|h| match self.target {
                Some(id) => {
                    h.content.insert(id, self.derived.bytes);
                    0
                }
                None => {
                    h.derived.push(self.derived);
                    h.derived.len() as u64
                }
            }))
        }
    }

    pub(crate) fn open(id: u64) -> Result<Reader> {
        with(|h| match h.content.get(&id) {
            Some(bytes) => Ok(Reader {
                bytes: bytes.clone(),
                at: RefCell::new(0),
            }),
            None => Err(Failure::permanent(format!("message {id} has no content"))),
        })
    }

    pub(crate) fn create(id: u64) -> Result<Writer> {
        let derived = Derived {
            parent: id,
            rel_path: String::new(),
            content_type: None,
            bytes: Vec::new(),
        };
        Ok(Writer {
            target: Some(id),
            derived,
        })
    }

    pub(crate) fn derive(
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Writer>> {
        let name = rel_path.rsplit('/').next().unwrap_or_default();
        if name.is_empty()
            || name == "."
            || name == ".."
            || name.len() > 255
            || name.contains(|c: char| c.is_control() || c == '\\')
        {
            return Err(Failure::permanent(format!(
                "`{rel_path}` does not end in a usable file name"
            )));
        }
        if !with(|h| (h.wanted)(rel_path)) {
            return Ok(None);
        }
        let derived = Derived {
            parent: id,
            rel_path: rel_path.to_owned(),
            content_type: content_type.map(str::to_owned),
            bytes: Vec::new(),
        };
        Ok(Some(Writer {
            target: None,
            derived,
        }))
    }

    pub(crate) fn log(level: crate::log::Level, text: &str) {
        with(|h| h.logged.push((level, text.to_owned())));
    }

    pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>> {
        Ok(with(|h| h.state.get(key).cloned()))
    }

    pub(crate) fn state_put(key: &str, value: &[u8], _ttl: Option<u64>) -> Result<()> {
        if key.len() > 1024 || value.len() > 1024 * 1024 {
            return Err(Failure::permanent(format!(
                "the pair `{key}` is too large to store"
            )));
        }
        with(|h| h.state.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn state_delete(key: &str) -> Result<()> {
        with(|h| h.state.remove(key));
        Ok(())
    }

    pub(crate) fn state_swap(key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        if state_get(key)?.as_deref() != old {
            return Ok(false);
        }
        match new {
            Some(value) => state_put(key, value, None)?,
            None => state_delete(key)?,
        }
        Ok(true)
    }

    pub(crate) fn state_list(prefix: &str, after: &str, limit: u32) -> Result<Vec<String>> {
        Ok(with(|h| {
            let keys = h
                .state
                .keys()
                .filter(|key| key.starts_with(prefix) && key.as_str() > after);
            keys.take(limit as usize).cloned().collect()
        }))
    }

    pub(crate) fn http_send(request: http::Request) -> Result<http::Response> {
        with(|h| (h.answer)(&request))
    }

    /// Adds to a counter named `plugin_<name>`.
    pub fn count(name: &str, by: u64) {
        with(|h| *h.counted.entry(name.to_owned()).or_default() += by);
    }

    /// Sets a gauge.
    pub fn gauge(_name: &str, _value: f64) {}

    /// Says how far a long piece of work is; `total` 0 is unknown, `unit` a plural noun.
    pub fn progress(what: &str, done: u64, total: u64, unit: &str) {
        with(|h| {
            h.progress
                .push((what.to_owned(), done, total, unit.to_owned()))
        });
    }

    /// What `credentials.conf` holds for `url`.
    ///
    /// # Errors
    /// `config` if it holds nothing, or the flow does not allow it.
    pub fn credential(url: &str) -> Result<Credentials> {
        with(|h| h.credentials.get(url).cloned())
            .ok_or_else(|| Failure::config(format!("credentials.conf has no line for {url}")))
    }

    /// A current OAuth 2 access token for `url`, kept fresh by the host.
    ///
    /// # Errors
    /// `config` if there is none, `auth` if it can't be refreshed.
    pub fn bearer_token(url: &str) -> Result<String> {
        with(|h| h.tokens.get(url).cloned())
            .ok_or_else(|| Failure::config(format!("credentials.conf has no token for {url}")))
    }

    /// Hands messages to the flow and returns once they are durable.
    ///
    /// # Errors
    /// They were not stored; the peer should try again.
    pub fn submit(messages: &[NewMessage]) -> Result<()> {
        with(|h| h.submitted.extend_from_slice(messages));
        Ok(())
    }

    /// Writes one line, without its end, to a peer of [`Line`](crate::Line).
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn write_line(peer: u64, text: &str) -> Result<()> {
        with(|h| h.lines.push((peer, text.to_owned())));
        Ok(())
    }
}
