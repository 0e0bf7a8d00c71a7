//! Puts a flow together once all its lines are read.

use super::components::Component;
use super::document::Value;
use super::report::Fate;
use super::walk::Walk;
use super::{Conversion, callbacks, inputs, regexes, rules, text};

pub(super) fn finish(mut walk: Walk, tail: &[String]) -> Conversion {
    callbacks::keywords(&mut walk);
    callbacks::plugin_options(&mut walk);
    filters(&mut walk);
    callbacks::write(&mut walk);
    defaults(&mut walk);
    output(&mut walk);
    allow(&mut walk);
    let more = inputs::write(&mut walk);
    let comments = walk.take_comments();
    walk.doc.tail.extend(comments);
    walk.doc.tail.extend(tail.iter().cloned());
    while walk.doc.tail.first().is_some_and(String::is_empty) {
        walk.doc.tail.remove(0);
    }
    later_variables(&mut walk);
    let kind = walk.ours.as_str();
    let yaml = walk.doc.write();
    let others = more
        .into_iter()
        .map(|taken| {
            inputs::set_input(&mut walk, &taken);
            walk.doc.write()
        })
        .collect();
    let files = walk.files.clone();
    let place = |remark: &super::Remark| {
        let file = files
            .iter()
            .position(|file| *file == remark.file)
            .unwrap_or(0);
        (remark.line.is_some(), file, remark.line)
    };
    walk.remarks.sort_by_key(place);
    Conversion {
        kind,
        yaml,
        others,
        report: walk.remarks,
        credentials: walk.credentials,
        files: walk.files,
    }
}

fn filters(walk: &mut Walk) {
    let unmatched = walk
        .options
        .get("acceptUnmatched")
        .is_none_or(|value| value == "on");
    let downloads = match walk.doc.entries.iter().find(|(key, _)| key == "download") {
        Some((_, node)) => node.value == Value::text("on"),
        None => walk.ours.default_in_sr3("download") == Some("on"),
    };
    let gathers = walk.ours == Component::Flow && !walk.placed.is_empty();
    let places = downloads || walk.ours.transfers() || gathers;
    let default_mirror = walk
        .ours
        .kind()
        .and_then(|kind| crate::options::option("mirror").map(|option| option.default_for(kind).0))
        .map_or(walk.ours.default_in_sr3("mirror"), |default| default)
        == Some("on");
    if !places {
        idle_placement(walk);
    }
    if places && downloads && walk.ours != Component::Sender {
        homeless(walk, unmatched);
    }
    // Comments above a placement stay with it if the flow says it, and go to the rule if not.
    let spread = rules::spread(
        &walk.masks,
        &walk.placement,
        unmatched,
        places,
        default_mirror,
    );
    let mut comments_of_rules: Vec<Vec<String>> = vec![Vec::new(); spread.rules.len() + 1];
    for (option, comments, before) in std::mem::take(&mut walk.placed) {
        let at_flow = spread.flow.iter().any(|(key, _)| *key == option);
        match comments_of_rules.get_mut(before) {
            _ if at_flow => walk.comments_of(option).extend(comments),
            Some(of_rule) if before < spread.rules.len() => of_rule.extend(comments),
            _ => walk.comments.extend(comments),
        }
    }
    for option in rules::OPTIONS {
        match spread.flow.iter().find(|(key, _)| *key == option) {
            Some((_, value)) => {
                let comments = std::mem::take(walk.comments_of(option));
                walk.doc.set(option, value.clone(), comments);
            }
            None => walk.doc.remove(option),
        }
    }
    if spread.rules.is_empty() {
        walk.doc.remove("filters");
        return;
    }
    let nodes = spread
        .rules
        .into_iter()
        .zip(comments_of_rules)
        .map(|(mut node, comments)| {
            node.comments.splice(0..0, comments);
            node
        })
        .collect();
    walk.doc.set("filters", Value::List(nodes), Vec::new());
}

/// What is accepted above the first `directory` is stored below `post_baseDir` by sr3, or where it
/// was started.
fn homeless(walk: &mut Walk, unmatched: bool) {
    let rules = walk.masks.iter().filter(|mask| mask.accept);
    let closed = walk
        .masks
        .iter()
        .any(|mask| regexes::matches_everything(&mask.regex));
    let mut some = rules
        .map(|mask| &mask.placement)
        .any(|placement| placement.directory.is_none());
    some |= unmatched && !closed && walk.placement.directory.is_none();
    if !some {
        return;
    }
    let base = walk.options.get("post_baseDir").cloned();
    match base {
        Some(base) => {
            let accepting = walk.masks.iter_mut().filter(|mask| mask.accept);
            let all = accepting.map(|mask| &mut mask.placement).chain([&mut walk.placement]);
            for placement in all {
                placement.directory.get_or_insert_with(|| base.clone());
            }
            walk.remark_whole(
                Fate::Kept,
                "directory",
                "where none is named sr3 stores below `post_baseDir`; here that is written out",
            );
        }
        None => walk.remark_whole(
            Fate::Refused,
            "directory",
            "none stands above what is accepted, so that sr3 stores where it was started: write one",
        ),
    }
}

/// Where nothing is stored, nothing has a place.
fn idle_placement(walk: &mut Walk) {
    let mut said: Vec<&'static str> = walk.placed.iter().map(|(option, _, _)| *option).collect();
    said.sort_unstable();
    said.dedup();
    for option in said {
        let what = format!(
            "nothing is stored by this `{}`, so it has no effect",
            walk.ours
        );
        walk.remark_whole(Fate::Dropped, option, what);
    }
    walk.placed.clear();
}

