//! The protocol of PT Sandbox: uploads, tasks, and what its answers mean.
//!
//! Every answer is `{"data": …, "errors": […]}`; errors may come with a status of 200. Nothing is
//! tried again here: only the caller knows what may be done twice.

use std::fmt::Write as _;
use std::time::Duration;

use flow_plugin::http::{Request, Response, request};
use flow_plugin::{ContentReader, Failure, secret};
use serde_json::{Map, Value, json};

use crate::options::Settings;
use crate::policy::{Judgement, State, Verdict};

/// Longest part of what the sandbox says that is shown.
const SHOWN_MAX: usize = 200;
/// Longest name a file is scanned under, bytes.
const NAME_MAX: usize = 255;
/// What a sandbox says that is well; none of it is documented.
const WELL: [&str; 6] = ["ok", "healthy", "up", "green", "running", "alive"];
/// Longest id or URI of the sandbox that is taken, bytes.
const ID_MAX: usize = 1024;

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trouble {
    /// The sandbox knows nothing of the file or the scan, or no longer.
    Gone,
    /// It will not scan this, ever.
    Refused(String),
    /// Anything else.
    Failure(Failure),
    /// No answer came at all: nothing else will get one now.
    Away(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

type Result<T> = std::result::Result<T, Trouble>;

/// A scan that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) scan_id: String,
    /// It may be over already.
    pub(crate) verdict: Option<Verdict>,
}

/// The sandbox, with a key.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    settings: &'a Settings,
    key: String,
}

impl<'a> Client<'a> {
    /// Finds the key.
    pub(crate) fn new(settings: &'a Settings) -> flow_plugin::Result<Self> {
        let found = secret::credential(&settings.url)?;
        let key = match found.option("api_key") {
            Some(key) => key.to_owned(),
            None => found.password,
        };
        if key.is_empty() || key.contains(|c: char| c.is_control()) {
            return Err(Failure::config(format!(
                "credentials.conf has no key for `{0}`; write a line `{0}/ api_key=…`",
                settings.url.trim_end_matches('/')
            )));
        }
        Ok(Self { settings, key })
    }

    fn post(&self, path: &str, timeout: Duration) -> Request {
        request("POST", format!("{}/{path}", self.settings.base))
            .header("x-api-key", self.key.clone())
            .header("accept", "application/json")
            .timeout(timeout)
    }

    fn ask(&self, path: &str, question: &Value, timeout: Duration) -> Result<Map<String, Value>> {
        let request = self
            .post(path, timeout)
            .header("content-type", "application/json")
            .body(question.to_string());
        data(send(request)?)
    }

    /// Uploads content, and says under which URI it is there.
    pub(crate) fn upload(&self, content: ContentReader) -> Result<String> {
        let request = self
            .post("storage/uploadScanFile", self.settings.upload_timeout)
            .header("content-type", "application/octet-stream")
            .content(content);
        id(&data(send(request)?)?, "file_uri")
    }

    /// Asks for a scan of what was uploaded.
    pub(crate) fn create(&self, file_uri: &str, name: &str) -> Result<Started> {
        let settings = self.settings;
        let mut task = json!({
            "file_uri": file_uri,
            "file_name": name,
            "short_result": true,
            "async_result": !settings.held,
        });
        if let Some(priority) = settings.priority {
            task["priority"] = priority.into();
        }
        let mut options = settings.analysis.clone();
        if !settings.passwords.is_empty() {
            options["passwords_for_unpack"] = settings.passwords.clone().into();
        }
        if options
            .as_object()
            .is_some_and(|options| !options.is_empty())
        {
            task["options"] = options;
        }
        started(&self.ask("analysis/createScanTask", &task, self.patience())?)
    }

    /// Uploads content and asks for its scan in one.
    pub(crate) fn scan_file(&self, content: ContentReader, name: &str) -> Result<Started> {
        let settings = self.settings;
        let mut path = format!(
            "scan/checkFile?file_name={}&short_result=true&async_result={}",
            encoded(name),
            !settings.held
        );
        if let Some(priority) = settings.priority {
            let _ = write!(path, "&priority={priority}");
        }
        if !settings.passwords.is_empty() {
            let list = Value::from(settings.passwords.clone()).to_string();
            let _ = write!(path, "&passwords_for_unpack={}", encoded(&list));
        }
        let timeout = settings.upload_timeout.max(self.patience());
        let request = self
            .post(&path, timeout)
            .header("content-type", "application/octet-stream")
            .content(content);
        started(&data(send(request)?)?)
    }

    /// Asks whether a scan is over.
    pub(crate) fn check(&self, scan_id: &str) -> Result<Option<Verdict>> {
        let question = json!({
            "scan_id": scan_id,
            "allow_preflight": self.settings.preflight,
        });
        let path = match self.settings.one_step {
            true => "scan/getStatus",
            false => "analysis/checkTask",
        };
        let found = started(&self.ask(path, &question, self.settings.timeout)?)?;
        // Never another's verdict.
        if found.scan_id != scan_id {
            return Err(Failure::temporary(format!(
                "asked for the scan `{scan_id}`, the sandbox answered about `{}`",
                found.scan_id
            ))
            .into());
        }
        Ok(found.verdict)
    }

