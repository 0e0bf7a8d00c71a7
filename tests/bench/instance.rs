//! What an instance of a plugin takes: its start, with compiled code in the cache, and its memory
//! while it has nothing to do.
//!
//! - The load: `flow plugin show NAME`, less the same without a plugin. It takes the compiled code
//!   from the cache, makes an instance and has it describe itself.
//! - The start: a flow with `MANY` callbacks of the plugin, from its start to its first file, less
//!   the same with one, by the callbacks more. Each has an instance of its own.
//! - The memory: of the same two flows, after that file, which all of them have seen by then. Pages
//!   that instances share count once.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flow_testkit::{Flow, wait};

use crate::measure::Service;
use crate::place;

/// Callbacks in the larger flow.
const MANY: usize = 41;

/// Runs, of which the one in the middle counts.
const RUNS: usize = 9;

/// How long a flow may take for its first file.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints the table.
pub(crate) fn run(components: &[(&str, &Path)]) -> Result<()> {
    println!("\n| instance | from the cache, ms | start, ms | idle, KiB |");
    println!("| --- | ---: | ---: | ---: |");
    for (language, component) in components {
        let flow = Flow::new_in(&place());
        let plugin = install(&flow, component)?;
        // Compiles it.
        flow.run(&["plugin", "show", &plugin]).expect(0);
        let mut loads = Vec::new();
        for _ in 0..RUNS {
            let with = timed(flow.command(&["plugin", "show", &plugin]))?;
            let without = timed(flow.command(&["plugin", "--help"]))?;
            loads.push(with - without);
        }
        let (mut starts, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..RUNS.div_ceil(2) {
            let (first, least) = alive(&flow, &plugin, 1)?;
            let (later, most) = alive(&flow, &plugin, MANY)?;
            let more = (MANY - 1) as f64;
            starts.push((later - first) / more);
            idle.push((most - least) / more);
        }
        println!(
            "| {language} | {:.1} | {:.2} | {:.0} |",
            middle(loads),
            middle(starts),
            middle(idle)
        );
    }
    Ok(())
}

/// Puts the component where flows find it, and says its name.
pub(crate) fn install(flow: &Flow, component: &Path) -> Result<String> {
    let plugins = flow.config_dir().join("plugins");
    std::fs::create_dir_all(&plugins)?;
    let file = component.file_name().context("a component is a file")?;
    std::fs::copy(component, plugins.join(file))?;
    let name = Path::new(file).with_extension("");
    Ok(name.display().to_string())
}

/// From start to end, in milliseconds.
fn timed(mut command: Command) -> Result<f64> {
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    ensure!(output.status.success(), "{command:?} failed");
    Ok(time.as_secs_f64() * 1e3)
}

/// Runs a flow with `count` callbacks until its first file: after how many milliseconds, and how
/// many KiB it has then.
fn alive(flow: &Flow, plugin: &str, count: usize) -> Result<(f64, f64)> {
    for used in ["in", "out", "state"] {
        let path = flow.path(used);
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    flow.write("in/a.txt", b"x");
    let callbacks = format!("  - plugin: {plugin}\n").repeat(count);
    flow.add_flow(
        "flow/idle",
        &format!(
            "pollUrl: file:///\npath: ${{HOME}}/in\ndirectory: ${{HOME}}/out\ndownload: on\nsleep: 1h\n\
             callbacks:\n{callbacks}"
        ),
    );
    let log = flow.path("log");
    let mut command = flow.command(&["foreground", "flow/idle", "--log-level", "warn"]);
    let start = Instant::now();
    let service = Service::start(&mut command, &log)?;
    while !flow.path("out/a.txt").exists() {
        ensure!(
            start.elapsed() < PATIENCE,
            "the file did not arrive: {}",
            std::fs::read_to_string(&log)?
        );
        wait::pause(Duration::from_micros(200));
    }
    let first = start.elapsed().as_secs_f64() * 1e3;
    let memory = service.memory();
    ensure!(
        memory > 0,
        "the flow ended: {}",
        std::fs::read_to_string(&log)?
    );
    Ok((first, memory as f64 / 1024.0))
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
