//! Goes through a configuration line by line, as sr3 does, and remembers what later lines need.

use std::collections::BTreeMap;

use super::brokers::{Binding, Broker, Brokers};
use super::components::Component;
use super::document::{Document, Node, Value};
use super::input::{Input, Known};
use super::lines::{Line, Lines};
use super::options::{self, To, Type};
use super::report::{Fate, Remark};
use super::rules::{Mask, Placement};
use super::text::{self, Names};
use super::{Conversion, brokers, emit, names, plugins, regexes, values};
use crate::suggest::closest;
use crate::{Secret, mask};

/// A plugin the flow uses.
#[derive(Debug, Clone)]
pub(super) struct Callback {
    pub(super) name: String,
    /// As sr3 names it, to find `set` lines for it.
    pub(super) canonical: String,
    pub(super) to: Option<plugins::To>,
    pub(super) entries: Vec<(String, Node)>,
    pub(super) comments: Vec<String>,
    /// Where it was named.
    pub(super) line: Line,
}

/// A line with an option of a plugin, or with none.
#[derive(Debug, Clone)]
pub(super) struct Stranger {
    pub(super) line: Line,
    pub(super) name: String,
    pub(super) value: String,
    /// For `set`: the plugin it is for.
    pub(super) of: Option<String>,
}

/// What is known of the configuration so far.
pub(super) struct Walk {
    pub(super) files: Vec<std::path::PathBuf>,
    pub(super) was: Component,
    pub(super) ours: Component,
    pub(super) remarks: Vec<Remark>,
    pub(super) doc: Document,
    /// Options by sr3's name, as text.
    pub(super) options: BTreeMap<String, String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) placement: Placement,
    /// Comments above placement lines, and the mask they stand before.
    pub(super) placed: Vec<(&'static str, Vec<String>, usize)>,
    pub(super) masks: Vec<Mask>,
    pub(super) brokers: Brokers,
    pub(super) callbacks: Vec<Callback>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) credentials: Vec<Secret>,
    /// The keyword of sr3's `filename` in each mask.
    pub(super) keywords: Vec<Option<String>>,
    /// Comments waiting for the next option.
    pub(super) comments: Vec<String>,
    /// What other lines hold that has to be known from the start.
    pub(super) scan: Scan,
    local_time: bool,
    pub(super) keyword: Option<String>,
}

/// What is looked up before the first line is read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// `sleep` of less than zero: do it once and end.
    once: bool,
    sleeps: bool,
    suppresses: bool,
    main: Option<Component>,
    time_offset: Option<String>,
    groups_from_zero: bool,
    pub(super) has_path: bool,
    pub(super) has_post_broker: bool,
    pub(super) gathers_files: bool,
    pub(super) vip: bool,
}

impl Scan {
    fn of(lines: &[Line]) -> Self {
        let mut scan = Self::default();
        for line in lines {
            let value = line.words.get(1).map_or("", String::as_str);
            match names::today(line.keyword()) {
                "sleep" => {
                    scan.once = value.starts_with('-');
                    scan.sleeps = values::seconds(value).is_some_and(|seconds| seconds > 0.0);
                }
                "nodupe_ttl" => scan.suppresses = !values::is_none(value) && value != "0",
                "flowMain" => scan.main = value.parse().ok(),
                "varTimeOffset" => {
                    let (sign, span) = match value.strip_prefix('-') {
                        Some(span) => ('-', span),
                        None => ('+', value),
                    };
                    let span = values::duration(span).text;
                    scan.time_offset = (span != "none").then(|| format!("{sign}{span}"));
                }
                "sundew_compat_regex_first_match_is_zero" => {
                    scan.groups_from_zero = value.is_empty() || values::is_true(value);
                }
                "path" => scan.has_path = true,
                "post_broker" => scan.has_post_broker = true,
                "vip" => scan.vip = !value.is_empty() && !value.starts_with('#'),
                "callback" | "callback_prepend" => {
                    scan.gathers_files |= plugins::canonical(value) == "gather.file";
                }
                _ => {}
            }
        }
        scan
    }
}

