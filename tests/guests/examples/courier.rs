//! Delivers each message's content by HTTP, and says how that went as its peers do.
use guests::describe::{Grant, OptionKind};
use guests::send::Sent;
use guests::*;
struct Courier;
guests::describe!(
    Courier,
    guests::describe::Manifest {
        options: vec![option("target", OptionKind::Url)],
        grants: vec![Grant::Http],
        schemes: vec!["courier".into()],
        ..manifest("courier")
    }
);
guests::keep_options!(Courier, None);
fn deliver(message: &Message) -> Result<Sent, Failure> {
    let body = match content::open(message.id) {
        Ok(reader) => http::Body::Content(reader),
        Err(_) => http::Body::None,
    };
    let target = kept("target").unwrap_or_default();
    let response = http::send(http::Request {
        method: "POST".into(),
        url: format!("{target}/{}", message.rel_path),
        headers: vec![
            ("Idempotency-Key".into(), message.key.clone()),
            ("X-Attempt".into(), message.attempt.to_string()),
        ],
        body,
        timeout_ms: Some(20_000),
    })?;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let header = |name: &str| {
        let mut headers = response.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    Ok(match response.status {
        200..=299 => Sent::Done(vec![guests::header("receipt", text)]),
        401 | 403 => Sent::Fail(Failure::Auth(text)),
        410 => Sent::Reject(Rejection {
            code: 410,
            reason: text,
        }),
        400..=428 | 430..=499 => Sent::Fail(Failure::Permanent(text)),
        _ => Sent::Fail(Failure::Temporary(TemporaryFailure {
            reason: text,
            retry_after_ms: header("retry-after")
                .and_then(|text| text.parse::<u64>().ok())
                .map(|seconds| seconds * 1000),
        })),
    })
}
impl guests::send::Guest for Courier {
    fn send(batch: Vec<Message>) -> Result<Vec<Sent>, Failure> {
        Ok(batch
            .iter()
            .map(|message| deliver(message).unwrap_or_else(Sent::Fail))
            .collect())
    }
}
guests::export!(Courier: describe, lifecycle, send);
