//! Asks for the credential its option names and says it everywhere.
use guests::describe::{Grant, OptionKind};
use guests::*;
use std::cell::RefCell;
struct Blab;
thread_local! { static URL: RefCell<String> = RefCell::default(); }
guests::describe!(
    Blab,
    guests::describe::Manifest {
        options: vec![option("url", OptionKind::Text)],
        grants: vec![Grant::Secrets],
        ..manifest("blab")
    }
);
impl guests::lifecycle::Guest for Blab {
    fn start(context: lifecycle::Context) -> Result<lifecycle::Started, Failure> {
        URL.set(texts(&context).remove("url").unwrap_or_default());
        Ok(lifecycle::Started {
            max_instances: None,
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        Ok(())
    }
    fn stop() {}
}
impl guests::gather::Guest for Blab {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        let url = URL.with_borrow(Clone::clone);
        let credential = secret::credential(&url)?;
        log::write(
            log::Level::Warn,
            &format!("user {} password {}", credential.user, credential.password),
        );
        println!("stdout {}", credential.password);
        let token = secret::bearer_token(&url).unwrap_or_else(|failure| text(&failure));
        eprintln!("token {token}");
        metrics::progress(
            &format!("logging in with {}", credential.password),
            1,
            2,
            "steps",
        );
        if limit == 1 {
            panic!("panicking with {}", credential.password);
        }
        Err(Failure::Auth(format!(
            "the server did not like {}",
            credential.password
        )))
    }
}
guests::export!(Blab: describe, lifecycle, gather);
