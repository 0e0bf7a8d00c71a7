//! Converted flows against what sr3 itself reads in the same files.
//!
//! `tests/convert/sr3.py` asked sr3 3.3.1 and wrote `<case>.sr3.json`; here each such case is
//! converted and loaded, and has to say the same: rules with their placement, times, sizes,
//! bindings and exchanges.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_config::convert::{Conversion, Input, Known, convert};
use flow_config::{
    Flow, FlowName, Manifest, OptionKind, OptionSpec, Placement, Plugins, Source, Strip,
};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert")
}

/// The environment that `sr3.py` gives to sr3.
fn source() -> Source {
    let env = [
        ("HOME", "/home/me"),
        ("PEER", "amqp://peer@peer.example.org/"),
        ("PRINTER", "p1"),
        ("USER", "me"),
        ("HOSTNAME", "here"),
        ("CLASSIFY_TOKEN", "t"),
    ];
    Source::new(
        "/etc/flow",
        env.map(|(name, value)| (name.into(), value.into())).into(),
    )
}

/// Plugins that cases name. What one that is not here would do is for other tests.
struct Any;

impl Plugins for Any {
    fn manifest(&self, name: &str) -> Option<Result<Manifest, String>> {
        let text = |name: &str, repeated| OptionSpec {
            repeated,
            ..OptionSpec::new(name, OptionKind::Text)
        };
        let lists = ["replace", "set", "delete", "classify_limit"].map(|name| text(name, true));
        let texts = [
            "field",
            "keyword",
            "depth",
            "classify_token",
            "rotate_mirrors",
        ]
        .map(|name| text(name, false));
        Some(Ok(Manifest {
            name: name.into(),
            options: lists.into_iter().chain(texts).collect(),
            entry_points: vec!["gather".into()],
            ..Manifest::default()
        }))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The flows of a case.
fn flows(component: &str, name: &str) -> (Conversion, Vec<Flow>) {
    let file = folder().join(format!("{component}__{name}.conf"));
    let text = fs::read_to_string(&file).expect("a case");
    let path = PathBuf::from(format!("{component}/{name}.conf"));
    let input = Input {
        path: &path,
        text: &text,
        component: component.parse().expect("a component"),
        queues: None,
    };
    let conversion = convert(&input, &Known::default());
    let flow: FlowName = format!("{}/{name}", conversion.kind)
        .parse()
        .expect("a name");
    let flows = std::iter::once(&conversion.yaml)
        .chain(&conversion.others)
        .map(|yaml| {
            // A variable that is refused keeps its flow from loading, as it should.
            let yaml = yaml.replace("${T1}", "T1");
            let yaml = match conversion
                .render(false)
                .contains("refused: `directory`: none stands")
            {
                true => yaml.replace(
                    "accept: '.*\\.keep$'",
                    "accept: '.*\\.keep$'\n    directory: /",
                ),
                false => yaml,
            };
            let source = source();
            match source.load_text(&flow, &source.path(&flow), &yaml, &Any, &[]) {
                Ok(loaded) => loaded.flow,
                Err(report) => panic!("{flow}: {}\n{yaml}", report.render(false)),
            }
        })
        .collect();
    (conversion, flows)
}

/// What sr3 read, by case.
fn golden() -> Vec<(String, String, Value)> {
    let mut golden = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let Some(stem) = name.strip_suffix(".sr3.json") else {
            continue;
        };
        let (component, name) = stem.split_once("__").expect("component__name");
        let text = fs::read_to_string(&path).expect("readable");
        let value = serde_json::from_str(&text).expect("JSON");
        golden.push((component.to_owned(), name.to_owned(), value));
    }
    golden.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    assert!(golden.len() >= 8, "sr3 was asked");
    golden
}

/// Dates are written in two ways; both mean the same.
fn plain(text: &str) -> String {
    text.replace("${YYYYMMDD}", "${%Y%m%d}")
        .replace("${%o90%H}", "${%o+90s%H}")
        .replace("${T1}", "T1")
        .trim_end_matches('/')
        .to_owned()
}

fn strip(strip: &Strip) -> Value {
    match strip {
        Strip::None => Value::Null,
        Strip::Count(count) => (*count).into(),
        Strip::Regex(regex) => regex.as_str().into(),
    }
}

#[track_caller]
fn same_placement(case: &str, theirs: &Value, ours: &Placement) {
    let text = |key: &str| theirs[key].as_str().map(plain);
    let directory = ours
        .directory
        .as_ref()
        .map(|template| plain(template.as_str()));
    if text("directory").is_some() {
        assert_eq!(directory, text("directory"), "{case}: directory");
    }
    assert_eq!(Value::from(ours.mirror), theirs["mirror"], "{case}: mirror");
    assert_eq!(strip(&ours.strip), theirs["strip"], "{case}: strip");
    assert_eq!(
        ours.flatten.as_deref().unwrap_or("/"),
        theirs["flatten"],
        "{case}: flatten"
    );
    // Keywords are a plugin here.
    if let Some(name) =
        text("filename").and_then(|name| name.strip_prefix("DESTFN=").map(str::to_owned))
    {
        let ours = ours
            .filename
            .as_ref()
            .map(|template| template.as_str().to_owned());
        assert_eq!(ours, Some(name), "{case}: filename");
    }
}

#[test]
fn rules_accept_the_same_into_the_same_places() {
    let mut compared = 0;
    for (component, name, golden) in golden() {
        let case = format!("{component}/{name}");
        let (_, flows) = flows(&component, &name);
        let masks = golden["masks"].as_array().expect("masks");
        for flow in flows {
            let rules = &flow.filters.rules;
            for (index, mask) in masks.iter().enumerate() {
                let regex = mask["regex"].as_str().expect("a regex");
                let accept = mask["accept"].as_bool().expect("accept");
                let rule = &rules[index];
                assert_eq!(rule.accept, accept, "{case}: {regex}");
                assert_eq!(rule.regex.as_str(), format!("^(?:{regex})"), "{case}");
                compared += 1;
                if accept && flow.download {
                    same_placement(&case, mask, &rule.placement);
                }
                // Below what matches everything nothing is reached.
                if regex == ".*" {
                    break;
                }
            }
            let unmatched = golden["options"]["acceptUnmatched"]
                .as_bool()
                .expect("a flag");
            assert_eq!(flow.filters.accept_unmatched, unmatched, "{case}");
        }
    }
    assert!(compared >= 9, "only {compared} rules");
}

#[test]
fn times_sizes_and_numbers_are_the_same() {
    for (component, name, golden) in golden() {
        let (conversion, flows) = flows(&component, &name);
        let theirs = |key: &str| golden["options"][key].as_f64().unwrap_or(0.0);
        for flow in flows {
            let seconds = |of: Duration| of.as_secs_f64();
            let nodupe = flow.nodupe.map_or(Duration::ZERO, |nodupe| nodupe.ttl);
            let always = [
                ("fileAgeMax", seconds(flow.file_age_max)),
                ("fileAgeMin", seconds(flow.file_age_min)),
                ("housekeeping", seconds(flow.housekeeping)),
                ("messageAgeMax", seconds(flow.message_age_max)),
                ("nodupe_ttl", seconds(nodupe)),
            ];
            for (key, ours) in always {
                assert_eq!(ours, theirs(key), "{component}/{name}: {key}");
            }
            // Where nothing is written, these are a matter of taste: ours differ.
            #[expect(
                clippy::cast_precision_loss,
                reason = "sizes of configurations are small"
            )]
            let written = [
                ("batch", flow.batch as f64),
                ("bufSize", flow.transfer.buf_size as f64),
                ("byteRateMax", flow.transfer.byte_rate_max as f64),
                ("instances", flow.instances as f64),
                ("timeout", seconds(flow.timeout)),
            ];
            for (key, ours) in written {
                if conversion.yaml.contains(&format!("\n{key}: ")) {
                    assert_eq!(ours, theirs(key), "{component}/{name}: {key}");
                }
            }
            let download = golden["options"]["download"].as_bool().expect("a flag");
            if !matches!(component.as_str(), "flow" | "sender") {
                assert_eq!(flow.download, download, "{component}/{name}: download");
            }
        }
    }
}

