//! The catalogue: what is in the tree is in the binary, and all of it is sound.

use std::fs;
use std::path::Path;

use flow_testkit::Flow;
use flow_tests::tree;

/// `kind/name.yaml` of every example in the tree.
fn examples() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sr-configs");
    let files = tree::files(&root);
    let yaml = files.iter().filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    yaml.map(|path| {
        path.strip_prefix(&root)
            .expect("found below it")
            .display()
            .to_string()
    })
    .collect()
}

#[test]
fn every_example_is_listed() {
    let examples = examples();
    assert!(examples.len() >= 3, "{examples:?}");
    let listed = Flow::new().run(&["list", "examples"]).expect(0);
    for example in &examples {
        let name = example.trim_end_matches(".yaml");
        assert!(
            listed.stdout.contains(name),
            "{example} is not in:\n{}",
            listed.stdout
        );
    }
}

#[test]
fn every_example_checks_once_its_password_is_there() {
    let flow = Flow::new();
    for example in examples() {
        flow.run(&["add", &example]).expect(0);
    }
    let path = flow.config_dir().join("credentials.conf");
    let text = fs::read_to_string(&path).expect("`flow add` made it");
    // Brokers are asked about by `flow check`, which names the lines it misses.
    let brokers = ["mail1", "scanner"].map(|user| {
        let line = format!("amqps://{user}:PASSWORD@rabbitmq.example.com/");
        let asked = flow.run(&["check"]).expect(1).stdout;
        assert!(asked.contains(&line), "{asked}");
        line + "\n"
    });
    flow.credentials(&(text + &brokers.concat()).replace("PASSWORD", "secret"));
    flow.run(&["check"]).expect(0);
}

#[test]
fn every_plugin_has_its_manual() {
    let flow = Flow::new();
    let listed = flow.run(&["plugin", "list", "--format", "json"]).expect(0);
    let plugins: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON, as asked");
    let plugins = plugins.as_array().expect("one array");
    let names: Vec<&str> = plugins
        .iter()
        .filter_map(|plugin| plugin["name"].as_str())
        .collect();
    for wanted in ["mail", "mail-decode"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    for name in names {
        let manual = flow.run(&["plugin", "show", name]).expect(0).stdout;
        assert!(manual.lines().count() > 10, "{name}: {manual}");
    }
}