    /// Asks the sandbox how it is; says what is wrong.
    pub(crate) fn health(&self) -> Result<Option<String>> {
        let url = format!("{}/maintenance/checkHealth", self.settings.base);
        let request = request("GET", url)
            .header("x-api-key", self.key.clone())
            .timeout(self.settings.timeout);
        let found = data(send(request)?)?;
        let status = found.get("status").and_then(Value::as_str);
        Ok(match status {
            Some(status) if WELL.contains(&status.to_ascii_lowercase().as_str()) => None,
            Some(status) => Some(shown(status)),
            None => Some("it does not say how it is".to_owned()),
        })
    }

    fn patience(&self) -> Duration {
        match self.settings.held {
            true => self.settings.answer_timeout,
            false => self.settings.timeout,
        }
    }
}

/// Sends a request; that no answer comes concerns all others.
fn send(request: Request) -> Result<Response> {
    request.send().map_err(|failure| match failure {
        Failure::Temporary(_) => Trouble::Away(failure),
        other => Trouble::Failure(other),
    })
}

/// The `data` of an answer.
fn data(response: Response) -> Result<Map<String, Value>> {
    let status = response.status;
    let envelope: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    let errors = errors(&envelope);
    let said = match errors.is_empty() {
        true => String::new(),
        false => format!(": {}", errors.join(", ")),
    };
    let temporary = |text: String| match retry_after(&response) {
        Some(delay) => Trouble::Failure(Failure::retry_after(text, delay)),
        None => Trouble::Failure(Failure::temporary(text)),
    };
    let named = |word: &str| errors.iter().any(|error| error.contains(word));
    match status {
        200..=299 => match envelope {
            Value::Object(mut envelope) => match envelope.remove("data") {
                Some(Value::Object(data)) if !data.is_empty() => Ok(data),
                _ if named("NotFound") => Err(Trouble::Gone),
                _ if named("Unauthorized") => Err(refused_key(status, &said)),
                _ => Err(temporary(format!(
                    "the sandbox answered without data{said}"
                ))),
            },
            _ => Err(temporary(
                "what the sandbox answered is not what its API answers".to_owned(),
            )),
        },
        401 | 403 => Err(refused_key(status, &said)),
        404 => Err(Trouble::Gone),
        408 | 425 | 429 | 500..=599 => {
            Err(temporary(format!("the sandbox answered {status}{said}")))
        }
        400..=499 => Err(Trouble::Refused(format!(
            "the sandbox refused it with {status}{said}"
        ))),
        _ => Err(temporary(format!(
            "the sandbox answered {status}, which no answer of its API has{said}"
        ))),
    }
}

fn refused_key(status: u16, said: &str) -> Trouble {
    Trouble::Failure(Failure::auth(format!(
        "the sandbox refused the API key ({status}){said}; scans need the key of a source, and it belongs into credentials.conf"
    )))
}

/// `Retry-After` in seconds; dates are left aside.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The errors of an answer, or of a result, for people.
fn errors(of: &Value) -> Vec<String> {
    let list = of.get("errors").and_then(Value::as_array);
    let text = |error: &Value| {
        let part = |name: &str| error.get(name).and_then(Value::as_str).map(shown);
        match (part("type"), part("message")) {
            (Some(kind), Some(message)) if !message.is_empty() => format!("{kind}: {message}"),
            (Some(kind), _) => kind,
            (None, Some(message)) => message,
            (None, None) => shown(&error.to_string()),
        }
    };
    list.into_iter().flatten().map(text).collect()
}

fn id(data: &Map<String, Value>, name: &str) -> Result<String> {
    let found = data.get(name).and_then(Value::as_str).unwrap_or_default();
    if found.is_empty() || found.len() > ID_MAX || found.contains(|c: char| c.is_control()) {
        return Err(Failure::temporary(format!("the sandbox answered without a `{name}`")).into());
    }
    Ok(found.to_owned())
}

fn started(data: &Map<String, Value>) -> Result<Started> {
    let scan_id = id(data, "scan_id")?;
    // What static analysis alone found, while files are still run.
    let early = data.get("is_preflight").and_then(Value::as_bool) == Some(true);
    let result = data.get("result").filter(|_| !early);
    let verdict = result.and_then(|result| verdict(result, &scan_id));
    Ok(Started { scan_id, verdict })
}

/// What a result says; none where it is not final.
fn verdict(result: &Value, scan_id: &str) -> Option<Verdict> {
    let text = |name: &str| result.get(name).and_then(Value::as_str);
    // Only a state makes it final, and a result before the flight is none.
    let state = text("scan_state")?;
    if result.get("is_preflight").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let errors = errors(result);
    let judgement = text("verdict").unwrap_or_default();
    let verdict = Verdict {
        state: State::read(state),
        judgement: Judgement::read(judgement),
        threat: text("threat")
            .filter(|threat| !threat.trim().is_empty())
            .map(shown),
        scan_id: scan_id.to_owned(),
        trouble: (!errors.is_empty()).then(|| errors.join(", ")),
        late: false,
    };
    let strange = verdict.state == State::Error && state != "UNKNOWN"
        || verdict.judgement == Judgement::Unknown && !matches!(judgement, "UNKNOWN" | "");
    if !strange {
        return Some(verdict);
    }
    let said = format!(
        "it said `{}` and `{}`, which is nothing that is known here",
        shown(state),
        shown(judgement)
    );
    Some(Verdict {
        trouble: Some(match verdict.trouble {
            Some(trouble) => format!("{said}; {trouble}"),
            None => said,
        }),
        ..verdict
    })
}

