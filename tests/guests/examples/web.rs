//! Asks by `wasi:http` what its options say, and tells what came back.
use guests::describe::{Grant, OptionKind};
use guests::*;
use std::cell::RefCell;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;
struct Web;
thread_local! {
    static HELD: RefCell<Vec<FutureIncomingResponse>> = RefCell::default();
}
guests::describe!(
    Web,
    guests::describe::Manifest {
        options: ["method", "target", "header", "body", "timeout", "how"]
            .map(|name| option(name, OptionKind::Text))
            .into(),
        grants: vec![Grant::Http],
        ..manifest("web")
    }
);
guests::keep_options!(Web, None);
fn permanent(text: impl std::fmt::Debug) -> Failure {
    Failure::Permanent(format!("{text:?}"))
}
fn in_words(code: ErrorCode) -> Failure {
    match code {
        ErrorCode::InternalError(Some(text)) => Failure::Permanent(text),
        other => permanent(other),
    }
}
/// Sets a request out.
fn ask() -> Result<FutureIncomingResponse, Failure> {
    let fields = Fields::new();
    for line in kept("header").iter().flat_map(|text| text.split('|')) {
        if let Some((name, value)) = line.split_once(": ") {
            fields.append(name, value.as_bytes()).map_err(permanent)?;
        }
    }
    let request = OutgoingRequest::new(fields);
    let url = kept("target").unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let method = match kept("method").as_deref() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some(other) => Method::Other(other.into()),
    };
    request.set_method(&method).map_err(permanent)?;
    request.set_scheme(Some(&scheme)).map_err(permanent)?;
    request.set_authority(Some(authority)).map_err(permanent)?;
    request.set_path_with_query(Some(path)).map_err(permanent)?;
    let options = RequestOptions::new();
    if let Some(millis) = kept("timeout").and_then(|text| text.parse::<u64>().ok()) {
        let nanos = Some(millis * 1_000_000);
        options.set_first_byte_timeout(nanos).map_err(permanent)?;
        options
            .set_between_bytes_timeout(nanos)
            .map_err(permanent)?;
    }
    let Some(body) = kept("body") else {
        return handle(request, Some(options)).map_err(in_words);
    };
    let outgoing = request.body().map_err(permanent)?;
    let answer = handle(request, Some(options)).map_err(in_words)?;
    let stream = outgoing.write().map_err(permanent)?;
    let write = |data: &[u8]| {
        data.chunks(4096)
            .all(|chunk| stream.blocking_write_and_flush(chunk).is_ok())
    };
    // As many bytes as the number says, or the text.
    match body.parse::<usize>() {
        Ok(size) => {
            let mut left = size;
            let some = vec![b'x'; 1 << 16];
            while left > 0 && write(&some[..left.min(some.len())]) {
                left -= left.min(some.len());
            }
        }
        Err(_) => drop(write(body.as_bytes())),
    }
    drop(stream);
    OutgoingBody::finish(outgoing, None).map_err(in_words)?;
    Ok(answer)
}
/// Reads a body, and gives its size and the beginning of it.
fn read(body: IncomingBody) -> Result<(u64, Vec<u8>), Failure> {
    let stream = body.stream().map_err(permanent)?;
    let (mut size, mut beginning) = (0, Vec::new());
    loop {
        match stream.blocking_read(1 << 20) {
            Ok(data) => {
                size += data.len() as u64;
                beginning.extend_from_slice(&data[..data.len().min(1000 - beginning.len())]);
            }
            Err(StreamError::Closed) => return Ok((size, beginning)),
            Err(StreamError::LastOperationFailed(error)) => {
                // The words come first; frames of the host may follow.
                let text = error.to_debug_string();
                let first = text.lines().next().unwrap_or_default();
                return Err(Failure::Permanent(first.to_owned()));
            }
        }
    }
}
impl guests::gather::Guest for Web {
    fn gather(_limit: u32) -> Result<gather::Gathered, Failure> {
        let nothing = gather::Gathered {
            messages: Vec::new(),
            more: false,
        };
        match kept("how").as_deref() {
            // What was forgotten in the call before is no answer now.
            Some("forget") => match HELD.take().pop() {
                None => {
                    HELD.set(vec![ask()?]);
                    return Ok(nothing);
                }
                Some(kept) => {
                    kept.subscribe().block();
                    let answer = kept.get().expect("it is there").expect("taken once");
                    return Err(answer.map_or_else(in_words, |_| permanent("an answer")));
                }
            },
            Some("many") => {
                let asked: Vec<_> = (0..65).map(|_| ask()).collect::<Result<_, _>>()?;
                let last = asked.last().expect("one of them");
                last.subscribe().block();
                let answer = last.get().expect("it is there").expect("taken once");
                return Err(answer.map_or_else(in_words, |_| permanent("an answer")));
            }
            _ => {}
        }
        let asked = ask()?;
        asked.subscribe().block();
        let answer = asked.get().expect("it is there").expect("taken once");
        let answer = answer.map_err(in_words)?;
        let mut message = new_message(&format!("answer/{}", answer.status()));
        for (name, value) in answer.headers().entries() {
            if name == "x-answer" || name == "location" {
                message.headers.push(Header {
                    name,
                    value: Value::Text(String::from_utf8_lossy(&value).into_owned()),
                });
            }
        }
        let (size, beginning) = read(answer.consume().map_err(permanent)?)?;
        message.size = Some(size);
        message.headers.push(Header {
            name: "body".into(),
            value: Value::Text(String::from_utf8_lossy(&beginning).into_owned()),
        });
        Ok(gather::Gathered {
            messages: vec![message],
            more: false,
        })
    }
}
guests::export!(Web: describe, lifecycle, gather);
