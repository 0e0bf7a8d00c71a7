//! HTTP/1.1 as the played sandbox speaks it: requests one after the other on a connection.
//!
//! By hand, as what goes wrong goes wrong here: bodies that are not read, and answers that end early.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::answers::{Answer, answer};
use super::plan::Kind;
use super::scans::Asked;
use super::{Sample, Shared};

type Stream = BufReader<TlsStream<TcpStream>>;

/// Of a body that is kept: all of what is JSON, and the beginning of content.
const KEPT: usize = 64 * 1024;
/// What a judge sees of content.
const HEAD: usize = 4096;

/// A request that was read.
pub(super) struct Request {
    pub(super) method: String,
    /// Without the root of the API.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(super) chunked: bool,
    pub(super) length: Option<u64>,
    /// As much of the body as is kept.
    pub(super) body: Vec<u8>,
    pub(super) sha256: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as content to scan.
    pub(super) fn sample(&self, name: &str) -> Sample {
        Sample {
            name: name.to_owned(),
            head: self.body[..self.body.len().min(HEAD)].to_vec(),
            size: self.length.unwrap_or_default(),
            sha256: self.sha256.clone(),
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TlsStream<TcpStream>, shared: &Shared) {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    while let Some(mut request) = head(&mut stream).await {
        let fault = shared.plan().take_fault(&request.path);
        if fault == Some(Kind::CutRequest) {
            // Some of it, so that the other side is in the middle.
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).await;
            note(shared, &request, 0, "");
            return;
        }
        if body(&mut stream, &mut request).await.is_none() {
            return;
        }
        let answer = match &fault {
            Some(Kind::Status(status)) => Answer::error(*status, "HTTPFault", "to order"),
            Some(Kind::Busy(_)) => Answer::error(429, "HTTPTooManyRequests", "later"),
            _ => answer(&request, shared).await,
        };
        if let Some(Kind::Slow(time)) = &fault {
            tokio::time::sleep(*time).await;
        }
        let cut = matches!(fault, Some(Kind::CutBefore));
        note(
            shared,
            &request,
            if cut { 0 } else { answer.status },
            &answer.scan_id,
        );
        if cut || write(&mut stream, &answer, fault.as_ref()).await.is_none() {
            return;
        }
    }
}

fn note(shared: &Shared, request: &Request, status: u16, scan_id: &str) {
    shared.scans().asked.push(Asked {
        path: request.path.clone(),
        length: request.length.unwrap_or_default(),
        chunked: request.chunked,
        status,
        scan_id: scan_id.to_owned(),
    });
}

/// Reads the head of a request; none where there is no more.
async fn head(stream: &mut Stream) -> Option<Request> {
    let mut first = String::new();
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let mut words = first.split_ascii_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("/api/v1/").unwrap_or(path).to_owned();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        path,
        query,
        headers,
        chunked: false,
        length: None,
        body: Vec::new(),
        sha256: String::new(),
    };
    request.length = request.header("content-length").parse().ok();
    request.chunked = request
        .header("transfer-encoding")
        .eq_ignore_ascii_case("chunked");
    if request.header("expect") == "100-continue" {
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .ok()?;
        stream.flush().await.ok()?;
    }
    Some(request)
}

/// Reads the body; none where the connection ends in it.
async fn body(stream: &mut Stream, request: &mut Request) -> Option<()> {
    let mut hash = Context::new(&SHA256);
    if request.chunked {
        let mut total = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let size = u64::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
            part(stream, size, &mut hash, &mut request.body).await?;
            let mut end = String::new();
            stream.read_line(&mut end).await.ok()?;
            total += size;
            if size == 0 {
                break;
            }
        }
        request.length = Some(total);
    } else if let Some(length) = request.length {
        part(stream, length, &mut hash, &mut request.body).await?;
    }
    request.sha256 = hash
        .finish()
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    Some(())
}

async fn part(
    stream: &mut Stream,
    size: u64,
    hash: &mut Context,
    kept: &mut Vec<u8>,
) -> Option<()> {
    let mut left = size;
    while left > 0 {
        let there = stream.fill_buf().await.ok()?;
        if there.is_empty() {
            return None;
        }
        let take = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        hash.update(&there[..take]);
        let keep = take.min(KEPT.saturating_sub(kept.len()));
        kept.extend_from_slice(&there[..keep]);
        stream.consume(take);
        left -= take as u64;
    }
    Some(())
}

async fn write(stream: &mut Stream, answer: &Answer, fault: Option<&Kind>) -> Option<()> {
    let body = match fault {
        Some(Kind::Garbage(text)) => text.as_bytes(),
        _ => answer.body.as_slice(),
    };
    let mut text = format!(
        "HTTP/1.1 {} Answer\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        answer.status,
        answer.content_type,
        body.len()
    );
    if let Some(Kind::Busy(seconds)) = fault {
        let _ = write!(text, "Retry-After: {seconds}\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    let cut = fault == Some(&Kind::CutAnswer);
    bytes.extend_from_slice(if cut { &body[..body.len() / 2] } else { body });
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    (!cut).then_some(())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (*first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = more;
            }
            (byte, _) => {
                bytes.push(byte);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
