//! Guests that want more than there is: handles, connections, memory of the host, other people's
//! headers. Each ends in an error with words, and the next call is as if nothing had been.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_config::Flow;
use flow_runtime::ports::{
    Callback, CallbackFactory, Content, Failure, HttpResponse, Lines, Verdict,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{
    Contents, Front, Log, World, asked, callback, catalogue, flow, items, judged, limited,
    plugin_failure, plugins, state,
};

/// What became of one message.
fn reason(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Fail(Failure::Permanent(text)) => text.lines().next().unwrap_or_default(),
        other => panic!("not failed for good: {other:?}"),
    }
}

fn there() -> Arc<dyn Content> {
    Arc::new(Contents {
        there: HashMap::from([(1, b"abc".to_vec())]),
        ..Contents::default()
    })
}

#[tokio::test]
async fn connections_are_counted_and_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let accepting = tokio::spawn(async move {
        let mut peers = Vec::new();
        while peers.len() < 64 {
            peers.push(listener.accept().await.expect("one comes").0);
        }
        let mut ended = 0;
        for mut peer in peers {
            ended += usize::from(peer.read(&mut [0]).await.expect("its end") == 0);
        }
        ended
    });
    let mut flow: Flow = flow("greedy", &[("port", &port)]);
    flow.allow.connect.push(format!("127.0.0.1:{port}"));
    let mut greedy = callback(&flow).await;
    greedy
        .gather(60, state())
        .await
        .expect("it may have so many");
    let refused = greedy.gather(60, state()).await;
    let Err(Failure::Permanent(text)) = refused else {
        panic!("not refused: {refused:?}")
    };
    assert!(
        text.starts_with(
            "plugin `greedy` has 64 connections open, the most there may be [plugin/too-many]"
        ),
        "{text}"
    );
    // It closes them, or they are closed with it: nobody is left waiting.
    greedy.housekeeping(state()).await.expect("it lets go");
    drop(greedy);
    assert_eq!(accepting.await.expect("it ends"), 64);
}

#[tokio::test]
async fn contents_that_are_never_closed_run_out() {
    let mut hold = callback(&flow("hold", &[])).await;
    for path in ["readers", "writers"] {
        let verdicts = hold.after_work(&items(&[path]), there(), state()).await;
        assert_eq!(
            reason(&verdicts.expect("an answer")[0]),
            "plugin `hold` has 256 contents open, the most there may be [plugin/too-many]"
        );
    }
    // Those that are closed do not count, however many there were.
    let verdicts = hold
        .after_work(&items(&["well-behaved"]), there(), state())
        .await;
    assert!(matches!(verdicts.expect("an answer")[0], Verdict::Keep));
}

#[tokio::test]
async fn state_of_one_call_is_limited() {
    let mut stuff = callback(&flow("stuff", &[])).await;
    let Err(Failure::Permanent(text)) = judged(&mut stuff, &["all"]).await else {
        panic!("not refused")
    };
    assert!(
        text.starts_with("plugin `stuff` wrote more than 64 MiB of state in one `after_accept`, the most that is possible [plugin/state-limit]"),
        "{text}"
    );
    judged(&mut stuff, &["little"])
        .await
        .expect("the next call counts anew");
}

#[tokio::test]
async fn a_huge_list_is_refused_before_it_is_had() {
    let mut avalanche = callback(&flow("avalanche", &[])).await;
    let text = plugin_failure(judged(&mut avalanche, &["1000"]).await);
    assert!(
        text.contains(
            "gave 1000 answers in `after_accept`; it was asked for 1 [plugin/wrong-count]"
        ),
        "{text}"
    );
    let text = plugin_failure(judged(&mut avalanche, &["500000"]).await);
    assert!(
        text.contains("[plugin/output]") || text.contains("[plugin/wrong-count]"),
        "{text}"
    );
    let verdicts = judged(&mut avalanche, &["1"])
        .await
        .expect("the next is fine");
    assert!(matches!(verdicts[0], Verdict::Keep));
}

#[tokio::test]
async fn handles_are_not_to_be_made_up() {
    let mut forger = callback(&flow("forger", &[])).await;
    for path in ["made-up", "confused", "dropped", "twice"] {
        let made = forger.after_work(&items(&[path]), there(), state()).await;
        let text = plugin_failure(made);
        assert!(
            text.starts_with("plugin `forger` crashed in `after_work`: ")
                && text.contains("handle"),
            "{path}: {text}"
        );
    }
    let verdicts = forger
        .after_work(&items(&["honest"]), there(), state())
        .await;
    assert!(matches!(
        verdicts.expect("a fresh instance")[0],
        Verdict::Keep
    ));
}

