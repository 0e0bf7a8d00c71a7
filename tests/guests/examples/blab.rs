//! Asks for the credential its option names and says it everywhere.
use guests::describe::{Grant, OptionKind};
use guests::*;
struct Blab;
guests::describe!(
    Blab,
    guests::describe::Manifest {
        options: vec![option("url", OptionKind::Text)],
        grants: vec![Grant::Secrets],
        ..manifest("blab")
    }
);
guests::keep_options!(Blab, None);
impl guests::gather::Guest for Blab {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        let url = kept("url").unwrap_or_default();
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
