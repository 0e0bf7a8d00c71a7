//! How long it takes from closing a file to its message: p50, p99, and what an idle watch costs.
//!
//! `cargo run --release -p flow-local --example latency [files]`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_local::{Announcing, Naming, Watch, WatchOptions};
use flow_runtime::ports::{Callback as _, Failure, State};
use tokio::sync::Notify;

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl State for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.lock().expect("nobody panics").get(key).cloned())
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>, _: Option<Duration>) -> Result<(), Failure> {
        let mut rows = self.0.lock().expect("nobody panics");
        match value {
            Some(value) => rows.insert(key.to_owned(), value),
            None => rows.remove(key),
        };
        Ok(())
    }

    fn list(&self, _: &str, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

#[expect(clippy::print_stdout, reason = "an example prints")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number: usize = std::env::args()
        .nth(1)
        .map_or(Ok(1_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let base = directory.path().canonicalize()?;
    let naming = Naming::new(None, None)?;
    let options = WatchOptions::new(vec![base.clone()], Announcing::new(naming));
    let mut watch = Watch::new(options)?;
    let state: Arc<Memory> = Arc::default();
    watch.gather(100, Arc::<Memory>::clone(&state)).await?;
    let mut took = Vec::with_capacity(number);
    for index in 0..number {
        let path = base.join(index.to_string());
        let writer = tokio::task::spawn_blocking(move || {
            std::fs::write(path, "content").map(|()| Instant::now())
        });
        loop {
            watch
                .wait(Duration::from_secs(5), Arc::new(Notify::new()))
                .await?;
            let page = watch.gather(100, Arc::<Memory>::clone(&state)).await?;
            if !page.messages.is_empty() {
                break;
            }
        }
        let arrived = Instant::now();
        took.push(arrived.saturating_duration_since(writer.await??));
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "close to gathered, {number} files: p50 {:?}  p99 {:?}  max {:?}",
        at(50),
        at(99),
        at(100)
    );
    let before = cpu()?;
    let idle = Duration::from_secs(10);
    let until = Instant::now() + idle;
    while Instant::now() < until {
        let left = until
            .saturating_duration_since(Instant::now())
            .min(Duration::from_secs(5));
        watch.wait(left, Arc::new(Notify::new())).await?;
        watch.gather(100, Arc::<Memory>::clone(&state)).await?;
    }
    println!("idle for {idle:?}: {} ms of CPU", (cpu()? - before) * 10);
    watch.stop().await;
    Ok(())
}

/// Hundredths of a second this process has computed.
fn cpu() -> Result<u64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