pub(super) fn convert(input: &Input<'_>, known: &Known) -> Conversion {
    let lines = Lines::read(input, known);
    let scan = Scan::of(&lines.lines);
    let was = input.component;
    let mut ours = scan.main.unwrap_or(was).ours(scan.sleeps, scan.suppresses);
    if ours == Component::Flow && scan.gathers_files {
        ours = if scan.once {
            Component::Post
        } else {
            Component::Watch
        };
    }
    if ours == Component::Watch && scan.once {
        ours = Component::Post;
    }
    let mut walk = Walk {
        files: lines.files,
        was,
        ours,
        remarks: lines.remarks,
        doc: Document {
            head: lines.head,
            ..Document::default()
        },
        options: BTreeMap::new(),
        env: BTreeMap::new(),
        placement: Placement {
            directory: None,
            mirror: ours.default_in_sr3("mirror") == Some("on"),
            strip: None,
            flatten: None,
            filename: None,
        },
        placed: Vec::new(),
        masks: Vec::new(),
        brokers: Brokers::default(),
        callbacks: Vec::new(),
        strangers: Vec::new(),
        credentials: Vec::new(),
        keywords: Vec::new(),
        comments: Vec::new(),
        scan,
        local_time: false,
        keyword: None,
    };
    if was != ours {
        walk.remark_whole(
            Fate::Kept,
            was.as_str(),
            format!("a `{was}` is a `{ours}` here, in the folder `{ours}`"),
        );
    }
    for line in &lines.lines {
        walk.line(line);
    }
    emit::finish(walk, &lines.tail)
}

impl Walk {
    pub(super) fn remark(&mut self, line: &Line, fate: Fate, text: impl Into<String>) {
        self.remark_at(line, None, fate, text);
    }

    fn remark_at(
        &mut self,
        line: &Line,
        column: Option<usize>,
        fate: Fate,
        text: impl Into<String>,
    ) {
        self.remarks.push(Remark {
            file: self.files[line.file].clone(),
            line: Some(line.number),
            column,
            fate,
            option: line.keyword().to_owned(),
            text: text.into(),
        });
    }

    pub(super) fn remark_whole(&mut self, fate: Fate, option: &str, text: impl Into<String>) {
        self.remarks.push(Remark {
            file: self.files[0].clone(),
            line: None,
            column: None,
            fate,
            option: option.to_owned(),
            text: text.into(),
        });
    }

    pub(super) fn take_comments(&mut self) -> Vec<String> {
        std::mem::take(&mut self.comments)
    }

    /// Writes an option, unless a flow of this kind has no use for it.
    pub(super) fn put(&mut self, line: &Line, key: &str, value: Value) {
        if self.has_use(line, key) {
            let comments = self.take_comments();
            self.doc.set(key, value, comments);
        }
    }

    pub(super) fn has_use(&mut self, line: &Line, key: &str) -> bool {
        let kinds = crate::options::option(key).map(|option| option.kinds);
        let of = self.ours.kind();
        match (kinds, of) {
            (Some(kinds), Some(of)) if !kinds.contains(&of) => {
                self.remark(line, Fate::Dropped, format!("it has no effect in a `{of}`"));
                false
            }
            _ => true,
        }
    }

    /// `text` with its variables as ours.
    pub(super) fn fill(&mut self, line: &Line, text: &str, late: bool) -> String {
        let broker_user = self
            .brokers
            .inputs
            .last()
            .and_then(|broker| broker.user.clone());
        let post_user = self
            .brokers
            .outputs
            .last()
            .and_then(|broker| broker.user.clone());
        let names = Names {
            env: &self.env,
            options: &self.options,
            broker_user: broker_user.as_deref(),
            post_broker_user: post_user.as_deref(),
            component: (self.was.as_str(), self.ours.as_str()),
            time_offset: self.scan.time_offset.as_deref(),
            groups_from_zero: self.scan.groups_from_zero,
            late,
        };
        let filled = text::fill(text, &names);
        if filled.dates && !self.local_time {
            self.local_time = true;
            self.remark(
                line,
                Fate::Changed,
                "dates are UTC here, in sr3 they are the local time of the machine",
            );
        }
        for (fate, note) in filled.notes {
            self.remark(line, fate, note);
        }
        filled.text
    }

