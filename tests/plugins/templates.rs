//! What `flow plugin new` writes, in each language with every entry point: it builds, passes its tests
//! in the engine and those of the language itself, and its example is a flow.

use std::path::Path;
use std::process::Command;

use flow_testkit::{Flow, link_js_tools, link_python_tools};

use super::project::{add_example, build};
use super::workshop;

const ALL: &str = "gather,after_accept,download,send,after_work,post,settled,request,line";

/// Makes and builds a project, and runs all of its tests but the language's own. `tools` gives it
/// what it would install.
#[track_caller]
fn made(language: &str, tools: impl FnOnce(&Path)) -> Flow {
    let mut flow = workshop();
    // Building twice gives other bytes: in the cache all tests share, compiled code would pile up.
    let cache = flow.path("cache").display().to_string();
    flow.env("FLOW_CACHE_DIR", &cache);
    flow.run(&[
        "plugin",
        "new",
        "all-of-it",
        "--lang",
        language,
        "--entry",
        ALL,
    ])
    .expect(0);
    tools(&flow.path("all-of-it"));
    build(&flow, &["plugin", "build", "all-of-it"]).expect(0);
    let tried = build(&flow, &["plugin", "test", "all-of-it"]).expect(0);
    assert_eq!(tried.stdout.lines().count(), 9, "{}", tried.stdout);
    let added = flow
        .run(&["plugin", "add", "all-of-it/all-of-it.wasm"])
        .expect(0)
        .stderr;
    assert!(added.contains("http: ['api.example.org:443']"), "{added}");
    add_example(&flow, "all-of-it");
    flow.run(&["check", "flow/all-of-it"]).expect(0);
    flow
}

/// Runs the tests in the language itself.
#[track_caller]
fn native(flow: &Flow, command: &[&str], says: &str) {
    let project = flow.path("all-of-it");
    let program = project.join(command[0]);
    let program = match program.exists() {
        true => program.as_os_str(),
        false => command[0].as_ref(),
    };
    let ran = Command::new(program)
        .args(&command[1..])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&project)
        .output()
        .unwrap_or_else(|error| panic!("{program:?} can't be run: {error}"));
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains(says), "{said}");
}

/// Makes, builds and tests a project of one entry point alone. `build` is the folder it is built in,
/// where what a language compiled for another is taken again.
#[track_caller]
fn alone(flow: &Flow, language: &str, entry: &str, tools: impl FnOnce(&Path)) {
    let made = format!("made-{entry}");
    let new = [
        "plugin", "new", "alone", "--lang", language, "--entry", entry,
    ];
    flow.run(&[&new[..], &["--dir", &made]].concat()).expect(0);
    let project = flow.path("alone");
    if project.exists() {
        // Cargo looks at the times of files: what is as it was stays where it is.
        for part in ["src", "tests", "example"] {
            std::fs::remove_dir_all(project.join(part)).expect("the project before had it");
            std::fs::rename(flow.path(&made).join(part), project.join(part))
                .expect("the temporary directory is writable");
        }
        for file in ["Cargo.toml", "README.md"] {
            std::fs::rename(flow.path(&made).join(file), project.join(file))
                .expect("the temporary directory is writable");
        }
    } else {
        std::fs::rename(flow.path(&made), &project).expect("the temporary directory is writable");
        tools(&project);
    }
    build(flow, &["plugin", "build", "alone"]).expect(0);
    let tried = build(flow, &["plugin", "test", "alone"]).expect(0);
    let passed = format!("ok      alone/tests/{entry}.yaml, ");
    assert!(tried.stdout.starts_with(&passed), "{}", tried.stdout);
}

#[test]
fn each_entry_point_works_alone_in_rust() {
    let flow = workshop();
    for entry in ALL.split(',') {
        alone(&flow, "rust", entry, |_| {});
    }
}

#[test]
fn a_plugin_that_only_answers_requests_works_in_python() {
    alone(&workshop(), "python", "request", link_python_tools);
}

#[test]
fn a_plugin_that_only_answers_requests_works_in_javascript() {
    alone(&workshop(), "js", "request", |project| {
        link_js_tools(project, &project.join("vendor/flow-plugin/sdk-js"));
    });
}

#[test]
fn every_entry_point_of_the_templates_works_in_rust() {
    let flow = made("rust", |_| {});
    native(&flow, &["cargo", "test", "--quiet"], "9 passed");
}

#[test]
fn every_entry_point_of_the_templates_works_in_python() {
    let flow = made("python", link_python_tools);
    native(
        &flow,
        &[".venv/bin/pytest", "-q", "-p", "no:cacheprovider"],
        "9 passed",
    );
}

#[test]
fn every_entry_point_of_the_templates_works_in_javascript() {
    let flow = made("js", |project| {
        link_js_tools(project, &project.join("vendor/flow-plugin/sdk-js"));
    });
    native(
        &flow,
        &["node", "--test", "tests/plugin.test.js"],
        "# fail 0",
    );
}
