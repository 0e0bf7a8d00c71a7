//! Exports an entry point hosts of this version do not call.
use guests::*;
struct Webhook;
guests::describe!(Webhook, manifest("webhook"));
impl guests::request::Guest for Webhook {
    fn handle(_: request::HttpRequest) -> Result<request::HttpResponse, Failure> {
        Ok(request::HttpResponse {
            status: 200,
            headers: vec![],
            body: vec![],
        })
    }
}
guests::export!(Webhook: describe, request);
