//! The peers of a trial: each request and each connection it expects, once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_host::{Failed, HttpRequest, HttpResponse, Outside, Peer, Upload};
use flow_runtime::ports::Failure;

use super::case::{self, Answer, Dialled, Exchange, Turn};
use super::compare::{self, Difference};
use super::stage::lock;
use super::told;

/// Bytes of a streamed body that are held to be compared.
const LARGEST: usize = 16 << 20;

/// Everybody a plugin may talk to.
#[derive(Debug, Default)]
pub(super) struct Peers {
    http: Mutex<Vec<Exchange>>,
    connections: Mutex<Vec<Dialled>>,
    differences: Arc<Mutex<Vec<Difference>>>,
    /// The line of the step at hand.
    at: Arc<Mutex<usize>>,
}

impl Peers {
    pub(super) fn new(http: &[Exchange], connections: &[Dialled]) -> Arc<Self> {
        Arc::new(Self {
            http: Mutex::new(http.to_vec()),
            connections: Mutex::new(connections.to_vec()),
            ..Self::default()
        })
    }

    /// A step begins.
    pub(super) fn enter(&self, line: usize) {
        *lock(&self.at) = line;
    }

    /// What differed since it was last asked.
    pub(super) fn take(&self) -> Vec<Difference> {
        std::mem::take(&mut *lock(&self.differences))
    }

    /// What nobody asked for.
    pub(super) fn left(&self) -> Vec<Difference> {
        let http = lock(&self.http);
        let requests = http.iter().map(|exchange| {
            let what = format!("{} {}", exchange.method, exchange.url);
            Difference::missing(exchange.line, "this request was never made", what)
        });
        let connections = lock(&self.connections);
        let dialled = connections.iter().map(|dialled| {
            Difference::missing(
                dialled.line,
                "this connection was never made",
                dialled.to.clone(),
            )
        });
        requests.chain(dialled).collect()
    }

    fn differs(&self, difference: Difference) {
        lock(&self.differences).push(difference);
    }
}

/// What differs between a request and one that is expected.
fn differences(expected: &Exchange, request: &HttpRequest) -> Vec<Difference> {
    let mut found = Vec::new();
    if expected.method != request.method || !compare::text(&expected.url, &request.url) {
        found.push(Difference {
            line: expected.line,
            what: "the request".into(),
            expected: Some(format!("{} {}", expected.method, expected.url)),
            actual: Some(format!("{} {}", request.method, request.url)),
        });
    }
    for (name, value) in &expected.headers {
        let actual = request
            .headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        let what = format!("header `{name}` of the request");
        match actual {
            Some((_, actual)) => compare::node(value, &actual.as_str().into(), &what, &mut found),
            None => found.push(Difference::missing(
                value.line,
                &what,
                compare::shown(value),
            )),
        }
    }
    if let Some(body) = &expected.body {
        let actual = told::bytes(&request.body);
        // JSON may be written in many ways.
        let said = serde_json::from_slice::<serde_json::Value>(&request.body);
        match said {
            Ok(said) if body.text().is_none() => {
                compare::node(body, &said, "body of the request", &mut found);
            }
            _ => compare::node(body, &actual, "body of the request", &mut found),
        }
    }
    found
}

#[async_trait]
impl Outside for Peers {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Peer>, Failed> {
        let place = format!("{host}:{port}");
        let mut waiting = lock(&self.connections);
        let Some(index) = waiting
            .iter()
            .position(|dialled| dialled.to == place && dialled.tls == tls)
        else {
            let kind = if tls { " with TLS" } else { "" };
            self.differs(Difference::extra(
                *lock(&self.at),
                "a connection that the test does not know",
                format!("{place}{kind}"),
            ));
            return Err(Failure::temporary(format!(
                "nobody listens at {place}{kind} in this test"
            ))
            .into());
        };
        let dialled = waiting.remove(index);
        Ok(Box::new(Played {
            turns: dialled.script.into(),
            heard: Vec::new(),
            at: dialled.line,
            differences: Arc::clone(&self.differences),
        }))
    }

