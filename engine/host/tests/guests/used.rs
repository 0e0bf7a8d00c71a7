//! What callbacks are said to have used.

use flow_host::FlowPlugins;
use flow_runtime::ports::CallbackFactory;
use flow_runtime::usage::{EntryUse, PluginUse};

use crate::support::{Front, Log, World, asked, catalogue, flow, judged, limited};

fn plugins(guest: &str) -> FlowPlugins {
    let flow = limited(flow(guest, &[]), |limits| {
        if guest == "spin" {
            limits.deadline = std::time::Duration::from_millis(200);
        }
    });
    FlowPlugins::new(catalogue(), &flow, &World::default().surroundings())
        .expect("the plugin loads")
}

fn used(plugins: &FlowPlugins) -> PluginUse {
    let mut uses = plugins.usage().uses();
    assert_eq!(uses.len(), 1);
    uses.remove(0)
}

#[track_caller]
fn entry<'a>(used: &'a PluginUse, name: &str) -> &'a EntryUse {
    let mut entries = used.entries.iter();
    let found = entries.find(|entry| entry.entry == name);
    found.unwrap_or_else(|| panic!("no calls of `{name}`: {used:?}"))
}

#[tokio::test]
async fn calls_and_how_they_ended_are_counted() {
    let plugins = plugins("trap");
    assert!(used(&plugins).entries.is_empty(), "nothing ran yet");
    // Two instances of one callback.
    for instance in 0..2 {
        let mut trap = plugins.create(0, instance).await.expect("an instance");
        judged(&mut trap, &["fine", "fine"])
            .await
            .expect("an answer");
        judged(&mut trap, &["boom"]).await.expect_err("it crashes");
    }
    let used = used(&plugins);
    assert_eq!(used.plugin, "trap");
    assert!(used.memory >= 1 << 16, "at least a page: {used:?}");
    let accept = entry(&used, "after_accept");
    assert_eq!(
        (
            accept.calls,
            accept.traps,
            accept.failures,
            accept.deadlines,
            accept.messages
        ),
        (4, 2, 0, 0, 6)
    );
    assert!(accept.time >= accept.longest && accept.longest >= accept.time / 4);
    assert!(accept.computing <= accept.time && !accept.computing.is_zero());
    assert_eq!(entry(&used, "start").calls, 2);
}

#[tokio::test]
async fn a_plugin_used_twice_is_counted_for_each_callback() {
    let mut flow = flow("trap", &[]);
    flow.callbacks.push(flow.callbacks[0].clone());
    let plugins = FlowPlugins::new(catalogue(), &flow, &World::default().surroundings())
        .expect("the plugin loads");
    for (index, paths) in [(0, vec!["fine"]), (1, vec!["fine", "fine"])] {
        let mut trap = plugins.create(index, 0).await.expect("an instance");
        judged(&mut trap, &paths).await.expect("an answer");
    }
    let uses = plugins.usage().uses();
    let counted = uses
        .iter()
        .map(|used| (used.plugin.as_str(), entry(used, "after_accept").messages));
    assert_eq!(counted.collect::<Vec<_>>(), [("trap", 1), ("trap#2", 2)]);
}

#[tokio::test]
async fn deadlines_failures_and_refusals_are_told_apart() {
    let spin = plugins("spin");
    let mut callback = spin.create(0, 0).await.expect("an instance");
    judged(&mut callback, &["a"]).await.expect_err("it loops");
    let used_up = used(&spin);
    let accept = entry(&used_up, "after_accept");
    assert_eq!((accept.calls, accept.deadlines, accept.traps), (1, 1, 0));
    assert!(accept.longest >= std::time::Duration::from_millis(200));

    let miscount = plugins("miscount");
    let mut callback = miscount.create(0, 0).await.expect("an instance");
    judged(&mut callback, &["a"])
        .await
        .expect_err("it can't count");
    let used_up = used(&miscount);
    assert_eq!(entry(&used_up, "after_accept").traps, 1);

    let desk = plugins("desk");
    let mut callback = desk.create(0, 0).await.expect("an instance");
    asked(&mut callback, "/busy", Front::default())
        .await
        .expect_err("it is busy");
    let used_up = used(&desk);
    let request = entry(&used_up, "request");
    assert_eq!((request.calls, request.failures, request.traps), (1, 1, 0));
}

#[tokio::test]
async fn a_fresh_instance_has_no_new_allowance_to_talk() {
    let log = Log::capture();
    let plugins = plugins("chatty");
    for instance in 0..3 {
        let mut chatty = plugins.create(0, instance).await.expect("an instance");
        judged(&mut chatty, &["many"]).await.expect("an answer");
    }
    let said = log.of_plugins().len() as u64;
    let used = used(&plugins);
    assert!(used.silenced > 100_000, "{}", used.silenced);
    // Each line was said or counted; those about what was left out come on top.
    assert!(
        (300_000..301_000).contains(&(said + used.silenced)),
        "{said} {}",
        used.silenced
    );
}
