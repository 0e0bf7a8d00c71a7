//! HTTP, both sides, with nothing but sockets: a server that keeps what it is asked, and a client.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it was read, or an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// `POST /path HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub(crate) first: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Part {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1).unwrap_or_default();
        status.parse().unwrap_or_default()
    }
}

/// Reads one; none where the connection ends.
pub(crate) fn read(from: &mut impl BufRead) -> Option<Part> {
    let mut part = Part::default();
    if from.read_line(&mut part.first).ok()? == 0 {
        return None;
    }
    part.first = part.first.trim_end().to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.parse().expect("a number");
        }
        part.headers.push((name, value.to_owned()));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    part.body = String::from_utf8_lossy(&body).into_owned();
    Some(part)
}

/// What a server says to a request: status, headers (whole lines), body.
pub(crate) type Say = (u16, &'static str, String);

/// A server on a free port.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Part>>>,
}

impl Server {
    /// `answer` gets the request and how many came before it.
    pub(crate) fn start(answer: impl Fn(&Part, usize) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            seen: Arc::default(),
        };
        let (kept, answer) = (server.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), Arc::clone(&answer));
                std::thread::spawn(move || kept.talk(stream, &*answer));
            }
        });
        server
    }

    fn talk(&self, stream: TcpStream, answer: &dyn Fn(&Part, usize) -> Say) {
        let mut stream = BufReader::new(stream);
        while let Some(part) = read(&mut stream) {
            let before = {
                let mut seen = self.seen.lock().expect("not poisoned");
                seen.push(part.clone());
                seen.len() - 1
            };
            let (status, headers, body) = answer(&part, before);
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
            if stream.get_mut().write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<Part> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// A connection to a flow that listens.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        Self::connect_patiently(address, Duration::from_secs(60))
    }

    /// As [`connect`](Self::connect), waiting for an answer as long as is said.
    pub(crate) fn connect_patiently(address: &str, wait: Duration) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(wait)).expect("a timeout");
        Self(BufReader::new(stream))
    }

    /// Asks, and reads the answer; none where the connection ends without one.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<Part> {
        let length = body.len();
        self.say(&format!(
            "{method} {path} HTTP/1.1\r\nHost: flow\r\nX-Test: yes\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        read(&mut self.0)
    }

    /// Writes, come what may.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }

    pub(crate) fn answer(&mut self) -> Option<Part> {
        read(&mut self.0)
    }
}
