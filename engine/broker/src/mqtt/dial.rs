//! Reaching a server: its address, the bytes to and from it, and TLS.
//!
//! Certificates are checked always, against the authorities this machine trusts and one file of the
//! flow's own. There is no way to switch that off.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flow_config::{SafeUrl, Secret};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Kind};

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a server is, and who we are there.
pub(super) struct Server {
    /// As shown to people: without the password.
    name: String,
    host: String,
    port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    tls: Option<Tls>,
}

struct Tls {
    authorities: Option<PathBuf>,
    /// Made by the first connection, as reading the machine's authorities takes a while.
    config: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.name).finish()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Server {
    /// Reads a URL; a password given apart is preferred to the one in it.
    pub(super) fn new(
        url: &SafeUrl,
        password: Option<Secret>,
        authorities: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let name = url.without_password().trim_end_matches('/').to_owned();
        let refused = |why: &str| Err(Error::new(Kind::Address, format!("`{name}`: {why}")));
        let (port, tls) = match url.scheme() {
            "mqtt" => (1883, false),
            "mqtts" => (8883, true),
            "mqttw" | "mqttws" => {
                return refused(
                    "MQTT over websockets is not built in; use the server's `mqtt` or `mqtts` port",
                );
            }
            other => {
                return refused(&format!(
                    "`{other}` is no scheme of an MQTT broker; write `mqtt://` or `mqtts://`"
                ));
            }
        };
        let Some(host) = url.host().filter(|host| !host.is_empty()) else {
            return refused("there is no host in it; write `mqtt://user@host/`");
        };
        let user = Some(url.user()).filter(|user| !user.is_empty());
        let password = password.or_else(|| {
            let encoded = url.expose().password()?;
            let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
            Some(Secret::new(decoded))
        });
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(port),
            user,
            password,
            tls: tls.then(|| Tls {
                authorities,
                config: OnceLock::new(),
            }),
            name,
        })
    }

    /// Connects. Takes as long as the network does: the caller sets the limit.
    pub(super) async fn dial(&self) -> Result<Box<dyn Stream>, Error> {
        let away =
            |error: &std::io::Error| {
                self.error(
                Kind::Unreachable,
                &format!("it can't be reached at {}:{}: {error}", self.host, self.port),
                "it will be tried again; check the address, the network and that the server runs",
            )
            };
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| away(&error))?;
        // Acks are small and waited for.
        stream.set_nodelay(true).map_err(|error| away(&error))?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let config = self.tls_config(tls)?;
        let name = ServerName::try_from(self.host.clone()).map_err(|_| {
            self.error(
                Kind::Untrusted,
                "its name can't stand in a certificate",
                "write the host as its certificate has it",
            )
        })?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| self.handshake(&error))?;
        Ok(Box::new(stream))
    }

    fn tls_config(&self, tls: &Tls) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = tls.config.get() {
            return Ok(Arc::clone(config));
        }
        let roots = flow_trust::roots(tls.authorities.as_deref()).map_err(|why| {
            let file = tls.authorities.as_deref().unwrap_or(Path::new(""));
            self.error(
                Kind::Untrusted,
                &format!(
                    "the authorities in `{}` can't be used: {why}",
                    file.display()
                ),
                "name a readable file with certificates in PEM",
            )
        })?;
        let config = flow_trust::client_config(roots);
        Ok(Arc::clone(tls.config.get_or_init(|| Arc::new(config))))
    }

    fn handshake(&self, error: &std::io::Error) -> Error {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(why)) => self.error(
                Kind::Untrusted,
                &format!("its certificate can't be trusted: {why}"),
                "if an authority of your own signed it, name that authority's certificate in `caFile`",
            ),
            Some(rustls::Error::InvalidMessage(_)) => self.error(
                Kind::Untrusted,
                "it does not speak TLS on this port",
                "use its TLS port (8883 as a rule), or `mqtt://` if the network may be trusted",
            ),
            _ => self.error(
                Kind::Unreachable,
                &format!("the TLS handshake failed: {error}"),
                "it will be tried again; check that the port speaks TLS from the start",
            ),
        }
    }

    /// An error before anything was sent.
    pub(super) fn error(&self, kind: Kind, what: &str, advice: &str) -> Error {
        Error::new(
            kind,
            format!("`{self}`: {what}; nothing was sent or acknowledged; {advice}"),
        )
    }
}
