//! Puts a flow together once all its lines are read.

use super::brokers::{self, Binding, Broker, UserUnknown};
use super::components::Component;
use super::document::{Node, Value};
use super::plugins::{As, Fixed, To};
use super::report::Fate;
use super::walk::{Callback, Stranger, Walk};
use super::{Conversion, plugins, rules, text, values};
use crate::mask;

pub(super) fn finish(mut walk: Walk, tail: &[String]) -> Conversion {
    keywords(&mut walk);
    plugin_options(&mut walk);
    filters(&mut walk);
    callbacks(&mut walk);
    defaults(&mut walk);
    output(&mut walk);
    allow(&mut walk);
    let more = input(&mut walk);
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
        .map(|bindings| {
            set_input(&mut walk, &bindings);
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

/// sr3's keywords for file names are a plugin here.
fn keywords(walk: &mut Walk) {
    let mut used: Vec<&String> = walk.keywords.iter().flatten().collect();
    used.extend(&walk.keyword);
    let Some(first) = used.first().map(|first| (*first).clone()) else {
        return;
    };
    let accepting = walk.masks.iter().filter(|mask| mask.accept).count();
    let everywhere = walk
        .keywords
        .iter()
        .flatten()
        .all(|keyword| *keyword == first)
        && walk.keywords.iter().flatten().count() == accepting
        && walk
            .keyword
            .as_ref()
            .is_none_or(|keyword| *keyword == first);
    if !everywhere {
        walk.remark_whole(
            Fate::Refused,
            "filename",
            "rules name files in different ways (`WHATFN` and the like): the plugin `rename` does it with `keyword` and `only`, named once for each",
        );
        return;
    }
    walk.remark_whole(
        Fate::Kept,
        "filename",
        format!("`{first}` is the plugin `rename` with `keyword: {first}`"),
    );
    let entries = vec![("keyword".to_owned(), Node::from(Value::Text(first)))];
    let line = super::lines::Line {
        file: 0,
        number: 0,
        words: Vec::new(),
        rest: String::new(),
        comments: Vec::new(),
    };
    walk.doc
        .set("callbacks", Value::List(Vec::new()), Vec::new());
    walk.callbacks.push(Callback {
        name: "rename".into(),
        canonical: String::new(),
        to: None,
        entries,
        comments: Vec::new(),
        line,
    });
}

/// Gives the options nobody knows to the plugins they are for.
fn plugin_options(walk: &mut Walk) {
    for index in 0..walk.callbacks.len() {
        if let Some(To::Plugin { fixed, .. }) = walk.callbacks[index].to {
            for (key, value) in fixed {
                let value = match value {
                    Fixed::Text(text) => Value::text(*text),
                    Fixed::List(texts) => Value::List(
                        texts
                            .iter()
                            .map(|text| Node::from(Value::Quoted((*text).to_owned())))
                            .collect(),
                    ),
                };
                walk.callbacks[index]
                    .entries
                    .push(((*key).to_owned(), value.into()));
            }
        }
    }
    for stranger in std::mem::take(&mut walk.strangers) {
        if !known_option(walk, &stranger) {
            unknown_option(walk, stranger);
        }
    }
}

/// Whether a plugin in the table has the option.
fn known_option(walk: &mut Walk, stranger: &Stranger) -> bool {
    let found = walk
        .callbacks
        .iter()
        .enumerate()
        .find_map(|(index, callback)| {
            let Some(To::Plugin { options, .. }) = callback.to else {
                return None;
            };
            let meant = stranger
                .of
                .as_ref()
                .is_none_or(|of| *of == callback.canonical);
            let (_, ours, of) = options.iter().find(|(name, _, _)| *name == stranger.name)?;
            meant.then_some((index, *ours, *of))
        });
    let Some((index, ours, of)) = found else {
        return false;
    };
    let value = stranger.value.as_str();
    let (text, list) = match of {
        As::Text => (value.to_owned(), false),
        As::List => (value.to_owned(), true),
        As::Flag => (values::flag(value).text, false),
        As::Count => (value.to_owned(), false),
        As::Duration => (values::duration(value).text, false),
        As::Size => (
            values::number(value).map_or_else(|| value.to_owned(), values::size),
            false,
        ),
        As::Arrow => {
            let (from, to) = value.split_once(',').unwrap_or((value, ""));
            (format!("{} => {}", from.trim(), to.trim()), true)
        }
        As::Assign => {
            let (name, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            (format!("{name} = {}", value.trim()), true)
        }
    };
    let name = walk.callbacks[index].name.clone();
    walk.remark(
        &stranger.line,
        Fate::Kept,
        format!("it is `{ours}` of the plugin `{name}`"),
    );
    add(
        &mut walk.callbacks[index],
        ours,
        text,
        list,
        stranger.line.comments.clone(),
    );
    true
}

fn unknown_option(walk: &mut Walk, stranger: Stranger) {
    let Stranger {
        line,
        name,
        value,
        of,
    } = stranger;
    let missing = |callback: &Callback| matches!(callback.to, None | Some(To::Nothing(_)));
    let index = walk.callbacks.iter().position(|callback| match &of {
        Some(of) => *of == callback.canonical,
        None => missing(callback) && !callback.canonical.is_empty(),
    });
    let Some(index) = index else {
        if plugins::idle_option(&name) {
            walk.remark(
                &line,
                Fate::Dropped,
                "it is for a plugin that is not needed here",
            );
        } else if of.is_some() {
            walk.remark(&line, Fate::Dropped, "the flow has no such plugin");
        } else {
            walk.remark(&line, Fate::Dropped, Walk::unknown(&name));
        }
        return;
    };
    let plugin = walk.callbacks[index].name.clone();
    if mask::sounds_secret(&name) {
        let variable = name.to_ascii_uppercase();
        walk.remark(
            &line,
            Fate::Changed,
            format!("what it holds is not in the flow: set the environment variable `{variable}`"),
        );
        add(
            &mut walk.callbacks[index],
            &name,
            format!("${{{variable}}}"),
            false,
            line.comments,
        );
        return;
    }
    let value = walk.without_password(&line, &value);
    if missing(&walk.callbacks[index]) {
        walk.remark(
            &line,
            Fate::Changed,
            format!("it is kept as an option of the plugin `{plugin}`, which has to be written"),
        );
    } else {
        walk.remark(
            &line,
            Fate::Refused,
            format!("the plugin `{plugin}` has no such option: `flow plugin show {plugin}` lists what it has"),
        );
        return;
    }
    let again = walk.callbacks[index]
        .entries
        .iter()
        .any(|(key, _)| *key == name);
    add(
        &mut walk.callbacks[index],
        &name,
        value,
        again,
        line.comments,
    );
}

/// Adds an option to a callback; one that is there becomes a list.
fn add(callback: &mut Callback, key: &str, text: String, list: bool, comments: Vec<String>) {
    let value = Value::Text(text);
    match callback.entries.iter_mut().find(|(name, _)| name == key) {
        Some((
            _,
            Node {
                value: Value::List(nodes),
                ..
            },
        )) => {
            nodes.push(Node { comments, value });
        }
        Some((_, node)) if list => {
            let first = std::mem::replace(&mut node.value, Value::List(Vec::new()));
            node.value = Value::List(vec![first.into(), Node { comments, value }]);
        }
        Some((_, node)) => {
            node.value = value;
            node.comments.extend(comments);
        }
        None => {
            let value = if list {
                Value::List(vec![value.into()])
            } else {
                value
            };
            callback
                .entries
                .push((key.to_owned(), Node { comments, value }));
        }
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
    let gathers = walk.ours == Component::Flow;
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

fn callbacks(walk: &mut Walk) {
    if walk.callbacks.is_empty() {
        walk.doc.remove("callbacks");
        return;
    }
    let nodes = std::mem::take(&mut walk.callbacks)
        .into_iter()
        .map(|callback| {
            let mut comments = callback.comments;
            if matches!(callback.to, Some(To::Nothing(_)))
                || callback.to.is_none() && !callback.canonical.is_empty()
            {
                comments.push(format!(
                    " {}:{} names `{}`, which is not here; `flow convert` said what to do",
                    walk.files[callback.line.file].display(),
                    callback.line.number,
                    callback.canonical
                ));
            }
            let value = if callback.entries.is_empty() {
                Value::Text(callback.name)
            } else {
                let mut entries =
                    vec![("plugin".to_owned(), Node::from(Value::Text(callback.name)))];
                entries.extend(callback.entries);
                Value::Map(entries)
            };
            Node { comments, value }
        })
        .collect();
    walk.doc.set("callbacks", Value::List(nodes), Vec::new());
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
    let exchange = match walk.brokers.output_exchange() {
        Ok(exchange) => exchange,
        Err(UserUnknown) => {
            walk.remark_whole(
                Fate::Refused,
                "post_exchange",
                "the broker's user is in a variable, and the name of the exchange is made of it: write the whole name into `post_exchange`",
            );
            match &walk.brokers.post_suffix {
                Some(suffix) => format!("xs_${{POST_BROKER_USER}}_{suffix}"),
                None => "xs_${POST_BROKER_USER}".to_owned(),
            }
        }
    };
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

/// Writes the options of the first input; the bindings of further brokers come back.
fn input(walk: &mut Walk) -> Vec<(Broker, Vec<Binding>)> {
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
    let first = inputs.remove(0);
    set_input(walk, &first);
    inputs
}

/// Writes the options of one input in the place of the last.
fn set_input(walk: &mut Walk, (broker, bindings): &(Broker, Vec<Binding>)) {
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
    let exchange = match walk.brokers.input_exchange() {
        Ok(exchange) => exchange,
        Err(UserUnknown) => {
            if all.is_empty() {
                walk.remark_whole(
                    Fate::Refused,
                    "exchangeSuffix",
                    "the broker's user is in a variable, and the name of the exchange is made of it: write the whole name into `exchange`",
                );
            }
            walk.brokers
                .suffix
                .as_ref()
                .map(|suffix| format!("xs_${{BROKER_USER}}_{suffix}"))
        }
    };
    let prefix = walk.brokers.prefix.clone();
    write_bindings(walk, &all, (exchange, &prefix));
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
