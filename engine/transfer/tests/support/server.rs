//! An HTTP server that says what it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// How many came before it.
    pub number: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status line and headers, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
    /// Cut the connection after this.
    pub close: bool,
    /// Say nothing more, and leave the connection open.
    pub hang: bool,
}

impl Answer {
    pub fn new(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        Self {
            head,
            body: body.to_vec(),
            close: false,
            hang: false,
        }
    }

    /// The same, cut after so many bytes of the body.
    pub fn cut(mut self, after: usize) -> Self {
        self.body.truncate(after);
        self.close = true;
        self
    }

    /// The same, but the connection falls silent after so many bytes of the body.
    pub fn hang(mut self, after: usize) -> Self {
        self.body.truncate(after);
        self.hang = true;
        self
    }
}

/// A running server; gone when dropped.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Answers every request as `script` says.
    pub async fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(mut request) = read(&mut stream).await {
                        {
                            let mut seen = seen.lock().unwrap();
                            request.number = seen.len();
                            seen.push(request.clone());
                        }
                        let answer = script(&request);
                        let mut bytes = answer.head.into_bytes();
                        bytes.extend_from_slice(b"\r\n");
                        if request.method != "HEAD" {
                            bytes.extend_from_slice(&answer.body);
                        }
                        if stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                        let _ = stream.flush().await;
                        if answer.hang {
                            std::future::pending::<()>().await;
                        }
                        if answer.close {
                            let _ = stream.shutdown().await;
                            return;
                        }
                    }
                });
            }
        });
        Self {
            port,
            requests,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => request
                .headers
                .push((name.to_owned(), value.trim().to_owned())),
            None => return Some(request),
        }
    }
}
