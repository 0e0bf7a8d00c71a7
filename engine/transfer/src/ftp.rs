//! FTP, and FTP over TLS: connecting and logging in.
//!
//! | Option of the credential | What |
//! | --- | --- |
//! | `passive`, `active` | who opens data connections: we (the default) or the server |
//! | `binary`, `ascii` | contents as they are (the default), or ends of lines converted |
//! | `ssl`, `tls` | TLS on the connection after `AUTH TLS`, as `ftps:` has it |
//! | `implicit_ftps` | TLS from the first byte, on port 990 where the URL names none |
//!
//! With TLS, data connections are always encrypted too (`PROT P`): `prot_p` is accepted and changes
//! nothing. They resume the TLS session of their control connection, as strict servers demand.
//!
//! Deliberately not done: file names in anything but UTF-8, `inflight: umask` (FTP has no way to create
//! a file nobody may read), links.

mod failure;
mod listing;
mod session;
mod text;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_config::Credential;
use jiff::tz::TimeZone;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use suppaftp::tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, AsyncTlsConnector};
use suppaftp::{FtpError, FtpResult, Mode, Status};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::session::Session;
use crate::{Error, Protocol, Remote, Settings, Site, Tls, client_config, tls};

/// What FTP expects of those who have no account.
const ANONYMOUS: (&str, &str) = ("anonymous", "anonymous@");

/// The protocol.
#[derive(Debug, Clone)]
pub struct Ftp {
    tls: Tls,
    timeout: Duration,
    timezone: TimeZone,
}

impl Ftp {
    /// With what the flow says about certificates, time and zones.
    pub fn new(settings: &Settings) -> Self {
        Self {
            tls: settings.tls.clone(),
            timeout: settings.timeout,
            timezone: settings.timezone.clone(),
        }
    }
}

/// What a credential says about how to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    tls: Option<Start>,
    active: bool,
    ascii: bool,
}

/// When TLS starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// After `AUTH TLS`.
    Asked,
    /// At once.
    AtOnce,
}

impl Manner {
    fn of(site: &Site, credential: Option<&Credential>) -> Result<Self, Error> {
        let has = |name: &str| credential.is_some_and(|found| found.option(name).is_some());
        let either = |one: &str, other: &str| match (has(one), has(other)) {
            (true, true) => Err(Error::config(format!(
                "the line for `{site}` in credentials.conf says both `{one}` and `{other}`"
            ))),
            (found, _) => Ok(found),
        };
        let wants_tls = site.scheme == "ftps" || has("ssl") || has("tls");
        let tls = if has("implicit_ftps") || (wants_tls && site.port == Some(990)) {
            Some(Start::AtOnce)
        } else {
            wants_tls.then_some(Start::Asked)
        };
        Ok(Self {
            tls,
            active: either("active", "passive")?,
            ascii: either("ascii", "binary")?,
        })
    }
}

#[async_trait]
impl Protocol for Ftp {
    fn schemes(&self) -> &'static [&'static str] {
        &["ftp", "ftps"]
    }

    fn has_home(&self) -> bool {
        true
    }

    async fn connect(
        &self,
        site: &Site,
        credential: Option<&Credential>,
    ) -> Result<Box<dyn Remote>, Error> {
        let manner = Manner::of(site, credential)?;
        let mut ftp = self.reach(site, manner).await?;
        let (user, password) = match credential {
            Some(found) if !found.user.is_empty() => {
                let password = found.password.as_ref().map_or("", |secret| secret.expose());
                (found.user.as_str(), password)
            }
            _ => ANONYMOUS,
        };
        let what = format!("logging in to `{site}`");
        ftp.login(user, password)
            .await
            .map_err(|error| failure::of(error, &what))?;
        // Without the format some servers don't know: `TYPE A N` is the same.
        let kind = if manner.ascii { "TYPE A" } else { "TYPE I" };
        ftp.custom_command(kind, &[Status::CommandOk])
            .await
            .map_err(|error| failure::of(error, &what))?;
        // A server without FEAT has none.
        let features = match ftp.feat().await {
            Ok(features) => features,
            Err(FtpError::UnexpectedResponse(_) | FtpError::BadResponse) => Default::default(),
            Err(error) => return Err(failure::of(error, &what)),
        };
        if features.contains_key("UTF8") {
            let spoken = [Status::CommandOk, Status::CommandNotImplemented];
            match ftp.custom_command("OPTS UTF8 ON", &spoken).await {
                // Those who always speak UTF-8 may say that there is nothing to switch on.
                Ok(_) | Err(FtpError::UnexpectedResponse(_)) => {}
                Err(error) => return Err(failure::of(error, &what)),
            }
        }
        let home = ftp
            .pwd()
            .await
            .map_err(|error| failure::of(error, &format!("asking `{site}` where one is")))?;
        let zone = self.timezone.clone();
        Ok(Box::new(Session::new(
            ftp,
            &features,
            &home,
            manner.ascii,
            zone,
        )))
    }
}

