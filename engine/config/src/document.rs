//! YAML documents that are no flows: trees whose every value knows its line.
//!
//! For files that go with flows and plugins, read with the same parser and the same findings as a
//! flow. Of a test of a plugin, what a flow would say (`options`, `limits`, `allow`, …) is checked
//! exactly as in a flow.

use std::collections::BTreeMap;
use std::path::Path;

use crate::build;
use crate::collect::{Collector, Span};
use crate::explain as code;
use crate::manifest::Plugins;
use crate::report::Report;
use crate::variables::Variables;
use crate::yaml::{self, Entry};
use crate::{Flow, FlowName};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
}

/// What a value is. Scalars stay text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text; `quoted` if it can be nothing else.
    Text {
        /// What it says.
        text: String,
        /// In quotes, or a block.
        quoted: bool,
    },
    /// In their order.
    List(Vec<Node>),
    /// In their order.
    Map(Vec<Field>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Where the key stands, counted from 1.
    pub line: usize,
    /// Where the key starts, in characters, counted from 1.
    pub column: usize,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.fields()
            .iter()
            .find(|field| field.key == key)
            .map(|field| &field.node)
    }

    /// The fields of a mapping; none of anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.value {
            Value::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a single value.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Options of a flow that a test of a plugin may set.
pub const OF_A_FLOW: [&str; 6] = [
    "allow",
    "pollUrl",
    "sendTo",
    "timeout",
    "directory",
    "download",
];

/// Reads the test `name` of `plugin`: the whole document, and a flow with that plugin alone, under
/// the document's `options` and `limits`.
///
/// # Errors
/// It is no YAML, or what it sets is not what the plugin's manifest says.
pub fn plugin_test(
    name: &str,
    text: &str,
    plugin: &str,
    plugins: &dyn Plugins,
) -> Result<(Flow, Node), Report> {
    let mut out = Collector::default();
    let file = out.add(name, text);
    let root = match yaml::parse(&mut out, file) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let span = Span::new(file, 0..0);
            out.error(code::SYNTAX, span, "the file is empty")
                .hint("a test has `steps:`, e.g. `- after_accept:` with messages and `expect:`");
            return Err(out.finish());
        }
        Err(_) => return Err(out.finish()),
    };
    let document = node(&out, &root);
    let fields = match root.value {
        yaml::Value::Map(fields) => fields,
        _ => Vec::new(),
    };
    let entries = flow_entries(fields, plugin, Span::new(file, 0..0));
    let flow_name: FlowName = "flow/test".parse().expect("it is a good name");
    let variables = Variables {
        env: &BTreeMap::new(),
        hostname: "test",
        name: &flow_name,
        own: None,
    };
    // Not complete: a test has no broker, and need not have one.
    let read = build::Read {
        path: Path::new(name),
        file,
        entries,
        complete: false,
    };
    let flow = build::flow(&mut out, variables, plugins, read);
    let failed = out.has_errors();
    let report = out.finish();
    match flow {
        Some(flow) if !failed => Ok((flow, document)),
        _ => Err(report),
    }
}

/// What of the test a flow would say, as a flow would say it.
fn flow_entries(fields: Vec<Entry>, plugin: &str, nowhere: Span) -> Vec<Entry> {
    let entry = |key: &str, value| Entry {
        key: key.to_owned(),
        key_span: nowhere,
        value: yaml::Node {
            span: nowhere,
            value,
        },
    };
    let mut callback = vec![entry(
        "plugin",
        yaml::Value::Scalar(plugin.to_owned(), true),
    )];
    let mut entries = Vec::new();
    for field in fields {
        match (field.key.as_str(), field.value.value) {
            ("options", yaml::Value::Map(options)) => callback.extend(options),
            (key, value) if key == "limits" || OF_A_FLOW.contains(&key) => {
                let span = field.value.span;
                let value = yaml::Node { span, value };
                let kept = Entry { value, ..field };
                match kept.key.as_str() {
                    "limits" => callback.push(kept),
                    _ => entries.push(kept),
                }
            }
            _ => {}
        }
    }
    let callback = yaml::Node {
        span: nowhere,
        value: yaml::Value::Map(callback),
    };
    entries.push(entry("callbacks", yaml::Value::List(vec![callback])));
    entries
}

fn node(out: &Collector, from: &yaml::Node) -> Node {
    let value = match &from.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Scalar(text, quoted) => Value::Text {
            text: text.clone(),
            quoted: *quoted,
        },
        yaml::Value::List(items) => Value::List(items.iter().map(|item| node(out, item)).collect()),
        yaml::Value::Map(entries) => {
            let field = |entry: &Entry| {
                let (line, column) = out.position(entry.key_span);
                Field {
                    key: entry.key.clone(),
                    line,
                    column,
                    node: node(out, &entry.value),
                }
            };
            Value::Map(entries.iter().map(field).collect())
        }
    };
    Node {
        line: out.position(from.span).0,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, OptionKind, OptionSpec, OptionValue};

    fn plugins() -> BTreeMap<String, Manifest> {
        let option = OptionSpec {
            required: true,
            ..OptionSpec::new("patience", OptionKind::Duration)
        };
        let manifest = Manifest {
            name: "calm".into(),
            options: vec![option],
            entry_points: vec!["after_accept".into()],
            ..Manifest::default()
        };
        BTreeMap::from([("calm".to_owned(), manifest)])
    }

    #[test]
    fn a_test_is_a_flow_and_a_document() {
        let text = "# calm\noptions: { patience: 5s }\nsteps:\n  - after_accept:\n      - relPath: a\n    expect: [keep]\n";
        let (flow, document) =
            plugin_test("tests/a.yaml", text, "calm", &plugins()).expect("it is right");
        assert_eq!(flow.callbacks.len(), 1);
        assert_eq!(
            flow.callbacks[0].options["patience"],
            OptionValue::Duration(std::time::Duration::from_secs(5))
        );
        let step = &document.get("steps").expect("steps").items()[0];
        let expect = &step.fields()[1];
        assert_eq!(
            (expect.key.as_str(), expect.line, expect.column),
            ("expect", 6, 5)
        );
        assert_eq!(expect.node.items()[0].text(), Some("keep"));
    }

    #[test]
    fn a_plugin_needs_nothing_around_it_that_a_flow_would_have() {
        for entry in [
            "gather",
            "wake",
            "settled",
            "after_accept",
            "download",
            "send",
            "after_work",
            "post",
            "request",
            "line",
        ] {
            let manifest = Manifest {
                name: "calm".into(),
                schemes: vec!["calm".into()],
                entry_points: vec![entry.into(), "lifecycle".into()],
                ..Manifest::default()
            };
            let plugins = BTreeMap::from([("calm".to_owned(), manifest)]);
            let read = plugin_test("tests/a.yaml", "steps: []\n", "calm", &plugins);
            let refused = read.err().map(|report| report.render(false));
            assert_eq!(refused, None, "{entry}");
        }
    }

    #[test]
    fn wrong_options_are_found_where_they_stand() {
        let found = |text: &str| {
            plugin_test("tests/a.yaml", text, "calm", &plugins())
                .expect_err("it is wrong")
                .render(false)
        };
        let text = found("options:\n  patience: 5\n");
        assert!(text.contains("tests/a.yaml:2:13"), "{text}");
        assert!(text.contains("needs a unit"), "{text}");
        let text = found("options:\n  patienze: 5s\n");
        assert!(text.contains("did you mean `patience`?"), "{text}");
        assert!(found("").contains("the file is empty"));
    }
}