impl Walk {
    /// The comments above an option; where it is not there yet, those that wait.
    fn comments_of(&mut self, key: &str) -> &mut Vec<String> {
        match self.doc.entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, node)) => &mut node.comments,
            None => &mut self.comments,
        }
    }
}

/// Writes out sr3's default where ours is another and data depends on it.
fn defaults(walk: &mut Walk) {
    let Some(kind) = walk.ours.kind() else { return };
    for name in ["nodupe_ttl", "acceptUnmatched", "download", "fileAgeMax"] {
        let (Some(theirs), Some(option)) =
            (walk.ours.default_in_sr3(name), crate::options::option(name))
        else {
            continue;
        };
        if walk.doc.has(name)
            || !option.kinds.contains(&kind)
            || option.default_for(kind).0 == Some(theirs)
        {
            continue;
        }
        if name == "download" && walk.ours == Component::Flow {
            continue;
        }
        walk.remark_whole(
            Fate::Kept,
            name,
            format!(
                "{theirs} is the default of sr3 for a `{}` and not ours, so it is written out",
                walk.ours
            ),
        );
        walk.doc.set(name, Value::text(theirs), Vec::new());
    }
}

fn output(walk: &mut Walk) {
    let named = walk.brokers.post_exchange.is_some() || walk.brokers.post_suffix.is_some();
    let Some(broker) = walk.brokers.outputs.first().cloned() else {
        walk.doc.remove("post_broker");
        walk.doc.remove("post_exchange");
        if named {
            walk.remark_whole(
                Fate::Dropped,
                "post_exchange",
                "without a `post_broker` sr3 posts nothing; here it would be the broker that is built in",
            );
        } else if walk.ours.must_post() && walk.files[0].extension().is_none_or(|ext| ext != "inc")
        {
            walk.remark_whole(
                Fate::Changed,
                "post_broker",
                format!(
                    "the `{}` names no broker to post to, so it tells nobody",
                    walk.ours
                ),
            );
        }
        if !named && walk.ours.transfers() {
            for idle in ["post_topicPrefix", "post_format"] {
                walk.doc.remove(idle);
            }
        }
        return;
    };
    let exchange = walk.brokers.output_exchange();
    if !named {
        walk.remark_whole(
            Fate::Kept,
            "post_exchange",
            format!("`{exchange}` is what sr3 takes where none is named; here it is written out"),
        );
    }
    walk.doc
        .set("post_broker", Value::Text(broker.url), Vec::new());
    if walk.doc.has("post_exchange") {
        walk.doc
            .set("post_exchange", Value::Text(exchange), Vec::new());
    } else {
        walk.doc
            .set_after("post_broker", "post_exchange", Value::Text(exchange));
    }
}

/// A `sendTo` of a flow that downloads only told which credentials to take.
fn allow(walk: &mut Walk) {
    if !walk.doc.has("allow") {
        return;
    }
    let url = walk.options.get("sendTo").cloned().unwrap_or_default();
    let plugin = walk.doc.has("callbacks");
    let authority = url.split_once("://").map(|(scheme, rest)| {
        (
            scheme.to_owned(),
            rest.split('/').next().unwrap_or_default().to_owned(),
        )
    });
    let port = |scheme: &str| match scheme {
        "imaps" => "993",
        "imap" => "143",
        "pops" | "pop3s" => "995",
        "pop" | "pop3" => "110",
        "https" => "443",
        "http" => "80",
        "sftp" => "22",
        _ => "*",
    };
    match authority {
        Some((scheme, authority)) if plugin => {
            let host = authority.rsplit('@').next().unwrap_or_default();
            let place = if host.contains(':') && !host.ends_with(':') {
                host.to_owned()
            } else {
                format!("{}:{}", host.trim_end_matches(':'), port(&scheme))
            };
            let list = Value::List(vec![Value::Quoted(place).into()]);
            walk.doc.set(
                "allow",
                Value::Map(vec![("connect".into(), list.into())]),
                Vec::new(),
            );
            walk.remark_whole(
                Fate::Kept,
                "sendTo",
                "in a flow that downloads it is what plugins may reach (`allow`); credentials are found by the URL of each message",
            );
        }
        _ => {
            walk.doc.remove("allow");
            walk.remark_whole(
                Fate::Dropped,
                "sendTo",
                "a flow that downloads finds credentials by the URL of each message",
            );
        }
    }
}

/// `${BD}` and its like stand for options that may have been set further down.
fn later_variables(walk: &mut Walk) {
    let mut missing: Vec<&'static str> = Vec::new();
    let options = walk.options.clone();
    let mut replace = |value: &mut String| {
        for (name, names) in text::LATER {
            let variable = format!("${{{name}}}");
            if !value.contains(&variable) {
                continue;
            }
            match names.iter().find_map(|name| options.get(*name)) {
                Some(text) if !text.contains(&variable) => *value = value.replace(&variable, text),
                _ => missing.push(name),
            }
        }
    };
    for (_, node) in &mut walk.doc.entries {
        each_text(&mut node.value, &mut replace);
    }
    missing.dedup();
    for name in missing {
        walk.remark_whole(
            Fate::Refused,
            name,
            format!("`${{{name}}}` stands for an option that is not set"),
        );
    }
}

fn each_text(value: &mut Value, replace: &mut impl FnMut(&mut String)) {
    match value {
        Value::Text(text) | Value::Quoted(text) => replace(text),
        Value::List(nodes) => {
            for node in nodes {
                each_text(&mut node.value, replace);
            }
        }
        Value::Map(entries) => {
            for (_, node) in entries {
                each_text(&mut node.value, replace);
            }
        }
    }
}
