//! What a trial says: the document as values, and everything in it that is no such thing refused.

use std::time::Duration;

use flow_config::document::{Field, Node, OF_A_FLOW, Value};
use flow_message::{Inline, InlineEncoding, Timestamp};

/// Something in the file that can't be.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

pub(super) type Read<T> = Result<T, Wrong>;

pub(super) fn wrong<T>(line: usize, what: impl Into<String>) -> Read<T> {
    Err(Wrong {
        line,
        what: what.into(),
    })
}

/// A trial.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) clock: Timestamp,
    pub(super) state: Vec<(String, Vec<u8>)>,
    pub(super) credentials: Vec<String>,
    pub(super) http: Vec<Exchange>,
    pub(super) connections: Vec<Dialled>,
    /// Whether the file says what the flow allows; if not, every peer of it is.
    pub(super) allows: bool,
    pub(super) steps: Vec<Step>,
}

/// One call.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    /// Where its keys start.
    pub(super) column: usize,
    pub(super) entry: String,
    pub(super) given: Node,
    pub(super) expect: Option<Field>,
    pub(super) log: Vec<Node>,
    pub(super) state: Option<Node>,
}

/// A request that is expected, and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) line: usize,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, Node)>,
    pub(super) body: Option<Node>,
    pub(super) answer: Answer,
}

/// What answers a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Nobody does.
    Nothing(String),
}

/// A connection that is expected, and what is said on it.
#[derive(Debug, Clone)]
pub(super) struct Dialled {
    pub(super) line: usize,
    pub(super) to: String,
    pub(super) tls: bool,
    pub(super) script: Vec<Turn>,
}

/// What happens next on a connection.
#[derive(Debug, Clone)]
pub(super) enum Turn {
    /// The peer says a line.
    Send(Vec<u8>),
    /// The plugin says a line.
    Expect(usize, Node),
    /// The plugin turns to TLS.
    StartTls(usize),
}

/// What a test says of its plugin, beside [`OF_A_FLOW`].
const OF_THE_PLUGIN: [&str; 2] = ["options", "limits"];

/// What it says of itself.
const OF_THE_TEST: [&str; 7] = [
    "clock",
    "state",
    "credentials",
    "http",
    "connections",
    "steps",
    "description",
];

/// What a step may call.
const CALLS: [&str; 13] = [
    "gather",
    "wake",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
    "settled",
    "request",
    "line",
    "closed",
    "housekeeping",
    "restart",
];

impl Case {
    pub(super) fn read(root: &Node) -> Read<Self> {
        let keys = [&OF_THE_PLUGIN[..], &OF_A_FLOW, &OF_THE_TEST].concat();
        known(root, &keys, "a test of a plugin")?;
        let clock = match root.get("clock") {
            None => Timestamp::from_unix(1_767_225_600, 0),
            Some(node) => {
                let text = text(node, "clock")?;
                let time = Timestamp::parse_rfc3339(text).or_else(|_| text.parse());
                match time {
                    Ok(time) => time,
                    Err(_) => {
                        return wrong(
                            node.line,
                            format!("`{text}` is no time; write it as `2026-01-01T00:00:00Z`"),
                        );
                    }
                }
            }
        };
        let mut state = Vec::new();
        for field in root.get("state").map_or(&[][..], Node::fields) {
            state.push((field.key.clone(), bytes(&field.node, "a value of `state`")?));
        }
        let mut credentials = Vec::new();
        for node in list(root, "credentials") {
            credentials.push(text(node, "a line of `credentials`")?.to_owned());
        }
        let http = list(root, "http")
            .iter()
            .map(exchange)
            .collect::<Read<_>>()?;
        let connections = list(root, "connections")
            .iter()
            .map(dialled)
            .collect::<Read<_>>()?;
        let steps: Vec<Step> = list(root, "steps").iter().map(step).collect::<Read<_>>()?;
        if steps.is_empty() {
            return wrong(root.line, "there are no `steps`, so nothing would be tried");
        }
        Ok(Self {
            clock,
            state,
            credentials,
            http,
            connections,
            allows: root.get("allow").is_some(),
            steps,
        })
    }
}

fn step(node: &Node) -> Read<Step> {
    let mut found = None;
    let (mut expect, mut log, mut state) = (None, Vec::new(), None);
    let mut column = 1;
    for field in node.fields() {
        column = field.column;
        match field.key.as_str() {
            "expect" => expect = Some(field.clone()),
            "log" => match &field.node.value {
                Value::List(items) => log = items.clone(),
                _ => log = vec![field.node.clone()],
            },
            "state" => state = Some(field.node.clone()),
            call if CALLS.contains(&call) && found.is_none() => found = Some(field.clone()),
            call if CALLS.contains(&call) => {
                return wrong(
                    field.line,
                    format!("a step is one call; `{call}` is a second one"),
                );
            }
            other => {
                return wrong(
                    field.line,
                    format!(
                        "a step has no `{other}`: it is a call ({}) with `expect`, `log` and `state`",
                        CALLS.join(", ")
                    ),
                );
            }
        }
    }
    let Some(found) = found else {
        return wrong(
            node.line,
            format!("a step is a call: one of {}", CALLS.join(", ")),
        );
    };
    Ok(Step {
        line: found.line,
        column,
        entry: found.key,
        given: found.node,
        expect,
        log,
        state,
    })
}

