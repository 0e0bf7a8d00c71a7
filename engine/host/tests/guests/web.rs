//! `wasi:http`: what guests reach by it, how they are refused, and that nothing outlives its call.

use std::time::Duration;

use flow_config::Flow;
use flow_host::FlowPlugins;
use flow_message::Message;
use flow_runtime::ports::{CallbackFactory, Failure};

use crate::requests::{asking_with, serve, taken, text};
use crate::support::{Log, World, callback, catalogue, limited, state};

fn web(url: &str, allowed: &[String], options: &[(&str, &str)]) -> Flow {
    asking_with("web", url, allowed, options)
}

async fn ask(flow: &Flow) -> Result<Message, Failure> {
    let mut callback = callback(flow).await;
    let mut gathered = callback.gather(10, state()).await?;
    Ok(gathered.messages.remove(0))
}

#[tokio::test]
async fn it_is_asked_and_counted_as_by_http() {
    let (address, seen) = serve("").await;
    let options = [("method", "POST"), ("body", "data"), ("header", "X-One: 1")];
    let url = format!("http://{address}/a?b=c");
    let flow = web(&url, &[address.to_string()], &options);
    let plugins = FlowPlugins::new(catalogue(), &flow, &World::default().surroundings())
        .expect("the plugin loads");
    let mut callback = plugins.create(0, 0).await.expect("an instance");
    let message = callback.gather(10, state()).await.expect("an answer");
    let message = &message.messages[0];
    assert_eq!(message.rel_path, "answer/200");
    assert_eq!(
        (&message.extra["body"], &message.extra["x-answer"]),
        (&"hello".into(), &"yes".into())
    );
    let asked = taken(&seen).remove(0);
    assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-one: 1\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ndata"), "{asked}");
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    assert!(asked.contains("user-agent: flow/"), "{asked}");
    let used = plugins.usage().uses().remove(0);
    assert_eq!((used.requests, used.sent, used.received), (1, 4, 5));
}

