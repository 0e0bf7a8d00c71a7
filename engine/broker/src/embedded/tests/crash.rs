//! Crashes between any two writes.
//!
//! A process that ends leaves the files as they are. So the files are copied whenever SQLite begins a
//! statement, its `COMMIT` included, and each copy is opened as the next process would. It must show
//! the state before the operation that was under way, or after it, and nothing in between.
//!
//! A power cut may also lose the end of the log. So the log is cut at each frame, and inside each frame,
//! and what is left must show exactly the operations that were logged whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::model::Model;
use super::real::Real;
use super::{Op, View, ops};

/// Of SQLite's file format: the header of the log, and that of each frame before its page.
const LOG_HEADER: u64 = 32;
const FRAME: u64 = 24 + 4096;

proptest! {
    #![proptest_config(Config { cases: 6, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_crash_shows_an_operation_whole_or_not_at_all(ops in vec(ops(), 1..30)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let mut real = Real::open(&path, true);
        let copies = Arc::new(Mutex::new(Vec::new()));
        let (from, to) = (path, Arc::clone(&copies));
        let copy = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(..) = event {
                to.lock().unwrap().push(Files::read(&from));
            }
        };
        real.store.connection().trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(copy)).unwrap();

        let mut states = States::new();
        let mut copied = Vec::new();
        for op in ops.iter().filter(|op| !matches!(op, Op::Crash)) {
            real.apply(op);
            states.apply(op);
            copied.push(std::mem::take(&mut *copies.lock().unwrap()));
        }
        for (step, copies) in copied.iter().enumerate() {
            for copy in copies {
                let found = copy.recovered();
                let (before, after) = (&states.recovered[step], &states.recovered[step + 1]);
                prop_assert!(found == *before || found == *after, "step {step}: {found:#?}");
            }
            if let Some(first) = copies.first() {
                prop_assert_eq!(&first.recovered(), &states.recovered[step], "step {} had begun", step);
            }
        }
    }

    #[test]
    fn a_log_cut_anywhere_shows_what_was_logged_whole(ops in vec(ops(), 1..25)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        let mut real = Real::open(&path, true);
        let start = log_length(&path);
        let mut states = States::new();
        let mut ends = Vec::new();
        for op in ops.iter().filter(|op| !matches!(op, Op::Crash)) {
            real.apply(op);
            states.apply(op);
            ends.push(log_length(&path));
        }
        let whole = Files::read(&path);
        let frames = (whole.log.len() as u64 - LOG_HEADER) / FRAME;
        for frame in (start - LOG_HEADER) / FRAME..=frames {
            for torn in [0, 1000] {
                let cut = (LOG_HEADER + frame * FRAME + torn).min(whole.log.len() as u64);
                let found = whole.cut(cut).recovered();
                let done = ends.iter().take_while(|end| **end <= cut).count();
                prop_assert_eq!(&found, &states.recovered[done], "cut at {} of {:?}", cut, ends);
            }
        }
    }
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

fn log_length(path: &Path) -> u64 {
    fs::metadata(log_of(path)).unwrap().len()
}

/// The model after each operation, as the next process would find it.
struct States {
    model: Model,
    recovered: Vec<View>,
}

impl States {
    fn new() -> Self {
        let model = Model::default();
        Self {
            recovered: vec![model.view()],
            model,
        }
    }

    fn apply(&mut self, op: &Op) {
        self.model.apply(op);
        let mut found = self.model.clone();
        found.apply(&Op::Crash);
        self.recovered.push(found.view());
    }
}

/// What a process left on the disk.
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    fn read(path: &Path) -> Self {
        Self {
            database: fs::read(path).unwrap(),
            log: fs::read(log_of(path)).unwrap(),
        }
    }

    fn cut(&self, length: u64) -> Self {
        let length = usize::try_from(length).unwrap();
        Self {
            database: self.database.clone(),
            log: self.log[..length].to_vec(),
        }
    }

    fn recovered(&self) -> View {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.db");
        fs::write(&path, &self.database).unwrap();
        fs::write(log_of(&path), &self.log).unwrap();
        Real::recover(&path).view()
    }
}
