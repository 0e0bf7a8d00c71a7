//! The HTTP clients of a process: pooled connections, whom they trust, and where they may lead.
//!
//! Two kinds of client, which share no connections: one for hosts the flow wrote itself, which may be
//! anywhere, and a guarded one for hosts only a wildcard allows, which does not dial addresses of this
//! machine or of its networks. The check is made on the addresses that are dialled, not on a look-up
//! before. Clients follow no redirects: what may be reached is decided hop by hop, by the caller.
//!
//! # Invariants
//! - Flows share connections only where they trust the same authorities, or the same certificates.
//! - No connection to a private address is made for a name that nobody wrote down.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_config::Proxies;
use flow_trust::Pin;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::tls::Trust;

/// The longest a connect may take; a request as a whole has its own time limit.
const CONNECT: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(50);
/// What a request says it comes from, unless the guest says otherwise.
const USER_AGENT: &str = concat!("flow/", env!("CARGO_PKG_VERSION"));

/// The hosts of the proxies themselves.
fn hosts(proxies: &Proxies) -> Vec<String> {
    let urls = [&proxies.http, &proxies.https].into_iter().flatten();
    urls.filter_map(|url| reqwest::Url::parse(url).ok())
        .filter_map(|url| url.host_str().map(str::to_ascii_lowercase))
        .collect()
}

/// Whose connections a client may use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    ca_file: Option<PathBuf>,
    pins: Vec<Pin>,
    guarded: bool,
}

/// The clients made so far.
#[derive(Debug, Default)]
pub(crate) struct Web {
    proxies: Proxies,
    clients: Mutex<HashMap<Key, Client>>,
}

impl Web {
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self {
            proxies,
            clients: Mutex::default(),
        }
    }

    /// The client for flows that trust as `trust` does; `guarded`, it keeps off private addresses.
    ///
    /// # Errors
    /// `caFile` can't be read, or a proxy is none; the text says so.
    pub(crate) fn client(&self, trust: &Trust, guarded: bool) -> Result<Client, String> {
        let key = Key {
            ca_file: trust.ca_file().cloned(),
            pins: trust.pins().to_vec(),
            guarded,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.make(trust, guarded)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn make(&self, trust: &Trust, guarded: bool) -> Result<Client, String> {
        let mut tls = rustls::ClientConfig::clone(&*trust.config()?);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .tcp_keepalive(Duration::from_secs(60))
            .pool_idle_timeout(IDLE)
            .connect_timeout(CONNECT)
            .no_proxy();
        if guarded {
            let exempt = hosts(&self.proxies);
            builder = builder.dns_resolver(Arc::new(Guard { exempt }));
        }
        let exceptions = || reqwest::NoProxy::from_string(&self.proxies.none);
        let wrong = |which: &str| {
            format!(
                "the proxy for `{which}`, from the environment (`{which}_proxy`, `all_proxy`), is no URL"
            )
        };
        if let Some(proxy) = &self.proxies.http {
            let proxy = reqwest::Proxy::http(proxy).map_err(|_| wrong("http"))?;
            builder = builder.proxy(proxy.no_proxy(exceptions()));
        }
        if let Some(proxy) = &self.proxies.https {
            let proxy = reqwest::Proxy::https(proxy).map_err(|_| wrong("https"))?;
            builder = builder.proxy(proxy.no_proxy(exceptions()));
        }
        builder
            .build()
            .map_err(|error| format!("no HTTP client can be made: {error}"))
    }
}

/// A name leads to an address of this machine or of its networks, and nobody wrote the name down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host name `{host}` leads to `{address}`, an address of this machine or its networks")]
pub(crate) struct Private {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

impl Private {
    /// Whether this is why something failed.
    pub(crate) fn of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|error| error.downcast_ref::<Self>())
    }
}

/// An error and what it comes from. What is inside an I/O error counts, which `source` passes over.
pub(crate) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> + Clone {
    std::iter::successors(Some(error), |error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        }
    })
}

/// Resolves names, and leaves out what must not be dialled.
#[derive(Debug)]
struct Guard {
    /// Proxies may be where they like.
    exempt: Vec<String>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let exempt = self
            .exempt
            .iter()
            .any(|own| own.eq_ignore_ascii_case(&host));
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let (private, public): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|address| !exempt && is_private(address.ip()));
            match (public.is_empty(), private.first()) {
                (true, Some(address)) => Err(Private {
                    host,
                    address: address.ip(),
                }
                .into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is of this machine, of its networks, or of none that others can reach.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        // Shared by carriers, for protocol assignments, for benchmarks, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // An IPv4 address in another form: mapped, compatible, by NAT64 or 6to4.
    let [.., a, b, c, d] = address.octets();
    let inner = match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] if !address.is_loopback() => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    };
    inner.is_some_and(is_private_v4)
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Site-local, which is no more, and documentation.
        || segments[0] & 0xffc0 == 0xfec0
        || (segments[0] == 0x2001 && segments[1] == 0xdb8)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use reqwest::dns::{Name, Resolve as _};

    use super::{Guard, Private, is_private};

    #[tokio::test]
    async fn names_that_lead_here_are_not_dialled() {
        let name = || Name::from_str("localhost").expect("a name");
        let guard = Guard { exempt: Vec::new() };
        let refused = guard.resolve(name()).await.err().expect("it is refused");
        let found = Private::of(&*refused).expect("that is why");
        assert_eq!(found.host, "localhost");
        assert!(found.address.is_loopback());
        let proxy = Guard {
            exempt: vec!["localhost".into()],
        };
        assert!(proxy.resolve(name()).await.expect("addresses").count() > 0);
    }

    #[test]
    fn addresses_of_ones_own_networks_are_private_in_every_form() {
        for (text, expected) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("93.184.216.34", false),
            ("::1", true),
            ("::", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:93.184.216.34", false),
            ("64:ff9b::a00:1", true),
            ("2002:7f00:1::", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("fec0::1", true),
            ("2606:2800:220:1::1", false),
        ] {
            let address = text.parse().expect("an address");
            assert_eq!(is_private(address), expected, "{text}");
        }
    }

    #[test]
    fn the_reason_is_found_below_others() {
        let private = Private {
            host: "a.example".into(),
            address: "127.0.0.1".parse().expect("an address"),
        };
        let outer = std::io::Error::other(private.clone());
        assert_eq!(Private::of(&outer), Some(&private));
        assert_eq!(Private::of(&private), Some(&private));
    }
}
