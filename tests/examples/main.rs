//! The example plugins, built with the tools their authors use and run in real flows.

mod project;

use std::fs;

use flow_testkit::Flow;
use project::Project;

const PYTHON: [&str; 4] = [
    "python",
    "../../plugins/sdk-python/build.py",
    "-o",
    "build/csv-to-json.wasm",
];

#[test]
fn csv_becomes_json_in_python() {
    let project = Project::of("plugin-python");
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, "build/csv-to-json.wasm", &PYTHON);
    flow.add_flow("flow/tables", &project.flow("flow/tables"));
    flow.write("tables/people.csv", "name;age\nAnna;31\nBö;007\n".as_bytes());
    flow.write("tables/broken.csv", b"name;age\nAnna\n");
    flow.write("tables/note.txt", b"no table\n");
    let done = flow
        .run(&["foreground", "flow/tables", "--once", "--trace"])
        .expect(0);
    let made = fs::read_to_string(flow.path("json/people.json")).expect("it was made");
    let expected = "[\n{\"name\": \"Anna\", \"age\": 31},\n{\"name\": \"Bö\", \"age\": \"007\"}\n]\n";
    assert_eq!(made, expected);
    assert!(!flow.path("json/broken.json").exists());
    let why = "not readable as CSV: line 2 has another number of fields than the heading";
    assert!(done.stderr.contains(why), "{}", done.stderr);
}

#[test]
fn what_python_plugins_say_of_themselves_is_their_class() {
    let project = Project::of("plugin-python");
    let flow = Flow::new();
    fs::create_dir(project.path("build")).expect("the copy is writable");
    project.install(&flow, "build/csv-to-json.wasm", &PYTHON);
    let shown = flow.run(&["plugin", "show", "csv-to-json"]).expect(0);
    for part in [
        "csv-to-json 0.1.0 - turns CSV files into JSON, one object per row",
        "entry points  after_work, lifecycle",
        "imports       content, log, metrics",
        "encoding: choice (utf-8, cp1252) [default: utf-8]",
        "numbers: flag [default: on]",
        "limit: size [default: 50MiB]",
    ] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
}

#[test]
fn the_python_example_passes_its_own_tests() {
    let told = Project::of("plugin-python").run("pytest", &["-q", "-p", "no:cacheprovider"]);
    assert!(told.contains(" passed"), "{told}");
}

#[test]
fn the_python_kit_passes_its_own_tests() {
    let project = Project::of("plugin-python");
    let kit = project.path("../../plugins/sdk-python");
    let rootdir = format!("--rootdir={}", kit.display());
    let config = kit.join("pyproject.toml");
    let arguments = ["-q", "-p", "no:cacheprovider", &rootdir, "-c"];
    let tests = kit.join("tests");
    let paths = [&config, &tests].map(|path| path.to_str().expect("it is text"));
    let told = project.run("pytest", &[&arguments[..], &paths[..]].concat());
    assert!(told.contains(" passed"), "{told}");
}

#[test]
fn the_javascript_example_and_kit_pass_their_own_tests() {
    let project = Project::of("plugin-js");
    let tests = ["tests/plugin.test.js", "../../plugins/sdk-js/tests/kit.test.js"];
    let told = project.run("node", &[&["--test"], &tests[..]].concat());
    assert!(told.contains("# fail 0"), "{told}");
}
