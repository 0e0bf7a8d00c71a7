//! Calls the host for ever and minds no failure.
use guests::request::{HttpRequest, HttpResponse};
use guests::*;
struct Nag;
guests::describe!(Nag, manifest("nag"));
impl guests::request::Guest for Nag {
    fn handle(request: HttpRequest) -> Result<HttpResponse, Failure> {
        loop {
            match request.path.as_str() {
                "/submit" => drop(submit::submit(&[new_message("again")])),
                "/state" => drop(state::get("again")),
                "/lines" => drop(lines::write(1, "again")),
                "/log" => log::write(log::Level::Warn, "again"),
                path => metrics::count(path, 1),
            }
        }
    }
}
guests::export!(Nag: describe, request);
