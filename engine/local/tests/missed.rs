//! What a watch can't see when it happens: while nothing ran, and behind closed directories.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where something goes wrong"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_local::OnStart;
use flow_runtime::ports::Callback as _;
use support::Bench;
use tracing::Instrument as _;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

fn chmod(bench: &Bench, name: &str, mode: u32) {
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits for a message, whatever is said besides.
async fn said_some_time(bench: &mut Bench, wanted: &str) {
    let started = Instant::now();
    loop {
        let said = bench.next_messages().await;
        if said.iter().any(|message| support::text(message) == wanted) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no `{wanted}`");
    }
}

/// As root nothing is closed, so the test of this name runs itself once more as somebody else.
fn as_somebody(test: &str, run: impl AsyncFnOnce()) {
    const AGAIN: &str = "FLOW_LOCAL_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() || !rustix::process::geteuid().is_root() {
        tokio::runtime::Runtime::new().unwrap().block_on(run());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", "--nocapture", test])
        .env(AGAIN, "1")
        .env("TMPDIR", directory.path())
        .current_dir(directory.path())
        .output()
        .expect("setpriv is part of util-linux: apt-get install util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_moved_here_while_nothing_ran_is_announced_with_all_in_it() {
    let mut bench = Bench::new(|_| {}).await;
    fs::create_dir_all(bench.path("out/came/sub")).unwrap();
    fs::create_dir_all(bench.path("in/kept/sub")).unwrap();
    bench.write("out/came/1", "1");
    bench.write("out/came/sub/2", "12");
    bench.write("in/kept/old", "1");
    bench.until("file in/kept/old 1").await;
    // Longer than a restart looks back.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    bench.write("in/last", "1");
    assert_eq!(bench.next(1).await, ["file in/last 1"]);
    bench.watch.stop().await;
    bench.rename("out/came", "in/kept/came");
    bench.restart(|_| {});
    let mut said = bench.until("file in/kept/came/sub/2 2").await;
    said.extend(bench.rest().await);
    said.sort_unstable();
    said.retain(|text| text != "file in/last 1");
    assert_eq!(
        said,
        [
            "file in/kept/came/1 1",
            "mkdir in/kept/came",
            "mkdir in/kept/came/sub"
        ]
    );
}

#[test]
fn a_file_behind_a_closed_door_is_announced_once_it_opens() {
    let test = "a_file_behind_a_closed_door_is_announced_once_it_opens";
    as_somebody(test, async || {
        let mut bench = Bench::new(|_| {}).await;
        fs::create_dir(bench.path("in/d")).unwrap();
        fs::create_dir(bench.path("in/e")).unwrap();
        assert_eq!(bench.next(2).await, ["mkdir in/d", "mkdir in/e"]);
        for name in ["d", "e"] {
            bench.write(&format!("in/{name}/x"), "1");
            chmod(&bench, &format!("in/{name}"), 0);
        }
        bench.write("in/later", "1");
        assert_eq!(bench.next(1).await, ["file in/later 1"]);
        bench.rename("in/d", "in/moved");
        let said = bench.next(1).await;
        assert_eq!(said, ["renamedir in/moved from in/d"]);
        assert_eq!(bench.rest().await, Vec::<String>::new());
        let until = |bench: &Bench| {
            let rows = bench.state.rows();
            let until = rows.get("watch.until").unwrap().clone();
            String::from_utf8(until).unwrap().parse::<i128>().unwrap()
        };
        let held = until(&bench);
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.write("in/latest", "1");
        assert_eq!(bench.next(1).await, ["file in/latest 1"]);
        assert_eq!(until(&bench), held, "nothing later is noted meanwhile");
        chmod(&bench, "in/moved", 0o700);
        assert_eq!(bench.next(1).await, ["file in/moved/x 1"]);
        // A crash meanwhile, and it is opened before the next start, or after.
        let state = bench.state.rows();
        chmod(&bench, "in/e", 0o700);
        bench.restart(|_| {});
        said_some_time(&mut bench, "file in/e/x 1").await;
        bench.watch.stop().await;
        chmod(&bench, "in/e", 0);
        bench.state = support::Memory::of(state);
        bench.restart(|_| {});
        let _ = bench.rest().await;
        chmod(&bench, "in/e", 0o700);
        said_some_time(&mut bench, "file in/e/x 1").await;
    });
}

#[test]
fn a_directory_closed_at_the_start_is_watched_once_it_opens() {
    let test = "a_directory_closed_at_the_start_is_watched_once_it_opens";
    as_somebody(test, async || {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("in/d/sub")).unwrap();
        fs::create_dir_all(directory.path().join("in/listed")).unwrap();
        fs::write(directory.path().join("in/d/sub/x"), "1").unwrap();
        fs::write(directory.path().join("in/listed/y"), "1").unwrap();
        for (name, mode) in [("d", 0), ("listed", 0o400)] {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(directory.path().join("in").join(name), mode).unwrap();
        }
        let mut bench = Bench::over(directory, |options| {
            options.on_start = OnStart::Nothing;
        })
        .await;
        assert_eq!(bench.rest().await, Vec::<String>::new());
        chmod(&bench, "in/d", 0o700);
        let mut said = bench.next(3).await;
        said.sort_unstable();
        assert_eq!(said, ["file in/d/sub/x 1", "mkdir in/d", "mkdir in/d/sub"]);
        bench.write("in/d/sub/z", "1");
        assert_eq!(bench.next(1).await, ["file in/d/sub/z 1"]);
        // Of one that can be listed and not entered, what changed is found at a start.
        bench.watch.stop().await;
        bench.restart(|options| options.on_start = OnStart::Changed);
        let _ = bench.rest().await;
        chmod(&bench, "in/listed", 0o700);
        assert_eq!(bench.next(1).await, ["file in/listed/y 1"]);
    });
}

/// In which span each warning was said.
struct Spans(Arc<Mutex<Vec<Option<&'static str>>>>);

impl Layer<Registry> for Spans {
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, Registry>) {
        if *event.metadata().level() == tracing::Level::WARN {
            let span = context.event_span(event).map(|span| span.name());
            self.0.lock().unwrap().push(span);
        }
    }
}

#[test]
fn what_the_threads_warn_of_is_said_by_the_flow() {
    let spans = Arc::new(Mutex::new(Vec::new()));
    let subscriber = Registry::default().with(Spans(Arc::clone(&spans)));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let missing = async {
        let mut bench = Bench::new(|options| {
            let missing = options.paths[0].with_file_name("missing");
            options.paths.push(missing);
        })
        .await;
        // A name that is no text is warned of where files are read.
        let name = std::os::unix::ffi::OsStringExt::from_vec(b"in/\xff".to_vec());
        let name: std::ffi::OsString = name;
        fs::write(bench.base().join(name), "1").unwrap();
        bench.write("in/x", "1");
        assert_eq!(bench.next(1).await, ["file in/x 1"]);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(missing.instrument(tracing::info_span!("flow")));
    let spans = spans.lock().unwrap();
    assert!(spans.len() >= 2, "{spans:?}");
    assert!(spans.iter().all(|span| *span == Some("flow")), "{spans:?}");
}