    async fn http(
        &self,
        mut request: HttpRequest,
        upload: Option<Upload>,
    ) -> Result<HttpResponse, Failed> {
        if let Some(upload) = upload {
            let (body, size) = upload.beginning(LARGEST).await?;
            if size > body.len() as u64 {
                let text =
                    format!("a test compares bodies up to 16 MiB, and this has {size} bytes");
                return Err(Failure::Permanent(text).into());
            }
            request.body = body;
        }
        let mut waiting = lock(&self.http);
        let found = waiting
            .iter()
            .position(|expected| differences(expected, &request).is_empty());
        if let Some(index) = found {
            return match waiting.remove(index).answer {
                Answer::Response {
                    status,
                    headers,
                    body,
                } => Ok(HttpResponse {
                    status,
                    headers,
                    body,
                }),
                Answer::Nothing(why) => Err(Failure::temporary(why).into()),
            };
        }
        // The one that was meant is that of the same method and URL; there it is shown what differs.
        let meant = waiting.iter().find(|expected| {
            expected.method == request.method && compare::text(&expected.url, &request.url)
        });
        match meant {
            Some(expected) => {
                for difference in differences(expected, &request) {
                    self.differs(difference);
                }
            }
            None => self.differs(Difference::extra(
                *lock(&self.at),
                "a request that the test does not know",
                format!("{} {}", request.method, request.url),
            )),
        }
        Err(Failure::temporary(format!(
            "nothing answers {} {} in this test",
            request.method, request.url
        ))
        .into())
    }
}

/// A peer that follows a script.
struct Played {
    turns: VecDeque<Turn>,
    /// What the plugin said and no turn was about yet.
    heard: Vec<u8>,
    at: usize,
    differences: Arc<Mutex<Vec<Difference>>>,
}

impl Played {
    /// Goes on as far as what was heard allows.
    fn listen(&mut self) {
        while let Some(Turn::Expect(line, expected)) = self.turns.front() {
            if expected.text().is_none() {
                // Not lines: as many bytes as are expected.
                let bytes = case::bytes(expected, "expect").unwrap_or_default();
                if self.heard.len() < bytes.len() {
                    return;
                }
                let said: Vec<u8> = self.heard.drain(..bytes.len()).collect();
                if said != bytes {
                    lock(&self.differences).push(Difference {
                        line: *line,
                        what: "said on the connection".into(),
                        expected: Some(compare::told(&told::bytes(&bytes))),
                        actual: Some(compare::told(&told::bytes(&said))),
                    });
                }
                self.at = *line;
                self.turns.pop_front();
                continue;
            }
            let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
                return;
            };
            let said: Vec<u8> = self.heard.drain(..=end).collect();
            let said = String::from_utf8_lossy(&said);
            let said = said.trim_end_matches(['\r', '\n']);
            let mut found = Vec::new();
            compare::node(expected, &said.into(), "said on the connection", &mut found);
            for mut difference in found {
                difference.line = *line;
                lock(&self.differences).push(difference);
            }
            self.at = *line;
            self.turns.pop_front();
        }
    }
}

#[async_trait]
impl Peer for Played {
    async fn read(&mut self, max: usize) -> Result<Vec<u8>, Failed> {
        self.listen();
        match self.turns.front_mut() {
            Some(Turn::Send(said)) => {
                let rest = said.split_off(max.min(said.len()));
                let now = std::mem::replace(said, rest);
                if said.is_empty() {
                    self.turns.pop_front();
                }
                Ok(now)
            }
            // The end of the script is the end of the connection.
            None => Ok(Vec::new()),
            Some(Turn::Expect(line, expected)) => {
                let said = String::from_utf8_lossy(&self.heard).into_owned();
                lock(&self.differences).push(Difference {
                    line: *line,
                    what: "the plugin waits, but it is its turn to speak".into(),
                    expected: Some(compare::shown(expected)),
                    actual: (!said.is_empty()).then_some(said),
                });
                Err(Failure::temporary("the peer of the test waits for something else").into())
            }
            Some(Turn::StartTls(line)) => {
                lock(&self.differences).push(Difference::missing(
                    *line,
                    "the plugin did not turn to TLS",
                    "starttls".to_owned(),
                ));
                Err(Failure::temporary("the peer of the test waits for TLS").into())
            }
        }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Failed> {
        self.heard.extend_from_slice(data);
        self.listen();
        // After the last turn a plugin may say goodbye; while the peer speaks it may talk ahead.
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Failed> {
        self.listen();
        match self.turns.front() {
            Some(Turn::StartTls(_)) => {
                self.turns.pop_front();
                Ok(())
            }
            _ => {
                lock(&self.differences).push(Difference::extra(
                    self.at,
                    "the plugin turned to TLS here",
                    "starttls".to_owned(),
                ));
                Err(Failure::temporary("the peer of the test does not speak TLS now").into())
            }
        }
    }
}