fn exchange(node: &Node) -> Read<Exchange> {
    known(
        node,
        &["request", "headers", "body", "respond"],
        "an entry of `http`",
    )?;
    let request = need(node, "request")?;
    let words: Vec<&str> = text(request, "request")?.split_whitespace().collect();
    let [method, url] = words[..] else {
        return wrong(
            request.line,
            "a request is a method and a URL, e.g. `GET https://example.org/`",
        );
    };
    let headers = node.get("headers").map_or(&[][..], Node::fields);
    Ok(Exchange {
        line: node.line,
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers
            .iter()
            .map(|field| (field.key.clone(), field.node.clone()))
            .collect(),
        body: node.get("body").cloned(),
        answer: answer(need(node, "respond")?)?,
    })
}

fn answer(node: &Node) -> Read<Answer> {
    if node.text().is_some() {
        return Ok(Answer::Response {
            status: status(node)?,
            headers: Vec::new(),
            body: Vec::new(),
        });
    }
    known(node, &["status", "headers", "body", "fail"], "`respond`")?;
    if let Some(fail) = node.get("fail") {
        return Ok(Answer::Nothing(text(fail, "fail")?.to_owned()));
    }
    let mut headers = Vec::new();
    for field in node.get("headers").map_or(&[][..], Node::fields) {
        headers.push((field.key.clone(), text(&field.node, "a header")?.to_owned()));
    }
    Ok(Answer::Response {
        status: node.get("status").map_or(Ok(200), status)?,
        headers,
        body: node
            .get("body")
            .map_or(Ok(Vec::new()), |node| bytes(node, "body"))?,
    })
}

fn status(node: &Node) -> Read<u16> {
    let text = text(node, "status")?;
    match text.parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => wrong(node.line, format!("`{text}` is no status; 100 to 599 are")),
    }
}

fn dialled(node: &Node) -> Read<Dialled> {
    known(node, &["to", "tls", "script"], "an entry of `connections`")?;
    let to = need(node, "to")?;
    let place = text(to, "to")?;
    if place
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_err())
    {
        return wrong(
            to.line,
            format!("`{place}` is no place to connect to; write `host:port`"),
        );
    }
    let mut script = Vec::new();
    for turn in need(node, "script")?.items() {
        let [field] = turn.fields() else {
            return wrong(turn.line, "a turn is `send: …`, `expect: …` or `starttls:`");
        };
        script.push(match field.key.as_str() {
            // Lines end as protocols of lines end them.
            "send" => {
                let mut said = bytes(&field.node, "send")?;
                if field.node.text().is_some() {
                    said.extend_from_slice(b"\r\n");
                }
                Turn::Send(said)
            }
            "expect" => Turn::Expect(field.line, field.node.clone()),
            "starttls" => Turn::StartTls(field.line),
            other => {
                return wrong(
                    field.line,
                    format!("there is no turn `{other}`: it is `send`, `expect` or `starttls`"),
                );
            }
        });
    }
    Ok(Dialled {
        line: node.line,
        to: place.to_owned(),
        tls: node
            .get("tls")
            .and_then(Node::text)
            .is_some_and(|text| matches!(text, "true" | "yes" | "on")),
        script,
    })
}

pub(super) fn known(node: &Node, keys: &[&str], what: &str) -> Read<()> {
    if !matches!(node.value, Value::Map(_)) {
        return wrong(
            node.line,
            format!("{what} is a mapping: {}", keys.join(", ")),
        );
    }
    match node
        .fields()
        .iter()
        .find(|field| !keys.contains(&field.key.as_str()))
    {
        Some(field) => wrong(
            field.line,
            format!("{what} has no `{}`; it has {}", field.key, keys.join(", ")),
        ),
        None => Ok(()),
    }
}

pub(super) fn need<'a>(node: &'a Node, key: &str) -> Read<&'a Node> {
    match node.get(key) {
        Some(found) => Ok(found),
        None => wrong(node.line, format!("`{key}` is missing")),
    }
}

pub(super) fn text<'a>(node: &'a Node, what: &str) -> Read<&'a str> {
    match node.text() {
        Some(text) => Ok(text),
        None => wrong(node.line, format!("`{what}` is a single value")),
    }
}

fn list<'a>(root: &'a Node, key: &str) -> &'a [Node] {
    root.get(key).map_or(&[], Node::items)
}

/// Bytes: text, or `base64:` of them.
pub(super) fn bytes(node: &Node, what: &str) -> Read<Vec<u8>> {
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::Text { text, .. } => Ok(text.clone().into_bytes()),
        _ => {
            known(node, &["base64"], what)?;
            let inner = need(node, "base64")?;
            let inline = Inline {
                encoding: InlineEncoding::Base64,
                value: text(inner, "base64")?.to_owned(),
            };
            match inline.bytes() {
                Ok(bytes) => Ok(bytes),
                Err(_) => wrong(inner.line, "this is no base64"),
            }
        }
    }
}

/// `10s`, `500ms`.
pub(super) fn span(node: &Node, what: &str) -> Read<Duration> {
    let text = text(node, what)?;
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text
            .strip_suffix('s')
            .and_then(|number| number.parse().ok())
            .map(Duration::from_secs),
    };
    match parsed {
        Some(span) => Ok(span),
        None => wrong(
            node.line,
            format!("`{text}` is no time span; write `10s` or `500ms`"),
        ),
    }
}
