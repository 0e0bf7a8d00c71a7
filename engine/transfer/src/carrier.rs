//! What all lanes of a flow share: settings, protocols, credentials, the byte budget, and the
//! connections that are idle.
//!
//! A connection is taken for one item, used, and given back if it is still good; the next item for
//! the same site takes it again, whatever lane it is in. Nothing is told to a server when idle
//! connections are dropped after [`IDLE_MAX`]: the next housekeeping says goodbye properly.

use std::collections::HashMap;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_config::SafeUrl;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::sink::Disk;
use crate::{
    Access, Download, Error, Kind, Poll, PollOptions, Protocol, Remote, Settings, Site, Throttle,
    Upload, azure, file, ftp, http, s3, sftp,
};

/// A connection nobody has used for so long is not used again: servers close theirs after a minute
/// or more, and a request that meets that moment is lost.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// Makes the transfers and polls of one flow. Cheap to clone.
#[derive(Clone)]
pub struct Carrier {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    protocols: Vec<Arc<dyn Protocol>>,
    access: Arc<dyn Access>,
    throttle: Arc<Throttle>,
    disk: Arc<Disk>,
    /// One for each transfer that may be under way.
    permits: Arc<Semaphore>,
    idle: Mutex<HashMap<Site, Vec<Idle>>>,
}

struct Idle {
    remote: Box<dyn Remote>,
    since: Instant,
}