    /// The second word; what follows it is no part of the value.
    pub(super) fn word(&mut self, line: &Line) -> Option<String> {
        let word = line.words.get(1)?.clone();
        if word.starts_with('#') {
            self.comments
                .push(format!(" {}", line.rest.trim_start_matches('#').trim()));
            return None;
        }
        if line.words.len() > 2 {
            let more = line.words[2..].join(" ");
            if let Some(comment) = more.strip_prefix('#') {
                self.comments
                    .push(mask::masked_url(&format!(" {}", comment.trim())));
            } else {
                self.remark(
                    line,
                    Fate::Kept,
                    format!(
                        "sr3 reads `{}` and no more of the line",
                        mask::quotable(&word)
                    ),
                );
            }
        }
        Some(word)
    }

    /// The rest of the line.
    pub(super) fn rest(&mut self, line: &Line) -> Option<String> {
        if line.rest.is_empty() {
            return None;
        }
        if line.rest.starts_with('#') {
            return self.word(line);
        }
        let Some(at) = line.rest.find(" #") else {
            // sr3 joins the words with one blank.
            return Some(line.words[1..].join(" "));
        };
        let (value, comment) = line.rest.split_at(at);
        self.comments.push(mask::masked_url(&format!(
            " {}",
            comment.trim_start().trim_start_matches('#').trim()
        )));
        self.remark(
            line,
            Fate::Changed,
            "what follows the `#` is a comment here; sr3 takes it for part of the value",
        );
        Some(value.trim().to_owned())
    }

    fn line(&mut self, line: &Line) {
        self.comments.extend(line.comments.iter().cloned());
        let written = line.keyword().to_owned();
        let mut name = names::today(&written);
        if name == "destination" {
            name = if self.ours == Component::Poll {
                "pollUrl"
            } else {
                "sendTo"
            };
        }
        let posts_only = matches!(
            self.ours,
            Component::Poll | Component::Post | Component::Watch
        );
        if name == "broker"
            && posts_only
            && (self.ours == Component::Poll || !self.scan.has_post_broker)
        {
            if self.ours != Component::Poll {
                self.remark(
                    line,
                    Fate::Changed,
                    "it is taken for `post_broker`, which sr3 needs and the file does not name",
                );
            }
            name = "post_broker";
        }
        if name == "exchange"
            && posts_only
            && !self.scan.has_post_broker
            && self.ours != Component::Poll
        {
            name = "post_exchange";
        }
        if self.ordered(line, name) {
            return;
        }
        if names::obsolete(name) {
            self.remark(line, Fate::Dropped, "it has had no meaning since sr3 began");
            return;
        }
        match options::find(name) {
            Some((of, To::Same)) => self.plain(line, name, name, of),
            Some((of, To::Named(ours))) => {
                self.remark(line, Fate::Kept, format!("it is `{ours}` here"));
                self.plain(line, name, ours, of);
            }
            Some((_, To::Dropped(why))) => {
                self.comments.clear();
                self.remark(line, Fate::Dropped, why);
            }
            Some((of, To::Refused(why))) => {
                let off = of == Type::Flag
                    && line.words.get(1).is_some_and(|word| !values::is_true(word));
                if off {
                    self.remark(line, Fate::Dropped, "it is off here too");
                } else {
                    self.remark(line, Fate::Refused, why);
                }
            }
            None => self.stranger(line, &written),
        }
    }

    fn stranger(&mut self, line: &Line, name: &str) {
        let value = if line.rest.is_empty() {
            "on".to_owned()
        } else {
            line.words[1..].join(" ")
        };
        let value = self.fill(line, &value, false);
        // A value of it may be part of another line.
        self.options.insert(name.to_owned(), value.clone());
        let line = Line {
            comments: self.take_comments(),
            ..line.clone()
        };
        self.strangers.push(Stranger {
            line,
            name: name.to_owned(),
            value,
            of: None,
        });
    }

    /// What to say about an option nobody knows.
    pub(super) fn unknown(name: &str) -> String {
        let close = closest(name, options::names())
            .map(|close| format!(" (`{close}` may be meant)"))
            .unwrap_or_default();
        format!("sr3 has no such option and takes no notice of it{close}")
    }

