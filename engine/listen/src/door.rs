//! Listening addresses: each is bound once in a process, whatever number of flows is behind it.
//!
//! A flow has a path of its own. The longest path that fits a request wins. An address is given up when
//! the last flow behind it goes.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_runtime::ports::Failure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Route, serve};

/// How often, and how long apart, an address is tried that something still has that is ending.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// How long connections may take to end once nobody is behind an address any more.
const FAREWELL: Duration = Duration::from_secs(5);

/// A certificate, PEM, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those between it and its authority.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where a flow listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A host name or an address.
    pub host: String,
    /// The port; 0: any that is free.
    pub port: u16,
    /// Without a slash at its end.
    pub path: String,
    /// For HTTPS.
    pub tls: Option<Tls>,
}

/// By host, in lower case, and port.
type Sites = HashMap<(String, u16), Arc<Site>>;

/// The listening addresses of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Doors {
    sites: Arc<Mutex<Sites>>,
}

/// An address and who is behind it.
pub(crate) struct Site {
    tls: Option<Tls>,
    routes: Mutex<Vec<Arc<Route>>>,
    ending: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    address: String,
}

impl Site {
    fn routes(&self) -> MutexGuard<'_, Vec<Arc<Route>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who answers requests for `path`.
    pub(crate) fn route(&self, path: &str) -> Option<Arc<Route>> {
        let routes = self.routes();
        let fits = routes.iter().filter(|route| route.below(path).is_some());
        fits.max_by_key(|route| route.path.len()).map(Arc::clone)
    }

    /// Completes when nobody is behind the address any more.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        // An error means that the site is gone.
        let _ = ending.wait_for(|ending| *ending).await;
    }
}

/// A flow's place behind an address; given up when dropped.
pub(crate) struct Door {
    doors: Doors,
    key: (String, u16),
    site: Arc<Site>,
    route: Arc<Route>,
}

impl Doors {
    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a place for `route`.
    pub(crate) async fn open(&self, place: &Place, route: Arc<Route>) -> Result<Door, Failure> {
        let key = (place.host.to_ascii_lowercase(), place.port);
        if let Some(door) = self.join(place, &key, &route)? {
            return Ok(door);
        }
        let acceptor = match &place.tls {
            Some(tls) => Some(acceptor(tls)?),
            None => None,
        };
        for _ in 0..TRIES {
            match TcpListener::bind((place.host.as_str(), place.port)).await {
                Ok(listener) => {
                    // Another flow may have bound it just now, if any port would do.
                    return Ok(self.found(place, key, listener, acceptor, route));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(PAUSE).await;
                    if let Some(door) = self.join(place, &key, &route)? {
                        return Ok(door);
                    }
                }
                Err(error) => return Err(unusable(place, &error.to_string())),
            }
        }
        Err(unusable(place, "another program listens there"))
    }

    /// Joins the flows behind an address.
    fn join(
        &self,
        place: &Place,
        key: &(String, u16),
        route: &Arc<Route>,
    ) -> Result<Option<Door>, Failure> {
        let sites = self.sites();
        let Some(site) = sites.get(key).filter(|_| place.port != 0) else {
            return Ok(None);
        };
        if site.tls != place.tls {
            return Err(unusable(
                place,
                "another flow listens there with another certificate, or without TLS",
            ));
        }
        let mut routes = site.routes();
        if routes.iter().any(|other| other.path == route.path) {
            return Err(unusable(
                place,
                "another flow listens there at the same path",
            ));
        }
        routes.push(Arc::clone(route));
        drop(routes);
        Ok(Some(Door {
            doors: self.clone(),
            key: key.clone(),
            site: Arc::clone(site),
            route: Arc::clone(route),
        }))
    }

    fn found(
        &self,
        place: &Place,
        key: (String, u16),
        listener: TcpListener,
        acceptor: Option<tokio_rustls::TlsAcceptor>,
        route: Arc<Route>,
    ) -> Door {
        let address = listener
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default();
        let site = Arc::new(Site {
            tls: place.tls.clone(),
            routes: Mutex::new(vec![Arc::clone(&route)]),
            ending: watch::Sender::new(false),
            task: Mutex::default(),
            address,
        });
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&site)));
        *site.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        if place.port != 0 {
            self.sites().insert(key.clone(), Arc::clone(&site));
        }
        Door {
            doors: self.clone(),
            key,
            site,
            route,
        }
    }
}

impl Door {
    /// The address that was bound.
    pub(crate) fn address(&self) -> &str {
        &self.site.address
    }

    /// Gives the place up. If it was the last one, waits a while for connections to end.
    pub(crate) async fn close(self) {
        let site = Arc::clone(&self.site);
        drop(self);
        if !*site.ending.borrow() {
            return;
        }
        let task = site
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            let _ = tokio::time::timeout(FAREWELL, task).await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut sites = self.doors.sites();
        let mut routes = self.site.routes();
        routes.retain(|other| !Arc::ptr_eq(other, &self.route));
        if routes.is_empty() {
            if sites
                .get(&self.key)
                .is_some_and(|site| Arc::ptr_eq(site, &self.site))
            {
                sites.remove(&self.key);
            }
            self.site.ending.send_replace(true);
        }
    }
}

fn unusable(place: &Place, why: &str) -> Failure {
    let (host, port) = (&place.host, place.port);
    Failure::temporary(format!("the flow can't listen at `{host}:{port}`: {why}"))
}

/// Reads a certificate and its key.
fn acceptor(tls: &Tls) -> Result<tokio_rustls::TlsAcceptor, Failure> {
    let wrong = |option: &str, file: &std::path::Path, why: String| {
        Failure::Config(format!("`{option}` {}: {why}", file.display()))
    };
    let of_cert = |why| wrong("tlsCert", &tls.cert, why);
    let of_key = |why| wrong("tlsKey", &tls.key, why);
    let pem = std::fs::read(&tls.cert).map_err(|error| of_cert(error.to_string()))?;
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| of_cert(format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(of_cert("there is no certificate in it".into()));
    }
    let pem = std::fs::read(&tls.key).map_err(|error| of_key(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| of_key("there is no private key in it that can be read".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions rustls has")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| of_key(format!("it does not go with the certificate: {error}")))?;
    Ok(tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}
