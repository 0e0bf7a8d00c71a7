//! Recordings: a recorded guest does what one that is not does, and a replay finds the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_config::Flow;
use flow_host::{FlowPlugins, Played, Recorder, Recording, ReplayOptions, Session};
use flow_runtime::ports::{Callback, CallbackFactory, Failure};

use crate::requests::{asking, asking_with, serve, taken, text};
use crate::support::{Front, NOW, World, asked, catalogue, desk, flow, items, state};

/// A recording, and the directory it is in.
struct Taped {
    path: PathBuf,
    _home: tempfile::TempDir,
}

/// The flow's callback, started, and recorded.
async fn recorded(flow: &Flow) -> (Box<dyn Callback>, Taped) {
    let home = tempfile::tempdir().expect("temp dir");
    let path = home.path().join("x.rec");
    let recorder = Recorder::create(&path, NOW.parse().expect("a time")).expect("a recording");
    recorder.begin(flow, catalogue()).expect("a run");
    let mut surroundings = World::default().surroundings();
    surroundings.world = Some(Arc::new(Recording(recorder)));
    let plugins = FlowPlugins::new(catalogue(), flow, &surroundings).expect("the plugin loads");
    let mut callback = plugins.create(0, 0).await.expect("an instance");
    callback.start().await.expect("it starts");
    (callback, Taped { path, _home: home })
}

async fn replayed(path: &Path) -> Vec<Played> {
    let mut calls = Vec::new();
    let session = Session::read(path).expect("a recording");
    session
        .replay(catalogue(), &ReplayOptions::default(), &mut |played| {
            calls.push(played.clone());
        })
        .await
        .expect("a replay");
    calls
}

/// Everything that is other now, call by call.
async fn differences(path: &Path) -> Vec<String> {
    let calls = replayed(path).await;
    assert!(calls.len() > 1, "{calls:?}");
    calls
        .into_iter()
        .flat_map(|call| call.differences)
        .collect()
}

/// Replaces in a recording what has to be there.
fn edited(tape: &Taped, from: &str, to: &str) -> PathBuf {
    let recording = std::fs::read_to_string(&tape.path).expect("a recording");
    assert!(recording.contains(from), "no {from} in {recording}");
    let path = tape.path.with_extension("edited");
    std::fs::write(&path, recording.replace(from, to)).expect("temp file");
    path
}

