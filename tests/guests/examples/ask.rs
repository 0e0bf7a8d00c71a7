//! Asks over HTTP what its options say, and tells what came back.
use guests::describe::{Grant, OptionKind};
use guests::*;
struct Ask;
guests::describe!(
    Ask,
    guests::describe::Manifest {
        options: ["method", "target", "header", "body", "timeout"]
            .map(|name| option(name, OptionKind::Text))
            .into(),
        grants: vec![Grant::Http],
        ..manifest("ask")
    }
);
guests::keep_options!(Ask, None);
impl guests::gather::Guest for Ask {
    fn gather(_limit: u32) -> Result<gather::Gathered, Failure> {
        let request = http::Request {
            method: kept("method").unwrap_or_else(|| "GET".into()),
            url: kept("target").unwrap_or_default(),
            headers: kept("header")
                .iter()
                .flat_map(|text| text.split('|'))
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: match kept("body") {
                None => http::Body::None,
                // As many bytes as the number says, or the text.
                Some(text) => http::Body::Bytes(match text.parse::<usize>() {
                    Ok(size) => vec![b'x'; size],
                    Err(_) => text.into_bytes(),
                }),
            },
            timeout_ms: kept("timeout").and_then(|text| text.parse().ok()),
        };
        let response = http::send(request)?;
        let mut message = new_message(&format!("answer/{}", response.status));
        message.size = Some(response.body.len() as u64);
        let body = String::from_utf8_lossy(&response.body).into_owned();
        if body.len() < 10_000 {
            message.headers.push(Header {
                name: "body".into(),
                value: Value::Text(body),
            });
        }
        for (name, value) in response.headers {
            if name == "x-answer" || name == "location" {
                message.headers.push(Header {
                    name,
                    value: Value::Text(value),
                });
            }
        }
        Ok(gather::Gathered {
            messages: vec![message],
            more: false,
        })
    }
}
guests::export!(Ask: describe, lifecycle, gather);
