//! How fast a tree is announced: `post`, a watch with `post_on_start`, and polling.
//!
//! `cargo run --release -p flow-local --example scan [files]`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_local::{Announcing, Digest, Naming, OnStart, Post, PostOptions, Watch, WatchOptions};
use flow_runtime::ports::{Callback, Failure, State};
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

type Problem = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let number: usize = std::env::args()
        .nth(1)
        .map_or(Ok(20_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let base = directory.path().canonicalize()?;
    for index in 0..number {
        let below = base.join(format!("{}", index / 1_000));
        if index % 1_000 == 0 {
            std::fs::create_dir(&below)?;
        }
        std::fs::write(below.join(index.to_string()), [b'x'; 1_000])?;
    }
    let state: Arc<Memory> = Arc::default();
    for digest in [Digest::None, Digest::Sha512] {
        let name = if digest == Digest::None {
            "no digest"
        } else {
            "sha512"
        };
        let mut announcing = Announcing::new(Naming::new(None, None)?);
        announcing.digest = digest;
        let mut post = Post::new(PostOptions {
            name: "post".to_owned(),
            paths: Box::new(std::iter::once(Ok::<PathBuf, _>(base.clone()))),
            announcing: announcing.clone(),
        });
        measure(&format!("post, {name}"), &mut post, number, &state).await?;
        for polling in [false, true] {
            let mut options = WatchOptions::new(vec![base.clone()], announcing.clone());
            options.on_start = OnStart::Everything;
            options.force_polling = polling;
            let what = if polling { "polling" } else { "watch" };
            let mut watch = Watch::new(options)?;
            let state: Arc<Memory> = Arc::default();
            measure(&format!("{what}, {name}"), &mut watch, number, &state).await?;
            if polling {
                let started = Instant::now();
                while !watch
                    .gather(500, Arc::<Memory>::clone(&state))
                    .await?
                    .messages
                    .is_empty()
                {}
                report(&format!("{what}, nothing new"), number, started, None);
            }
            watch.stop().await;
        }
    }
    bare(&base)?;
    Ok(())
}

async fn measure(
    what: &str,
    callback: &mut dyn Callback,
    number: usize,
    state: &Arc<Memory>,
) -> Result<(), Problem> {
    let started = Instant::now();
    let mut first = None;
    let mut files = 0;
    while files < number {
        let page = callback.gather(500, Arc::<Memory>::clone(state)).await?;
        if page.messages.is_empty() {
            callback
                .wait(Duration::from_millis(100), Arc::new(Notify::new()))
                .await?;
        }
        files += page
            .messages
            .iter()
            .filter(|message| message.size.is_some())
            .count();
        first.get_or_insert_with(|| started.elapsed());
    }
    report(what, number, started, first);
    Ok(())
}

/// The least it could cost: listing and looking.
fn bare(base: &Path) -> Result<(), Problem> {
    let started = Instant::now();
    let mut files = 0;
    for directory in std::fs::read_dir(base)? {
        for file in std::fs::read_dir(directory?.path())? {
            files += usize::from(file?.metadata()?.is_file());
        }
    }
    report("listing alone", files, started, None);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example prints")]
fn report(what: &str, number: usize, started: Instant, first: Option<Duration>) {
    let took = started.elapsed();
    let first = first.map_or(String::new(), |first| format!(", first after {first:.0?}"));
    println!(
        "{what}: {:.0} files/s{first}",
        number as f64 / took.as_secs_f64()
    );
}
