//! The protocol of clamd: `INSTREAM`, in its NUL-terminated form.
//!
//! Source: `clamd(8)`, COMMANDS: chunks of a big-endian 32-bit length and that many bytes, ended by
//! a length of zero; the answer is `stream: OK`, `stream: <name> FOUND` or `<reason> ERROR`.

use std::time::Duration;

use flow_plugin::{ContentReader, Failure, Result, Security, Stream};

/// Longest answer that is read, bytes; signatures have names of some tens.
const ANSWER_MAX: usize = 4096;
/// Longest part of an answer that is shown.
const SHOWN_MAX: usize = 200;

/// What clamd said of content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Clean,
    /// The name of the signature.
    Infected(String),
    /// More than clamd takes (`StreamMaxLength`).
    TooLarge,
}

/// Where clamd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `tcp://host:port`.
    pub(crate) fn parse(url: &str) -> std::result::Result<Self, String> {
        let place = url
            .strip_prefix("tcp://")
            .ok_or_else(|| format!("`{url}` does not begin with `tcp://`; a plugin can't reach a Unix socket, so clamd needs `TCPSocket` and `TCPAddr`"))?;
        let place = place.trim_end_matches('/');
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("the `[` in `{url}` is never closed"))?;
                (host, port.strip_prefix(':').unwrap_or("3310"))
            }
            None => place.split_once(':').unwrap_or((place, "3310")),
        };
        let port = port
            .parse()
            .map_err(|_| format!("`{port}` in `{url}` is no port"))?;
        if host.is_empty() || host.contains(['/', '@', '?']) {
            return Err(format!("`{url}` is not written `tcp://host:port`"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Connects.
pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Stream> {
    let stream = Stream::connect(&address.host, address.port, Security::Plain)?;
    stream.set_timeout(Some(timeout));
    Ok(stream)
}

/// Has content scanned.
pub(crate) fn scan(mut stream: Stream, content: &mut ContentReader) -> Result<Answer> {
    match send(&mut stream, content)? {
        Ok(()) => answer(&mut stream)?,
        // Where clamd stops listening in the middle, it has said why.
        Err(failure) => answer(&mut stream).unwrap_or(Err(failure)),
    }
}

/// Sends content; the inner failure is the connection's.
fn send(stream: &mut Stream, content: &mut ContentReader) -> Result<Result<()>> {
    let mut frame = b"zINSTREAM\0".to_vec();
    loop {
        let chunk = content.read_chunk()?;
        let length = u32::try_from(chunk.len()).expect("a chunk has at most 64 KiB");
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&chunk);
        if let Err(failure) = stream.send(&frame) {
            return Ok(Err(failure));
        }
        frame.clear();
        // The empty chunk that ends the content is the one that ends the stream.
        if chunk.is_empty() {
            return Ok(Ok(()));
        }
    }
}

/// Reads the answer; the outer failure is the connection's, the inner one what was said.
fn answer(stream: &mut Stream) -> Result<Result<Answer>> {
    let mut text = Vec::new();
    while !text.contains(&0) {
        let chunk = stream.read_chunk()?;
        if chunk.is_empty() {
            // Only a whole answer counts.
            return Err(Failure::temporary(format!(
                "clamd closed the connection {}",
                if text.is_empty() {
                    "without an answer".to_owned()
                } else {
                    format!("in the middle of its answer `{}`", shown(&text))
                }
            )));
        }
        text.extend_from_slice(&chunk);
        if text.len() > ANSWER_MAX {
            return Err(Failure::temporary("clamd's answer has no end"));
        }
    }
    let end = text.iter().position(|byte| *byte == 0).unwrap_or_default();
    text.truncate(end);
    Ok(read(&text))
}

/// What an answer means. Anything but a plain `OK` is not clean.
fn read(text: &[u8]) -> Result<Answer> {
    let said = String::from_utf8_lossy(text);
    let said = said.trim();
    if said == "stream: OK" {
        return Ok(Answer::Clean);
    }
    if let Some(found) = said.strip_suffix(" FOUND") {
        let name = found.strip_prefix("stream: ").unwrap_or(found);
        return Ok(Answer::Infected(shown(name.as_bytes())));
    }
    if said.contains("size limit exceeded") {
        return Ok(Answer::TooLarge);
    }
    if said.starts_with("UNKNOWN COMMAND") {
        return Err(Failure::config(
            "what answers at the address of `clamd` does not know INSTREAM, so nothing would be scanned; correct the address",
        ));
    }
    Err(Failure::temporary(format!(
        "clamd did not scan: `{}`",
        shown(text)
    )))
}

/// What a peer said, on one line and shortened.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .take(SHOWN_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(read(b"stream: OK\n"), Ok(Answer::Clean));
        let infected = Ok(Answer::Infected("Eicar-Test-Signature".into()));
        assert_eq!(read(b"stream: Eicar-Test-Signature FOUND"), infected);
        assert_eq!(
            read(b"INSTREAM size limit exceeded. ERROR"),
            Ok(Answer::TooLarge)
        );
        for said in [
            &b""[..],
            b"stream: OK OK",
            b"OK",
            b"stream: ok",
            b"stream: Can't allocate memory ERROR",
            b"\xff",
        ] {
            assert!(matches!(read(said), Err(Failure::Temporary(_))), "{said:?}");
        }
        assert!(matches!(read(b"UNKNOWN COMMAND"), Err(Failure::Config(_))));
    }

    #[test]
    fn addresses() {
        let parsed = |url| Address::parse(url).map(|a| (a.host, a.port));
        for (url, host, port) in [
            ("tcp://localhost:3310", "localhost", 3310),
            ("tcp://clam.example.com/", "clam.example.com", 3310),
            ("tcp://[::1]:4000", "::1", 4000),
            ("tcp://[::1]", "::1", 3310),
        ] {
            assert_eq!(parsed(url), Ok((host.to_owned(), port)), "{url}");
        }
        for url in [
            "unix:/run/clamd",
            "tcp://",
            "tcp://h:x",
            "tcp://[::1",
            "tcp://u@h",
        ] {
            assert!(parsed(url).is_err(), "{url}");
        }
    }
}