    /// An option that means the same wherever it stands.
    pub(super) fn plain(&mut self, line: &Line, name: &str, ours: &str, of: Type) {
        let Some(value) = self.typed(line, name, ours, of) else {
            return;
        };
        if let Value::Text(text) | Value::Quoted(text) = &value {
            self.options.insert(name.to_owned(), text.clone());
        }
        self.put(line, ours, value);
    }

    fn typed(&mut self, line: &Line, name: &str, ours: &str, of: Type) -> Option<Value> {
        let written = match of {
            Type::Text | Type::Template | Type::List | Type::Templates => self.rest(line),
            _ => self.word(line),
        };
        let late = matches!(of, Type::Template | Type::Templates);
        let Some(written) = written else {
            if of == Type::Flag {
                return Some(Value::text("on"));
            }
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return None;
        };
        let text = self.fill(line, &written, late);
        if text.contains("${")
            && !matches!(
                of,
                Type::Text | Type::Template | Type::List | Type::Templates | Type::Flag
            )
        {
            if matches!(of, Type::Duration | Type::Size) {
                self.remark(
                    line,
                    Fate::Changed,
                    "what the variable stands for has to have a unit",
                );
            }
            return Some(Value::text(text));
        }
        let read = match of {
            Type::Flag => {
                let read = values::flag(&text);
                if let Some(odd) = read.odd {
                    self.remark(line, Fate::Changed, odd);
                }
                read.text
            }
            Type::Duration => self.duration(line, &text),
            Type::Count | Type::Size => {
                let Some(number) = values::number(&text) else {
                    self.remark(
                        line,
                        Fate::Refused,
                        format!("`{}` is no number; sr3 takes 0", mask::quotable(&text)),
                    );
                    return None;
                };
                if number < 0 {
                    self.remark(line, Fate::Changed, "it can't be negative; it is left out");
                    return None;
                }
                if of == Type::Size {
                    let size = values::size(number);
                    if size != text && number != 0 {
                        self.remark(line, Fate::Kept, format!("`{text}` is {size}"));
                    }
                    size
                } else {
                    self.in_range(line, ours, number)
                }
            }
            Type::Number => text,
            Type::Mode => match values::mode(&text) {
                Some(mode) if mode == "000" => {
                    self.remark(
                        line,
                        Fate::Kept,
                        "0 leaves it to the system, as nothing does here",
                    );
                    return None;
                }
                Some(mode) => mode,
                None => {
                    self.remark(
                        line,
                        Fate::Refused,
                        "permission bits are octal digits, in sr3 too",
                    );
                    return None;
                }
            },
            Type::Commas => {
                let (_, members) = values::set(&text);
                return Some(self.list(ours, members));
            }
            Type::List | Type::Templates => return Some(self.list(ours, vec![text])),
            Type::Text | Type::Template => {
                let url = self.without_password(line, &text);
                if values::is_none(&url) {
                    self.options.remove(name);
                    self.doc.remove(ours);
                    return None;
                }
                url
            }
        };
        Some(Value::Text(read))
    }

