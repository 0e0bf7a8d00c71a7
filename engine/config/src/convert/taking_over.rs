//! Names the queue of a flow, so that it goes on where sr3 stopped.
//!
//! A queue with another name would be a new one, while sr3's fills until its broker has no room. So
//! the name sr3 made is written out where it is known or can be worked out; where it can't be, the
//! report says which one the flow has.

use super::brokers::Broker;
use super::lines::Line;
use super::queues::{Made, Queues};
use super::report::{Fate, Remark};
use super::walk::Walk;
use crate::mask;

/// The lines the name of a queue is made of.
#[derive(Debug, Default)]
pub(super) struct Naming {
    name: Option<Named>,
    share: Option<Named>,
    /// Indices of the queues of sr3 that a remark or a flow names.
    told: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Named {
    line: Line,
    /// As sr3 remembers it.
    raw: String,
    text: String,
    /// What is refused unless sr3 has made the name already.
    held: Vec<Remark>,
}

impl Named {
    /// Whether sr3 makes the same of it as we do.
    fn is_sure(&self) -> bool {
        // sr3 asks the domain name service for the machine's name.
        self.held.is_empty() && !self.text.contains("${HOSTNAME}")
    }
}

impl Walk {
    pub(super) fn name_queue(&mut self, line: &Line, raw: String, text: String, from: usize) {
        let held = self.hold(from);
        if self.doc.has("queueName") {
            self.naming.name = Some(Named {
                line: line.clone(),
                raw,
                text,
                held,
            });
        }
    }

    pub(super) fn share_queue(&mut self, line: &Line, from: usize) {
        let held = self.hold(from);
        let Some(text) = self.options.get("queueShare").cloned() else {
            self.naming.share = None;
            return;
        };
        if self.doc.has("queueShare") {
            self.naming.share = Some(Named {
                line: line.clone(),
                raw: String::new(),
                text,
                held,
            });
        }
    }

    /// Takes back what was refused since.
    fn hold(&mut self, from: usize) -> Vec<Remark> {
        let (held, others) = self
            .remarks
            .split_off(from)
            .into_iter()
            .partition(|remark| remark.fate == Fate::Refused);
        self.remarks.extend(others);
        held
    }

