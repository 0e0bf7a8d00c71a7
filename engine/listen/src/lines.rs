//! Lines: of the program that started this one as its helper, or of whoever is connected to a socket.
//!
//! Lines are handed over in their order, each to an instance of its own as long as there are free ones.
//! Where all are busy, or too much waits in the flow, no more is read: that is the back pressure.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_runtime::ports::{EntryPoints, Failure};
use flow_runtime::{Drain, Entrance, Front, Leave};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Stdout};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::peers::Peers;

/// The longest line, bytes.
const LONGEST: u64 = 1 << 20;
/// Connections to a socket at the same time; others wait to be accepted.
const CONNECTIONS: usize = 256;
/// How long answers are written to a peer after its last line.
const LINGER: Duration = Duration::from_secs(300);
/// How long to wait when the system has no more files for connections.
const BREATH: Duration = Duration::from_millis(200);

/// The entrance of a helper: lines come from stdin, answers go to stdout.
pub struct Stdio {
    peers: Arc<Peers>,
    flow: String,
    out: fn() -> Stdout,
    /// Writes to stdout for as long as this lives.
    writing: JoinSet<()>,
}

impl Stdio {
    /// For the flow called `flow`, whose answers go through `peers` to `out`: this crate prints nothing
    /// by itself.
    pub fn new(peers: Arc<Peers>, flow: String, out: fn() -> Stdout) -> Self {
        Self {
            peers,
            flow,
            out,
            writing: JoinSet::new(),
        }
    }
}

fn serves_lines(points: EntryPoints) -> bool {
    points.line
}

#[async_trait]
impl Entrance for Stdio {
    fn serves(&self) -> fn(EntryPoints) -> bool {
        serves_lines
    }

    async fn serve(&mut self, front: Arc<Front>, drain: Drain) -> Result<Leave, Failure> {
        let (peer, writing) = self.peers.join((self.out)());
        self.writing.spawn(writing);
        tracing::info!(flow = self.flow, "Serving lines on stdin and stdout.");
        converse(tokio::io::stdin(), peer, &front, &drain, &self.flow).await;
        Ok(Leave::Finished)
    }
}

/// The entrance of a flow that serves lines at a Unix socket.
pub struct Sockets {
    peers: Arc<Peers>,
    path: PathBuf,
    flow: String,
    /// Connections stay open for answers until this goes.
    connections: JoinSet<()>,
}

impl Sockets {
    /// For the flow called `flow`, at `path`.
    pub fn new(peers: Arc<Peers>, path: PathBuf, flow: String) -> Self {
        Self {
            peers,
            path,
            flow,
            connections: JoinSet::new(),
        }
    }

    fn bind(&self) -> Result<UnixListener, Failure> {
        let path = &self.path;
        let fail = |why: String| {
            Failure::temporary(format!(
                "the flow can't listen at `{}`: {why}",
                path.display()
            ))
        };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(fail("another program listens there".into()));
        }
        if is_socket(path) {
            // Of a process that was killed.
            std::fs::remove_file(path).map_err(|error| fail(error.to_string()))?;
        }
        let listener = UnixListener::bind(path).map_err(|error| fail(error.to_string()))?;
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(|error| fail(error.to_string()))?;
        Ok(listener)
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket())
}

#[async_trait]
impl Entrance for Sockets {
    fn serves(&self) -> fn(EntryPoints) -> bool {
        serves_lines
    }

