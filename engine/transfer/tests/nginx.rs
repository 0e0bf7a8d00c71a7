//! Downloads and polls against nginx.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_config::{Credentials, SafeUrl, TlsRigour};
use flow_message::Message;
use flow_runtime::ports::{Callback, Edit, Gathered, Worked};
use flow_testkit::Nginx;
use flow_transfer::{Carrier, PollOptions, Settings, Tls};
use support::{
    carrier, download, download_one, edits, gather_all, message, noise, settings, state, words,
};

fn poll(carrier: &Carrier, url: &str, options: PollOptions) -> flow_transfer::Poll {
    let url = SafeUrl::parse(url).unwrap();
    carrier.poll(&url, options).unwrap()
}

fn paths(messages: &[Message]) -> Vec<&str> {
    let mut paths: Vec<_> = messages.iter().map(|m| m.rel_path.as_str()).collect();
    paths.sort_unstable();
    paths
}

#[tokio::test]
async fn many_files_over_kept_connections() {
    let server = Nginx::start();
    let contents: Vec<Vec<u8>> = (0..200).map(|n| noise(n * 37)).collect();
    for (number, content) in contents.iter().enumerate() {
        server.write(&format!("d{}/f {number}", number % 7), content);
    }
    let messages = |server: &Nginx| -> Vec<Message> {
        (0..contents.len())
            .map(|n| {
                message(
                    &format!("{}//", server.http()),
                    &format!("/d{}//f {n}", n % 7),
                )
            })
            .collect()
    };
    let carrier = carrier(settings());
    for _ in 0..2 {
        let (done, got) = download(&carrier, messages(&server)).await;
        for (id, content) in (0..).zip(&contents) {
            assert!(got.finished(id).as_ref() == Some(content), "{id}");
        }
        let kinds = edits(&done[1]);
        let octets = Edit::ContentType(Some("application/octet-stream".into()));
        assert!(kinds.contains(&octets), "{kinds:?}");
        assert!(
            kinds
                .iter()
                .any(|edit| matches!(edit, Edit::Mtime(Some(_))))
        );
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 400);
    let mut connections: Vec<_> = requests
        .iter()
        .map(|line| line.split(' ').nth(4).unwrap())
        .collect();
    connections.sort_unstable();
    connections.dedup();
    // Eight at a time; a few more are made when one is given back a moment too late.
    assert!(connections.len() <= 24, "{} connections", connections.len());
    assert!(
        requests
            .iter()
            .any(|line| line.starts_with("GET /d0/f%200 200 HTTP/1.1")),
        "{}",
        requests[0]
    );
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own_speaks_http_2() {
    let server = Nginx::start();
    let content = noise(3 << 20);
    server.write("big", &content);
    let announced = || message(&server.https(), "big");
    let with = |tls: Tls| carrier(Settings { tls, ..settings() });

    let trusting = with(Tls {
        ca_file: Some(server.ca_file()),
        ..Tls::default()
    });
    let (done, got) = download_one(&trusting, announced()).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
    let lax = with(Tls {
        rigour: TlsRigour::Lax,
        ca_file: None,
    });
    assert_eq!(words(&download_one(&lax, announced()).await.0), "done");
    for line in server.requests() {
        assert!(line.starts_with("GET /big 200 HTTP/2.0"), "{line}");
    }

    let (done, _) = download_one(&with(Tls::default()), announced()).await;
    assert_eq!(
        words(&done).replace(&server.https(), "U"),
        "temporary: no safe connection for `U/big`: its certificate is signed by an authority this \
         machine does not trust; if that is your own, name its certificate: `caFile: /path/to/ca.pem`"
    );
    let nowhere = with(Tls {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..Tls::default()
    });
    let (done, _) = download_one(&nowhere, announced()).await;
    assert!(
        words(&done).starts_with("config: `caFile` /nowhere/ca.pem: "),
        "{}",
        words(&done)
    );
    let wrong_name = server.https().replace("localhost", "127.0.0.2");
    let (done, _) = download_one(&trusting, message(&wrong_name, "big")).await;
    // nginx listens on 127.0.0.1 only, where the name in the certificate would not be this.
    assert!(
        words(&done).starts_with("temporary: no connection"),
        "{}",
        words(&done)
    );
}

#[tokio::test]
async fn credentials_open_what_is_private() {
    let server = Nginx::start();
    server.write("a", b"secret");
    let base = format!("{}/private/", server.http());
    let line = format!(
        "{}/",
        server
            .http()
            .replace("//", &format!("//{}:s3cret%23Wonder&land@", Nginx::USER))
    );
    let with = |line: &str| {
        let credentials = Credentials::parse("c.conf".as_ref(), line).unwrap();
        Carrier::new(support::owning(&base), Arc::new(credentials))
    };
    let (done, got) = download_one(&with(&line), message(&base, "a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"secret".to_vec()))
    );
    let (done, _) = download_one(&with(""), message(&base, "a")).await;
    assert_eq!(
        words(&done).replace(&server.http(), "U"),
        "auth: `U/private/a`: the server says 401 Unauthorized; there are no credentials for it in \
         credentials.conf"
    );
    let wrong = with(&line.replace("Wonder", "Blunder"));
    let (done, _) = download_one(&wrong, message(&base, "a")).await;
    assert!(words(&done).ends_with("were refused"), "{}", words(&done));
    assert!(!words(&done).contains("Blunder"));
    // A listing wants them as well.
    let url = base.replace("//localhost", &format!("//{}@localhost", Nginx::USER));
    let found = gather_all(&mut poll(&with(&line), &url, PollOptions::default()), 10).await;
    assert_eq!(paths(&found), ["a"]);
    assert_eq!(found[0].base_url, url);
    let refused = poll(&with(""), &base, PollOptions::default())
        .gather(10, state())
        .await;
    assert!(
        matches!(refused, Err(flow_runtime::ports::Failure::Auth(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn redirects_and_retrieve_paths() {
    let server = Nginx::start();
    server.write("dir/a b", b"content");
    let carrier = carrier(settings());
    let (done, got) = download_one(
        &carrier,
        message(&format!("{}/away", server.http()), "dir/a b"),
    )
    .await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"content".to_vec()))
    );
    let mut other = message(&server.http(), "elsewhere");
    other.retrieve_path = Some("/dir/a%20b?version=1&x=y".into());
    let (done, got) = download_one(&carrier, other).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"content".to_vec()))
    );
    let (done, _) = download_one(&carrier, message(&server.http(), "dir/none")).await;
    assert!(words(&done).starts_with("410 "), "{}", words(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_is_found_again() {
    let mut server = Nginx::start();
    let content = noise(1 << 20);
    server.write("big", &content);
    let base = format!("{}/slow/", server.http());
    let carrier = carrier(Settings {
        resumes: 1_000,
        ..settings()
    });
    let content_here = Arc::new(support::Memory::default());
    let one = tokio::spawn({
        let (carrier, content) = (carrier.clone(), Arc::clone(&content_here));
        let items = [support::item(0, message(&base, "big"))];
        async move {
            let mut lane = carrier.downloader(&[]);
            lane.download(&items, content, state())
                .await
                .unwrap()
                .remove(0)
        }
    });
    tokio::task::block_in_place(|| {
        // Four seconds' worth of content: once some is here, there is more to come.
        flow_testkit::wait::until("the content to begin", Duration::from_secs(20), || {
            (content_here.most_open() > 0).then_some(())
        });
        server.restart();
    });
    let done = one.await.unwrap();
    let got = content_here.finished(0);
    match words(&done).as_str() {
        "done" => assert!(got.unwrap() == content),
        // It asked while nobody listened: the loop tries again.
        other => assert!(other.starts_with("temporary: no connection"), "{other}"),
    }
    let (done, got) = download_one(&carrier, message(&server.http(), "big")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
}

#[tokio::test]
async fn all_lanes_share_one_byte_rate() {
    let server = Nginx::start();
    server.write("f", &noise(100_000));
    let carrier = carrier(Settings {
        byte_rate_max: NonZeroU64::new(400_000),
        ..settings()
    });
    let started = Instant::now();
    let lane = || {
        download(
            &carrier,
            (0..2).map(|_| message(&server.http(), "f")).collect(),
        )
    };
    let ((one, _), (other, _)) = tokio::join!(lane(), lane());
    for done in one.iter().chain(&other) {
        assert!(matches!(done, Worked::Done(_)));
    }
    let took = started.elapsed();
    assert!((0.9..3.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test]
async fn listings_in_html_and_json_are_polled_whole() {
    let server = Nginx::start();
    for number in 0..2_500 {
        server.write(&format!("many/file-{number:04}"), b"x");
    }
    server.write("many/sub/deep/a & b#?%.txt", b"12345");
    server.write("other/y", b"");
    let carrier = carrier(settings());
    for format in ["", "/json"] {
        let url = format!("{}{format}", server.http());
        let mut all = poll(&carrier, &url, PollOptions::default());
        let found = gather_all(&mut all, 400).await;
        assert_eq!(found.len(), 2_502);
        let mut expected: Vec<String> = (0..2_500).map(|n| format!("many/file-{n:04}")).collect();
        expected.push("many/sub/deep/a & b#?%.txt".into());
        expected.push("other/y".into());
        assert_eq!(paths(&found), expected);
        let odd = found.iter().find(|m| m.rel_path.contains('&')).unwrap();
        assert_eq!(odd.size, Some(5));
        assert_eq!(odd.base_url, SafeUrl::parse(&url).unwrap().to_string());
        let identity = odd.identity.as_ref().unwrap();
        assert_eq!(
            (identity.method.as_str(), identity.value.as_str()),
            ("cod", "sha512")
        );
        let age = odd.mtime.unwrap().age_at(odd.pub_time);
        assert!(age < Duration::from_secs(180), "{age:?}");
        // What was announced can be fetched.
        let (done, got) = download_one(&carrier, odd.clone()).await;
        assert_eq!(
            (words(&done).as_str(), got),
            ("done", Some(b"12345".to_vec()))
        );
        // And again, the same.
        assert_eq!(gather_all(&mut all, 5_000).await.len(), 2_502);

        let flat = PollOptions {
            paths: vec!["many/sub".into(), "/other/".into()],
            recursive: false,
            ..PollOptions::default()
        };
        let found = gather_all(&mut poll(&carrier, &url, flat), 400).await;
        assert_eq!(paths(&found), ["other/y"]);
    }
}

#[tokio::test]
async fn a_directory_that_is_missing_costs_only_itself() {
    let mut server = Nginx::start();
    server.write("here/a", b"x");
    let carrier = carrier(settings());
    let options = |paths: &[&str]| PollOptions {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..PollOptions::default()
    };
    let mut some = poll(&carrier, &server.http(), options(&["gone", "here"]));
    assert_eq!(paths(&gather_all(&mut some, 10).await), ["here/a"]);
    let mut none = poll(&carrier, &server.http(), options(&["gone"]));
    let failure = none.gather(10, state()).await.unwrap_err();
    assert_eq!(
        failure.to_string().replace(&server.http(), "U"),
        "`U/gone/`: the server says 404 Not Found"
    );
    assert!(matches!(
        failure,
        flow_runtime::ports::Failure::Temporary { .. }
    ));
    server.stop();
    let failure = some.gather(10, state()).await.unwrap_err();
    assert!(
        failure.to_string().starts_with("no connection for"),
        "{failure}"
    );
    server.restart();
    let Gathered { messages, more } = some.gather(1, state()).await.unwrap();
    assert_eq!((messages.len(), more), (1, true));
}
