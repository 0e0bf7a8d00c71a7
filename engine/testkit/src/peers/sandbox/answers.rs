//! What the played sandbox answers: the methods of its API.

use serde_json::{Value, json};

use super::http::Request;
use super::{Scan, Shared};

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The scan it is about.
    pub(super) scan_id: String,
}

impl Answer {
    fn data(data: &Value) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            body: json!({ "data": data, "errors": [] })
                .to_string()
                .into_bytes(),
            scan_id: data["scan_id"].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = json!({ "data": {}, "errors": [{ "type": kind, "message": message }] });
        Self {
            status,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
            scan_id: String::new(),
        }
    }
}

type Result<T> = std::result::Result<T, Answer>;

fn wrong(message: &str) -> Answer {
    Answer::error(400, "HTTPBadRequest", message)
}

fn unknown(message: &str) -> Answer {
    Answer::error(404, "HTTPNotFound", message)
}

/// Does what was asked.
pub(super) async fn answer(request: &Request, shared: &Shared) -> Answer {
    if request.header("x-api-key") != shared.plan().key {
        return Answer::error(401, "HTTPUnauthorized", "the key is not known");
    }
    let done = match (request.method.as_str(), request.path.as_str()) {
        ("POST", "storage/uploadScanFile") => upload(request, shared),
        ("POST", "storage/downloadArtifact") => Err(unknown("nothing is kept")),
        ("POST", "analysis/createScanTask") => create(request, shared).await,
        ("POST", "scan/checkFile") => check_file(request, shared).await,
        ("POST", "analysis/checkTask" | "scan/getStatus") => check(request, shared),
        ("POST", "analysis/report" | "scan/getFullReport") => report(request, shared),
        ("GET", "maintenance/checkHealth") => {
            let health = shared.plan().health.clone();
            Ok(json!({ "status": health }))
        }
        ("GET", "maintenance/getVersion") => {
            Ok(json!({ "version": "5.11.0.12345", "edition": "" }))
        }
        _ => Err(unknown("there is no such method")),
    };
    match done {
        Ok(data) => Answer::data(&data),
        Err(answer) => answer,
    }
}

fn content(request: &Request, shared: &Shared) -> Result<()> {
    if request.chunked && shared.plan().reject_chunked {
        return Err(Answer::error(
            411,
            "HTTPLengthRequired",
            "chunks are not taken",
        ));
    }
    match request.length {
        Some(_) => Ok(()),
        None => Err(Answer::error(
            411,
            "HTTPLengthRequired",
            "there is no length",
        )),
    }
}

fn upload(request: &Request, shared: &Shared) -> Result<Value> {
    content(request, shared)?;
    let ttl = shared.plan().ttl.as_secs();
    let uri = shared.scans().upload(request.sample(""));
    Ok(json!({ "file_uri": uri, "ttl": ttl }))
}

/// A question in JSON, checked.
fn question(request: &Request, known: &[&str]) -> Result<Value> {
    if !request
        .header("content-type")
        .starts_with("application/json")
    {
        return Err(wrong("this method takes JSON"));
    }
    let found: Value =
        serde_json::from_slice(&request.body).map_err(|_| wrong("this is no JSON"))?;
    let Some(fields) = found.as_object() else {
        return Err(wrong("this is no object"));
    };
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(wrong(&format!("`{name}` is not known")));
    }
    if has_null(&found) {
        return Err(wrong("nulls are not taken"));
    }
    Ok(found)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

fn in_range(options: &Value, path: &str, least: u64, most: u64) -> Result<()> {
    match options.pointer(path) {
        None => Ok(()),
        Some(value)
            if value
                .as_u64()
                .is_some_and(|value| (least..=most).contains(&value)) =>
        {
            Ok(())
        }
        Some(value) => Err(wrong(&format!(
            "`{path}` is {value}, not {least} to {most}"
        ))),
    }
}

