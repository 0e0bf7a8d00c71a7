//! Connects and asks for credentials, though its manifest asks for neither.
use guests::*;
struct Undeclared;
guests::describe!(Undeclared, manifest("undeclared"));
impl guests::gather::Guest for Undeclared {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        if limit == 1 {
            secret::credential("test://example.org/")?;
        } else {
            connection::connect("example.org", 143, connection::Security::Plain)?;
        }
        Ok(gather::Gathered {
            messages: Vec::new(),
            more: false,
        })
    }
}
guests::export!(Undeclared: describe, gather);
