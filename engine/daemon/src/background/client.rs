//! A command's side of the control socket. Blocking and light: nothing of the engine is started.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::protocol::{Answer, Call, Reply, Request, VERSION};
use super::socket;

/// A connection to the background process.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// Why the background process could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It does not answer.
    #[error("the background process does not answer")]
    Silent,
    /// The connection broke.
    #[error("the connection to the background process broke: {0}")]
    Broken(io::Error),
    /// What it answered can't be read.
    #[error("the background process answered what this version does not understand: {0}")]
    Answer(String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects; none where there is nobody.
    ///
    /// # Errors
    /// There may be somebody, but this user can't reach them.
    pub fn connect(socket: &Path) -> io::Result<Option<Self>> {
        match socket::connect(socket) {
            Ok(stream) => Ok(Some(Self {
                stream: BufReader::new(stream),
            })),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks, and waits for the answer for at most `patience`.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub fn ask(&mut self, request: Request, patience: Duration) -> Result<Answer, Trouble> {
        let call = Call {
            version: VERSION,
            request,
        };
        let mut line =
            serde_json::to_vec(&call).map_err(|error| Trouble::Answer(error.to_string()))?;
        line.push(b'\n');
        let stream = self.stream.get_mut();
        let timed = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)));
        timed
            .and_then(|()| stream.write_all(&line))
            .map_err(trouble)?;
        line.clear();
        self.stream.read_until(b'\n', &mut line).map_err(trouble)?;
        if line.is_empty() {
            return Err(Trouble::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let reply: Reply =
            serde_json::from_slice(&line).map_err(|error| Trouble::Answer(error.to_string()))?;
        match reply.answer {
            Answer::Refused(reason) => Err(Trouble::Refused(reason)),
            answer => Ok(answer),
        }
    }
}

fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Trouble::Silent,
        _ => Trouble::Broken(error),
    }
}
