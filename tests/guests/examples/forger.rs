//! Makes up handles of resources, and uses those it gave away.
#![allow(unsafe_code, reason = "this is what a hostile guest does")]
use guests::*;
struct Forger;
guests::describe!(Forger, manifest("forger"));
fn forge(message: &Message) -> Result<Verdict, Failure> {
    let reader = content::open(message.id)?;
    match message.rel_path.as_str() {
        "made-up" => unsafe { content::Reader::from_handle(4711) }.read(1)?,
        // A reader where a writer belongs.
        "confused" => {
            let handle = reader.take_handle();
            let writer = unsafe { content::Writer::from_handle(handle) };
            writer.write(b"x")?;
            Vec::new()
        }
        "dropped" => {
            let copy = unsafe { content::Reader::from_handle(reader.handle()) };
            drop(reader);
            copy.read(1)?
        }
        "twice" => {
            let copy = unsafe { content::Reader::from_handle(reader.handle()) };
            drop(copy);
            drop(reader);
            Vec::new()
        }
        _ => reader.read(1)?,
    };
    Ok(Verdict::Keep)
}
impl guests::after_work::Guest for Forger {
    fn after_work(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch
            .iter()
            .map(|message| forge(message).unwrap_or_else(Verdict::Fail))
            .collect())
    }
}
guests::export!(Forger: describe, after_work);
