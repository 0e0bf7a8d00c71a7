//! Connects where its options say, keeps the connection, and reads.
use guests::connection::{Security, Stream, connect};
use guests::describe::{Grant, OptionKind};
use guests::*;
use std::cell::RefCell;
struct Dial;
thread_local! {
    static STREAM: RefCell<Option<Stream>> = const { RefCell::new(None) };
}
guests::describe!(
    Dial,
    guests::describe::Manifest {
        options: vec![
            option("host", OptionKind::Text),
            option("port", OptionKind::Text),
            option("mode", OptionKind::Text)
        ],
        grants: vec![Grant::Connect],
        ..manifest("dial")
    }
);
guests::keep_options!(Dial, Some(1));
fn option_value(name: &str) -> String {
    kept(name).unwrap_or_default()
}
fn line(stream: &Stream) -> Result<String, Failure> {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let bytes = stream.read(1)?;
        if bytes.is_empty() {
            break;
        }
        text.extend(bytes);
    }
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}
impl guests::gather::Guest for Dial {
    /// One message per line read; `tls` and `starttls` say so in the mode.
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        let mode = option_value("mode");
        let stream = match STREAM.take() {
            Some(stream) => stream,
            None => {
                let security = if mode == "tls" {
                    Security::Tls
                } else {
                    Security::Plain
                };
                let port = option_value("port").parse().unwrap_or_default();
                let stream = connect(&option_value("host"), port, security)?;
                if mode == "starttls" {
                    stream.write(b"STARTTLS\n")?;
                    line(&stream)?;
                    stream.start_tls()?;
                }
                stream
            }
        };
        stream.write(b"hello\n")?;
        let mut messages = Vec::new();
        while messages.len() < limit as usize {
            let text = line(&stream)?;
            if text.is_empty() {
                break;
            }
            messages.push(new_message(&text));
        }
        STREAM.set(Some(stream));
        Ok(gather::Gathered {
            messages,
            more: false,
        })
    }
}
impl guests::wake::Guest for Dial {
    fn wait(_timeout_ms: u64) -> Result<bool, Failure> {
        STREAM.with_borrow(|stream| {
            let Some(stream) = stream else {
                return Ok(false);
            };
            stream.set_timeout(u64::MAX);
            stream.write(b"idle\n")?;
            match line(stream) {
                Ok(text) => Ok(text == "new"),
                Err(Failure::Interrupted) => {
                    // The connection still works: this is what an IMAP `DONE` needs.
                    stream.write(b"done\n")?;
                    log::write(
                        log::Level::Info,
                        &format!("after the interruption: {}", line(stream)?),
                    );
                    Ok(false)
                }
                Err(failure) => Err(failure),
            }
        })
    }
}
guests::export!(Dial: describe, lifecycle, gather, wake);
