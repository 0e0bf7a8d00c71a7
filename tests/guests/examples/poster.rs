//! Posts by HTTP, message by message.
use guests::describe::{Grant, OptionKind};
use guests::*;
struct Poster;
guests::describe!(
    Poster,
    guests::describe::Manifest {
        options: vec![option("target", OptionKind::Url)],
        grants: vec![Grant::Http],
        ..manifest("poster")
    }
);
guests::keep_options!(Poster, None);
fn one(message: &Message) -> Result<(), Failure> {
    let target = kept("target").unwrap_or_default();
    let response = http::send(http::Request {
        method: "PUT".into(),
        url: format!("{target}/{}", message.rel_path),
        headers: vec![("Idempotency-Key".into(), message.key.clone())],
        body: http::Body::Bytes(message.base_url.clone().into_bytes()),
        timeout_ms: None,
    })?;
    match response.status {
        200..=299 => Ok(()),
        418 => panic!("the poster fell over"),
        400..=499 => Err(Failure::Permanent(format!(
            "refused with {}",
            response.status
        ))),
        status => Err(Failure::Temporary(TemporaryFailure {
            reason: format!("answered {status}"),
            retry_after_ms: Some(1),
        })),
    }
}
impl guests::post::Guest for Poster {
    fn post(batch: Vec<Message>) -> Result<Vec<Result<(), Failure>>, Failure> {
        Ok(batch.iter().map(one).collect())
    }
}
guests::export!(Poster: describe, lifecycle, post);
