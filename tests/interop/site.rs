//! A site that runs sr3 and flow beside each other: one home each, one broker, one web server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flow_testkit::{Flow, Mosquitto, Nginx, RabbitMq, RabbitMqSetup, Running, Sr3, wait};
use flow_tests::tree;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Who owns exchanges and queues; sr3 derives both names from the user's.
const USER: &str = "tsource";
const PASSWORD: &str = "pw-8$x";

/// Has sr3 say when its queue is bound.
pub(crate) const TELL: &str = "set sarracenia.moth.amqp.AMQP.logLevel debug\n";

/// What a tree holds, by path below its root.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    File(Vec<u8>),
    Link(PathBuf),
    Directory,
}

/// Both systems, and where their files come from.
pub(crate) struct Site {
    pub(crate) flow: Flow,
    pub(crate) sr3: Sr3,
    pub(crate) web: Nginx,
}

impl Site {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self {
            flow: Flow::new(),
            sr3: Sr3::new(),
            web: Nginx::start(),
        }
    }

    /// Starts RabbitMQ; the URL is without the password, which both know. It has these exchanges: sr3
    /// does not consume where one is missing.
    #[track_caller]
    pub(crate) fn rabbit(&self, exchanges: &[&str]) -> (RabbitMq, String) {
        let setup = RabbitMqSetup::new()
            .user(USER, PASSWORD, ".*", ".*", ".*")
            .exchanges(exchanges.iter().copied());
        let broker = RabbitMq::start_with(&setup);
        let place = format!("127.0.0.1:{}/", broker.port());
        self.knows(&format!("amqp://{USER}:{PASSWORD}@{place}"));
        (broker, format!("amqp://{USER}@{place}"))
    }

    /// Starts Mosquitto; the URL is without the password, which both know.
    #[track_caller]
    pub(crate) fn mosquitto(&self) -> (Mosquitto, String) {
        let broker = Mosquitto::start();
        self.sr3.mend_mqtt();
        let place = format!("127.0.0.1:{}/", broker.port());
        self.knows(&format!(
            "mqtt://{}:p%40ss%2Fw%3Ard@{place}",
            Mosquitto::USER
        ));
        (broker, format!("mqtt://{}@{place}", Mosquitto::USER))
    }

    fn knows(&self, url: &str) {
        let path = self.sr3.config_dir().join("credentials.conf");
        let known = std::fs::read_to_string(path).unwrap_or_default();
        let line = format!("{known}{url}\n");
        self.flow.credentials(&line);
        self.sr3.credentials(&line);
    }

    /// A directory below the root of the web server, made; and its URL.
    pub(crate) fn origin(&self, name: &str) -> (PathBuf, String) {
        let path = self.web.root().join(name);
        std::fs::create_dir_all(&path).expect("the directory is writable");
        (path, format!("{}/{name}/", self.web.http()))
    }

    /// Writes an sr3 configuration that announces the origin of the flow's own name.
    pub(crate) fn sr3_announcer(&self, name: &str, broker: &str, exchange: &str, format: &str) {
        let (origin, url) = self.origin(own(name));
        self.sr3.add_config(
            name,
            &format!(
                "post_broker {broker}\npost_exchange {exchange}\npost_topicPrefix {prefix}\n\
                 post_format {format}\npost_baseUrl {url}\npost_baseDir {origin}\npath {origin}\n{pace}{plugin}",
                prefix = prefix(format),
                origin = origin.display(),
                plugin = if broker.starts_with("mqtt") {
                    "callback mqtt_posts\n"
                } else {
                    ""
                },
                pace = if name.starts_with("watch/") { "sleep 0.2\n" } else { "" },
            ),
        );
    }

    /// Writes a flow that announces the origin of the flow's own name.
    pub(crate) fn flow_announcer(&self, name: &str, broker: &str, exchange: &str, format: &str) {
        let (origin, url) = self.origin(own(name));
        self.flow.add_flow(
            name,
            &format!(
                "post_broker: {broker}\npost_exchange: {exchange}\npost_topicPrefix: {prefix}\n\
                 post_format: {format}\npost_baseUrl: {url}\npost_baseDir: {origin}\npath: {origin}\n",
                prefix = prefix(format),
                origin = origin.display(),
            ),
        );
    }

    /// Writes an sr3 configuration that stores what is announced below its home, in a directory of
    /// the flow's own name.
    pub(crate) fn sr3_subscriber(&self, name: &str, broker: &str, exchange: &str, format: &str) {
        self.sr3.add_config(
            name,
            &format!(
                "broker {broker}\nexchange {exchange}\ntopicPrefix {prefix}\nsubtopic #\n\
                 {TELL}housekeeping 2\nmirror on\ndirectory {home}/{own}\naccept .*\n",
                prefix = prefix(format),
                home = self.sr3.home().display(),
                own = own(name),
            ),
        );
    }

    /// Writes a flow that stores what is announced below its home, in a directory of the flow's own
    /// name.
    pub(crate) fn flow_subscriber(&self, name: &str, broker: &str, exchange: &str, format: &str) {
        self.flow.add_flow(
            name,
            &format!(
                "broker: {broker}\nexchange: {exchange}\ntopicPrefix: {prefix}\n\
                 directory: ${{HOME}}/{own}\nmirror: on\n",
                prefix = prefix(format),
                own = own(name),
            ),
        );
    }

    /// Starts a flow of flow's and waits until it runs.
    #[track_caller]
    pub(crate) fn start_flow(&self, name: &str) -> Running {
        let mut flow = self
            .flow
            .spawn(&["foreground", name, "--log-level", "debug"]);
        flow.wait_for("started", LIMIT);
        if name.starts_with("watch/") {
            flow_tests::watches(&flow, LIMIT);
        }
        flow
    }

    /// Starts a flow of sr3's that consumes, and waits until its queue is bound.
    #[track_caller]
    pub(crate) fn start_sr3(&self, name: &str) -> Running {
        let config = self.sr3.config_dir().join(format!("{name}.conf"));
        let config = std::fs::read_to_string(config).expect("it was written before");
        let bound = if config.contains("\nbroker mqtt") || config.starts_with("broker mqtt") {
            "subscribe completed"
        } else {
            "getSetup ... Done!"
        };
        let mut flow = self.sr3.spawn(name);
        flow.wait_for(bound, LIMIT);
        flow
    }

    /// Has sr3 announce the origin that `post/NAME` is about.
    #[track_caller]
    pub(crate) fn sr3_post(&self, name: &str) {
        let (origin, _) = self.origin(name);
        let posted = self.sr3.post(name, &[&origin.to_string_lossy()]).expect(0);
        assert!(posted.stderr.contains("posted to"), "{}", posted.stderr);
    }

    /// Starts a watch of sr3's and waits until it sees what happens.
    #[track_caller]
    pub(crate) fn start_sr3_watch(&self, name: &str) -> Running {
        let mut flow = self.sr3.spawn(name);
        flow.wait_for("now active on", LIMIT);
        flow
    }
}

