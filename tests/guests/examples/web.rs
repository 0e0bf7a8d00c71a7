//! Imports an interface hosts of this version do not have.
use guests::*;
struct Web;
guests::describe!(Web, manifest("web"));
impl guests::after_accept::Guest for Web {
    fn after_accept(_: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let request = http::Request {
            method: "GET".into(),
            url: "http://example.org/".into(),
            headers: vec![],
            body: http::Body::None,
            timeout_ms: None,
        };
        http::send(request).map(|_| Vec::new())
    }
}
guests::export!(Web: describe, after_accept);
