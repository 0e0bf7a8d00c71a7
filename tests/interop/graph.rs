//! sr3 and flow mixed in one graph, before, during and after faults: nothing is lost.
//!
//! ```text
//! origin ─┬─ sr3 watch/one ──┐                                        ┌─ sr3 subscribe/leaf ─▶ c
//!         └─ flow watch/two ─┴▶ flow winnow ─▶ sr3 sarra ─▶ flow sarra ┤ v02
//!                                              ▼ a          ▼ b       └─ flow shovel ─▶ MQTT ─┬─ flow ─▶ d
//!                                                                                             └─ sr3 ──▶ e
//! ```
//!
//! sr3 acknowledges before it posts and before what failed is on its disk, so what is in its hands when
//! it is killed is lost. Here it is killed when it has nothing in hand; the brokers' and our deaths
//! come at any time. Duplicates are allowed, and not counted.

use std::path::PathBuf;
use std::time::Duration;

use flow_testkit::wait::until;
use flow_testkit::{RabbitMq, Running};

use super::site::*;

struct Graph {
    site: Site,
    rabbit: RabbitMq,
    _mosquitto: flow_testkit::Mosquitto,
    flows: Vec<(&'static str, Running)>,
    /// What was written to the origin so far.
    written: Tree,
}

/// In the order in which each finds the exchanges it needs.
const SR3: [&str; 4] = ["sarra/fetch", "subscribe/leaf", "subscribe/e", "watch/one"];
const FLOW: [&str; 5] = [
    "winnow/first",
    "sarra/copy",
    "shovel/over",
    "subscribe/d",
    "watch/two",
];

impl Graph {
    #[track_caller]
    fn start() -> Self {
        let site = Site::new();
        let (rabbit, amqp) = site.rabbit(&["xs_first", "xs_b"]);
        let (mosquitto, mqtt) = site.mosquitto();
        let (origin, url) = site.origin("origin");
        let [(a, a_url), (b, b_url)] = ["a", "b"].map(|name| site.origin(name));
        site.sr3.add_config(
            "watch/one",
            &format!(
                "post_broker {amqp}\npost_exchange xs_tsource\npost_baseUrl {url}\n\
                 post_baseDir {origin}\npath {origin}\nsleep 0.2\nhousekeeping 2\n",
                origin = origin.display()
            ),
        );
        site.flow.add_flow(
            "watch/two",
            &format!(
                "post_broker: {amqp}\npost_exchange: xs_tsource\npost_baseUrl: {url}\n\
                 post_baseDir: {origin}\npath: {origin}\npost_on_start: on\n",
                origin = origin.display()
            ),
        );
        site.flow.add_flow(
            "winnow/first",
            &format!(
                "broker: {amqp}\nexchange: xs_tsource\npost_broker: {amqp}\npost_exchange: xs_first\n"
            ),
        );
        site.sr3.add_config(
            "sarra/fetch",
            &format!(
                "broker {amqp}\nexchange xs_first\nsubtopic #\nmirror on\ninflight .tmp\n\
                 post_broker {amqp}\npost_exchange xs_a\npost_baseUrl {a_url}\n\
                 post_baseDir {a}\n{TELL}housekeeping 2\ndirectory {a}\naccept .*\n",
                a = a.display()
            ),
        );
        site.flow.add_flow(
            "sarra/copy",
            &format!(
                "broker: {amqp}\nexchange: xs_a\ndirectory: {b}\npost_broker: {amqp}\n\
                 post_exchange: xs_b\npost_baseUrl: {b_url}\npost_baseDir: {b}\n\
                 post_topicPrefix: v02.post\npost_format: v02\n",
                b = b.display()
            ),
        );
        site.sr3_subscriber("subscribe/leaf", &amqp, "xs_b", "v02");
        site.flow.add_flow(
            "shovel/over",
            &format!(
                "broker: {amqp}\nexchange: xs_b\ntopicPrefix: v02.post\npost_broker: {mqtt}\n\
                 post_exchange: xs_over\npost_topicPrefix: v03\npost_format: v03\n"
            ),
        );
        site.flow_subscriber("subscribe/d", &mqtt, "xs_over", "v03");
        site.sr3_subscriber("subscribe/e", &mqtt, "xs_over", "v03");
        let mut graph = Self {
            site,
            rabbit,
            _mosquitto: mosquitto,
            flows: Vec::new(),
            written: Tree::new(),
        };
        // The directories of all phases, because sr3 may miss what is put into new ones at once.
        directories(&origin, &samples(400));
        for name in FLOW.into_iter().chain(SR3) {
            graph.launch(name);
        }
        graph
    }