async fn create(request: &Request, shared: &Shared) -> Result<Value> {
    let task = question(
        request,
        &[
            "file_uri",
            "file_name",
            "short_result",
            "async_result",
            "priority",
            "options",
        ],
    )?;
    let uri = task["file_uri"]
        .as_str()
        .ok_or_else(|| wrong("there is no `file_uri`"))?;
    in_range(&task, "/priority", 1, 4)?;
    in_range(&task, "/options/scan_timeout", 10, 3600)?;
    in_range(&task, "/options/max_execution_time", 300, 10_800)?;
    in_range(&task, "/options/sandbox/analysis_duration", 10, u64::MAX)?;
    let ttl = shared.plan().ttl;
    let uploaded = shared.scans().uploaded(uri, ttl);
    let mut sample = uploaded.ok_or_else(|| unknown("there is no such file"))?;
    task["file_name"]
        .as_str()
        .unwrap_or(&sample.sha256)
        .clone_into(&mut sample.name);
    let waits = task["async_result"] != json!(true);
    let scan = begin(shared, sample, task);
    Ok(started(shared, scan, waits).await)
}

async fn check_file(request: &Request, shared: &Shared) -> Result<Value> {
    content(request, shared)?;
    let name = request.query("file_name").unwrap_or_default();
    let is = |name: &str| {
        request
            .query(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    if let Some(priority) = request.query("priority") {
        let priority = json!({ "priority": priority.parse::<u64>().unwrap_or_default() });
        in_range(&priority, "/priority", 1, 4)?;
    }
    let query: serde_json::Map<_, _> = request
        .query
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let scan = begin(shared, request.sample(name), Value::Object(query));
    Ok(started(shared, scan, !is("async_result")).await)
}

fn begin(shared: &Shared, sample: super::Sample, task: Value) -> Scan {
    let number = shared.scans().next();
    let (takes, verdict) = {
        let plan = shared.plan();
        (plan.delay.of(number), (plan.judge)(&sample))
    };
    shared.scans().begin(sample, verdict, takes, task)
}

/// The answer to who asked for a scan: at once, or with its result.
async fn started(shared: &Shared, scan: Scan, waits: bool) -> Value {
    if !waits {
        return json!({ "scan_id": scan.id });
    }
    tokio::time::sleep_until(scan.over.into()).await;
    shared.scans().told(&scan.id);
    json!({ "scan_id": scan.id, "result": result(&scan) })
}

fn find(task: &Value, shared: &Shared) -> Result<Scan> {
    let id = task["scan_id"].as_str().unwrap_or_default();
    shared
        .scans()
        .find(id)
        .ok_or_else(|| unknown("there is no such scan"))
}

fn check(request: &Request, shared: &Shared) -> Result<Value> {
    let task = question(request, &["scan_id", "allow_preflight"])?;
    let scan = find(&task, shared)?;
    if scan.over > std::time::Instant::now() {
        if shared.plan().preflight && task["allow_preflight"] == json!(true) {
            let early = Scan {
                verdict: super::Verdict::new("PARTIAL", "CLEAN"),
                ..scan
            };
            return Ok(
                json!({ "scan_id": early.id, "result": result(&early), "is_preflight": true }),
            );
        }
        return Ok(json!({ "scan_id": scan.id }));
    }
    shared.scans().told(&scan.id);
    Ok(json!({ "scan_id": scan.id, "result": result(&scan) }))
}

fn report(request: &Request, shared: &Shared) -> Result<Value> {
    let scan = find(&question(request, &["scan_id"])?, shared)?;
    if scan.over > std::time::Instant::now() {
        return Ok(json!({ "scan_id": scan.id }));
    }
    Ok(json!({ "scan_id": scan.id, "result": result(&scan), "artifacts": [] }))
}

fn result(scan: &Scan) -> Value {
    let took = (scan.over - scan.asked).as_secs_f64();
    let errors = scan.verdict.errors.iter();
    let errors: Vec<_> = errors
        .map(|kind| json!({ "type": kind, "message": "to order" }))
        .collect();
    let mut result = json!({
        "scan_state": scan.verdict.state,
        "duration": took,
        "duration_full": took,
        "errors": errors,
    });
    if let Some(verdict) = &scan.verdict.verdict {
        result["verdict"] = json!(verdict);
    }
    if let Some(threat) = &scan.verdict.threat {
        result["threat"] = json!(threat);
    }
    result
}
