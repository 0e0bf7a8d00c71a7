//! Answers requests with what would become more than one header, line or answer.
use guests::request::{HttpRequest, HttpResponse};
use guests::*;
struct Smuggler;
guests::describe!(Smuggler, manifest("smuggler"));
impl guests::request::Guest for Smuggler {
    fn handle(request: HttpRequest) -> Result<HttpResponse, Failure> {
        let mut response = HttpResponse {
            status: 200,
            headers: Vec::new(),
            body: b"fine".to_vec(),
        };
        let mut header =
            |name: &str, value: &str| response.headers.push((name.into(), value.into()));
        match request.path.as_str() {
            "/value" => header("x-note", "a\r\nset-cookie: b=c"),
            "/name" => header("x-note: a\r\nset-cookie", "b=c"),
            "/length" => header("content-length", "9999"),
            "/status" => response.status = 99,
            "/continue" => response.status = 101,
            "/huge" => response.body = vec![b'x'; 20 << 20],
            "/line" => return lines::write(1, "OK\r\n* BYE").map(|()| response),
            _ => {}
        }
        Ok(response)
    }
}
guests::export!(Smuggler: describe, request);
