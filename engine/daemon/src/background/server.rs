//! Answers at the control socket. Each connection is a task; a bad one costs nobody anything.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::protocol::{Answer, Call, Reply, Request, VERSION};
use super::socket::Listener;
use super::supervisor::Supervisor;

/// A line may name some ten thousand flows.
const LONGEST_LINE: u64 = 1 << 20;

/// Answers for as long as it is polled.
pub(super) async fn answer(socket: &Listener, supervisor: &Supervisor, end: &watch::Sender<bool>) {
    loop {
        let stream = socket.accept().await;
        tokio::spawn(converse(stream, supervisor.clone(), end.clone()));
    }
}

async fn converse(stream: UnixStream, supervisor: Supervisor, end: watch::Sender<bool>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LONGEST_LINE);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let request = read(&line);
        let ends = matches!(request, Ok(Request::End { .. }));
        let answer = match request {
            Ok(request) => carry_out(request, &supervisor).await,
            Err(reason) => Answer::Refused(reason),
        };
        let reply = Reply {
            version: VERSION,
            answer,
        };
        let Ok(mut line) = serde_json::to_vec(&reply) else {
            return;
        };
        line.push(b'\n');
        // Whoever asked may be gone; what was asked for is done all the same.
        let written = writer.write_all(&line).await;
        if ends {
            end.send_replace(true);
        }
        if written.is_err() {
            return;
        }
    }
}

/// What a line asks for; of one that can't be carried out, why.
fn read(line: &[u8]) -> Result<Request, String> {
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|error| format!("this is no request: {error}"))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        return Err(format!(
            "the background process speaks version {VERSION} of its protocol, the command another; \
             `flow restart` of the newer version makes them agree"
        ));
    }
    let call: Call =
        serde_json::from_value(value).map_err(|error| format!("this is no request: {error}"))?;
    Ok(call.request)
}

async fn carry_out(request: Request, supervisor: &Supervisor) -> Answer {
    let names = |flows: Vec<String>| {
        let names = flows.iter().map(|name| name.parse());
        names
            .collect::<Result<Vec<_>, flow_config::NameError>>()
            .map_err(|error| error.to_string())
    };
    let grace = Duration::from_millis;
    let done = match request {
        Request::Status => return Answer::Status(supervisor.status()),
        Request::Ping => Vec::new(),
        Request::Start { flows, all } => match names(flows) {
            Ok(names) => supervisor.start(names, all).await,
            Err(reason) => return Answer::Refused(reason),
        },
        Request::Stop { flows, grace_ms } => match names(flows) {
            Ok(names) => supervisor.stop(names, grace(grace_ms)).await,
            Err(reason) => return Answer::Refused(reason),
        },
        Request::End { grace_ms } => supervisor.stop_all(grace(grace_ms)).await,
        Request::Restart { flows, grace_ms } => match names(flows) {
            Ok(names) => supervisor.restart(names, grace(grace_ms)).await,
            Err(reason) => return Answer::Refused(reason),
        },
        Request::Reload { flows, grace_ms } => match names(flows) {
            Ok(names) => supervisor.reload(names, grace(grace_ms)).await,
            Err(reason) => return Answer::Refused(reason),
        },
        Request::Sanity { grace_ms } => supervisor.sanity(grace(grace_ms)).await,
    };
    Answer::Done(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_and_nonsense_are_refused_in_words() {
        let refused = |line: &str| read(line.as_bytes()).expect_err("it is refused");
        assert!(refused(r#"{"version":2,"request":"status"}"#).contains("version 1"));
        assert!(refused(r#"{"request":"status"}"#).contains("version 1"));
        assert!(refused(r#"{"version":1,"request":"dance"}"#).contains("no request"));
        assert!(refused("status\n").contains("no request"));
        assert_eq!(
            read(br#"{"version":1,"request":"status"}"#),
            Ok(Request::Status)
        );
    }
}
