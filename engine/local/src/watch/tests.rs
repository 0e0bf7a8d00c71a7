//! What needs a look inside: lost events.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::sync::atomic::Ordering;

use flow_runtime::ports::Failure;
use support::Bench;

/// As the kernel does when its queue is full.
fn lose_events(bench: &Bench) {
    let shared = bench.watch.kernel().shared();
    shared.overflow.store(true, Ordering::Relaxed);
    shared.ring();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_of_events_what_changed_is_found() {
    let mut bench = Bench::new(|_| {}).await;
    bench.write("in/old", "1");
    fs::create_dir_all(bench.path("in/kept")).unwrap();
    fs::create_dir_all(bench.path("in/going")).unwrap();
    let mut said = bench.next(3).await;
    said.sort_unstable();
    assert_eq!(said, ["file in/old 1", "mkdir in/going", "mkdir in/kept"]);
    fs::create_dir_all(bench.path("out/came/sub")).unwrap();
    bench.write("out/came/sub/x", "1");
    // The watch of one directory is taken away, so that what happens in it is really lost.
    let shared = std::sync::Arc::clone(bench.watch.kernel().shared());
    let root = {
        let tree = shared.tree();
        (0..100)
            .find(|wd| tree.path(*wd) == Some(bench.path("in")))
            .unwrap()
    };
    shared.unwatch(root);
    bench.write("in/lost", "12");
    bench.rename("out/came", "in/came");
    fs::remove_dir(bench.path("in/going")).unwrap();
    lose_events(&bench);
    let mut said = Vec::new();
    while !said.contains(&"file in/came/sub/x 1".to_owned()) {
        said.extend(bench.next_messages().await.iter().map(support::text));
    }
    said.extend(bench.rest().await);
    said.sort_unstable();
    said.retain(|text| !["file in/old 1", "mkdir in", "mkdir in/kept"].contains(&text.as_str()));
    assert_eq!(
        said,
        [
            "file in/came/sub/x 1",
            "file in/lost 2",
            "mkdir in/came",
            "mkdir in/came/sub"
        ]
    );
    bench.write("in/came/sub/y", "1");
    assert_eq!(bench.next(1).await, ["file in/came/sub/y 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_without_any_change_says_nothing_twice() {
    let mut bench = Bench::new(|_| {}).await;
    fs::create_dir_all(bench.path("in/d")).unwrap();
    for index in 0..50 {
        bench.write(&format!("in/d/{index}"), "1");
    }
    assert_eq!(bench.next(51).await.len(), 51);
    lose_events(&bench);
    fs::remove_dir_all(bench.path("in/d")).unwrap();
    let said = bench.until("rmdir in/d").await;
    assert!(
        said.iter().all(|text| text.starts_with("remove ")),
        "{said:?}"
    );
    lose_events(&bench);
    assert_eq!(bench.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_bounded_and_found_again() {
    let mut bench = Bench::new(|options| {
        options.announcing.digest = crate::Digest::None;
    })
    .await;
    let number = super::shared::PENDING + 2_000;
    fs::create_dir_all(bench.path("in/d")).unwrap();
    assert_eq!(bench.next(1).await, ["mkdir in/d"]);
    for index in 0..number {
        fs::File::create(bench.path(&format!("in/d/{index}"))).unwrap();
    }
    let held = bench.watch.kernel().shared().pending().len();
    assert!(held <= super::shared::PENDING, "{held}");
    bench.limit = 10_000;
    let mut said = std::collections::BTreeSet::new();
    while said.len() < number {
        said.extend(
            bench
                .next_messages()
                .await
                .into_iter()
                .map(|message| message.rel_path),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_kernel_is_said_with_the_remedy() {
    let mut bench = Bench::new(|_| {}).await;
    let shared = std::sync::Arc::clone(bench.watch.kernel().shared());
    shared.no_more_watches(&bench.path("in/d"), 8_192);
    let state: std::sync::Arc<dyn flow_runtime::ports::State> =
        std::sync::Arc::<support::Memory>::clone(&bench.state);
    let result = flow_runtime::ports::Callback::gather(&mut bench.watch, 1, state).await;
    let Err(Failure::Config(reason)) = result else {
        panic!("{result:?}");
    };
    let expected = format!(
        "no more inotify watches for this user after 8192 directories here: `{}` and others are \
         not watched; raise the limit with `sysctl fs.inotify.max_user_watches=524288`, or set \
         `force_polling: true`",
        bench.path("in/d").display()
    );
    assert_eq!(reason, expected);
}