    /// A list with `more` at its end.
    fn list(&self, key: &str, more: Vec<String>) -> Value {
        let mut all: Vec<String> = match self.doc.entries.iter().find(|(name, _)| name == key) {
            Some((
                _,
                Node {
                    value: Value::Text(text),
                    ..
                },
            )) => vec![text.clone()],
            Some((
                _,
                Node {
                    value: Value::List(nodes),
                    ..
                },
            )) => nodes
                .iter()
                .filter_map(|node| match &node.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        all.extend(more);
        Value::texts(all)
    }

    pub(super) fn duration(&mut self, line: &Line, text: &str) -> String {
        let read = values::duration(text);
        match read.odd {
            Some(odd) => self.remark(line, Fate::Changed, odd),
            None if read.text != text && text != "0" && !values::is_none(text) => {
                self.remark(line, Fate::Kept, format!("`{text}` is {}", read.text));
            }
            None => {}
        }
        read.text
    }

    fn in_range(&mut self, line: &Line, ours: &str, number: i64) -> String {
        let (least, most) =
            crate::options::option(ours).map_or((0, i64::MAX), |option| option.range);
        let within = number.clamp(least, most);
        if within != number {
            self.remark(
                line,
                Fate::Changed,
                format!("{number} is {within}, which is the limit"),
            );
        }
        within.to_string()
    }

    /// A URL without its password, which goes to the credentials.
    pub(super) fn without_password(&mut self, line: &Line, text: &str) -> String {
        let Some(range) = mask::url_password(text) else {
            return text.to_owned();
        };
        let start = text[..range.start].rfind("://").map_or(0, |at| at);
        let scheme = text[..start]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .map_or(0, |at| at + 1);
        let end = text[range.end..]
            .find(['/', '?', ' '])
            .map_or(text.len(), |at| range.end + at);
        let credential = format!("{}/", &text[scheme..end]);
        if !self
            .credentials
            .iter()
            .any(|known| known.expose() == credential)
        {
            self.credentials.push(Secret::new(credential));
        }
        self.remark(
            line,
            Fate::Kept,
            "the password is not in the flow: its line for credentials.conf is apart",
        );
        format!("{}{}", &text[..range.start - 1], &text[range.end..])
    }

    /// `accept` and `reject`, which have what stands above them.
    pub(super) fn accept_or_reject(&mut self, line: &Line, accept: bool) {
        let Some(written) = line.words.get(1).cloned() else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no expression; sr3 takes no notice of it",
            );
            return;
        };
        let written = if line.keyword() == "get" {
            from_the_name(&written)
        } else {
            written
        };
        let filled = self.fill(line, &written, false);
        let regex = match regexes::convert(&filled) {
            Ok(regex) => regex,
            Err(why) => {
                let column = line.keyword().chars().count() + 2;
                self.remark_at(line, Some(column), Fate::Refused, why);
                filled.clone()
            }
        };
        let mut placement = self.placement.clone();
        let mut keyword = self.keyword.clone();
        match line.words.get(2).map(String::as_str) {
            Some(word) if word.starts_with('#') => {
                let comment = line.words[2..].join(" ");
                self.comments.push(format!(" {}", comment.trim_start_matches('#').trim()));
            }
            Some(word) if is_keyword(word) => {
                if accept {
                    let word = self.fill(line, word, true);
                    (placement.filename, keyword) = self.filename(line, &word);
                }
                if line.words.len() > 3 {
                    self.remark(line, Fate::Refused, "arguments for plugins can't be written in a rule: write them among the options of the plugin");
                }
            }
            Some(_) => self.remark(line, Fate::Refused, "arguments for plugins can't be written in a rule: write them among the options of the plugin"),
            None => {}
        }
        if let Some(earlier) = self
            .masks
            .iter()
            .find(|earlier| regexes::matches_everything(&earlier.regex) || earlier.regex == regex)
        {
            let what = if regexes::matches_everything(&earlier.regex) {
                "everything is decided before it"
            } else {
                "the same expression stands above"
            };
            self.remark(line, Fate::Dropped, format!("it is never reached: {what}"));
            return;
        }
        let comments = self.take_comments();
        self.doc.set("filters", Value::List(Vec::new()), Vec::new());
        self.keywords.push(keyword.filter(|_| accept));
        self.masks.push(Mask {
            accept,
            regex,
            placement,
            comments,
        });
    }

    /// The template of a file name, or the keyword of sr3 that works it out.
    pub(super) fn filename(&mut self, line: &Line, word: &str) -> (Option<String>, Option<String>) {
        if word == "None" {
            return (None, None);
        }
        if let Some(script) = word.strip_prefix("DESTFNSCRIPT=") {
            self.callback(line, script);
            return (None, None);
        }
        if let Some(name) = word.strip_prefix("DESTFN=") {
            return (Some(name.to_owned()), None);
        }
        if is_keyword(word) || word == "TIME" || word.starts_with("TIME:") {
            return (None, Some(word.to_owned()));
        }
        (Some(word.to_owned()), None)
    }