#[tokio::test]
async fn bodies_are_streams_both_ways() {
    let (address, seen) = serve("").await;
    let allowed = [address.to_string()];
    // More than a request that is held as a whole may have, and than an answer may.
    let size = ((16 << 20) + 5).to_string();
    let flow = |more: &[(&str, &str)]| {
        let mut options = vec![("method", "POST"), ("body", size.as_str())];
        options.extend(more);
        web(&format!("http://{address}/endless"), &allowed, &options)
    };
    let message = ask(&flow(&[])).await.expect("an answer");
    assert_eq!(message.size, Some(17 << 20));
    let asked = taken(&seen).remove(0);
    assert!(asked.contains("transfer-encoding: chunked\r\n"), "{asked}");
    assert!(asked.ends_with(&format!("{size} bytes")), "{asked}");
    let length = format!("Content-Length: {size}");
    ask(&flow(&[("header", &length)])).await.expect("an answer");
    let asked = taken(&seen).remove(0);
    assert!(asked.contains(&length.to_ascii_lowercase()), "{asked}");
    assert!(asked.ends_with(&format!("{size} bytes")), "{asked}");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_in_words_and_in_the_log() {
    let log = Log::capture();
    let flow = web(
        "http://api.example:8080/",
        &["*.example.org:443".into()],
        &[],
    );
    assert_eq!(
        text(ask(&flow).await),
        "permanent: plugin `web` may not ask `api.example:8080` [plugin/capability-denied]\n  \
         = note: this flow allows `*.example.org:443`\n  \
         = hint: add `allow: { http: ['api.example:8080'] }` to the flow, or correct the URL in its options"
    );
    let told = log.text();
    assert!(
        told.contains("add `allow: { http: ['api.example:8080'] }` to the flow"),
        "{told}"
    );
    let (address, seen) = serve("").await;
    let port = address.port();
    let flow = web(
        &format!("http://{address}/"),
        &[format!("*.0.0.1:{port}")],
        &[],
    );
    let denied = text(ask(&flow).await);
    assert!(denied.contains("[plugin/private-address]"), "{denied}");
    assert!(taken(&seen).is_empty());
    let other = web("ftp://api.example/", &[], &[]);
    assert_eq!(
        text(ask(&other).await),
        "permanent: ErrorCode::HttpProtocolError"
    );
}

#[tokio::test]
async fn redirects_are_checked_hop_by_hop() {
    let (elsewhere, there) = serve("").await;
    let (address, here) = serve(&elsewhere.to_string()).await;
    let secret = ("header", "Authorization: Bearer x|Accept: a/b");
    let both = [address.to_string(), elsewhere.to_string()];
    let flow = |path: &str, allowed: &[String], more: &[(&str, &str)]| {
        let mut options = vec![secret];
        options.extend(more);
        web(&format!("http://{address}{path}"), allowed, &options)
    };
    let post = [("method", "POST"), ("body", "data")];
    ask(&flow("/here", &both, &post)).await.expect("an answer");
    let asked = taken(&here);
    assert!(asked[0].starts_with("POST /here "), "{asked:?}");
    assert!(asked[1].starts_with("GET /final?q "), "{asked:?}");
    assert!(asked[1].contains("authorization: Bearer x"), "{asked:?}");
    ask(&flow("/there", &both, &[])).await.expect("an answer");
    let asked = taken(&there).remove(0);
    assert!(asked.contains("accept: a/b\r\n"), "{asked}");
    assert!(!asked.contains("authorization"), "{asked}");
    // What was streamed is gone: the guest is told where to send it.
    let told = ask(&flow("/there", &both, &post)).await.expect("an answer");
    assert_eq!(told.rel_path, "answer/307");
    let denied = text(ask(&flow("/there", &both[..1], &[])).await);
    assert!(
        denied.starts_with(&format!(
            "permanent: plugin `web` may not ask `{elsewhere}`"
        )),
        "{denied}"
    );
    assert!(taken(&there).is_empty());
}

#[tokio::test]
async fn peers_that_do_not_answer_are_given_up() {
    let (address, _) = serve("").await;
    let allowed = [address.to_string(), "127.0.0.1:1".into()];
    let flow = |path: &str, options: &[(&str, &str)]| {
        web(&format!("http://{address}{path}"), &allowed, options)
    };
    assert_eq!(
        text(ask(&flow("/silent", &[("timeout", "100")])).await),
        format!("permanent: `{address}` did not answer within 100ms")
    );
    let mut patient = flow("/silent", &[]);
    patient.timeout = Duration::from_millis(120);
    assert_eq!(
        text(ask(&patient).await),
        format!("permanent: `{address}` did not answer within 120ms")
    );
    assert_eq!(
        text(ask(&flow("/cut", &[])).await),
        format!(
            "permanent: internal error: the connection to `{address}` broke in the middle of its answer"
        )
    );
    assert_eq!(
        text(ask(&flow("/halt", &[("timeout", "100")])).await),
        format!("permanent: internal error: `{address}` sent nothing more of its answer for 100ms")
    );
    assert_eq!(
        text(ask(&web("http://127.0.0.1:1/", &allowed, &[])).await),
        "permanent: `127.0.0.1:1` refused the connection: nothing listens there"
    );
}

#[tokio::test]
async fn waiting_for_an_answer_is_no_computing() {
    let (address, _) = serve("").await;
    let url = format!("http://{address}/silent");
    let flow = web(&url, &[address.to_string()], &[("timeout", "900")]);
    // What would end a guest that computes or sleeps for as long.
    let flow = limited(flow, |limits| limits.deadline = Duration::from_millis(100));
    assert_eq!(
        text(ask(&flow).await),
        format!("permanent: `{address}` did not answer within 900ms")
    );
}

#[tokio::test]
async fn a_request_ends_with_its_call() {
    let (address, _) = serve("").await;
    let url = format!("http://{address}/silent");
    let flow = web(&url, &[address.to_string()], &[("how", "forget")]);
    let mut callback = callback(&flow).await;
    let gathered = callback.gather(10, state()).await.expect("nothing yet");
    assert!(gathered.messages.is_empty());
    let failure = callback.gather(10, state()).await.expect_err("it is gone");
    assert_eq!(
        failure,
        Failure::Permanent("ErrorCode::ConnectionTerminated".into())
    );
}

#[tokio::test]
async fn there_are_not_more_at_once_than_there_may_be() {
    let (address, _) = serve("").await;
    let url = format!("http://{address}/silent");
    let flow = web(&url, &[address.to_string()], &[("how", "many")]);
    assert_eq!(
        text(ask(&flow).await),
        "permanent: plugin `web` has 64 requests under way, the most there may be [plugin/too-many]\n  \
         = hint: this is for the plugin's author to correct: wait for answers"
    );
}
