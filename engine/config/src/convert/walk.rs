//! Goes through a configuration line by line, as sr3 does, and remembers what later lines need.

use std::collections::BTreeMap;

use super::brokers::Brokers;
use super::components::Component;
use super::document::{Document, Node, Value};
use super::input::{Input, Known};
use super::lines::{Line, Lines};
use super::options::{self, To, Type};
use super::queues::Queues;
use super::report::{Fate, Remark};
use super::rules::{Mask, Placement};
use super::taking_over::Naming;
use super::text::{self, Names};
use super::{Conversion, emit, names, plugins, values};
use crate::Secret;
use crate::suggest::closest;

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
    /// What sr3 remembers; none: nobody looked.
    pub(super) queues: Option<Queues>,
    pub(super) naming: Naming,
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
        queues: input.queues.cloned(),
        naming: Naming::default(),
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

    pub(super) fn remark_at(
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

    /// `text` with its variables as ours, and without passwords.
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
        self.without_password(line, &filled.text)
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
        let close = Self::meant(name)
            .map(|close| format!(" (`{close}` may be meant)"))
            .unwrap_or_default();
        format!("sr3 has no such option and takes no notice of it{close}")
    }

    /// The option that is probably meant by a name that is none.
    pub(super) fn meant(name: &str) -> Option<&'static str> {
        closest(name, options::names())
    }
}
