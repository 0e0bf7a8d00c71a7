//! The one place that calls the host: the generated imports in a component, the fake host of
//! `testing` anywhere else. Both sides have the same functions; nothing else is gated by target.

#[cfg(target_family = "wasm")]
pub use self::guest::*;
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::sys::*;

#[cfg(target_family = "wasm")]
mod guest {
    use crate::bindings::imports::flow::plugin as host;
    use crate::secret::Credentials;
    use crate::stream::Security;
    use crate::{NewMessage, Result, http};

    pub(crate) type Connection = host::connection::Stream;
    pub(crate) type Reader = host::content::Reader;

    /// A writer whose `finish` takes it by value, as the contract means it.
    #[derive(Debug)]
    pub(crate) struct Writer(host::content::Writer);

    impl Writer {
        pub(crate) fn write(&mut self, data: &[u8]) -> Result<()> {
            self.0.write(data)
        }

        pub(crate) fn finish(self) -> Result<u64> {
            host::content::Writer::finish(self.0)
        }
    }

    pub(crate) fn connect(host: &str, port: u16, security: Security) -> Result<Connection> {
        host::connection::connect(host, port, security)
    }

    pub(crate) fn open(id: u64) -> Result<Reader> {
        host::content::open(id)
    }

    pub(crate) fn create(id: u64) -> Result<Writer> {
        host::content::create(id).map(Writer)
    }

    pub(crate) fn derive(
        id: u64,
        rel_path: &str,
        content_type: Option<&str>,
    ) -> Result<Option<Writer>> {
        Ok(host::content::derive(id, rel_path, content_type)?.map(Writer))
    }

    pub(crate) fn log(level: crate::log::Level, text: &str) {
        host::log::write(level, text);
    }

    pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>> {
        host::state::get(key)
    }

    pub(crate) fn state_put(key: &str, value: &[u8], ttl: Option<u64>) -> Result<()> {
        host::state::put(key, value, ttl)
    }

    pub(crate) fn state_delete(key: &str) -> Result<()> {
        host::state::delete(key)
    }

    pub(crate) fn state_swap(key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
        host::state::swap(key, old, new)
    }

    pub(crate) fn state_list(prefix: &str, after: &str, limit: u32) -> Result<Vec<String>> {
        host::state::list(prefix, after, limit)
    }

    pub(crate) fn http_send(request: http::Request) -> Result<http::Response> {
        let body = match request.body {
            http::Body::None => host::http::Body::None,
            http::Body::Bytes(bytes) => host::http::Body::Bytes(bytes),
            http::Body::Content(content) => host::http::Body::Content(content.into_raw()),
        };
        host::http::send(host::http::Request {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body,
            timeout_ms: request
                .timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    /// Adds to a counter named `plugin_<name>`.
    pub fn count(name: &str, by: u64) {
        host::metrics::count(name, by);
    }

    /// Sets a gauge.
    pub fn gauge(name: &str, value: f64) {
        host::metrics::gauge(name, value);
    }

    /// Says how far a long piece of work is; `total` 0 is unknown, `unit` a plural noun.
    pub fn progress(what: &str, done: u64, total: u64, unit: &str) {
        host::metrics::progress(what, done, total, unit);
    }

    /// What `credentials.conf` holds for `url`.
    ///
    /// # Errors
    /// `config` if it holds nothing, or the flow does not allow it.
    pub fn credential(url: &str) -> Result<Credentials> {
        host::secret::credential(url)
    }

    /// A current OAuth 2 access token for `url`, kept fresh by the host.
    ///
    /// # Errors
    /// `config` if there is none, `auth` if it can't be refreshed.
    pub fn bearer_token(url: &str) -> Result<String> {
        host::secret::bearer_token(url)
    }

    /// Hands messages to the flow and returns once they are durable.
    ///
    /// # Errors
    /// They were not stored; the peer should try again.
    pub fn submit(messages: &[NewMessage]) -> Result<()> {
        host::submit::submit(messages)
    }

    /// Writes one line, without its end, to a peer of [`Line`](crate::Line).
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn write_line(peer: u64, text: &str) -> Result<()> {
        host::lines::write(peer, text)
    }
}