    #[track_caller]
    fn launch(&mut self, name: &'static str) {
        let running = if FLOW.contains(&name) {
            self.site.start_flow(name)
        } else if name.starts_with("watch/") {
            self.site.start_sr3_watch(name)
        } else {
            self.site.start_sr3(name)
        };
        self.flows.push((name, running));
    }

    #[track_caller]
    fn take(&mut self, name: &str) -> Running {
        let at = self.flows.iter().position(|(other, _)| *other == name);
        self.flows.remove(at.expect("it was started")).1
    }

    /// `kill -9`.
    #[track_caller]
    fn kill(&mut self, name: &str) {
        self.take(name).kill();
    }

    /// Writes the next `count` files to the origin.
    fn write(&mut self, count: usize) {
        let more: Tree = samples(400)
            .into_iter()
            .filter(|(name, _)| !self.written.contains_key(name))
            .take(count)
            .collect();
        assert_eq!(more.len(), count, "there are more samples than that");
        write(&self.site.origin("origin").0, &more);
        self.written.extend(more);
    }

    fn trees(&self) -> [PathBuf; 5] {
        [
            self.site.origin("a").0,
            self.site.origin("b").0,
            self.site.sr3.path("leaf"),
            self.site.flow.path("d"),
            self.site.sr3.path("e"),
        ]
    }

    /// Each queue of RabbitMQ with how many messages are in it, those in somebody's hands included.
    fn queues(&self) -> String {
        self.rabbit.control(&[
            "list_queues",
            "name",
            "messages",
            "--quiet",
            "--no-table-headers",
        ])
    }

    /// Waits until every tree is what was written.
    #[track_caller]
    fn settles(&self) {
        let flows: Vec<&Running> = self.flows.iter().map(|(_, flow)| flow).collect();
        for tree in self.trees() {
            arrives(&tree, &self.written, &flows);
        }
    }
}

#[test]
fn nothing_is_lost_while_brokers_and_flows_die() {
    let mut graph = Graph::start();
    // Before.
    graph.write(60);
    graph.settles();

    // The broker dies at once, and comes back.
    graph.write(40);
    graph.rabbit.kill();
    graph.write(30);
    graph.rabbit.restart();
    graph.write(20);

    // Ours die at once, with messages in hand.
    for name in ["winnow/first", "sarra/copy", "shovel/over", "subscribe/d"] {
        graph.write(15);
        graph.kill(name);
        graph.write(5);
        graph.launch(name);
    }
    graph.settles();

    // Ours that watches dies and finds what was written meanwhile, which nobody else saw.
    graph.kill("watch/two");
    stop(vec![graph.take("watch/one")]);
    graph.write(10);
    graph.launch("watch/two");
    graph.settles();
    graph.launch("watch/one");

    // sr3 dies with nothing in hand; its queues fill meanwhile.
    for name in ["sarra/fetch", "subscribe/leaf"] {
        graph.kill(name);
    }
    graph.write(40);
    for name in ["sarra/fetch", "subscribe/leaf"] {
        graph.launch(name);
    }
    graph.write(20);

    // The broker is restarted as an administrator would.
    graph.rabbit.stop();
    graph.write(30);
    graph.rabbit.restart();
    graph.settles();

    // After.
    graph.write(60);
    graph.settles();
    for tree in graph.trees() {
        tidy(&tree);
    }
    // What the watches said twice is still on its way when the trees are whole.
    for name in ["watch/one", "watch/two"] {
        stop(vec![graph.take(name)]);
    }
    let mut left = String::new();
    until("every queue is worked off", Duration::from_secs(60), || {
        left = graph.queues();
        left.lines().all(|line| line.ends_with("\t0")).then_some(())
    });
    assert!(left.contains("q_tsource.winnow.first"), "{left}");
    stop(graph.flows.into_iter().map(|(_, flow)| flow).collect());
}