    async fn serve(&mut self, front: Arc<Front>, drain: Drain) -> Result<Leave, Failure> {
        let listener = self.bind()?;
        tracing::info!(flow = self.flow, path = %self.path.display(), "Listening.");
        let mut reading = JoinSet::new();
        loop {
            while reading.try_join_next().is_some() {}
            while self.connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                biased;
                () = drain.requested() => break,
                accepted = listener.accept(), if reading.len() < CONNECTIONS => accepted,
                _ = reading.join_next(), if !reading.is_empty() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (from, to) = stream.into_split();
                    let (peer, writing) = self.peers.join(to);
                    self.connections.spawn(writing);
                    let (front, drain) = (Arc::clone(&front), drain.clone());
                    let (peers, flow) = (Arc::clone(&self.peers), self.flow.clone());
                    reading.spawn(async move {
                        let from = converse(from, peer, &front, &drain, &flow).await;
                        // It may have closed one direction only, and wait for answers.
                        tokio::select! {
                            () = drain.requested() => {}
                            () = tokio::time::sleep(LINGER) => peers.leave(peer),
                        }
                        drop(from);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "A connection was not made.");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
        drop(listener);
        let _ = std::fs::remove_file(&self.path);
        while reading.join_next().await.is_some() {}
        Ok(Leave::Finished)
    }
}

/// Reads lines of a peer until there are no more, no more are wanted, or a drain is requested, and hands
/// them over.
/// Returns when all are answered for.
async fn converse<T: AsyncRead + Unpin>(
    from: T,
    peer: u64,
    front: &Arc<Front>,
    drain: &Drain,
    flow: &str,
) -> T {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    let mut calls = JoinSet::new();
    let enough = Drain::new();
    loop {
        while calls.try_join_next().is_some() {}
        bytes.clear();
        let read = async {
            front.room().await;
            (&mut from)
                .take(LONGEST + 1)
                .read_until(b'\n', &mut bytes)
                .await
        };
        let read = tokio::select! {
            biased;
            () = drain.requested() => break,
            () = enough.requested() => break,
            read = read => read,
        };
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(flow, peer, %error, "Lines can't be read any more.");
                break;
            }
        }
        let whole = bytes.pop_if(|last| *last == b'\n').is_some();
        if !whole && bytes.len() as u64 > LONGEST {
            tracing::error!(flow, peer, "A line of more than 1 MiB was passed over.");
            if !skip(&mut from).await {
                break;
            }
            continue;
        }
        bytes.pop_if(|last| *last == b'\r');
        let Ok(text) = std::str::from_utf8(&bytes) else {
            tracing::error!(flow, peer, "A line that is no UTF-8 was passed over.");
            continue;
        };
        let text = text.to_owned();
        // Taken here, so that lines are handed over in their order.
        match front.seat().await {
            Ok(seat) => {
                let (flow, enough) = (flow.to_owned(), enough.clone());
                calls.spawn(async move {
                    match seat.line(peer, &text).await {
                        Ok(true) => {}
                        Ok(false) => enough.request(),
                        Err(failure) => {
                            tracing::error!(flow, peer, reason = %failure, "A line could not be worked on.");
                        }
                    }
                });
            }
            Err(failure) => {
                tracing::error!(flow, peer, reason = %failure, "A line could not be worked on.");
            }
        }
    }
    while calls.join_next().await.is_some() {}
    let closed = match front.seat().await {
        Ok(seat) => seat.closed(peer).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = closed {
        tracing::warn!(flow, peer, reason = %failure, "A plugin was not told that no more lines come.");
    }
    from.into_inner()
}

/// Passes over the rest of a line; says whether there may be more.
async fn skip(from: &mut (impl AsyncBufReadExt + Unpin)) -> bool {
    loop {
        let (end, length) = match from.fill_buf().await {
            Ok([]) | Err(_) => return false,
            Ok(bytes) => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (true, at + 1),
                None => (false, bytes.len()),
            },
        };
        from.consume(length);
        if end {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::skip;

    #[tokio::test]
    async fn the_rest_of_a_line_is_passed_over() {
        let mut from = BufReader::with_capacity(4, &b"rest of it\nnext\nend"[..]);
        assert!(skip(&mut from).await);
        let mut line = String::new();
        from.read_line(&mut line).await.unwrap();
        assert_eq!(line, "next\n");
        assert!(!skip(&mut from).await, "there is no end of the line");
    }
}