#[tokio::test]
async fn an_exchange_by_http_is_recorded_without_secrets_and_played() {
    let (address, seen) = serve("127.0.0.1:1").await;
    let allowed = [address.to_string()];
    let url = format!("http://me:hunter2@{address}/a?b=c");
    let options = [("method", "POST"), ("body", "data"), ("header", "X-One: 1")];
    let (mut callback, tape) = recorded(&asking(&url, &allowed, &options)).await;
    let gathered = callback.gather(10, state()).await.expect("an answer");
    assert_eq!(gathered.messages[0].rel_path, "answer/200");
    let asked = taken(&seen);
    assert!(asked[0].ends_with("\r\n\r\ndata"), "{asked:?}");
    assert!(asked[0].contains("authorization: Basic "), "{asked:?}");
    let recording = std::fs::read_to_string(&tape.path).expect("a recording");
    assert!(!recording.contains("hunter2"), "{recording}");

    assert_eq!(differences(&tape.path).await, [""; 0]);
    assert!(taken(&seen).is_empty(), "a replay reaches nothing");
    let changed = edited(&tape, r#""method":"POST""#, r#""method":"PUT""#);
    let found = differences(&changed).await.join("\n");
    assert!(
        found.contains("which it did not in the recording"),
        "{found}"
    );
    let changed = edited(&tape, r#""text":"hello""#, r#""text":"hallo""#);
    let found = differences(&changed).await.join("\n");
    assert!(found.contains("hello, now hallo"), "{found}");
}

#[tokio::test]
async fn a_recorded_guest_is_redirected_and_refused_as_any() {
    let (address, _) = serve("127.0.0.1:1").await;
    let near = [address.to_string()];
    let flow = asking(&format!("http://{address}/here"), &near, &[]);
    let (mut callback, tape) = recorded(&flow).await;
    let gathered = callback.gather(10, state()).await.expect("an answer");
    assert_eq!(gathered.messages[0].rel_path, "answer/200");
    assert_eq!(differences(&tape.path).await, [""; 0]);

    let anywhere = ["*".to_owned()];
    for (path, allowed) in [
        ("/there", &near),
        ("/circle", &near),
        ("/cut", &near),
        ("/", &anywhere),
    ] {
        let flow = asking(&format!("http://{address}{path}"), allowed, &[]);
        let mut plain = crate::support::callback(&flow).await;
        let expected = plain.gather(10, state()).await;
        let (mut callback, tape) = recorded(&flow).await;
        let told = callback.gather(10, state()).await;
        let words = |answer: Result<flow_runtime::ports::Gathered, Failure>| {
            text(answer.map(|mut gathered| gathered.messages.remove(0)))
        };
        assert_eq!(words(told), words(expected), "{path}");
        assert_eq!(differences(&tape.path).await, [""; 0], "{path}");
    }
}

#[tokio::test]
async fn what_is_asked_by_wasi_http_is_recorded_and_played() {
    let (address, seen) = serve("").await;
    let allowed = [address.to_string()];
    let url = format!("http://{address}/a");
    // More than a recording keeps of it.
    let size = ((16 << 20) + 5).to_string();
    for body in ["data", size.as_str()] {
        let options = [("method", "POST"), ("body", body)];
        let flow = asking_with("web", &url, &allowed, &options);
        let (mut callback, tape) = recorded(&flow).await;
        let gathered = callback.gather(10, state()).await.expect("an answer");
        assert_eq!(gathered.messages[0].extra["body"].as_str(), Some("hello"));
        assert_eq!(taken(&seen).len(), 1);
        assert_eq!(differences(&tape.path).await, [""; 0]);
        assert!(taken(&seen).is_empty(), "a replay reaches nothing");
        let recording = std::fs::metadata(&tape.path).expect("a recording");
        assert!(recording.len() < 17 << 20, "{recording:?}");
        let length = if body == "data" { "4" } else { body };
        let changed = edited(&tape, &format!(r#""size":{length}"#), r#""size":7"#);
        assert_eq!(
            differences(&changed).await,
            [format!("POST {url} body: 7 bytes, now {length}")]
        );
    }
    let denied = asking_with("web", &url, &[], &[]);
    let (mut callback, tape) = recorded(&denied).await;
    let failure = callback
        .gather(10, state())
        .await
        .expect_err("it is refused");
    assert!(failure.to_string().contains("[plugin/capability-denied]"));
    assert_eq!(differences(&tape.path).await, [""; 0]);
}

#[tokio::test]
async fn posts_are_recorded_and_played() {
    let (address, seen) = serve("").await;
    let mut flow = flow("poster", &[("target", &format!("http://{address}"))]);
    flow.allow.http = vec![address.to_string()];
    let (mut callback, tape) = recorded(&flow).await;
    let posted = callback.post(&items(&["a", "gone"]), state()).await;
    let refused = Failure::Permanent("refused with 410".into());
    assert_eq!(posted, Ok(vec![Ok(()), Err(refused)]));
    assert_eq!(taken(&seen).len(), 2);

    let calls = replayed(&tape.path).await;
    let last = calls.last().expect("a call");
    assert_eq!(last.differences, [""; 0]);
    assert_eq!(
        (&*last.entry_point, &*last.answer),
        ("post", "1 posted, 1 fail")
    );
    assert!(taken(&seen).is_empty(), "a replay reaches nothing");
    let changed = edited(&tape, r#""status":410"#, r#""status":204"#);
    let found = differences(&changed).await.join("\n");
    assert!(found.contains("`gone`"), "{found}");
}

#[tokio::test]
async fn requests_and_what_they_submit_are_recorded_and_played() {
    let (mut callback, tape) = recorded(&flow("desk", &[])).await;
    let front = Arc::new(Front::default());
    for (path, status) in [("/echo", 200), ("/new", 202)] {
        let answer = asked(&mut callback, path, front.clone()).await;
        assert_eq!(answer.expect("an answer").status, status);
    }
    let refusing = asked(&mut callback, "/late", Front::refusing()).await;
    assert_eq!(refusing, Err(Failure::temporary("no more for now")));
    assert_eq!(front.taken.lock().expect("not poisoned").len(), 1);

    assert_eq!(differences(&tape.path).await, [""; 0]);
    let changed = edited(&tape, r#""relPath":"new""#, r#""relPath":"old""#);
    let found = differences(&changed).await.join("\n");
    assert!(
        found.contains("submitted [0] relPath: old, now new"),
        "{found}"
    );
}

#[tokio::test]
async fn lines_are_recorded_and_played() {
    let (mut callback, tape) = recorded(&flow("helper", &[])).await;
    let front = Arc::new(Front::default());
    let taken = callback.line(7, "1 hello", desk(front.clone())).await;
    assert_eq!(taken, Ok(true));
    assert_eq!(callback.closed(7, desk(front.clone())).await, Ok(()));
    assert_eq!(front.taken.lock().expect("not poisoned").len(), 1);

    let calls = replayed(&tape.path).await;
    let names: Vec<&str> = calls.iter().map(|call| &*call.entry_point).collect();
    assert_eq!(names, ["start", "line", "closed"]);
    assert_eq!(differences(&tape.path).await, [""; 0]);
}

/// What reading the recording, or a replay of its call `at`, is refused with.
async fn refused(path: &Path, at: Option<u64>) -> String {
    let shown = path.display().to_string();
    let options = ReplayOptions {
        at,
        ..ReplayOptions::default()
    };
    let error = match Session::read(path) {
        Err(error) => error,
        Ok(session) => session
            .replay(catalogue(), &options, &mut |_| {})
            .await
            .expect_err("it can't be played"),
    };
    error.to_string().replace(&shown, "x.rec")
}

#[tokio::test]
async fn what_can_not_be_played_is_refused_in_words() {
    let (mut callback, tape) = recorded(&flow("helper", &[])).await;
    let front = Arc::new(Front::default());
    assert_eq!(callback.line(7, "1 hello", desk(front)).await, Ok(true));
    assert_eq!(
        refused(&tape.path, Some(99)).await,
        "there is no call 99 in x.rec [plugin/recording]\n  = note: it has calls 1 to 2"
    );
    let cut = edited(&tape, "\"plugin\":\"helper\"", "\"plugin\":7");
    assert_eq!(
        refused(&cut, None).await,
        "the recording x.rec does not say which plugin was called [plugin/recording]\n  \
         = hint: it was cut or edited; record it anew"
    );
    let broken = edited(&tape, "{\"call\":2", "{call:2");
    assert_eq!(
        refused(&broken, None).await,
        "the recording x.rec can't be read: line 6, column 2: key must be a string [plugin/recording]\n  \
         = hint: it was cut or edited; record it anew"
    );
    for (text, why) in [
        ("", "it is empty [plugin/recording]"),
        (
            "{\"flow\":1}\n",
            "it is no recording [plugin/recording]\n  \
             = hint: recordings are made with `flow foreground NAME --record FILE`",
        ),
        (
            "{\"flowRecording\":99}\n",
            "it is of version 99, and this flow reads 1 [plugin/recording]\n  \
             = hint: use the version of flow that recorded it, or a newer one",
        ),
    ] {
        std::fs::write(&tape.path, text).expect("temp file");
        let expected = format!("the recording x.rec can't be read: {why}");
        assert_eq!(refused(&tape.path, None).await, expected);
    }
    std::fs::write(&tape.path, "precious").expect("temp file");
    let kept = Recorder::create(&tape.path, NOW.parse().expect("a time"))
        .err()
        .expect("it is another file");
    assert_eq!(
        kept.to_string(),
        format!(
            "the recording {} can't be written: there is another file of this name [plugin/recording]\n  \
             = hint: choose another name, or remove the file",
            tape.path.display()
        )
    );
    let nowhere = tape.path.join("x.rec");
    let error = Recorder::create(&nowhere, NOW.parse().expect("a time")).err();
    assert_eq!(
        error.expect("there is no such folder").to_string(),
        format!(
            "the recording {} can't be written: Not a directory (os error 20) [plugin/recording]",
            nowhere.display()
        )
    );
}
