//! Measures downloads without the loop around them: `fetch BASE_URL OUT LANES OVERLAP < paths`.
//!
//! Content is hashed (SHA-512), written under an in-flight name and renamed, as the loop does it, but
//! not flushed. `fetch … none` leaves the hash out.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops at the first surprise"
)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_message::{Message, Timestamp};
use flow_runtime::ports::{
    Callback, Content, ContentReader, ContentWriter, Failure, Item, Location, State, Worked,
};
use flow_transfer::{Anonymous, Carrier, Settings};
use ring::digest::{Context, SHA512};

/// Messages of one call, over all lanes.
const BATCH: usize = 500;

struct Files {
    places: HashMap<u64, PathBuf>,
    hash: bool,
    bytes: Arc<Mutex<u64>>,
}

struct Writer {
    file: BufWriter<File>,
    inflight: PathBuf,
    path: PathBuf,
    hasher: Option<Context>,
    size: u64,
    bytes: Arc<Mutex<u64>>,
}

impl ContentWriter for Writer {
    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.file.write_all(data).unwrap();
        if let Some(hasher) = &mut self.hasher {
            hasher.update(data);
        }
        self.size += data.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Failure> {
        self.file.into_inner().unwrap();
        fs::rename(&self.inflight, &self.path).unwrap();
        std::hint::black_box(self.hasher.map(Context::finish));
        *self.bytes.lock().unwrap() += self.size;
        Ok(0)
    }
}

impl Content for Files {
    fn open(&self, _id: u64) -> Result<(Box<dyn ContentReader>, u64), Failure> {
        Err(Failure::Permanent("not here".into()))
    }

    fn create(&self, id: u64) -> Result<Box<dyn ContentWriter>, Failure> {
        let path = self.places[&id].clone();
        let name = path.file_name().unwrap().to_str().unwrap();
        let inflight = path.with_file_name(format!(".{name}.tmp"));
        Ok(Box::new(Writer {
            file: BufWriter::with_capacity(16 << 10, File::create(&inflight).unwrap()),
            inflight,
            path,
            hasher: self.hash.then(|| Context::new(&SHA512)),
            size: 0,
            bytes: Arc::clone(&self.bytes),
        }))
    }

    fn derive(
        &self,
        _: u64,
        _: &str,
        _: Option<&str>,
    ) -> Result<Option<Box<dyn ContentWriter>>, Failure> {
        Ok(None)
    }
}

struct NoState;

impl State for NoState {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn put(&self, _: &str, _: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        Ok(())
    }

    fn list(&self, _: &str, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let base = arguments[0].clone();
    let out = PathBuf::from(&arguments[1]);
    let lanes: usize = arguments[2].parse().unwrap();
    let overlap: usize = arguments[3].parse().unwrap();
    let hash = arguments.get(4).is_none_or(|word| word != "none");
    let paths: Vec<String> = std::io::stdin()
        .lock()
        .lines()
        .map(Result::unwrap)
        .collect();
    let settings = Settings {
        overlap,
        ..Settings::default()
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(settings, base, out, lanes, hash, paths));
}

async fn run(
    settings: Settings,
    base: String,
    out: PathBuf,
    lanes: usize,
    hash: bool,
    paths: Vec<String>,
) {
    let carrier = Carrier::new(settings, Arc::new(Anonymous));
    let bytes = Arc::new(Mutex::new(0));
    let started = Instant::now();
    let mut number = 0;
    for batch in paths.chunks(BATCH) {
        let mut shares: Vec<Vec<Item>> = (0..lanes).map(|_| Vec::new()).collect();
        let mut places = HashMap::new();
        for path in batch {
            number += 1;
            let name = path.replace('/', "_");
            places.insert(number, out.join(&name));
            shares[number as usize % lanes].push(Item {
                id: number,
                key: number.to_string(),
                attempt: 0,
                message: Message::new(Timestamp::from_unix(0, 0), &base, path).into(),
                location: Some(Location {
                    directory: out.clone(),
                    filename: name,
                }),
                other: None,
            });
        }
        let content: Arc<dyn Content> = Arc::new(Files {
            places,
            hash,
            bytes: Arc::clone(&bytes),
        });
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let mut lane = carrier.downloader(&[]);
                let content = Arc::clone(&content);
                tokio::spawn(async move { lane.download(&share, content, Arc::new(NoState)).await })
            })
            .collect();
        for task in tasks {
            for worked in task.await.unwrap().unwrap() {
                assert!(matches!(worked, Worked::Done(_)), "{worked:?}");
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    let mib = *bytes.lock().unwrap() as f64 / 1e6;
    println!(
        "{number} files, {mib:.0} MB in {took:.3} s: {:.0} files/s, {:.0} MB/s",
        number as f64 / took,
        mib / took
    );
}