    /// The flow's name: the file's.
    fn flow_name(&self) -> String {
        let stem = self.files[0].file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
}

/// The `queueName` of each flow; none: it has none, because ours is the same or nobody knows
/// sr3's.
pub(super) fn names(walk: &mut Walk, brokers: &[Broker]) -> Vec<Option<String>> {
    let queues = walk.queues.clone().unwrap_or_default();
    let mut found: Vec<Option<usize>> = Vec::new();
    for broker in brokers {
        let raw = walk.naming.name.as_ref().map(|name| name.raw.clone());
        let made = queues.at(&broker.url, raw.as_deref());
        let index = |made: &Made| queues.made.iter().position(|known| known == made);
        let one = made.first().is_some_and(|first| {
            let same = made.iter().all(|made| made.name == first.name);
            // A file of an older version does not say where its queue is.
            same && (first.host().is_some() || !found.contains(&index(first)))
        });
        found.push(if one { index(made[0]) } else { None });
    }
    let known = found.iter().all(Option::is_some) && !found.is_empty();
    refusals(walk, known);
    if let Some(trouble) = &queues.trouble {
        walk.remark_whole(
            Fate::Noted,
            "queueName",
            format!("what sr3 remembers can't be read: its {trouble}"),
        );
    }
    let names = brokers
        .iter()
        .zip(found)
        .enumerate()
        .map(|(index, (broker, found))| match found {
            Some(found) => {
                walk.naming.told.push(found);
                Some(kept(walk, &queues.made[found]))
            }
            None => without_state(walk, &queues, broker, index),
        })
        .collect();
    left_behind(walk, &queues);
    names
}

/// Says what was refused in the lines of the name, unless sr3 has made it.
fn refusals(walk: &mut Walk, known: bool) {
    if let Some(name) = &walk.naming.name
        && !known
    {
        let found = match walk.queues {
            Some(_) => "; sr3's state directory does not name the queue",
            None => "; the queue sr3 has is found with `--state` (its state directory)",
        };
        walk.remarks
            .extend(name.held.iter().cloned().map(|mut remark| {
                remark.text.push_str(found);
                remark
            }));
    }
    let Some(share) = walk.naming.share.clone() else {
        return;
    };
    if !known {
        walk.remarks.extend(share.held);
    } else if !share.held.is_empty() {
        walk.doc.remove("queueShare");
        let text = "it is part of the name of the queue, which is kept";
        walk.remark(&share.line, Fate::Kept, text);
    }
}

/// The queue sr3 made goes on.
fn kept(walk: &mut Walk, made: &Made) -> String {
    let written = made.name.replace("${", "$${");
    let name = mask::quotable(&made.name);
    match walk.naming.name.clone() {
        Some(line) if line.text == written => {}
        Some(line) => walk.remark(
            &line.line,
            Fate::Kept,
            format!("sr3 made `{name}` of it, which is written out: its queue is kept"),
        ),
        None => walk.remark_whole(
            Fate::Kept,
            "queueName",
            format!("its queue is kept: sr3 named it `{name}`"),
        ),
    }
    written
}

fn without_state(
    walk: &mut Walk,
    queues: &Queues,
    broker: &Broker,
    index: usize,
) -> Option<String> {
    let user = broker.user.clone().unwrap_or("${BROKER_USER}".to_owned());
    // A user that is written in another way in URLs may be so in names.
    let plain = !user.contains(['%', '$']);
    let was = walk.was.as_str();
    let config = walk.flow_name();
    let share = walk.naming.share.clone();
    let of_share = share.as_ref().is_some_and(Named::is_sure);
    if let Some(line) = walk.naming.name.clone() {
        let mut text = line.text.clone();
        if index > 0 {
            // The name of that flow is another.
            text = text.replace("${CONFIG}", &config);
        }
        let shares = text.contains("${QUEUESHARE}");
        if line.is_sure() && (of_share || !shares) || !line.held.is_empty() {
            return Some(text);
        }
        let shown = match &share {
            Some(share) if shares => text.replace("${QUEUESHARE}", &share.text),
            _ => text.replace("${QUEUESHARE}", MACHINE),
        };
        another(walk, queues, broker, &shown);
        return Some(text);
    }
    let share = share.map_or_else(|| MACHINE.to_owned(), |share| share.text);
    if of_share && plain {
        if was == walk.ours.as_str() && index == 0 {
            return None;
        }
        let name = format!("q_{user}.{was}.{config}.{share}");
        walk.remark_whole(
            Fate::Kept,
            "queueName",
            format!(
                "its queue is kept: sr3 names it `{}`",
                mask::quotable(&name)
            ),
        );
        return Some(name);
    }
    let number = match index {
        0 => String::new(),
        index => format!("-{}", index + 1),
    };
    let ours = walk.ours.as_str();
    another(
        walk,
        queues,
        broker,
        &format!("q_{user}.{ours}.{config}{number}.{share}"),
    );
    None
}

/// Stands for our default of `queueShare`.
const MACHINE: &str = "<user>_<machine>";

/// Says that the flow has another queue than the one sr3 has made.
fn another(walk: &mut Walk, queues: &Queues, broker: &Broker, name: &str) {
    if walk.files[0].extension().is_some_and(|ext| ext == "inc") {
        return;
    }
    let raw = walk.naming.name.as_ref().map(|name| name.raw.as_str());
    let several = queues.at(&broker.url, raw);
    let name = mask::quotable(name);
    let text = if several.len() > 1 {
        let told = several
            .iter()
            .filter_map(|made| queues.made.iter().position(|known| known == *made));
        walk.naming.told.extend(told);
        let names: Vec<String> = several
            .iter()
            .map(|made| format!("`{}`", mask::quotable(&made.name)))
            .collect();
        format!(
            "the flow has a new queue, `{name}`, because sr3 has several here, which go on filling until they are deleted; to go on with one, write it as `queueName`: {}",
            names.join(", ")
        )
    } else if walk.queues.is_some() {
        format!(
            "sr3's state directory names no queue for it, so the flow has a new one, `{name}`; if sr3 ran it elsewhere, its queue goes on filling until it is deleted: write its name as `queueName` to go on with it"
        )
    } else {
        format!(
            "the flow has a new queue, `{name}`; if sr3 ran it, its queue goes on filling until it is deleted: to go on with it, name sr3's state directory with `--state`, or write its name as `queueName`"
        )
    };
    walk.remark_whole(Fate::Noted, "queueName", text);
}

/// Queues of sr3 that nobody takes from any more.
fn left_behind(walk: &mut Walk, queues: &Queues) {
    let taken: Vec<String> = walk
        .naming
        .told
        .iter()
        .map(|index| queues.made[*index].name.clone())
        .collect();
    let mut said: Vec<&str> = Vec::new();
    for made in &queues.made {
        if taken.contains(&made.name) || said.contains(&made.name.as_str()) {
            continue;
        }
        said.push(&made.name);
        let place = made.host().map_or(String::new(), |host| {
            format!(" at {}", mask::quotable(host))
        });
        walk.remark_whole(
            Fate::Noted,
            "queueName",
            format!(
                "sr3 has the queue `{}`{place}, which no flow takes from: it goes on filling until it is deleted",
                mask::quotable(&made.name)
            ),
        );
    }
}
