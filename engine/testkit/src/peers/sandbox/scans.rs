//! What the played sandbox was given and asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::plan::{Sample, Verdict};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Without the root of the API and the query.
    pub path: String,
    /// Bytes of its body.
    pub length: u64,
    /// Whether the body came in chunks.
    pub chunked: bool,
    /// How it was answered; 0: not at all.
    pub status: u16,
    /// The scan it was about, if it was.
    pub scan_id: String,
}

/// A scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// As the API knows it.
    pub id: String,
    /// What is scanned.
    pub sample: Sample,
    /// What comes out.
    pub verdict: Verdict,
    /// When it was asked for.
    pub asked: Instant,
    /// When it is over.
    pub over: Instant,
    /// When its verdict was told first.
    pub told: Option<Instant>,
    /// The task, as it was asked for.
    pub task: serde_json::Value,
}

/// An upload.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) sample: Sample,
    pub(super) at: Instant,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Scans {
    pub(super) asked: Vec<Asked>,
    pub(super) list: Vec<Scan>,
    uploads: HashMap<String, Upload>,
    known: HashMap<String, usize>,
    uploaded: u64,
}

impl Scans {
    pub(super) fn forget(&mut self) {
        self.uploads.clear();
        self.known.clear();
    }

    pub(super) fn finish(&mut self) {
        let now = Instant::now();
        for scan in &mut self.list {
            scan.over = scan.over.min(now);
        }
    }

    pub(super) fn upload(&mut self, sample: Sample) -> String {
        self.uploaded += 1;
        let uri = format!(
            "sfm-files:///{:08x}/{}",
            self.uploaded,
            &sample.sha256[..16]
        );
        let at = Instant::now();
        self.uploads.insert(uri.clone(), Upload { sample, at });
        uri
    }

    /// An upload that is still there.
    pub(super) fn uploaded(&self, uri: &str, ttl: Duration) -> Option<Sample> {
        let upload = self.uploads.get(uri)?;
        (upload.at.elapsed() < ttl).then(|| upload.sample.clone())
    }

    /// The number of the next scan.
    pub(super) fn next(&self) -> u64 {
        self.list.len() as u64
    }

    pub(super) fn begin(
        &mut self,
        sample: Sample,
        verdict: Verdict,
        takes: Duration,
        task: serde_json::Value,
    ) -> Scan {
        let number = self.list.len();
        let asked = Instant::now();
        let scan = Scan {
            id: format!("5f0b0000-0000-4000-8000-{number:012x}"),
            sample,
            verdict,
            asked,
            over: asked + takes,
            told: None,
            task,
        };
        self.known.insert(scan.id.clone(), number);
        self.list.push(scan.clone());
        scan
    }

    pub(super) fn find(&self, id: &str) -> Option<Scan> {
        self.known.get(id).map(|number| self.list[*number].clone())
    }

    pub(super) fn told(&mut self, id: &str) {
        if let Some(number) = self.known.get(id) {
            self.list[*number].told.get_or_insert_with(Instant::now);
        }
    }
}
