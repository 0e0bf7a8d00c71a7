//! HTTP: grants, redirects, addresses, limits, and words for what goes wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::{Flow, SafeUrl};
use flow_message::Message;
use flow_runtime::ports::Failure;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::connections::certificates;
use crate::support::{callback, flow, state};

/// What a server was asked, head and body in one text.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

/// Reads one request; none where the connection ends.
async fn asked(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let (mut text, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let start = text.len();
        if stream.read_line(&mut text).await.ok()? == 0 {
            return None;
        }
        let line = text[start..].trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().expect("a number");
        }
        chunked |= line == "transfer-encoding: chunked";
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    while chunked {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
        let start = body.len();
        body.resize(start + size + 2, 0);
        stream.read_exact(&mut body[start..]).await.ok()?;
        body.truncate(start + size);
        chunked = size > 0;
    }
    if body.len() > 1000 {
        text.push_str(&format!("{} bytes", body.len()));
    } else {
        text.push_str(&String::from_utf8_lossy(&body));
    }
    Some(text)
}

/// What `/PATH` answers; `{other}` is where a redirect leads.
fn response(path: &str, other: &str) -> String {
    let redirect = |status: u16, to: &str| {
        format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    };
    match path {
        "/gone" => "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone".into(),
        "/here" => redirect(302, "/final?q"),
        "/there" => redirect(307, &format!("http://{other}/final")),
        "/with-user" => redirect(307, "http://me:secret@127.0.0.1:1/"),
        "/circle" => redirect(301, "/circle"),
        "/mail" => redirect(301, "mailto:a@b"),
        "/huge" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 17 << 20),
        "/endless" => {
            let mut text = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "y".repeat(1 << 20));
            for _ in 0..17 {
                text.push_str(&chunk);
            }
            text + "0\r\n\r\n"
        }
        "/cut" | "/halt" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into(),
        _ => "HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 5\r\n\r\nhello".into(),
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Seen, other: String) {
    let mut stream = BufReader::new(stream);
    while let Some(text) = asked(&mut stream).await {
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().expect("not poisoned").push(text);
        if path == "/silent" {
            std::future::pending::<()>().await;
        }
        let answer = response(&path, &other);
        if path == "/halt" {
            let _ = stream.write_all(answer.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        if stream.write_all(answer.as_bytes()).await.is_err() || path == "/cut" {
            return;
        }
    }
}

/// A server on a free port; redirects of it lead to `other`.
pub(crate) async fn serve(other: &str) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (seen, other) = (Seen::default(), other.to_owned());
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&kept), other.clone()));
        }
    });
    (address, seen)
}

/// A flow that asks for a URL, and allows what is listed.
pub(crate) fn asking(url: &str, allowed: &[String], options: &[(&str, &str)]) -> Flow {
    asking_with("ask", url, allowed, options)
}

/// As [`asking`], by a guest of choice.
pub(crate) fn asking_with(
    guest: &str,
    url: &str,
    allowed: &[String],
    options: &[(&str, &str)],
) -> Flow {
    let mut all = vec![("target", url)];
    all.extend(options);
    let mut flow = flow(guest, &all);
    flow.allow.http = allowed.to_vec();
    flow
}

async fn ask(flow: &Flow) -> Result<Message, Failure> {
    let mut callback = callback(flow).await;
    let mut gathered = callback.gather(10, state()).await?;
    Ok(gathered.messages.remove(0))
}

