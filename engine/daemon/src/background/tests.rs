//! The background process within this one: what flows do to each other, which is nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_config::{Flow, FlowName};
use flow_runtime::ports::{Event, Observer};

use super::protocol::{Answer, Became, Request};
use super::{Background, Client, Journal, Weight};
use crate::health::State;
use crate::{Directories, Engine, Error};

/// A journal whose observers panic at the first starts of `watch/bad`.
struct Touchy {
    panics: Arc<AtomicU32>,
}

struct Panicking(Option<Arc<AtomicU32>>);

impl Observer for Panicking {
    fn event(&self, event: &Event<'_>) {
        let left = |left: &Arc<AtomicU32>| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        };
        if matches!(event, Event::Started) && self.0.as_ref().is_some_and(left) {
            panic!("out of cheese");
        }
    }
}

impl Journal for Touchy {
    fn observer(&self, flow: &Flow) -> Arc<dyn Observer> {
        let bad = flow.name.name == "bad";
        Arc::new(Panicking(bad.then(|| Arc::clone(&self.panics))))
    }

    fn note(&self, _: Option<&FlowName>, _: Weight, _: &str) {}
}

struct Scene {
    home: tempfile::TempDir,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        let scene = Self {
            home: tempfile::tempdir().expect("a directory"),
        };
        let config = scene.home.path().join("config").join("watch");
        std::fs::create_dir_all(&config).expect("writable");
        std::fs::create_dir_all(scene.home.path().join("in")).expect("writable");
        for name in names {
            let text = "path: ${HOME}/in\npost_exchange: xs\n";
            std::fs::write(config.join(format!("{name}.yaml")), text).expect("writable");
        }
        scene
    }

    fn engine(&self) -> Engine {
        let below = |name: &str| self.home.path().join(name);
        let directories = Directories {
            config: below("config"),
            state: below("state"),
            cache: below("cache"),
        };
        let home = self.home.path().display().to_string();
        Engine::new(directories, BTreeMap::from([("HOME".into(), home)]), &[])
    }

    async fn background(&self, panics: u32) -> Result<Background, Error> {
        let journal = Touchy {
            panics: Arc::new(AtomicU32::new(panics)),
        };
        Background::open(self.engine(), Arc::new(journal), true).await
    }
}

fn names(names: &[&str]) -> Vec<FlowName> {
    let names = names.iter().map(|name| name.parse().expect("a name"));
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_run_of_one_flow() {
    let scene = Scene::new(&["bad", "good"]);
    let background = scene.background(1).await.expect("it is the only one");
    let supervisor = background.supervisor();
    let outcomes = supervisor
        .start(names(&["watch/bad", "watch/good"]), true)
        .await;
    let results: Vec<_> = outcomes.iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [Became::Waiting, Became::Started], "{outcomes:?}");
    assert!(outcomes[0].text.contains("out of cheese"), "{outcomes:?}");
    // It is started again by itself, and runs.
    let state = |index: usize| supervisor.status().flows[index].state;
    while state(0) != State::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(supervisor.status().flows[0].restarts, 1);
    assert_eq!(supervisor.status().flows[1].restarts, 0);
    assert_eq!(state(1), State::Running);
    let outcomes = supervisor.stop_all(Duration::from_secs(20)).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.result == Became::Stopped),
        "{outcomes:?}"
    );
    // Nothing starts once the end has begun.
    let outcomes = supervisor.start(names(&["watch/good"]), true).await;
    assert_eq!(outcomes[0].result, Became::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_answers_and_ends_when_asked() {
    let scene = Scene::new(&["a"]);
    let background = scene.background(0).await.expect("it is the only one");
    let second = scene.background(0).await;
    assert!(matches!(second, Err(Error::Served { pid: Some(_) })));
    let socket = scene.engine().socket_file();
    let serving = tokio::spawn(background.serve());
    let asked = tokio::task::spawn_blocking(move || {
        let patience = Duration::from_secs(20);
        let mut client = Client::connect(&socket)
            .expect("it can be reached")
            .expect("somebody is there");
        let flows = vec!["watch/a".to_owned()];
        let start = Request::Start { flows, all: false };
        let mut ask = |request| client.ask(request, patience).expect("it answers");
        let Answer::Done(started) = ask(start) else {
            panic!("a start is answered by what became of it");
        };
        assert_eq!(started[0].result, Became::Started);
        let Answer::Status(status) = ask(Request::Status) else {
            panic!("a question for the status is answered by it");
        };
        assert_eq!(
            status.process.map(|process| process.pid),
            Some(std::process::id())
        );
        let grace_ms = 20_000;
        let Answer::Done(stopped) = ask(Request::End { grace_ms }) else {
            panic!("an end is answered by what became of the flows");
        };
        assert_eq!(stopped[0].result, Became::Stopped);
        socket
    });
    let socket = asked.await.expect("it was answered");
    serving.await.expect("it ended");
    assert!(!socket.exists());
    assert!(!scene.engine().started_file().exists());
    scene.background(0).await.expect("the place is free again");
}
