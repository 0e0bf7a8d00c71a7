//! Writes what a flow takes from: broker, exchange and topics.

use super::brokers::{self, Binding, Broker};
use super::document::Value;
use super::report::Fate;
use super::taking_over;
use super::walk::Walk;
use crate::mask;

/// What one flow takes from.
#[derive(Debug)]
pub(super) struct Taken {
    broker: Broker,
    bindings: Vec<Binding>,
    /// None: the default.
    queue: Option<String>,
}

/// Writes the options of the first input; those of further brokers come back.
pub(super) fn write(walk: &mut Walk) -> Vec<Taken> {
    let consumes = walk.ours.consumes() || !walk.brokers.inputs.is_empty();
    if !consumes {
        for key in ["broker", "exchange", "subtopic", "topicPrefix"] {
            walk.doc.remove(key);
        }
        if walk.brokers.prefix != "v03"
            && !walk.doc.has("post_topicPrefix")
            && walk.doc.has("post_exchange")
        {
            let prefix = walk.brokers.prefix.clone();
            walk.doc
                .set("post_topicPrefix", Value::Text(prefix), Vec::new());
        }
        if !walk.scan.vip {
            // What is remembered of one that only posts was never a queue.
            walk.queues = None;
        }
        taking_over::names(walk, &[]);
        return Vec::new();
    }
    if walk.brokers.inputs.is_empty() {
        for key in ["broker", "exchange", "subtopic"] {
            walk.doc.remove(key);
        }
        if walk.files[0].extension().is_none_or(|ext| ext != "inc") {
            walk.remark_whole(
                Fate::Refused,
                "broker",
                "no line names the broker to take from, so it would be the one that is built in: write `broker:`",
            );
        }
        // What the other lines say is kept for whoever adds the broker.
        let bindings = walk.brokers.bindings.clone();
        let all: Vec<&Binding> = bindings.iter().collect();
        let last = (walk.brokers.exchange.clone(), walk.brokers.prefix.clone());
        write_bindings(walk, &all, (last.0, &last.1));
        taking_over::names(walk, &[]);
        return Vec::new();
    }
    let mut inputs: Vec<(Broker, Vec<Binding>)> = Vec::new();
    for (index, broker) in walk.brokers.inputs.iter().enumerate() {
        let bindings: Vec<Binding> = walk
            .brokers
            .bindings
            .iter()
            .filter(|binding| binding.broker == index)
            .cloned()
            .collect();
        match inputs.iter_mut().find(|(known, _)| known == broker) {
            Some((_, known)) => known.extend(bindings),
            None => inputs.push((broker.clone(), bindings)),
        }
    }
    // A broker that another line replaces before anything is bound is none.
    if inputs.len() > 1 {
        let bound = |bindings: &[Binding]| !bindings.is_empty();
        if inputs.iter().any(|(_, bindings)| bound(bindings)) {
            inputs.retain(|(_, bindings)| bound(bindings));
        } else {
            inputs.drain(..inputs.len() - 1);
        }
    }
    if inputs.len() > 1 {
        let brokers: Vec<String> = inputs
            .iter()
            .map(|(broker, _)| format!("`{}`", mask::masked_url(&broker.url)))
            .collect();
        walk.remark_whole(
            Fate::Changed,
            "broker",
            format!(
                "a flow takes from one broker, so it becomes {} flows, which do not share what they remember as seen: {}",
                inputs.len(),
                brokers.join(", ")
            ),
        );
    }
    let brokers: Vec<Broker> = inputs.iter().map(|(broker, _)| broker.clone()).collect();
    let names = taking_over::names(walk, &brokers);
    let mut inputs: Vec<Taken> = inputs
        .into_iter()
        .zip(names)
        .map(|((broker, bindings), queue)| Taken {
            broker,
            bindings,
            queue,
        })
        .collect();
    let first = inputs.remove(0);
    set_input(walk, &first);
    inputs
}

/// Writes the options of one input in the place of the last.
pub(super) fn set_input(walk: &mut Walk, taken: &Taken) {
    let Taken {
        broker,
        bindings,
        queue,
    } = taken;
    let place = walk.doc.entries.iter().position(|(key, _)| key == "broker");
    match place {
        Some(_) => walk
            .doc
            .set("broker", Value::Text(broker.url.clone()), Vec::new()),
        None => walk
            .doc
            .entries
            .insert(0, ("broker".into(), Value::Text(broker.url.clone()).into())),
    }
    let all: Vec<&Binding> = bindings.iter().collect();
    // Without a line that binds, everything is bound, with what stands at the end.
    let exchange = walk.brokers.input_exchange();
    let prefix = walk.brokers.prefix.clone();
    write_bindings(walk, &all, (exchange, &prefix));
    match queue {
        Some(queue) => {
            let above = ["bindings", "topic", "subtopic", "topicPrefix", "exchange"];
            let above = above.into_iter().find(|key| walk.doc.has(key));
            let queue = Value::text(queue.clone());
            walk.doc
                .set_after(above.unwrap_or("broker"), "queueName", queue);
        }
        None => walk.doc.remove("queueName"),
    }
}

fn write_bindings(walk: &mut Walk, bindings: &[&Binding], last: (Option<String>, &str)) {
    let posts = walk.doc.has("post_exchange");
    let of_posts = last.1.to_owned();
    let options = brokers::binding_options(bindings, last);
    let prefix = options
        .iter()
        .find(|(key, _)| *key == "topicPrefix")
        .and_then(|(_, node)| match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
        .unwrap_or_else(|| "v03".to_owned());
    let mut after = "broker";
    for key in ["exchange", "topicPrefix", "subtopic", "topic", "bindings"] {
        let Some((_, node)) = options.iter().find(|(name, _)| *name == key) else {
            // `bindings` and `topic` stand where the first `subtopic` stood.
            if key != "subtopic"
                || !options
                    .iter()
                    .any(|(name, _)| matches!(*name, "topic" | "bindings"))
            {
                walk.doc.remove(key);
            }
            continue;
        };
        let comments = node.comments.clone();
        if walk.doc.has(key) {
            walk.doc.set(key, node.value.clone(), comments);
        } else {
            let behind = if matches!(key, "topic" | "bindings") {
                "subtopic"
            } else {
                after
            };
            walk.doc.set_after(behind, key, node.value.clone());
            walk.doc.set(key, node.value.clone(), comments);
        }
        after = key;
    }
    if options
        .iter()
        .any(|(name, _)| matches!(*name, "topic" | "bindings"))
    {
        walk.doc.remove("subtopic");
    }
    // What is posted has sr3's last prefix.
    if posts && prefix != of_posts && !walk.doc.has("post_topicPrefix") {
        walk.doc
            .set("post_topicPrefix", Value::Text(of_posts), Vec::new());
    }
}