    /// `subtopic` and `topic`, which bind with what stands above them.
    pub(super) fn bind(&mut self, line: &Line, complete: bool) {
        let Some(word) = self.word(line) else {
            self.remark(
                line,
                Fate::Dropped,
                "it has no value; sr3 takes no notice of it",
            );
            return;
        };
        let topic = self.fill(line, &word, false);
        if !self.has_use(line, "subtopic") {
            return;
        }
        let exchange = self.input_exchange(line);
        let broker = self.brokers.inputs.len().saturating_sub(1);
        let mqtt = self.brokers.inputs.last().is_some_and(|broker| broker.mqtt);
        let comments = self.take_comments();
        self.brokers.bindings.push(Binding {
            broker,
            exchange,
            prefix: self.brokers.prefix.clone(),
            topic: brokers::topic(&topic, mqtt),
            complete,
            comments,
        });
        self.doc
            .set("subtopic", Value::List(Vec::new()), Vec::new());
    }

    /// The exchange of the input as it stands; none: the default.
    pub(super) fn input_exchange(&mut self, line: &Line) -> Option<String> {
        match self.brokers.input_exchange() {
            Ok(exchange) => exchange,
            Err(brokers::UserUnknown) => {
                self.remark(line, Fate::Refused, "the broker's user is in a variable, and the name of the exchange is made of it: write the whole name into `exchange`");
                let suffix = self.brokers.suffix.clone().unwrap_or_default();
                Some(format!("xs_${{BROKER_USER}}_{suffix}"))
            }
        }
    }

    pub(super) fn broker(&mut self, line: &Line) -> Option<Broker> {
        let word = self.word(line)?;
        let text = self.fill(line, &word, false);
        let url = self.without_password(line, &text);
        Some(Broker::new(url))
    }

    /// A plugin by the name of a `callback` line.
    pub(super) fn callback(&mut self, line: &Line, written: &str) {
        self.use_plugin(line, written, plugins::find(written), false);
    }

    pub(super) fn use_plugin(
        &mut self,
        line: &Line,
        written: &str,
        to: Option<plugins::To>,
        first: bool,
    ) {
        let canonical = plugins::canonical(written);
        if self
            .callbacks
            .iter()
            .any(|callback| callback.canonical == canonical)
        {
            self.remark(
                line,
                Fate::Kept,
                "it is named twice, which is once in sr3 too",
            );
            return;
        }
        let name = match to {
            Some(plugins::To::BuiltIn(why)) => {
                self.remark(line, Fate::Dropped, why);
                return;
            }
            Some(plugins::To::Option(key, value)) => {
                self.remark(line, Fate::Kept, format!("it is `{key}: {value}` here"));
                self.put(line, key, Value::text(value));
                return;
            }
            Some(plugins::To::Nothing(what)) => {
                self.remark(line, Fate::Refused, what);
                plugins::own_name(written)
            }
            Some(plugins::To::Plugin { name, differs, .. }) => {
                match differs {
                    Some(differs) => self.remark(
                        line,
                        Fate::Changed,
                        format!("it is the plugin `{name}`; {differs}"),
                    ),
                    None => self.remark(line, Fate::Kept, format!("it is the plugin `{name}`")),
                }
                name.to_owned()
            }
            None => {
                let name = plugins::own_name(written);
                self.remark(line, Fate::Refused, plugins::write_one(&name));
                name
            }
        };
        let comments = self.take_comments();
        self.doc
            .set("callbacks", Value::List(Vec::new()), Vec::new());
        let callback = Callback {
            name,
            canonical,
            to,
            entries: Vec::new(),
            comments,
            line: line.clone(),
        };
        if first {
            self.callbacks.insert(0, callback);
        } else {
            self.callbacks.push(callback);
        }
    }
}

/// `get` of an old poll matches the name alone.
fn from_the_name(regex: &str) -> String {
    match regex.strip_prefix('^') {
        Some(rest) => format!(".*/{rest}"),
        None if regex.starts_with(".*") => regex.to_owned(),
        None => format!(".*{regex}"),
    }
}

/// Whether a word behind an expression says how to name files.
fn is_keyword(word: &str) -> bool {
    let head = word.split([':', '=']).next().unwrap_or_default();
    [
        "None",
        "DESTFN",
        "DESTFNSCRIPT",
        "HEADFN",
        "NONE",
        "NONESENDER",
        "SATNET",
        "SENDER",
        "WHATFN",
    ]
    .contains(&head)
}
