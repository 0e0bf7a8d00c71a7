//! Plugins built for released versions of the contract, kept in `tests/compat`, and one built from
//! today's: each goes through every entry point as it did on the day it was built.
//!
//! A change of `plugins/wit` that these do not survive is a new version of the contract. To keep the
//! plugin of a release: `cargo xtask freeze-contract`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_config::{Grant, OptionValue};
use flow_host::{Catalogue, FlowPlugins, Host, HostOptions};
use flow_runtime::ports::{
    Callback, CallbackFactory, Edit, Failure, Fate, Lines, Outcome, Rejection, Verdict, Worked,
};
use tokio::sync::Notify;

use crate::support::{
    Contents, Front, World, asked, bytes, desk, flow, items, judged, state, told,
};

/// The plugins kept, by the version they were built for.
fn kept() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/compat");
    let entries = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    paths.sort();
    let read = |path: PathBuf| {
        let version = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (version, std::fs::read(&path).expect("it can be read"))
    };
    paths.into_iter().map(read).collect()
}

#[tokio::test]
async fn todays_contract_is_whole() {
    let bytes = bytes("contract");
    let host = Host::new(HostOptions::default()).expect("a host");
    let plugin = host.load("contract", &bytes).expect("it loads");
    // Nothing of the contract is missing in what will be kept of it.
    assert_eq!(
        plugin.imports().join(" "),
        "connection content http lines log metrics secret state submit"
    );
    let entries = plugin.entry_points();
    let debug = format!("{entries:?}");
    assert!(!debug.contains("false"), "{debug}");
    runs("today", bytes).await;
}

#[tokio::test]
async fn released_contracts_still_run() {
    let kept = kept();
    // Each minor version whose files are kept has a plugin here.
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/wit/released");
    let released = std::fs::read_dir(released).expect("contracts were released");
    for minor in released.flatten().map(|entry| entry.file_name()) {
        let minor = format!("{}.", minor.to_string_lossy());
        let has = kept.iter().any(|(version, _)| version.starts_with(&minor));
        assert!(has, "tests/compat has no plugin of {minor}x");
    }
    for (version, bytes) in kept {
        let host = Host::new(HostOptions::default()).expect("a host");
        let plugin = host.load(&version, &bytes).expect("it loads");
        assert_eq!(plugin.contract(), version);
        runs(&version, bytes).await;
    }
}

struct Nobody;

#[async_trait::async_trait]
impl Lines for Nobody {
    async fn write(&self, _: u64, text: &str) -> Result<(), Failure> {
        assert_eq!(text, "taken");
        Ok(())
    }
}

/// The callback of a flow that uses the component.
async fn made(bytes: Vec<u8>) -> Box<dyn Callback> {
    let carried: &'static [(&'static str, &'static [u8])] =
        vec![("contract", &*bytes.leak())].leak();
    let host = Host::new(HostOptions::default()).expect("a host");
    let catalogue = Catalogue::new(host, carried, None);
    let manifest = catalogue
        .plugin("contract")
        .expect("it is there")
        .expect("it loads");
    let manifest = manifest.manifest();
    assert_eq!(manifest.options.len(), 9);
    assert_eq!(
        manifest.grants,
        [Grant::Connect, Grant::Http, Grant::Secrets]
    );
    let mut flow = flow("contract", &[("choice", "a")]);
    flow.callbacks[0].options.extend([
        ("flag".to_owned(), OptionValue::Flag(true)),
        ("count".to_owned(), OptionValue::Count(-3)),
        ("size".to_owned(), OptionValue::Size(1)),
        (
            "duration".to_owned(),
            OptionValue::Duration(Duration::from_secs(1)),
        ),
        ("text".to_owned(), OptionValue::List(vec!["a".into()])),
    ]);
    let lines: Arc<dyn Lines> = Arc::new(Nobody);
    let surroundings = World::default().surroundings();
    let plugins = FlowPlugins::with_lines(&catalogue, &flow, &surroundings, Some(&lines));
    let plugins = plugins.expect("its plugin is there");
    plugins.create(0, 0).await.expect("an instance")
}

