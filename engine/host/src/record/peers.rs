//! Connections and requests, real and written down.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Instance, content, form};
use crate::outside::{Failed, HttpRequest, HttpResponse, Outside, Peer};
use crate::upload::Upload;

/// Fields of a JSON answer that are credentials.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

pub(super) struct Recorded {
    real: Arc<dyn Outside>,
    instance: Arc<Instance>,
}

impl Recorded {
    pub(super) fn new(real: Arc<dyn Outside>, instance: &Arc<Instance>) -> Self {
        Self {
            real,
            instance: Arc::clone(instance),
        }
    }

    /// Credentials the far side hands out: cookies and tokens.
    fn learn(&self, response: &HttpResponse) {
        let scrubber = self.instance.scrubber();
        for (name, value) in &response.headers {
            if name.eq_ignore_ascii_case("set-cookie")
                && let Some((_, value)) = value.split(';').next().and_then(|c| c.split_once('='))
            {
                scrubber.stand_in(value.trim());
            }
        }
        if let Ok(Value::Object(body)) = serde_json::from_slice(&response.body) {
            for name in TOKENS {
                if let Some(token) = body.get(name).and_then(Value::as_str) {
                    scrubber.stand_in(token);
                }
            }
        }
    }
}

#[async_trait]
impl Outside for Recorded {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Peer>, Failed> {
        let what = |end: Value| {
            let mut line = json!({ "connect": format!("{host}:{port}"), "tls": tls });
            super::add(&mut line, end);
            self.instance.note(line);
        };
        let guard = Dropped::new(|| what(json!({ "interrupted": true })));
        let connected = self.real.connect(host, port, tls).await;
        guard.done();
        match connected {
            Ok(peer) => {
                let number = self.instance.streams.fetch_add(1, Ordering::Relaxed) + 1;
                what(json!({ "stream": number }));
                Ok(Box::new(RecordedPeer {
                    peer,
                    number,
                    instance: Arc::clone(&self.instance),
                }))
            }
            Err(failed) => {
                what(json!({ "fails": form::failed(&failed) }));
                Err(failed)
            }
        }
    }

    async fn http(
        &self,
        request: HttpRequest,
        upload: Option<Upload>,
    ) -> Result<HttpResponse, Failed> {
        let sent = Arc::new(Mutex::new(Sent::default()));
        lock(&sent).add(&request.body);
        let upload = upload.map(|upload| {
            let sent = Arc::clone(&sent);
            upload.seen_by(move |data| lock(&sent).add(data))
        });
        let (method, url) = (request.method.clone(), request.url.clone());
        let headers = request.headers.clone();
        // How far an upload came is known in the end only.
        let asked = || {
            let sent = lock(&sent);
            json!({
                "method": method,
                "url": url,
                "headers": headers,
                "body": form::bytes(&self.instance.scrubber().clean(&sent.beginning)),
                "size": sent.size,
            })
        };
        let guard = Dropped::new(|| {
            let given_up = json!({ "http": asked(), "fails": { "interrupted": true } });
            self.instance.note(given_up);
        });
        let answer = self.real.http(request, upload).await;
        guard.done();
        let mut line = json!({ "http": asked() });
        match &answer {
            Ok(response) => {
                self.learn(response);
                line["gives"] = json!({
                    "status": response.status,
                    "headers": response.headers,
                    "body": form::bytes(&self.instance.scrubber().clean(&response.body)),
                });
            }
            Err(failed) => line["fails"] = form::failed(failed),
        }
        self.instance.note(line);
        answer
    }
}

/// What went out as a body: what is kept of it, and how much it was.
#[derive(Default)]
struct Sent {
    beginning: Vec<u8>,
    size: u64,
}

impl Sent {
    fn add(&mut self, data: &[u8]) {
        let room = (content::MOST as usize).saturating_sub(self.beginning.len());
        self.beginning
            .extend_from_slice(&data[..data.len().min(room)]);
        self.size += data.len() as u64;
    }
}

fn lock(sent: &Mutex<Sent>) -> MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

struct RecordedPeer {
    peer: Box<dyn Peer>,
    number: u64,
    instance: Arc<Instance>,
}

impl RecordedPeer {
    fn note(&self, what: Value) {
        self.instance.flush_stream(self.number);
        let mut line = json!({ "stream": self.number });
        super::add(&mut line, what);
        self.instance.note(line);
    }
}

#[async_trait]
impl Peer for RecordedPeer {
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed> {
        let (number, instance) = (self.number, Arc::clone(&self.instance));
        let guard = Dropped::new(move || {
            instance.flush_stream(number);
            instance.note(json!({ "stream": number, "fails": { "interrupted": true } }));
        });
        let read = self.peer.read(max).await;
        guard.done();
        match &read {
            Ok(data) if data.is_empty() => self.note(json!({ "closed": true })),
            Ok(data) => self.instance.went(self.number, "read", data),
            Err(failed) => self.note(json!({ "fails": form::failed(failed) })),
        }
        read
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failed> {
        self.instance.went(self.number, "wrote", data);
        let written = self.peer.write(data).await;
        if let Err(failed) = &written {
            self.note(json!({ "writeFails": form::failed(failed) }));
        }
        written
    }

    async fn start_tls(&mut self) -> Result<(), Failed> {
        let secured = self.peer.start_tls().await;
        match &secured {
            Ok(()) => self.note(json!({ "startTls": true })),
            Err(failed) => self.note(json!({ "startTls": false, "fails": form::failed(failed) })),
        }
        secured
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.peer.set_timeout(timeout);
    }
}

impl Drop for RecordedPeer {
    fn drop(&mut self) {
        self.instance.flush_stream(self.number);
    }
}

/// Does something if it is dropped before [`done`](Self::done): a wait was given up.
struct Dropped<F: FnMut()>(Option<F>);

impl<F: FnMut()> Dropped<F> {
    fn new(what: F) -> Self {
        Self(Some(what))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl<F: FnMut()> Drop for Dropped<F> {
    fn drop(&mut self) {
        if let Some(mut what) = self.0.take() {
            what();
        }
    }
}