#[test]
fn the_same_is_bound_and_posted_to() {
    for (component, name, golden) in golden() {
        let case = format!("{component}/{name}");
        let (_, flows) = flows(&component, &name);
        let ours: Vec<(String, String)> = flows
            .iter()
            .filter_map(|flow| flow.input.as_ref())
            .flat_map(|input| &input.bindings)
            .map(|binding| (binding.exchange.clone(), binding.topic.clone()))
            .collect();
        let theirs: Vec<(String, String)> = golden["bindings"]
            .as_array()
            .expect("bindings")
            .iter()
            .map(|binding| {
                let exchange = binding[0].as_str().unwrap_or_default().to_owned();
                let topic = binding[1].as_str().expect("a topic");
                let topic = if topic.contains('/') {
                    topic.replace('/', ".").replace('+', "*")
                } else {
                    topic.to_owned()
                };
                (exchange, topic)
            })
            .collect();
        assert_eq!(ours, theirs, "{case}");
        let theirs: Vec<&str> = golden["post_exchanges"]
            .as_array()
            .expect("exchanges")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        // sr3 does not post from a file that names `broker` in place of `post_broker`; we say so.
        if case == "watch/v2" {
            continue;
        }
        let ours: Vec<&str> = flows
            .iter()
            .filter_map(|flow| flow.output.as_ref())
            .map(|output| output.exchange.as_str())
            .collect();
        assert_eq!(ours, theirs, "{case}");
    }
}
