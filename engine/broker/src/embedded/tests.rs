//! The store against a model that does everything in memory.
//!
//! [`model`] says what the broker means; [`real`] does the same on a file; [`random`] runs both with
//! random operations and compares them after each; [`crash`] ends the process between any two statements
//! and cuts the log at any frame, and compares what is there afterwards.

mod crash;
mod limits;
mod model;
mod random;
mod real;

use std::collections::BTreeMap;
use std::time::Duration;

use flow_runtime::ports::{Confirm, Settlement};
use proptest::collection::vec;
use proptest::prelude::*;

use super::store::{Declaration, Housekept};

const SECOND: i64 = 1000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Consumers, each a process of its own.
const SLOTS: usize = 3;

/// One thing that happens to a broker. Names are small numbers, so that they meet often.
#[derive(Debug, Clone)]
enum Op {
    Declare(Declaration),
    /// A consumer ends the session it has and begins one on the queue.
    Open {
        slot: usize,
        declaration: Declaration,
    },
    Close {
        slot: usize,
    },
    Post {
        exchange: String,
        posts: Vec<(String, Option<String>)>,
    },
    /// The consumer takes from the queue of its session.
    Take {
        slot: usize,
        limit: usize,
    },
    /// Settles what the consumer once took: the numbers pick from it, settled or not.
    Settle {
        slot: usize,
        picks: Vec<(usize, Settlement)>,
    },
    /// Others take the process for dead, rightly or not; its consumer goes on.
    Bury {
        slot: usize,
    },
    /// The process ends without a word and another opens the file; all consumers are new.
    Crash,
    Advance(i64),
    Housekeep,
    Purge(String),
    Delete(String),
    ForgetKeys(String),
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Done,
    Posted {
        confirms: Vec<Confirm>,
        unrouted: u64,
    },
    Taken(Vec<(String, bool)>),
    Count(u64),
    Existed(bool),
    NoQueue,
    Kept(Housekept),
}

/// All that can be seen of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct View {
    queues: BTreeMap<String, QueueView>,
    /// Posts that went nowhere, by exchange.
    unrouted: BTreeMap<String, u64>,
    keys: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct QueueView {
    bindings: Vec<(String, String)>,
    /// Body, whether leased, how often delivered, in order.
    messages: Vec<(String, bool, u64)>,
    consumers: u64,
}

/// Bodies are numbered over the whole run, so each tells which post it is.
fn body(number: usize) -> String {
    format!("body {number}")
}

fn declarations() -> impl Strategy<Value = Declaration> {
    let pattern = prop::sample::select(vec!["#", "a.*", "*.b", "a.#", "c", "#.b"]);
    let duration = prop::sample::select(vec![0, 0, 10, 100_000]).prop_map(Duration::from_secs);
    (
        0..3u8,
        0..2u8,
        vec(pattern, 0..3),
        duration.clone(),
        duration,
    )
        .prop_map(|(queue, exchange, bindings, expire, ttl)| {
            Declaration::new(format!("q{queue}"), format!("x{exchange}"), bindings)
                .expire(expire)
                .message_ttl(ttl)
        })
}

fn ops() -> impl Strategy<Value = Op> {
    let topic =
        prop::sample::select(vec!["a", "a.b", "a.c", "c.b", "c", "d"]).prop_map(str::to_owned);
    let key = prop::option::of((0..6u8).prop_map(|key| format!("k{key}")));
    let exchange = (0..2u8).prop_map(|exchange| format!("x{exchange}")).boxed();
    let queue = (0..3u8).prop_map(|queue| format!("q{queue}")).boxed();
    let settlement =
        prop::sample::select(vec![Settlement::Ack, Settlement::Ack, Settlement::Release]);
    prop_oneof![
        2 => declarations().prop_map(Op::Declare),
        3 => (0..SLOTS, declarations()).prop_map(|(slot, declaration)| Op::Open { slot, declaration }),
        1 => (0..SLOTS).prop_map(|slot| Op::Close { slot }),
        8 => (exchange.clone(), vec((topic, key), 1..6))
            .prop_map(|(exchange, posts)| Op::Post { exchange, posts }),
        8 => (0..SLOTS, 1..6usize).prop_map(|(slot, limit)| Op::Take { slot, limit }),
        6 => (0..SLOTS, vec((0..40usize, settlement), 1..6))
            .prop_map(|(slot, picks)| Op::Settle { slot, picks }),
        1 => (0..SLOTS).prop_map(|slot| Op::Bury { slot }),
        1 => Just(Op::Crash),
        2 => prop::sample::select(vec![SECOND, 11 * SECOND, DAY, 16 * DAY, 30 * DAY]).prop_map(Op::Advance),
        1 => Just(Op::Housekeep),
        1 => queue.clone().prop_map(Op::Purge),
        1 => queue.prop_map(Op::Delete),
        1 => exchange.prop_map(Op::ForgetKeys),
    ]
}