#[tokio::test]
async fn a_guest_ends_itself_and_no_more() {
    let mut quit = callback(&flow("quit", &[])).await;
    for code in ["0", "1"] {
        let text = plugin_failure(judged(&mut quit, &[code]).await);
        assert!(
            text.starts_with("plugin `quit` crashed in `after_accept`: "),
            "{text}"
        );
        assert!(text.contains("it ended itself"), "{text}");
    }
    judged(&mut quit, &["stay"])
        .await
        .expect("a fresh instance");
}

#[tokio::test]
async fn values_of_any_size_and_shape_are_checked() {
    let log = Log::capture();
    let plugins = plugins(&flow("monster", &[])).expect("the plugin loads");
    let mut monster = plugins.create(0, 0).await.expect("an instance");
    for (path, said) in [
        ("deep", "header `deep` is no JSON: recursion limit exceeded"),
        (
            "long-path",
            "it has 200001 bytes, 4096 are possible [plugin/unsafe-path]",
        ),
        (
            "line-in-name",
            "`a\\r\\nb` is no name of a header [plugin/wrong-value]",
        ),
    ] {
        let verdicts = judged(&mut monster, &[path]).await.expect("an answer");
        let text = reason(&verdicts[0]);
        assert!(text.contains(said), "{path}: {text}");
    }
    judged(&mut monster, &["many-names"])
        .await
        .expect("an answer");
    assert_eq!(plugins.metrics().snapshot().len(), 256);
    let verdicts = judged(&mut monster, &["reason"]).await.expect("an answer");
    let Verdict::Reject(rejection) = &verdicts[0] else {
        panic!("{verdicts:?}")
    };
    assert!(
        rejection.reason.len() <= (4 << 10) + 10,
        "{}",
        rejection.reason.len()
    );
    assert!(!rejection.reason.contains(['\u{1b}', '\r']));
    assert!(!log.text().contains('\u{1b}'));
}

#[tokio::test]
async fn who_nags_the_host_for_ever_is_ended() {
    let _log = Log::capture();
    let flow = limited(flow("nag", &[]), |limits| {
        limits.deadline = Duration::from_millis(100);
    });
    let mut nag = callback(&flow).await;
    for path in ["/submit", "/state", "/lines", "/log", "count"] {
        // What the host does for it quickly counts as its own time, or it would never end.
        let call = asked(&mut nag, path, Front::refusing());
        let ended = tokio::time::timeout(Duration::from_secs(120), call).await;
        let text = plugin_failure(ended.unwrap_or_else(|_| panic!("{path} goes on for ever")));
        assert!(
            text.starts_with(
                "plugin `nag` ran past its 100ms limit in `request` [plugin/deadline]"
            ),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn nothing_is_smuggled_into_an_answer() {
    let lines = Arc::new(Written::default());
    let port: Arc<dyn Lines> = lines.clone();
    let surroundings = World::default().surroundings();
    let plugins = flow_host::FlowPlugins::with_lines(
        catalogue(),
        &flow("smuggler", &[]),
        &surroundings,
        Some(&port),
    );
    let plugins = plugins.expect("the plugin loads");
    let mut smuggler: Box<dyn Callback> = plugins.create(0, 0).await.expect("an instance");
    let mut answer = async |path| asked(&mut smuggler, path, Front::default()).await;
    for (path, said) in [
        ("/value", "the header `x-note` is none [plugin/wrong-value]"),
        (
            "/name",
            "the header `x-note: a\\r\\nset-cookie` is none [plugin/wrong-value]",
        ),
        (
            "/status",
            "99 is no status of an answer [plugin/wrong-value]",
        ),
        (
            "/continue",
            "101 is no status of an answer [plugin/wrong-value]",
        ),
        (
            "/line",
            "plugin `smuggler` wrote a line with a line end in it [plugin/wrong-value]",
        ),
    ] {
        match answer(path).await {
            Err(Failure::Permanent(text)) => assert!(text.contains(said), "{path}: {text}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let text = plugin_failure(answer("/huge").await);
    assert!(
        text.contains("handed back more than 16MiB in `request` [plugin/output]"),
        "{text}"
    );
    let fine: HttpResponse = answer("/").await.expect("an answer");
    assert_eq!((fine.status, fine.body.as_slice()), (200, &b"fine"[..]));
    assert!(lines.0.lock().expect("not poisoned").is_empty());
}

#[derive(Default)]
struct Written(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Lines for Written {
    async fn write(&self, _: u64, text: &str) -> Result<(), Failure> {
        self.0.lock().expect("not poisoned").push(text.to_owned());
        Ok(())
    }
}
