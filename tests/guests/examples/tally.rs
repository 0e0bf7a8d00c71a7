//! Uses its state in every way.
use guests::*;
struct Tally;
guests::describe!(Tally, manifest("tally"));
fn seen() -> Result<String, Failure> {
    let mut facts = Vec::new();
    state::put("a/1", b"one", None)?;
    state::put("a/2", b"two", Some(60))?;
    state::put("b", b"three", None)?;
    facts.push(format!(
        "get {:?}",
        state::get("a/1")?.map(|v| String::from_utf8_lossy(&v).into_owned())
    ));
    facts.push(format!("list {:?}", state::list("a/", "", 10)?));
    facts.push(format!("after {:?}", state::list("a/", "a/1", 10)?));
    facts.push(format!(
        "swap {}",
        state::swap("a/1", Some(b"one"), Some(b"uno"))?
    ));
    facts.push(format!(
        "stale {}",
        state::swap("a/1", Some(b"one"), Some(b"eins"))?
    ));
    facts.push(format!("absent {}", state::swap("c", None, Some(b"new"))?));
    facts.push(format!(
        "remove {}",
        state::swap("b", Some(b"three"), None)?
    ));
    state::delete("a/2")?;
    facts.push(format!("left {:?}", state::list("", "", 10)?));
    for (what, result) in [
        ("key", state::put(&"k".repeat(1025), b"", None)),
        ("value", state::put("k", &vec![0; (1 << 20) + 1], None)),
        ("empty", state::put("", b"", None)),
    ] {
        facts.push(format!(
            "{what}: {}",
            result.err().map_or("accepted".into(), |f| text(&f))
        ));
    }
    Ok(facts.join("\n"))
}
impl guests::lifecycle::Guest for Tally {
    fn start(_: lifecycle::Context) -> Result<lifecycle::Started, Failure> {
        let failure = state::get("a").err().map(|f| text(&f)).unwrap_or_default();
        log::write(log::Level::Info, &format!("state in start: {failure}"));
        let submitted = submit::submit(&[]).err();
        let failure = submitted.map(|f| text(&f)).unwrap_or_default();
        log::write(log::Level::Info, &format!("submit in start: {failure}"));
        Ok(lifecycle::Started {
            max_instances: None,
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        state::put("kept", b"yes", None)
    }
    fn stop() {}
}
impl guests::after_accept::Guest for Tally {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let seen = seen()?;
        Ok(batch
            .iter()
            .map(|_| Verdict::Update(vec![header("seen", seen.clone())]))
            .collect())
    }
}
impl guests::settled::Guest for Tally {
    fn settled(outcomes: Vec<settled::Outcome>) -> Result<(), Failure> {
        for outcome in outcomes {
            state::put(
                &outcome.message.rel_path,
                format!("{:?}", outcome.fate).as_bytes(),
                None,
            )?;
        }
        Ok(())
    }
}
guests::export!(Tally: describe, lifecycle, after_accept, settled);