impl Carrier {
    /// With the protocols of this crate: `file`, `http`, `https`, `ftp`, `ftps`,
    /// `sftp` and its other names, `s3`, `gs`, `azure`.
    pub fn new(settings: Settings, access: Arc<dyn Access>) -> Self {
        let protocols: Vec<Arc<dyn Protocol>> = vec![
            Arc::new(file::Local::new(settings.fsync)),
            Arc::new(http::Http::new(&settings)),
            Arc::new(ftp::Ftp::new(&settings)),
            Arc::new(sftp::Sftp::new(&settings)),
            Arc::new(s3::S3::new(&settings)),
            Arc::new(azure::Azure::new(&settings)),
        ];
        let throttle = Arc::new(Throttle::new(settings.byte_rate_max));
        let permits = Arc::new(Semaphore::new(settings.overlap.max(1)));
        let inner = Inner {
            settings,
            protocols,
            access,
            throttle,
            disk: Arc::default(),
            permits,
            idle: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The same with one more protocol, which comes before those that claim the same schemes. To be
    /// called before anything is made of it: what was made keeps what it had.
    #[must_use]
    pub fn with(self, protocol: Arc<dyn Protocol>) -> Self {
        let mut protocols = self.inner.protocols.clone();
        protocols.insert(0, protocol);
        let inner = Inner {
            settings: self.inner.settings.clone(),
            protocols,
            access: Arc::clone(&self.inner.access),
            throttle: Arc::clone(&self.inner.throttle),
            disk: Arc::clone(&self.inner.disk),
            permits: Arc::clone(&self.inner.permits),
            idle: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// A callback that fetches what messages announce, for one lane.
    ///
    /// It claims `schemes`; without any, all it has a protocol for except `file`, which the loop
    /// copies itself.
    pub fn downloader(&self, schemes: &[&str]) -> Download {
        Download::new(self.clone(), self.claimed(schemes))
    }

    /// A callback that delivers content to `send_to`, for one lane.
    ///
    /// # Errors
    /// `Config` when no protocol can do that.
    pub fn uploader(&self, send_to: &SafeUrl) -> Result<Upload, Error> {
        self.protocol(send_to.scheme())
            .map_err(|error| Error::config(error.to_string()))?;
        Upload::new(self.clone(), send_to)
    }

    /// A callback that lists `poll_url` and announces what is there.
    ///
    /// # Errors
    /// `Config` when no protocol can do that or a path is not safe.
    pub fn poll(&self, poll_url: &SafeUrl, options: PollOptions) -> Result<Poll, Error> {
        self.protocol(poll_url.scheme())
            .map_err(|error| Error::config(error.to_string()))?;
        Poll::new(self.clone(), poll_url, options)
    }

    /// The schemes there is a protocol for.
    pub fn schemes(&self) -> Vec<String> {
        let all = self.inner.protocols.iter().flat_map(|p| p.schemes());
        all.map(|scheme| (*scheme).to_owned()).collect()
    }

    fn claimed(&self, wanted: &[&str]) -> Vec<String> {
        if wanted.is_empty() {
            let mut all = self.schemes();
            all.retain(|scheme| scheme != "file");
            return all;
        }
        wanted.iter().map(|scheme| (*scheme).to_owned()).collect()
    }

    /// What the flow says.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Whether the flow itself names the server of `url`.
    pub(crate) fn is_own(&self, url: &str) -> bool {
        let host = |url: &SafeUrl| {
            let host = url.host().map(str::to_ascii_lowercase);
            (host, url.expose().port_or_known_default())
        };
        let own = &self.inner.settings.own_urls;
        SafeUrl::parse(url).is_ok_and(|url| own.iter().any(|own| host(own) == host(&url)))
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.inner.disk
    }

    pub(crate) fn throttle(&self) -> &Arc<Throttle> {
        &self.inner.throttle
    }

    pub(crate) fn permits(&self) -> &Arc<Semaphore> {
        &self.inner.permits
    }

    pub(crate) fn protocol(&self, scheme: &str) -> Result<&Arc<dyn Protocol>, Error> {
        let serves = |p: &&Arc<dyn Protocol>| p.schemes().contains(&scheme);
        self.inner.protocols.iter().find(serves).ok_or_else(|| {
            Error::permanent(format!(
                "no transfer of this version knows `{scheme}:` URLs"
            ))
        })
    }

    /// Limits one step: nothing may take longer than `timeout` without anything moving.
    pub(crate) async fn bounded<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.inner.settings.timeout;
        match timeout(limit, step).await {
            Ok(done) => done,
            Err(_) => Err(Error::broken(format!(
                "{what}: nothing happened for {limit:?} (`timeout`)"
            ))),
        }
    }

    /// A connection to `site`: an idle one, or a new one.
    ///
    /// # Errors
    /// As [`Protocol::connect`].
    pub async fn connect(&self, site: &Site) -> Result<Connection, Error> {
        let kept = self.take_idle(site);
        let remote = match kept {
            Some(remote) => remote,
            None => self.connect_new(site).await?,
        };
        Ok(Connection {
            remote: Some(remote),
            site: site.clone(),
            carrier: self.clone(),
        })
    }

    async fn connect_new(&self, site: &Site) -> Result<Box<dyn Remote>, Error> {
        let protocol = self.protocol(&site.scheme)?;
        let step = async {
            let url = site.url()?;
            let credential = self.inner.access.credential(&url).await?;
            if credential.is_none() && !site.user.is_empty() {
                // Not `Config`: a message may name any site and user, and must not stop the flow.
                return Err(Error::temporary(format!(
                    "no credentials for `{site}`: {}",
                    self.inner.access.hint(&url)
                )));
            }
            protocol.connect(site, credential.as_ref()).await
        };
        let connected = self.bounded(&format!("connecting to `{site}`"), step).await;
        connected.map_err(|error| match error.kind() {
            // There is nothing to go on with; the next try is the loop's.
            Kind::Broken => Error::temporary(error.to_string()),
            _ => error,
        })
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Site, Vec<Idle>>> {
        self.inner
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self, site: &Site) -> Option<Box<dyn Remote>> {
        let mut idle = self.idle();
        let kept = idle.get_mut(site)?.pop()?;
        // The last given back is the youngest: where it is too old, all are.
        (kept.since.elapsed() < IDLE_MAX).then_some(kept.remote)
    }

    fn keep(&self, site: Site, remote: Box<dyn Remote>) {
        let since = Instant::now();
        self.idle()
            .entry(site)
            .or_default()
            .push(Idle { remote, since });
    }

    /// Closes connections nobody has used for a while; all of them at the end.
    pub(crate) async fn close_idle(&self, all: bool) {
        let mut old = Vec::new();
        {
            let mut idle = self.idle();
            for kept in idle.values_mut() {
                let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(kept)
                    .into_iter()
                    .partition(|kept| !all && kept.since.elapsed() < IDLE_MAX);
                *kept = stay;
                old.extend(go);
            }
            idle.retain(|_, kept| !kept.is_empty());
        }
        for mut kept in old {
            // A goodbye that is not heard is none: never wait for long.
            let _ = timeout(Duration::from_secs(1), kept.remote.close()).await;
        }
    }
}

/// A connection in use. Dropped, it is thrown away; [`done`](Self::done) keeps it for the next.
pub struct Connection {
    remote: Option<Box<dyn Remote>>,
    site: Site,
    carrier: Carrier,
}

impl Connection {
    /// Gives it back, if it is good for more.
    pub fn done(mut self) {
        if let Some(remote) = self.remote.take()
            && remote.is_usable()
        {
            self.carrier.keep(self.site.clone(), remote);
        }
    }
}

impl Deref for Connection {
    type Target = dyn Remote;

    fn deref(&self) -> &Self::Target {
        &**self.remote.as_ref().expect("it is here until it is done")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut **self.remote.as_mut().expect("it is here until it is done")
    }
}
