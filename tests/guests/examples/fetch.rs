//! Downloads by the path's first element: content, nothing, or somebody else's message.
use guests::download::Fetched;
use guests::*;
struct Fetch;
guests::describe!(
    Fetch,
    guests::describe::Manifest {
        schemes: vec!["test".into()],
        ..manifest("fetch")
    }
);
fn fetch(message: &Message) -> Result<Fetched, Failure> {
    match message.rel_path.as_str() {
        "whole" => {
            let writer = content::create(message.id)?;
            writer.write(b"con")?;
            writer.write(b"tent")?;
            content::Writer::finish(writer)?;
            Ok(Fetched::Done(vec![Edit::ContentType(Some(
                "text/plain".into(),
            ))]))
        }
        "dropped" => {
            content::create(message.id)?.write(b"half")?;
            Ok(Fetched::Reject(Rejection {
                code: 404,
                reason: "gone".into(),
            }))
        }
        "forged" => content::create(message.id + 1000).map(|_| Fetched::Done(Vec::new())),
        "derive" => content::derive(message.id, "x", None).map(|_| Fetched::Done(Vec::new())),
        "open" => content::open(message.id).map(|_| Fetched::Done(Vec::new())),
        _ => Ok(Fetched::Done(Vec::new())),
    }
}
impl guests::download::Guest for Fetch {
    fn download(batch: Vec<Message>) -> Result<Vec<Fetched>, Failure> {
        Ok(batch
            .iter()
            .map(|message| fetch(message).unwrap_or_else(Fetched::Fail))
            .collect())
    }
}
guests::export!(Fetch: describe, download);
