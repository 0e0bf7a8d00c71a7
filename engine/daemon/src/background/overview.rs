//! Every flow there is, as it is: those of the background process, and the rest by their files.

use std::collections::BTreeMap;

use super::protocol::{FlowStatus, Status};
use super::started::Started;
use crate::health::State;
use crate::{Engine, Error};

/// Adds the flows that are not the background process's business to what it says; with no process,
/// `status` is none. Starts nothing, and opens no store.
///
/// # Errors
/// The configuration directory can't be read.
pub fn overview(engine: &Engine, status: Status) -> Result<Status, Error> {
    let alive = status.process.is_some();
    let mut flows: BTreeMap<String, FlowStatus> = status
        .flows
        .into_iter()
        .map(|flow| (flow.flow.clone(), flow))
        .collect();
    let wanted = Started::new(engine.started_file()).read();
    for name in engine.flow_files()? {
        let text = name.to_string();
        if flows.contains_key(&text) {
            continue;
        }
        let state = if engine.is_running(&name) {
            State::Foreground
        } else if engine.is_disabled(&name) {
            State::Disabled
        } else if !alive && wanted.flows.contains(&name) {
            State::Missing
        } else {
            State::Stopped
        };
        flows.insert(text.clone(), FlowStatus::idle(text, state));
    }
    Ok(Status {
        process: status.process,
        flows: flows.into_values().collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::super::protocol::Process;
    use super::*;
    use crate::{Directories, Store};

    #[test]
    fn flows_that_nobody_runs_are_told_apart() {
        let home = tempfile::tempdir().expect("a directory");
        let below = |name: &str| home.path().join(name);
        let directories = Directories {
            config: below("config"),
            state: below("state"),
            cache: below("cache"),
        };
        let engine = Engine::new(directories, BTreeMap::new(), &[]);
        fs::create_dir_all(below("config/shovel")).expect("a directory");
        for name in ["a", "b", "c", "d"] {
            fs::write(below(&format!("config/shovel/{name}.yaml")), "").expect("a file");
        }
        let name = |text: &str| text.parse().expect("a name");
        fs::create_dir_all(below("state/flows/shovel")).expect("a directory");
        fs::write(engine.disabled_marker(&name("shovel/b")), "").expect("a file");
        let store = Store::open(engine.store_file(&name("shovel/c"))).expect("a store");
        let _runs = store.lock().expect("it is free");
        fs::write(engine.started_file(), "shovel/d\n").expect("a file");
        let states = |status: Status| -> Vec<State> {
            let status = overview(&engine, status).expect("it can be read");
            status.flows.into_iter().map(|flow| flow.state).collect()
        };
        assert_eq!(
            states(Status::default()),
            [
                State::Stopped,
                State::Disabled,
                State::Foreground,
                State::Missing
            ]
        );
        let mut own = FlowStatus::idle("shovel/a".into(), State::Running);
        own.restarts = 3;
        let process = Process {
            pid: 1,
            version: String::new(),
            since: String::new(),
            config: String::new(),
            memory: 0,
        };
        let status = Status {
            process: Some(process),
            flows: vec![own],
        };
        // A process that is there knows what should run.
        assert_eq!(
            states(status),
            [
                State::Running,
                State::Disabled,
                State::Foreground,
                State::Stopped
            ]
        );
    }
}
