//! A blob store that lists in small pages, and whose connections are cut while content comes.
//!
//! Azurite stands behind a proxy that asks for pages of three, and cuts. The flow has a shared
//! signature, which does not cover what the proxy adds.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flow_testkit::Azure;
use flow_transfer::{Carrier, PollOptions};
use support::{carrier_with, download_one, gather_all, message, noise, owning, poll, words};

const URL: &str = "azure://flowaccount/data";

/// Between a flow and its store.
#[derive(Default)]
struct Between {
    /// Head of every request, as it came.
    heads: Mutex<Vec<String>>,
    /// Bytes after which the answers to come are cut, one each.
    cuts: Mutex<Vec<usize>>,
}

impl Between {
    /// Starts one in front of `server`; where it listens.
    fn start(server: &Azure) -> (Arc<Self>, String) {
        let endpoint = server.endpoint();
        let (authority, account) = endpoint
            .trim_start_matches("http://")
            .split_once('/')
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let between = Arc::new(Self::default());
        let (shared, authority) = (Arc::clone(&between), authority.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, authority) = (Arc::clone(&shared), authority.clone());
                // A connection that ends early is what this is for.
                std::thread::spawn(move || shared.pass_on(client, &authority));
            }
        });
        (between, format!("http://127.0.0.1:{port}/{account}"))
    }

    /// One request and its answer.
    fn pass_on(&self, mut client: TcpStream, authority: &str) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        let (first, rest) = head.split_once("\r\n").unwrap();
        let lists = first.contains("comp=list");
        let first = match lists {
            true => first.replacen("comp=list", "comp=list&maxresults=3", 1),
            false => first.to_owned(),
        };
        let mut server = TcpStream::connect(authority)?;
        write!(server, "{first}\r\nConnection: close\r\n{rest}")?;
        let most = match lists {
            true => None,
            false => self.cuts.lock().unwrap().pop(),
        };
        match most {
            Some(most) => std::io::copy(&mut server.take(most as u64), &mut client)?,
            None => std::io::copy(&mut server, &mut client)?,
        };
        client.shutdown(Shutdown::Both)
    }

    fn heads(&self, of: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads
            .iter()
            .filter(|head| head.lines().next().unwrap().contains(of))
            .cloned()
            .collect()
    }
}

fn carrier(server: &mut Azure, endpoint: &str) -> Carrier {
    let shared = server.share("data", "rl");
    let line = format!(
        "azure://flowaccount/ azure_endpoint={endpoint}, azure_storage_credentials={shared}"
    );
    carrier_with(owning(URL), &line)
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_go_on_from_page_to_page() {
    let mut server = Azure::start();
    server.make("data", false);
    let mut names: Vec<String> = (0..7).map(|number| format!("a {number}+&<")).collect();
    names.extend((0..4).map(|number| format!("sub/b{number}")));
    for name in &names {
        server.put("data", &format!("in/{name}"), b"x", &[]);
    }
    let (between, endpoint) = Between::start(&server);
    let carrier = carrier(&mut server, &endpoint);
    let options = PollOptions {
        recursive: true,
        ..PollOptions::default()
    };
    let found = gather_all(&mut poll(&carrier, &format!("{URL}/in"), options), 100).await;
    let mut found: Vec<String> = found.into_iter().map(|m| m.rel_path).collect();
    found.sort();
    assert_eq!(found, names);
    // Seven and the directory, and four in that.
    let pages = between.heads("comp=list");
    let following = pages.iter().filter(|head| head.contains("marker="));
    assert!(pages.len() >= 5 && following.count() >= 3, "{pages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_breaks_goes_on_where_it_was() {
    let mut server = Azure::start();
    server.make("data", false);
    let content = noise(3_000_000);
    server.put("data", "large", &content, &[]);
    let (between, endpoint) = Between::start(&server);
    let carrier = carrier(&mut server, &endpoint);
    between.cuts.lock().unwrap().extend([700_000, 1_500_000]);
    let (done, got) = download_one(&carrier, message(URL, "large")).await;
    assert_eq!(words(&done), "done");
    assert!(got.as_deref() == Some(&content[..]), "whole and in order");
    let starts: Vec<usize> = between
        .heads("/large")
        .iter()
        .map(|head| {
            let range = head.to_lowercase();
            let range = range.split("range: bytes=").nth(1);
            range.map_or(0, |range| {
                range.split('-').next().unwrap().trim().parse().unwrap()
            })
        })
        .collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert_eq!(starts[0], 0);
    assert!(starts[1] > 1_000_000 && starts[1] < starts[2], "{starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_changed_meanwhile_is_fetched_from_its_beginning() {
    let mut server = Azure::start();
    server.make("data", false);
    let (old, new) = (noise(2_000_000), noise(1_900_001));
    server.put("data", "large", &old, &[]);
    let (between, endpoint) = Between::start(&server);
    let carrier = carrier(&mut server, &endpoint);
    between.cuts.lock().unwrap().push(1_000_000);
    let fetching = tokio::spawn(async move { download_one(&carrier, message(URL, "large")).await });
    // The cut answer is on its way, or was: what comes next is about another blob.
    while between.heads("/large").is_empty() {
        tokio::task::yield_now().await;
    }
    server.put("data", "large", &new, &[]);
    let (done, got) = fetching.await.unwrap();
    assert_eq!(words(&done), "done");
    let got = got.unwrap();
    assert!(got == new || got == old, "never a part of each");
}
