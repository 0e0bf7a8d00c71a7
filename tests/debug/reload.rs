//! What changes while a flow runs in the terminal.

use std::time::Duration;

use flow_testkit::wait;

use super::{announce, other_trap, posted, shovel};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_rebuilt_plugin_is_taken_over_and_a_broken_one_is_not() {
    let flow = shovel(&["one"]);
    let mut running = flow.spawn(&["foreground", "shovel/x"]);
    let arrives = |count| {
        wait::until("the messages to be posted", SOON, || {
            (posted(&flow).len() == count).then_some(())
        });
    };
    arrives(1);

    flow.write("config/plugins/trap.wasm", b"not wasm at all");
    running.wait_for(
        "changed, but can't be used; what was there before goes on",
        SOON,
    );
    announce(&flow, &["two"]);
    arrives(2);

    flow.write("config/plugins/trap.wasm", &other_trap());
    running.wait_for("trap.wasm changed and is taken over", SOON);
    announce(&flow, &["zed"]);
    arrives(3);

    let text = "exchange: xs_in\npost_exchange: xs_out\nsleep: 1s\nheader:\n  more: yes\ncallbacks:\n  - plugin: trap\n";
    flow.add_flow("shovel/x", text);
    running.wait_for("x.yaml changed and is taken over", SOON);
    announce(&flow, &["zip"]);
    arrives(4);
    running.terminate();
    running.finish(Duration::from_secs(20)).expect(0);

    let posted = posted(&flow);
    let header = |index: usize, name: &str| posted[index].1.get(name).is_some();
    assert!(header(0, "calls") && header(1, "calls"), "{posted:?}");
    assert!(header(2, "count") && !header(2, "calls"), "{posted:?}");
    assert!(header(3, "count") && header(3, "more"), "{posted:?}");
}
