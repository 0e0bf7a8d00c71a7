//! Just enough HTTP/1.1 for a scraper: `GET` and `HEAD`, one answer to a connection.
//!
//! A server library would be the larger part of the program that is compiled in for two pages. Who
//! asks slowly or too much is cut off: so many connections, bytes and seconds, and no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Source, text};

/// Connections at the same time; others wait.
const CONNECTIONS: usize = 16;
/// The longest request.
const REQUEST: usize = 8 * 1024;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more files for connections.
const BREATH: Duration = Duration::from_millis(200);

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

pub(super) async fn serve(listener: &TcpListener, source: &Arc<dyn Source>) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // They end with this future.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            // Nobody closes it; if somebody did, there would be nothing to serve.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let source = Arc::clone(source);
                connections.spawn(async move {
                    // Who goes away or is too slow gets no answer, and misses none.
                    let _ = tokio::time::timeout(PATIENCE, talk(stream, &*source)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "A connection for metrics was not made.");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn talk(mut stream: TcpStream, source: &dyn Source) -> std::io::Result<()> {
    let Some(request) = read(&mut stream).await? else {
        return Ok(());
    };
    let (answer, with_body) = answer(&request, source).await;
    let mut head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len()
    );
    if with_body {
        head.push_str(&answer.body);
    }
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

/// The request up to its empty line; none if it never comes.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut request = Vec::with_capacity(512);
    loop {
        if request.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(request));
        }
        if request.len() >= REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
}

/// What is answered, and whether with its body.
async fn answer(request: &[u8], source: &dyn Source) -> (Answer, bool) {
    let line = request.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let with_body = method != "HEAD";
    if !matches!(method, "GET" | "HEAD") {
        return (
            plain("405 Method Not Allowed", "only GET is answered\n"),
            true,
        );
    }
    let path = target.split('?').next().unwrap_or("");
    let answer = match path {
        "/metrics" => Answer {
            status: "200 OK",
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: text::metrics(&source.flows().await),
        },
        "/healthz" => {
            let (well, body) = text::healthz(&source.flows().await);
            Answer {
                status: if well {
                    "200 OK"
                } else {
                    "503 Service Unavailable"
                },
                kind: "application/json",
                body,
            }
        }
        "/" => plain("200 OK", "flow: /metrics and /healthz\n"),
        _ => plain("404 Not Found", "there is /metrics and /healthz\n"),
    };
    (answer, with_body)
}

fn plain(status: &'static str, body: &str) -> Answer {
    Answer {
        status,
        kind: "text/plain; charset=utf-8",
        body: body.to_owned(),
    }
}
