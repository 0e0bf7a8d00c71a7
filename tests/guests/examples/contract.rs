//! Uses the whole contract, each function once: kept when a version of it is released, and run by
//! every later host (`tests/compat`).
use guests::connection::Security;
use guests::describe::{Grant, OptionKind, OptionSpec};
use guests::request::{HttpRequest, HttpResponse};
use guests::*;
use std::cell::Cell;
struct Contract;
thread_local! {
    static STARTED: Cell<bool> = const { Cell::new(false) };
    static SETTLED: Cell<u32> = const { Cell::new(0) };
}
guests::describe!(
    Contract,
    guests::describe::Manifest {
        doc: "# contract".into(),
        options: vec![
            OptionSpec {
                default: Some("on".into()),
                ..option("flag", OptionKind::Flag)
            },
            OptionSpec {
                example: Some("3".into()),
                ..option("count", OptionKind::Count)
            },
            option("size", OptionKind::Size),
            option("duration", OptionKind::Duration),
            OptionSpec {
                repeated: true,
                ..option("text", OptionKind::Text)
            },
            option("url", OptionKind::Url),
            OptionSpec {
                choices: vec!["a".into(), "b".into()],
                ..option("choice", OptionKind::Choice)
            },
            OptionSpec {
                secret: true,
                ..option("secret", OptionKind::Text)
            },
            option("regex", OptionKind::Regex),
        ],
        schemes: vec!["contract".into()],
        grants: vec![Grant::Connect, Grant::Http, Grant::Secrets],
        ..manifest("contract")
    }
);
impl guests::lifecycle::Guest for Contract {
    fn start(context: lifecycle::Context) -> Result<lifecycle::Started, Failure> {
        log::write(
            log::Level::Info,
            &format!("started as {} of {}", context.kind, context.flow),
        );
        STARTED.set(true);
        Ok(lifecycle::Started {
            max_instances: Some(2),
        })
    }
    fn housekeeping() -> Result<(), Failure> {
        metrics::count("housekeeping", 1);
        metrics::gauge("started", f64::from(u8::from(STARTED.get())));
        metrics::progress("housekeeping", 1, 1, "rounds");
        Ok(())
    }
    fn stop() {
        log::write(log::Level::Info, "stopped");
    }
}
/// What a grant that is not there says, or what came of it.
fn outside() -> Vec<String> {
    let connected = connection::connect("contract.invalid", 1, Security::Tls).and_then(|stream| {
        stream.set_timeout(1000);
        stream.write(b"hello")?;
        stream.start_tls()?;
        stream.read(100)
    });
    let answered = http::send(http::Request {
        method: "GET".into(),
        url: "https://contract.invalid/".into(),
        headers: vec![("x-contract".into(), "yes".into())],
        body: http::Body::Bytes(b"hello".to_vec()),
        timeout_ms: Some(1000),
    });
    let credential = secret::credential("https://contract.invalid/");
    let token = secret::bearer_token("https://contract.invalid/");
    vec![
        connected.map_or_else(|f| text(&f), |bytes| format!("read {}", bytes.len())),
        answered.map_or_else(|f| text(&f), |answer| format!("status {}", answer.status)),
        credential.map_or_else(|f| text(&f), |found| found.user),
        token.unwrap_or_else(|f| text(&f)),
    ]
}
/// Whether pairs are kept as the contract has it.
fn remembers() -> Result<bool, Failure> {
    state::put("a", b"1", Some(60))?;
    state::put("b", b"2", None)?;
    let swapped = state::swap("b", Some(b"2"), Some(b"3"))?;
    let kept = state::get("b")? == Some(b"3".to_vec());
    let listed = state::list("", "a", 10)? == ["b"];
    state::delete("a")?;
    Ok(swapped && kept && listed && state::get("a")?.is_none())
}
impl guests::gather::Guest for Contract {
    fn gather(limit: u32) -> Result<gather::Gathered, Failure> {
        let mut message = new_message("gathered");
        message.headers = vec![
            Header {
                name: "remembers".into(),
                value: Value::Json(remembers()?.to_string()),
            },
            Header {
                name: "outside".into(),
                value: Value::Text(outside().join(" | ")),
            },
        ];
        Ok(gather::Gathered {
            messages: vec![message],
            more: limit == 1,
        })
    }
}
impl guests::wake::Guest for Contract {
    fn wait(timeout_ms: u64) -> Result<bool, Failure> {
        Ok(timeout_ms > 0)
    }
}
impl guests::settled::Guest for Contract {
    fn settled(outcomes: Vec<settled::Outcome>) -> Result<(), Failure> {
        use settled::Fate;
        let known = outcomes.iter().filter(|outcome| match &outcome.fate {
            Fate::Posted => true,
            Fate::Rejected(rejection) => rejection.code > 0,
            Fate::Retrying(reason) | Fate::Dead(reason) => !reason.is_empty(),
        });
        SETTLED.set(SETTLED.get() + known.count() as u32);
        Ok(())
    }
}
fn edits(message: &Message) -> Vec<Edit> {
    vec![
        Edit::PubTime("20261122T010203.5".into()),
        Edit::BaseUrl("https://example.org/".into()),
        Edit::RelPath(format!("edited/{}", message.rel_path)),
        Edit::RetrievePath(Some("?id=1".into())),
        Edit::Size(Some(42)),
        Edit::Mtime(Some("20260101T000000".into())),
        Edit::ContentType(Some("text/plain".into())),
        Edit::Identity(Some(Identity {
            method: "arbitrary".into(),
            value: "x".into(),
        })),
        Edit::Directory("/data/in/deeper".into()),
        Edit::Filename("b.txt".into()),
        header("settled", SETTLED.get().to_string()),
        Edit::Header(("list".into(), Some(Value::Json("[1,2]".into())))),
        Edit::Header(("gone".into(), None)),
    ]
}
fn later(reason: &str) -> Failure {
    Failure::Temporary(TemporaryFailure {
        reason: reason.into(),
        retry_after_ms: Some(1500),
    })
}
fn rejection() -> Rejection {
    Rejection {
        code: 415,
        reason: "not wanted".into(),
    }
}
fn verdict(message: &Message) -> Verdict {
    match message.rel_path.as_str() {
        "update" => Verdict::Update(edits(message)),
        "reject" => Verdict::Reject(rejection()),
        "temporary" => Verdict::Fail(later("not now")),
        "permanent" => Verdict::Fail(Failure::Permanent("never".into())),
        "auth" => Verdict::Fail(Failure::Auth("who?".into())),
        "config" => Verdict::Fail(Failure::Config("set it".into())),
        "replace" => Verdict::Replace(vec![new_message("one"), new_message("two")]),
        "add" => Verdict::Add(vec![new_message("more")]),
        "wait" => Verdict::Wait(Waiting {
            reason: "not before noon".into(),
            after_ms: 90_000,
        }),
        _ => Verdict::Keep,
    }
}
impl guests::after_accept::Guest for Contract {
    fn after_accept(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        Ok(batch.iter().map(verdict).collect())
    }
}
impl guests::download::Guest for Contract {
    fn download(batch: Vec<Message>) -> Result<Vec<download::Fetched>, Failure> {
        use download::Fetched;
        let fetch = |message: &Message| -> Result<Fetched, Failure> {
            let writer = content::create(message.id)?;
            writer.write(message.rel_path.as_bytes())?;
            content::Writer::finish(writer)?;
            Ok(Fetched::Done(vec![Edit::Size(Some(
                message.rel_path.len() as u64,
            ))]))
        };
        let each = batch.iter().map(|message| match message.rel_path.as_str() {
            "reject" => Fetched::Reject(rejection()),
            _ => fetch(message).unwrap_or_else(Fetched::Fail),
        });
        Ok(each.collect())
    }
}
impl guests::send::Guest for Contract {
    fn send(batch: Vec<Message>) -> Result<Vec<send::Sent>, Failure> {
        use send::Sent;
        let each = batch.iter().map(|message| match content::open(message.id) {
            Ok(_) if message.rel_path == "reject" => Sent::Reject(rejection()),
            Ok(reader) => Sent::Done(vec![Edit::Size(Some(reader.size()))]),
            Err(failure) => Sent::Fail(failure),
        });
        Ok(each.collect())
    }
}
impl guests::after_work::Guest for Contract {
    fn after_work(batch: Vec<Message>) -> Result<Vec<Verdict>, Failure> {
        let derive = |message: &Message| -> Result<Verdict, Failure> {
            let reader = content::open(message.id)?;
            let bytes = reader.read(100)?;
            let Some(writer) = content::derive(message.id, "derived.txt", Some("text/plain"))?
            else {
                return Ok(Verdict::Keep);
            };
            writer.write(&bytes)?;
            Ok(Verdict::Add(vec![NewMessage {
                content: Some(content::Writer::finish(writer)?),
                ..new_message("derived.txt")
            }]))
        };
        Ok(batch
            .iter()
            .map(|message| derive(message).unwrap_or_else(Verdict::Fail))
            .collect())
    }
}
impl guests::post::Guest for Contract {
    fn post(batch: Vec<Message>) -> Result<Vec<Result<(), Failure>>, Failure> {
        let each = batch.iter().map(|message| match message.rel_path.as_str() {
            "temporary" => Err(later("not now")),
            _ => Ok(()),
        });
        Ok(each.collect())
    }
}
impl guests::request::Guest for Contract {
    fn handle(request: HttpRequest) -> Result<HttpResponse, Failure> {
        submit::submit(&[new_message(request.path.trim_start_matches('/'))])?;
        Ok(HttpResponse {
            status: 202,
            headers: request.headers,
            body: format!("{} {} {}", request.method, request.query, request.peer).into_bytes(),
        })
    }
}
impl guests::line::Guest for Contract {
    fn line(peer: u64, text: String) -> Result<(), Failure> {
        submit::submit(&[new_message(&text)])?;
        lines::write(peer, "taken")
    }
    fn closed(_peer: u64) -> Result<(), Failure> {
        Ok(())
    }
}
guests::export!(Contract: describe, lifecycle, gather, wake, settled, after_accept, download, send, after_work, post, request, line);