/// The name of a flow without its kind.
fn own(name: &str) -> &str {
    name.rsplit('/')
        .next()
        .expect("there is always a last part")
}

/// The topics of a format.
pub(crate) fn prefix(format: &str) -> &str {
    if format == "v02" { "v02.post" } else { "v03" }
}

/// What is below `root` now.
pub(crate) fn found(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        // What goes away while it is looked at is not there.
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.map_while(Result::ok) {
            let path = entry.path();
            let kind = if let Ok(target) = std::fs::read_link(&path) {
                Entry::Link(target)
            } else if path.is_dir() {
                waiting.push(path.clone());
                Entry::Directory
            } else if let Ok(content) = std::fs::read(&path) {
                Entry::File(content)
            } else {
                continue;
            };
            let name = path.strip_prefix(root).expect("it was found there");
            found.insert(name.to_string_lossy().into_owned(), kind);
        }
    }
    found
}

/// Only the files and links of a tree: directories come with what is in them.
pub(crate) fn files(tree: &Tree) -> Tree {
    let keep = |(_, entry): &(&String, &Entry)| **entry != Entry::Directory;
    tree.iter()
        .filter(keep)
        .map(|(name, entry)| (name.clone(), entry.clone()))
        .collect()
}

/// Waits until the files below `root` are `expected`, byte for byte, and no others.
#[track_caller]
pub(crate) fn arrives(root: &Path, expected: &Tree, flows: &[&Running]) {
    let expected = files(expected);
    becomes("the files", root, flows, |tree| {
        differences(&files(tree), &expected)
    });
}

