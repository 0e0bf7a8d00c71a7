//! Never finishes describing itself.
struct Stuck;
guests::describe!(
    Stuck,
    loop {
        std::hint::black_box(());
    }
);
impl guests::after_accept::Guest for Stuck {
    fn after_accept(_: Vec<guests::Message>) -> Result<Vec<guests::Verdict>, guests::Failure> {
        Ok(Vec::new())
    }
}
guests::export!(Stuck: describe, after_accept);
