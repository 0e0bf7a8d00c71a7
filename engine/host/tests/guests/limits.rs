//! Limits: time, memory, stack, output; and that a flow goes on after them.

use std::time::{Duration, Instant};

use flow_runtime::ports::Verdict;

use crate::support::{Log, callback, flow, judged, limited, plugin_failure, told};

#[tokio::test]
async fn a_trap_fails_the_call_and_the_next_has_a_fresh_instance() {
    let log = Log::capture();
    let mut trap = callback(&flow("trap", &[])).await;
    for calls in ["1", "2"] {
        let verdicts = judged(&mut trap, &["fine"]).await.expect("an answer");
        assert_eq!(told(&verdicts[0], "calls"), calls, "the same instance");
    }
    let text = plugin_failure(judged(&mut trap, &["a", "boom"]).await);
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(
            "plugin `trap` crashed in `after_accept`: it panicked, or gave up by itself [plugin/crash]"
        )
    );
    assert!(
        text.contains("the envelope was empty"),
        "what it printed last: {text}"
    );
    assert!(text.contains("examples/trap.rs:"), "where: {text}");
    let functions = text
        .lines()
        .find(|line| line.contains("it was in: "))
        .expect("a backtrace");
    assert!(functions.contains("trap::open_the_envelope"), "{functions}");
    assert!(!functions.contains("17h"), "demangled: {functions}");
    assert!(
        log.of_plugins()
            .iter()
            .any(|line| line.ends_with("INFO plugin: on stdout")),
        "{}",
        log.text()
    );
    assert!(
        !log.text().contains("the envelope was empty"),
        "who logs the error says it: {}",
        log.text()
    );
    // Fresh, and started.
    let verdicts = judged(&mut trap, &["fine"]).await.expect("an answer");
    assert_eq!(told(&verdicts[0], "calls"), "1");
}

#[tokio::test]
async fn a_loop_ends_at_the_deadline_and_others_run_meanwhile() {
    let flow = limited(flow("spin", &[]), |limits| {
        limits.deadline = Duration::from_millis(300);
    });
    let mut spin = callback(&flow).await;
    let ticks = async {
        let mut ticks = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            ticks += 1;
            if ticks == 1000 {
                return ticks;
            }
        }
    };
    let started = Instant::now();
    let mut counted = 0;
    let result = {
        let call = judged(&mut spin, &["a"]);
        tokio::pin!(call);
        tokio::pin!(ticks);
        let mut timer = tokio::time::interval(Duration::from_millis(10));
        loop {
            tokio::select! {
                result = &mut call => break result,
                _ = timer.tick() => counted += 1,
            }
        }
    };
    assert!(
        counted >= 5,
        "only {counted} ticks: the guest held its thread"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    let text = plugin_failure(result);
    assert!(
        text.starts_with(
            "plugin `spin` ran past its 300ms limit in `after_accept` [plugin/deadline]\n  = note: it was in: "
        ),
        "{text}"
    );
    assert!(text.ends_with("= hint: raise `limits: { deadline: … }` of the callback, or give it less at a time (`batch`)"), "{text}");
}

#[tokio::test]
async fn sleeping_counts_as_well() {
    let flow = limited(flow("sleeper", &[]), |limits| {
        limits.deadline = Duration::from_millis(200);
    });
    let mut sleeper = callback(&flow).await;
    let text = plugin_failure(judged(&mut sleeper, &["a"]).await);
    assert!(
        text.starts_with(
            "plugin `sleeper` ran past its 200ms limit in `after_accept` [plugin/deadline]"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn memory_is_limited_and_said_to_be() {
    let flow = limited(flow("hoard", &[]), |limits| limits.memory = 16 << 20);
    let mut hoard = callback(&flow).await;
    let text = plugin_failure(judged(&mut hoard, &["a"]).await);
    assert!(
        text.starts_with(
            "plugin `hoard` hit its memory limit of 16MiB in `after_accept` [plugin/memory]"
        ),
        "{text}"
    );
    assert!(text.ends_with("= hint: raise `limits: { memory: … }` of the callback, or give it less at a time (`batch`)"), "{text}");
}

#[tokio::test]
async fn recursion_ends() {
    let mut recurse = callback(&flow("recurse", &[])).await;
    let text = plugin_failure(judged(&mut recurse, &["a"]).await);
    assert!(
        text.starts_with("plugin `recurse` crashed in `after_accept`: its stack overflowed, by a recursion that is too deep or does not end [plugin/crash]"),
        "{text}"
    );
    assert!(
        text.contains("it was in: recurse::down\n"),
        "one frame of a kind: {text}"
    );
}

#[tokio::test]
async fn output_is_limited() {
    let flow = |bytes| limited(flow("flood", &[]), |limits| limits.output = bytes);
    let expected = |size| {
        format!(
            "plugin `flood` handed back more than {size} in `after_accept` [plugin/output]\n  \
             = hint: raise `limits: {{ output: … }}` of the callback, or give it less at a time (`batch`)"
        )
    };
    // Found when counted.
    let mut flood = callback(&flow(1 << 20)).await;
    assert_eq!(
        plugin_failure(judged(&mut flood, &["a"]).await),
        expected("1MiB")
    );
    // Found while it is being copied, before the host has it all.
    let mut flood = callback(&flow(5 << 20)).await;
    assert!(matches!(
        judged(&mut flood, &["a"]).await.expect("within the limit")[0],
        Verdict::Update(_)
    ));
    assert_eq!(
        plugin_failure(judged(&mut flood, &["a", "b", "c", "d"]).await),
        expected("5MiB")
    );
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let mut spin = callback(&flow("spin", &[])).await;
    let timeout = tokio::time::timeout(Duration::from_millis(100), judged(&mut spin, &["a"]));
    assert!(timeout.await.is_err(), "still running");
    spin.stop().await;
    // The interrupted store is gone: the same callback can be asked again.
    let timeout = tokio::time::timeout(Duration::from_millis(100), judged(&mut spin, &["a"]));
    assert!(timeout.await.is_err(), "running again, not refused");
}

#[tokio::test]
async fn nothing_of_the_machine_is_there() {
    let mut ambient = callback(&flow("ambient", &[])).await;
    let verdicts = judged(&mut ambient, &["a"]).await.expect("an answer");
    assert_eq!(
        told(&verdicts[0], "facts"),
        "environment 0, arguments 0, file false, directory false, listen false, connect false, resolve false, clock true"
    );
}
