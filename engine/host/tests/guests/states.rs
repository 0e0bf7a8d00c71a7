//! State: reads see writes, swaps are decided, limits hold.

use std::sync::Arc;

use flow_runtime::ports::{Fate, Outcome, Rejection};

use crate::support::{Log, Memory, callback, flow, items, told};

#[tokio::test]
async fn state_does_what_the_contract_says() {
    let memory = Arc::new(Memory::default());
    let mut tally = callback(&flow("tally", &[])).await;
    let verdicts = tally
        .after_accept(&items(&["a"]), memory.clone())
        .await
        .expect("an answer");
    assert_eq!(
        told(&verdicts[0], "seen"),
        r#"get Some("one")
list ["a/1", "a/2"]
after ["a/2"]
swap true
stale false
absent true
remove true
left ["a/1", "c"]
key: permanent: plugin `tally` used a state key of 1025 bytes; 1 to 1024 are possible [plugin/state-limit]
value: permanent: plugin `tally` wrote a state value of 1048577 bytes; at most 1048576 are possible [plugin/state-limit]
empty: permanent: plugin `tally` used a state key of 0 bytes; 1 to 1024 are possible [plugin/state-limit]"#
    );
    // The port of this call has what the guest wrote.
    let kept = memory.0.lock().expect("not poisoned").clone();
    assert_eq!(kept.get("a/1").map(Vec::as_slice), Some(b"uno".as_slice()));
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["a/1", "c"]);
    // Another call brings another port, and the guest sees that one.
    let other = Arc::new(Memory::default());
    tally.housekeeping(other.clone()).await.expect("an answer");
    assert_eq!(
        other
            .0
            .lock()
            .expect("not poisoned")
            .keys()
            .collect::<Vec<_>>(),
        ["kept"]
    );
}

#[tokio::test]
async fn there_is_no_state_in_start_and_nothing_to_submit_to() {
    let log = Log::capture();
    let mut tally = callback(&flow("tally", &[])).await;
    tally.start().await.expect("it starts");
    assert!(
        log.text().contains("state in start: permanent: plugin `tally` used `state` in `start`, where there is none [plugin/wrong-moment]"),
        "{}",
        log.text()
    );
    assert!(
        log.text().contains("submit in start: permanent: plugin `tally` called `submit.submit` in `start`; it is for `request` and `line` [plugin/wrong-moment]"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn outcomes_arrive_with_their_fate() {
    let memory = Arc::new(Memory::default());
    let mut tally = callback(&flow("tally", &[])).await;
    let fates = [
        Fate::Posted,
        Fate::Rejected(Rejection {
            code: 304,
            reason: "seen".into(),
        }),
        Fate::Retrying("later".into()),
        Fate::Dead("never".into()),
    ];
    let outcomes: Vec<_> = items(&["a", "b", "c", "d"])
        .into_iter()
        .zip(fates)
        .map(|(item, fate)| Outcome { item, fate })
        .collect();
    tally
        .settled(&outcomes, memory.clone())
        .await
        .expect("an answer");
    let kept: Vec<_> = memory
        .0
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|(key, value)| format!("{key} {}", String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(
        kept,
        [
            "a Fate::Posted",
            r#"b Fate::Rejected(Rejection { code: 304, reason: "seen" })"#,
            r#"c Fate::Retrying("later")"#,
            r#"d Fate::Dead("never")"#,
        ]
    );
}
