//! Answers requests: takes what is posted as a message, and misbehaves where the path says so.
use guests::request::{HttpRequest, HttpResponse};
use guests::*;
struct Desk;
guests::describe!(Desk, manifest("desk"));
fn answer(status: u16, text: impl Into<String>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse {
        status,
        headers: vec![("content-type".into(), "text/plain".into())],
        body: text.into().into_bytes(),
    })
}
impl guests::request::Guest for Desk {
    fn handle(request: HttpRequest) -> Result<HttpResponse, Failure> {
        match request.path.as_str() {
            "/trap" => panic!("the desk fell over"),
            "/busy" => Err(Failure::Temporary(TemporaryFailure {
                reason: "too much to do".into(),
                retry_after_ms: Some(7_000),
            })),
            "/flood" => {
                let name = |number: u32| new_message(&format!("flood/{number}"));
                // More than an inbox takes: it is full still when the first of them are worked on.
                let messages: Vec<_> = (0..10_100).map(name).collect();
                submit::submit(&messages)?;
                answer(202, "taken")
            }
            "/broken" => Err(Failure::Permanent("it is of no use".into())),
            "/echo" => {
                let headers = request.headers.iter();
                let headers: Vec<_> = headers
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                answer(
                    200,
                    format!(
                        "{} {}?{} {} [{}]",
                        request.method,
                        request.path,
                        request.query,
                        String::from_utf8_lossy(&request.body),
                        headers.join(", ")
                    ),
                )
            }
            path => {
                let mut message = new_message(path.trim_start_matches('/'));
                message.headers.push(Header {
                    name: "text".into(),
                    value: Value::Text(String::from_utf8_lossy(&request.body).into_owned()),
                });
                submit::submit(&[message])?;
                if request.query == "trap" {
                    panic!("the desk fell over with a message in hand");
                }
                answer(202, "taken")
            }
        }
    }
}
guests::export!(Desk: describe, request);
