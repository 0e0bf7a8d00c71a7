//! The callbacks of sr3 that `plugins/docs/FROM-SR3.md` ports: taken from the page, built as projects,
//! tried with the tests the page gives them, and run in flows.

use std::fs;
use std::path::Path;

use flow_testkit::Flow;

use super::project::Project;

/// The fenced block of the page that begins so.
fn block(begins: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/docs/FROM-SR3.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let mut blocks = page.split("```").skip(1).step_by(2);
    let block = blocks
        .find_map(|block| {
            block
                .split_once('\n')
                .filter(|(_, it)| it.starts_with(begins))
        })
        .unwrap_or_else(|| panic!("FROM-SR3.md has no block that begins with `{begins}`"));
    block.1.to_owned()
}

/// Builds the port, installs it, and runs its test of the page.
#[track_caller]
fn ported(name: &str) -> Flow {
    let project = Project::of("plugin-python");
    let flow = Flow::new();
    let source = block(&format!("\"\"\"{name}: "));
    let project = project.with("src/plugin.py", &source);
    fs::create_dir(project.path("build")).expect("the copy is writable");
    let component = format!("build/{name}.wasm");
    let build = "../../plugins/sdk-python/build.py";
    project.install(&flow, &component, &["python", build, "-o", &component]);

    let made = flow.config_dir().join(format!("plugins/{name}.wasm"));
    let bytes = fs::read(made).expect("it was installed");
    flow.write(&format!("p/{name}.wasm"), &bytes);
    let said = format!("name = \"{name}\"\nsteps = []\ncomponent = \"{name}.wasm\"\n");
    flow.write("p/flow-plugin.toml", said.as_bytes());
    let test = block(&format!("# {name}: "));
    flow.write("p/tests/page.yaml", test.as_bytes());
    let tried = flow.run(&["plugin", "test", "p"]).expect(0);
    assert_eq!(tried.stdout, "ok      p/tests/page.yaml, 1 step\n");
    flow
}

#[test]
fn the_port_by_hour_sorts_files() {
    let flow = ported("by-hour");
    flow.add_flow(
        "flow/sorted",
        "pollUrl: file:///\npath: ${HOME}/in\ndirectory: ${HOME}/out\ndownload: on\n\
         callbacks:\n  - plugin: by-hour\n    age_max: 6h\n",
    );
    flow.write("in/a.txt", b"x");
    flow.run(&["foreground", "flow/sorted", "--once"]).expect(0);
    let hours = fs::read_dir(flow.path("out")).expect("it was stored");
    let hours: Vec<_> = hours.map(|hour| hour.expect("readable").path()).collect();
    let [hour] = hours.as_slice() else {
        panic!("{hours:?}")
    };
    let name = hour.file_name().expect("a name").to_string_lossy();
    assert!(
        name.len() == 2 && name.parse::<u8>().is_ok_and(|hour| hour < 24),
        "{name}"
    );
    assert_eq!(fs::read(hour.join("a.txt")).expect("it is there"), b"x");
    // The type of the option makes the unit necessary.
    flow.add_flow(
        "flow/sorted",
        "pollUrl: file:///\npath: ${HOME}/in\ncallbacks:\n  - plugin: by-hour\n    age_max: 6\n",
    );
    let refused = flow.run(&["check", "flow/sorted"]).expect(1).stdout;
    assert!(refused.contains("flow/sorted.yaml:5:"), "{refused}");
}

#[test]
fn the_port_parts_splits_reports() {
    let flow = ported("parts");
    flow.add_flow(
        "flow/split",
        "pollUrl: file:///\npath: ${HOME}/in\nrecursive: on\n\
         callbacks:\n  - plugin: parts\n    filters:\n      - accept: '.*[.]txt$'\n        \
         directory: ${HOME}/out\n",
    );
    flow.write("in/cyul/0900.rpt", b"Wind west.\n\nRain.\n\n");
    flow.run(&["foreground", "flow/split", "--once"]).expect(0);
    let made = fs::read_dir(flow.path("out")).expect("parts were stored");
    let made = made.map(|part| fs::read(part.expect("readable").path()).expect("readable"));
    let mut made: Vec<_> = made.collect();
    made.sort();
    assert_eq!(made, [b"Rain.\n".to_vec(), b"Wind west.\n".to_vec()]);
}