/// What a peer said, on one line and shortened.
pub(crate) fn shown(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| {
            if c.is_control() || is_format(c) {
                ' '
            } else {
                c
            }
        })
        .take(SHOWN_MAX)
        .collect();
    line.trim().to_owned()
}

/// Characters that reorder or hide text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A name to scan under, made of one that strangers gave.
pub(crate) fn safe_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe: String = name
        .chars()
        .map(|c| {
            if c.is_control() || is_format(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    while safe.len() > NAME_MAX {
        // What is run depends on how the name ends.
        safe.remove(0);
    }
    match safe.trim_matches(['.', ' ']).is_empty() {
        true => "content".to_owned(),
        false => safe,
    }
}

/// Encoded for a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut done, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                done.push(char::from(byte));
            }
            _ => {
                let _ = write!(done, "%{byte:02X}");
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Case;

    fn answer(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: vec![("Retry-After".into(), "7".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    fn result(text: &str) -> Option<Verdict> {
        let body = format!(r#"{{"data":{{"scan_id":"s","result":{text}}},"errors":[]}}"#);
        started(&data(answer(200, &body)).unwrap()).unwrap().verdict
    }

    #[test]
    fn results() {
        let clean = result(r#"{"scan_state":"FULL","verdict":"CLEAN","duration":1.5,"errors":[]}"#);
        assert_eq!(clean.unwrap().case(), Case::Clean);
        for unfinished in [
            "{}",
            "null",
            r#"{"verdict":"DANGEROUS"}"#,
            r#"{"scan_state":"FULL","verdict":"CLEAN","is_preflight":true}"#,
            r#"{"scan_state":7}"#,
        ] {
            assert_eq!(result(unfinished), None, "{unfinished}");
        }
        let strange = result(r#"{"scan_state":"FULL","verdict":"BENIGN\n"}"#).unwrap();
        assert_eq!(strange.case(), Case::Unknown);
        assert!(
            strange.reason().contains("`BENIGN`"),
            "{}",
            strange.reason()
        );
        let found = result(
            r#"{"scan_state":"PARTIAL","verdict":"DANGEROUS","threat":"Trojan\r\nX: y","errors":[{"type":"TIMEOUT_ERROR","message":"slow"}]}"#,
        )
        .unwrap();
        assert_eq!(found.threat.as_deref(), Some("Trojan  X: y"));
        assert_eq!(found.trouble.as_deref(), Some("TIMEOUT_ERROR: slow"));
    }

    #[test]
    fn statuses() {
        let failed = |status, body: &str| data(answer(status, body)).unwrap_err();
        for status in [401, 403] {
            let trouble = failed(
                status,
                r#"{"data":{},"errors":[{"type":"HTTPUnauthorized","message":"no"}]}"#,
            );
            assert!(matches!(trouble, Trouble::Failure(Failure::Auth(_))));
        }
        assert_eq!(failed(404, ""), Trouble::Gone);
        let gone = r#"{"data":{},"errors":[{"type":"HTTPNotFound","message":"no scan"}]}"#;
        assert_eq!(failed(200, gone), Trouble::Gone);
        for (status, body) in [
            (500, "<html>"),
            (429, "{}"),
            (200, ""),
            (200, "[]"),
            (200, "{}"),
            (302, ""),
        ] {
            let Trouble::Failure(Failure::Temporary(failure)) = failed(status, body) else {
                panic!("{status} {body}")
            };
            assert_eq!(failure.retry_after_ms, Some(7000), "{status}");
        }
        let early = r#"{"data":{"scan_id":"s","is_preflight":true,"result":{"scan_state":"FULL","verdict":"CLEAN"}}}"#;
        let early = started(&data(answer(200, early)).unwrap()).unwrap();
        assert_eq!(early.verdict, None);
        assert!(matches!(failed(411, ""), Trouble::Refused(why) if why.contains("411")));
        // Errors beside data are the sandbox's to worry about.
        assert!(data(answer(200, r#"{"data":{"a":1},"errors":[{"type":"X"}]}"#)).is_ok());
    }

    #[test]
    fn names() {
        for (name, safe) in [
            ("a/b.eml", "b.eml"),
            ("c:\\x\\y.exe", "y.exe"),
            ("a\u{202e}fdp.exe\n", "a_fdp.exe_"),
            ("..", "content"),
            ("", "content"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let long = format!("{}.exe", "ж".repeat(300));
        assert!(safe_name(&long).len() <= NAME_MAX && safe_name(&long).ends_with(".exe"));
        assert_eq!(encoded("a b&ж"), "a%20b%26%D0%B6");
    }
}