impl Ftp {
    /// A connection nobody is logged in to yet.
    async fn reach(&self, site: &Site, manner: Manner) -> Result<AsyncRustlsFtpStream, Error> {
        let host = site
            .host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let usual = match manner.tls {
            Some(Start::AtOnce) => 990,
            _ => 21,
        };
        let address = (host.as_str(), site.port.unwrap_or(usual));
        let connector = match manner.tls {
            Some(_) => Some(Connector::new(client_config(&self.tls)?)),
            None => None,
        };
        let fail = |error| match error {
            FtpError::ConnectionError(error) => {
                Error::temporary(format!("no connection to `{site}`: {error}"))
            }
            FtpError::SecureError(why) => Error::temporary(format!(
                "no safe connection to `{site}`: {}",
                failure::plain(&why)
            )),
            error => failure::of(error, &format!("greeting `{site}`")),
        };
        let ftp = match (manner.tls, connector) {
            (Some(Start::AtOnce), Some(connector)) => {
                let mut ftp =
                    AsyncRustlsFtpStream::connect_secure_implicit(address, connector, &host)
                        .await
                        .map_err(fail)?;
                for command in ["PBSZ 0", "PROT P"] {
                    ftp.custom_command(command, &[Status::CommandOk])
                        .await
                        .map_err(fail)?;
                }
                ftp
            }
            (_, connector) => {
                let ftp = AsyncRustlsFtpStream::connect(address).await.map_err(fail)?;
                match connector {
                    Some(connector) => ftp.into_secure(connector, &host).await.map_err(fail)?,
                    None => ftp,
                }
            }
        };
        let peer = {
            let socket = ftp.get_ref().await;
            // Commands are small and each waits for its reply.
            let _ = socket.set_nodelay(true);
            socket.peer_addr()
        };
        let mut ftp = match manner.active {
            true => ftp.active_mode(self.timeout),
            false => ftp,
        };
        if !manner.active && peer.is_ok_and(|peer| peer.is_ipv6()) {
            ftp.set_mode(Mode::ExtendedPassive);
        }
        // The address in a PASV reply is often one of behind a router, or somebody else's.
        ftp.set_passive_nat_workaround(true);
        Ok(ftp)
    }
}

/// Starts TLS; the sessions of one control connection are its own.
struct Connector(TlsConnector);

impl Connector {
    fn new(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::in_memory_sessions(16);
        Self(TlsConnector::from(Arc::new(config)))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

#[async_trait]
impl AsyncTlsConnector for Connector {
    type Stream = AsyncRustlsStream;

    async fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<Self::Stream> {
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|error| FtpError::SecureError(error.to_string()))?;
        let connected = self.0.connect(name, stream).await;
        connected.map(AsyncRustlsStream::from).map_err(|error| {
            let why = tls::explain(&error);
            FtpError::SecureError(why.unwrap_or_else(|| error.to_string()))
        })
    }
}