#[track_caller]
pub(crate) fn text(result: Result<Message, Failure>) -> String {
    match result.expect_err("it fails") {
        Failure::Temporary { reason, .. } => format!("temporary: {reason}"),
        Failure::Permanent(reason) => format!("permanent: {reason}"),
        Failure::Config(reason) => format!("config: {reason}"),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn taken(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut seen.lock().expect("not poisoned"))
}

#[tokio::test]
async fn any_answer_is_a_success() {
    let (address, seen) = serve("").await;
    let allowed = [address.to_string()];
    let url = format!("http://{address}/a?b=c");
    let options = [
        ("method", "POST"),
        ("body", "data"),
        ("header", "X-One: 1|Host: evil"),
    ];
    let message = ask(&asking(&url, &allowed, &options))
        .await
        .expect("an answer");
    assert_eq!(message.rel_path, "answer/200");
    assert_eq!(
        (&message.extra["body"], &message.extra["x-answer"]),
        (&"hello".into(), &"yes".into())
    );
    let asked = taken(&seen).remove(0);
    assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("x-one: 1\r\n") && asked.ends_with("\r\n\r\ndata"),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    assert!(asked.contains("user-agent: flow/"), "{asked}");
    let gone = asking(&format!("http://{address}/gone"), &allowed, &[]);
    assert_eq!(ask(&gone).await.expect("an answer").rel_path, "answer/410");
    // The hosts of the flow's own URLs need no more.
    let mut own = asking(&url, &[], &[]);
    own.own_urls
        .push(SafeUrl::parse(&format!("http://{address}/")).expect("a URL"));
    assert_eq!(ask(&own).await.expect("an answer").rel_path, "answer/200");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_asked() {
    let denied = asking(
        "http://api.example:8080/",
        &["*.example.org:443".into()],
        &[],
    );
    assert_eq!(
        text(ask(&denied).await),
        "config: plugin `ask` may not ask `api.example:8080` [plugin/capability-denied]\n  \
         = note: this flow allows `*.example.org:443`\n  \
         = hint: add `allow: { http: ['api.example:8080'] }` to the flow, or correct the URL in its options"
    );
    for (url, expected) in [
        (
            "ftp://a.example/",
            "permanent: a URL asked for over HTTP starts with `http://` or `https://` and names a host",
        ),
        (
            "nonsense",
            "permanent: what is asked for over HTTP is no URL: relative URL without a base",
        ),
    ] {
        assert_eq!(text(ask(&asking(url, &[], &[])).await), expected);
    }
    let odd = asking("http://a.example/", &[], &[("method", "GE T")]);
    assert_eq!(text(ask(&odd).await), "permanent: `GE T` is no HTTP method");
    let odd = asking("http://a.example/", &[], &[("header", "a b: c")]);
    assert_eq!(
        text(ask(&odd).await),
        "permanent: the header `a b` of a request is none"
    );
}

#[tokio::test]
async fn a_wildcard_leads_to_no_private_address() {
    let (address, seen) = serve("").await;
    let port = address.port();
    let flow = asking(
        &format!("http://{address}/"),
        &[format!("*.0.0.1:{port}")],
        &[],
    );
    assert_eq!(
        text(ask(&flow).await),
        format!(
            "config: plugin `ask` may not ask `127.0.0.1:{port}`: the host name `127.0.0.1` leads to `127.0.0.1`, an address of this machine or its networks [plugin/private-address]\n  \
             = note: only a wildcard allows this host, and names in it are whatever their owner makes them\n  \
             = hint: if that is meant, name it: `allow: {{ http: ['127.0.0.1:{port}'] }}`"
        )
    );
    assert!(taken(&seen).is_empty());
}

#[tokio::test]
async fn redirects_are_checked_hop_by_hop_and_take_no_secrets_elsewhere() {
    let (elsewhere, there) = serve("").await;
    let (address, here) = serve(&elsewhere.to_string()).await;
    let secret = ("header", "Authorization: Bearer x|X-Key: y|Accept: a/b");
    let both = [address.to_string(), elsewhere.to_string()];
    let flow = |path: &str, allowed: &[String], more: &[(&str, &str)]| {
        let mut options = vec![secret];
        options.extend(more);
        asking(&format!("http://{address}{path}"), allowed, &options)
    };
    // On the same site, a POST turns into a GET, and everything else goes along.
    let post = [("method", "POST"), ("body", "data")];
    ask(&flow("/here", &both, &post)).await.expect("an answer");
    let asked = taken(&here);
    assert!(
        asked[0].starts_with("POST /here ") && asked[0].ends_with("data"),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with("GET /final?q ") && asked[1].ends_with("\r\n\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[1].contains("authorization: Bearer x\r\n"),
        "{asked:?}"
    );
    // Elsewhere, the body of a 307 goes along and what says who asks does not.
    ask(&flow("/there", &both, &post)).await.expect("an answer");
    let asked = taken(&there).remove(0);
    assert!(
        asked.starts_with("POST /final ") && asked.ends_with("data"),
        "{asked}"
    );
    assert!(asked.contains("accept: a/b\r\n"), "{asked}");
    assert!(
        !asked.contains("authorization") && !asked.contains("x-key"),
        "{asked}"
    );
    // Where the flow does not allow it, it is not asked at all.
    let denied = text(ask(&flow("/there", &both[..1], &[])).await);
    assert!(
        denied.starts_with(&format!("config: plugin `ask` may not ask `{elsewhere}`")),
        "{denied}"
    );
    assert!(taken(&there).is_empty());
    let denied = text(ask(&flow("/with-user", &both, &[])).await);
    assert!(
        denied.contains("`127.0.0.1:1`") && !denied.contains("secret"),
        "{denied}"
    );
    assert_eq!(
        text(ask(&flow("/circle", &both, &[])).await),
        format!("permanent: `{address}` redirects in a circle: 10 redirects were followed")
    );
    assert_eq!(
        text(ask(&flow("/mail", &both, &[])).await),
        format!("permanent: `{address}` redirects to what is no HTTP URL")
    );
}

#[tokio::test]
async fn bodies_have_a_limit_in_both_directions() {
    let (address, seen) = serve("").await;
    let allowed = [address.to_string()];
    let too_large = format!(
        "permanent: the answer of `{address}` is larger than 16 MiB, the most that is taken"
    );
    for path in ["/huge", "/endless"] {
        let flow = asking(&format!("http://{address}{path}"), &allowed, &[]);
        assert_eq!(text(ask(&flow).await), too_large, "{path}");
    }
    taken(&seen);
    let most = (16 << 20).to_string();
    let post = [("method", "PUT"), ("body", most.as_str())];
    let flow = asking(&format!("http://{address}/"), &allowed, &post);
    ask(&flow).await.expect("as much as there may be");
    let asked = taken(&seen).remove(0);
    assert!(asked.ends_with(&format!("{most} bytes")), "{asked}");
    let more = ((16 << 20) + 1).to_string();
    let post = [("method", "PUT"), ("body", more.as_str())];
    let flow = asking(&format!("http://{address}/"), &allowed, &post);
    assert_eq!(
        text(ask(&flow).await),
        format!(
            "permanent: the body of a request has {more} bytes; more than 16 MiB go through `content`"
        )
    );
}

#[tokio::test]
async fn peers_that_do_not_answer_are_given_up() {
    let (address, _) = serve("").await;
    let allowed = [
        address.to_string(),
        "127.0.0.1:1".into(),
        "no-such-host.invalid:80".into(),
    ];
    let flow = |path: &str, options: &[(&str, &str)]| {
        asking(&format!("http://{address}{path}"), &allowed, options)
    };
    assert_eq!(
        text(ask(&flow("/silent", &[("timeout", "100")])).await),
        format!("temporary: `{address}` did not answer within 100ms")
    );
    let mut patient = flow("/silent", &[]);
    patient.timeout = Duration::from_millis(120);
    assert_eq!(
        text(ask(&patient).await),
        format!("temporary: `{address}` did not answer within 120ms")
    );
    assert_eq!(
        text(ask(&flow("/cut", &[])).await),
        format!("temporary: the connection to `{address}` broke in the middle of its answer")
    );
    assert_eq!(
        text(ask(&asking("http://127.0.0.1:1/", &allowed, &[])).await),
        "temporary: `127.0.0.1:1` refused the connection: nothing listens there"
    );
    let unknown = text(ask(&asking("http://no-such-host.invalid/", &allowed, &[])).await);
    assert!(
        unknown.starts_with("temporary: `no-such-host.invalid:80` can't be reached: "),
        "{unknown}"
    );
}

#[tokio::test]
async fn https_trusts_the_flows_own_authority_and_says_what_is_wrong_without() {
    let home = tempfile::tempdir().expect("temp dir");
    let (pem, config) = certificates();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    talk(stream, Seen::default(), String::new()).await;
                }
            });
        }
    });
    let allowed = [format!("localhost:{port}")];
    let mut flow = asking(&format!("https://localhost:{port}/"), &allowed, &[]);
    assert_eq!(
        text(ask(&flow).await),
        format!(
            "temporary: no secure connection to `localhost:{port}`: its certificate is signed by an authority this machine does not trust [plugin/tls]\n  \
             = hint: if it is signed by your own authority, name that authority's certificate: `caFile: /path/to/ca.pem`"
        )
    );
    let file = home.path().join("ca.pem");
    std::fs::write(&file, pem).expect("temp file");
    flow.ca_file = Some(file);
    assert_eq!(ask(&flow).await.expect("an answer").rel_path, "answer/200");
}
