//! Splits content into lines, each a message of its own; and misuses handles.
use guests::*;
use std::cell::RefCell;
struct Split;
thread_local! { static KEPT: RefCell<Option<content::Reader>> = const { RefCell::new(None) }; }
guests::describe!(Split, manifest("split"));
fn split(message: &Message) -> Result<Verdict, Failure> {
    match message.rel_path.as_str() {
        "keep-reader" => {
            KEPT.set(Some(content::open(message.id)?));
            return Ok(Verdict::Keep);
        }
        "use-reader" => {
            return KEPT
                .with_borrow(|reader| reader.as_ref().expect("kept").read(10))
                .map(|_| Verdict::Keep);
        }
        "forged-id" => return content::open(message.id + 1000).map(|_| Verdict::Keep),
        "forged-handle" => {
            return Ok(Verdict::Replace(vec![NewMessage {
                content: Some(4711),
                ..new_message("forged")
            }]));
        }
        "twice" => {
            let writer = content::derive(message.id, "part", None)?.expect("wanted");
            let content = Some(content::Writer::finish(writer)?);
            return Ok(Verdict::Replace(vec![
                NewMessage {
                    content,
                    ..new_message("a")
                },
                NewMessage {
                    content,
                    ..new_message("b")
                },
            ]));
        }
        name if name.starts_with("name:") => {
            return content::derive(message.id, &name[5..], None).map(|_| Verdict::Keep);
        }
        _ => {}
    }
    let reader = content::open(message.id)?;
    let mut bytes = Vec::new();
    loop {
        let chunk = reader.read(u32::MAX)?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend(chunk);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut parts = vec![];
    for (index, part) in text.lines().enumerate() {
        let rel_path = format!("{}/{index}.txt", message.rel_path);
        let Some(writer) = content::derive(message.id, &rel_path, Some("text/plain"))? else {
            continue;
        };
        writer.write(part.as_bytes())?;
        parts.push(NewMessage {
            content: Some(content::Writer::finish(writer)?),
            ..new_message(&rel_path)
        });
    }
    if reader.size() != bytes.len() as u64 {
        return Err(Failure::Permanent(format!(
            "size says {}, read {}",
            reader.size(),
            bytes.len()
        )));
    }
    Ok(Verdict::Replace(parts))
}
impl guests::after_work::Guest for Split {
    fn after_work(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch
            .iter()
            .map(|message| split(message).unwrap_or_else(Verdict::Fail))
            .collect())
    }
}
guests::export!(Split: describe, after_work);