/// Waits until everything below `root`, directories too, is `expected` after `what` happened.
#[track_caller]
pub(crate) fn mirrors(what: &str, root: &Path, expected: &Tree, flows: &[&Running]) {
    becomes(what, root, flows, |tree| differences(tree, expected));
}

#[track_caller]
fn becomes(what: &str, root: &Path, flows: &[&Running], wrong: impl Fn(&Tree) -> Vec<String>) {
    let end = Instant::now() + LIMIT;
    loop {
        let wrong = wrong(&found(root));
        if wrong.is_empty() {
            return;
        }
        if Instant::now() > end {
            let told: Vec<String> = flows.iter().map(|flow| told(flow)).collect();
            panic!(
                "{what}: below {} after {LIMIT:?}:\n  {}\n{}",
                root.display(),
                wrong.join("\n  "),
                told.join("\n---\n")
            );
        }
        wait::pause(Duration::from_millis(50));
    }
}

/// The troubles of a flow, and the end of what it said.
fn told(flow: &Running) -> String {
    let told = flow.stderr();
    let lines: Vec<&str> = told.lines().collect();
    let (before, end) = lines.split_at(lines.len().saturating_sub(200));
    let trouble = |line: &&&str| {
        [" WARN ", " ERROR ", "[WARNING]", "[ERROR]"]
            .iter()
            .any(|level| line.contains(level))
    };
    let shown: Vec<&str> = before.iter().filter(trouble).chain(end).copied().collect();
    shown.join("\n")
}

fn differences(found: &Tree, expected: &Tree) -> Vec<String> {
    let missing = expected.iter().filter_map(|(name, entry)| {
        let what = match (found.get(name), entry) {
            (None, _) => "is missing".to_owned(),
            (Some(found), entry) if found == entry => return None,
            (Some(Entry::File(found)), Entry::File(wanted)) => {
                format!("has {} bytes instead of {}", found.len(), wanted.len())
            }
            (Some(found), wanted) => format!("is {found:?} instead of {wanted:?}"),
        };
        Some(format!("{name:?} {what}"))
    });
    let more = found
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .map(|name| format!("{name:?} should not be there"));
    missing.chain(more).collect()
}

/// Writes the files of a tree.
pub(crate) fn write(root: &Path, tree: &Tree) {
    for (name, entry) in tree {
        if let Entry::File(content) = entry {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
            std::fs::write(&path, content).expect("a file");
        }
    }
}

/// Makes the directories of a tree.
pub(crate) fn directories(root: &Path, tree: &Tree) {
    for name in tree.keys() {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
    }
}

/// Files like those of a weather office: several directories, one empty, one larger, one at the top.
pub(crate) fn samples(count: usize) -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: String, content: Vec<u8>| tree.insert(name, Entry::File(content));
    for number in 0..count {
        let name = format!(
            "radar/{}/2026/scan_{number:03}.gif",
            ["CASBV", "CASET", "CASSR"][number % 3]
        );
        let content = (0..number * 97)
            .map(|at| (at * 31 + number) as u8)
            .collect();
        add(name, content);
    }
    add("top.txt".into(), b"at the top\n".to_vec());
    add(
        "bulletins/SA/SACN31_CWAO".into(),
        b"SACN31 CWAO 220700\r\n".to_vec(),
    );
    add(
        "large.bin".into(),
        (0..1_500_000u32).map(|n| (n / 7) as u8).collect(),
    );
    tree
}

/// Files whose names have to be quoted somewhere on the way.
pub(crate) fn awkward() -> Tree {
    [
        "plain (1).txt",
        "with space.txt",
        "50%.txt",
        "plus+and=eq;.txt",
        "été/été.txt",
        "ключ.txt",
    ]
    .into_iter()
    .map(|name| (format!("odd/{name}"), Entry::File(name.as_bytes().to_vec())))
    .collect()
}

/// Ends flows of both kinds as an administrator would.
#[track_caller]
pub(crate) fn stop(flows: Vec<Running>) {
    for flow in &flows {
        flow.terminate();
    }
    for flow in flows {
        flow.finish(Duration::from_secs(60)).expect(0);
    }
}

/// That nothing unfinished is left.
#[track_caller]
pub(crate) fn tidy(root: &Path) {
    assert_eq!(tree::unfinished(root), Vec::<PathBuf>::new());
}
