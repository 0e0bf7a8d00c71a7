//! What `flow plugin new` writes, in each language with every entry point: it builds, passes its tests
//! in the engine and those of the language itself, and its example is a flow.

use std::process::Command;

use flow_testkit::{Flow, link_js_tools, link_python_tools};

use super::project::{add_example, build};
use super::workshop;

const ALL: &str = "gather,after_accept,download,send,after_work,post,settled,request,line";

/// Makes and builds a project, and runs all of its tests but the language's own. `tools` gives it
/// what it would install.
#[track_caller]
fn made(language: &str, tools: impl FnOnce(&std::path::Path)) -> Flow {
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