/// Goes through every entry point.
async fn runs(version: &str, bytes: Vec<u8>) {
    let mut contract = made(bytes).await;
    assert_eq!(
        contract.start().await.expect("it starts"),
        Some(2),
        "{version}"
    );
    gathers(&mut contract).await;
    let woken = contract
        .wait(Duration::from_secs(1), Arc::new(Notify::new()))
        .await;
    assert!(woken.expect("an answer"));
    judges(&mut contract).await;
    moves(&mut contract).await;
    let front = Arc::new(Front::default());
    let answer = asked(&mut contract, "/in", front.clone())
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.headers.len()), (202, 1));
    assert_eq!(answer.body, b"POST q=1 127.0.0.1");
    contract
        .line(7, "by line", desk(front.clone()))
        .await
        .expect("taken");
    contract
        .closed(7, desk(front.clone()))
        .await
        .expect("taken");
    let taken = front.taken.lock().expect("not poisoned").clone();
    let taken: Vec<_> = taken
        .iter()
        .map(|message| message.rel_path.as_str())
        .collect();
    assert_eq!(taken, ["in", "by line"]);
    contract.housekeeping(state()).await.expect("done");
    contract.stop().await;
}

async fn gathers(contract: &mut Box<dyn Callback>) {
    let gathered = contract.gather(1, state()).await.expect("messages");
    assert!(gathered.more);
    let extra = &gathered.messages[0].extra;
    assert_eq!(extra["remembers"], true);
    let outside = extra["outside"].as_str().expect("a text");
    let said: Vec<_> = outside.split(" | ").collect();
    assert_eq!(said.len(), 4, "{outside}");
    assert!(
        said.iter().all(|text| text.starts_with("config: ")),
        "{outside}"
    );
}

async fn judges(contract: &mut Box<dyn Callback>) {
    let item = |path| items(&[path]).remove(0);
    let fates = [
        Fate::Posted,
        Fate::Rejected(Rejection {
            code: 404,
            reason: "gone".into(),
        }),
        Fate::Retrying("later".into()),
        Fate::Dead("never".into()),
    ];
    let outcomes = fates.map(|fate| Outcome {
        item: item("x"),
        fate,
    });
    contract.settled(&outcomes, state()).await.expect("heard");
    let paths = [
        "keep",
        "update",
        "reject",
        "temporary",
        "permanent",
        "auth",
        "config",
        "replace",
        "add",
        "wait",
    ];
    let verdicts = judged(contract, &paths).await.expect("verdicts");
    assert!(matches!(verdicts[0], Verdict::Keep));
    assert_eq!(told(&verdicts[1], "settled"), "4");
    let Verdict::Update(edits) = &verdicts[1] else {
        panic!("{:?}", verdicts[1])
    };
    assert_eq!(edits.len(), 13);
    assert!(matches!(&edits[2], Edit::RelPath(path) if path == "edited/update"));
    assert!(matches!(&verdicts[2], Verdict::Reject(rejection) if rejection.code == 415));
    assert!(matches!(
        &verdicts[3],
        Verdict::Fail(Failure::Temporary { retry_after: Some(after), .. }) if after.as_millis() == 1500
    ));
    assert!(matches!(&verdicts[4], Verdict::Fail(Failure::Permanent(_))));
    assert!(matches!(&verdicts[5], Verdict::Fail(Failure::Auth(_))));
    assert!(matches!(&verdicts[6], Verdict::Fail(Failure::Config(_))));
    assert!(matches!(&verdicts[7], Verdict::Replace(messages) if messages.len() == 2));
    assert!(matches!(&verdicts[8], Verdict::Add(messages) if messages.len() == 1));
    assert!(matches!(&verdicts[9], Verdict::Wait { after, .. } if after.as_secs() == 90));
}

async fn moves(contract: &mut Box<dyn Callback>) {
    let contents = || {
        Arc::new(Contents {
            there: [(1, b"abc".to_vec()), (2, b"de".to_vec())].into(),
            ..Contents::default()
        })
    };
    let both = items(&["a.txt", "reject"]);
    for sends in [false, true] {
        let worked = match sends {
            true => contract.send(&both, contents(), state()).await,
            false => contract.download(&both, contents(), state()).await,
        };
        let worked = worked.expect("done");
        let size = if sends { 3 } else { 5 };
        assert!(
            matches!(&worked[0], Worked::Done(edits) if matches!(edits[0], Edit::Size(Some(found)) if found == size)),
            "{worked:?}"
        );
        assert!(matches!(&worked[1], Worked::Reject(_)), "{worked:?}");
    }
    let verdicts = contract.after_work(&both[..1], contents(), state()).await;
    assert!(matches!(
        &verdicts.expect("verdicts")[0],
        Verdict::Add(messages) if messages[0].content.is_some()
    ));
    let posted = contract
        .post(&items(&["x", "temporary"]), state())
        .await
        .expect("posted");
    assert!(posted[0].is_ok() && posted[1].is_err());
}
