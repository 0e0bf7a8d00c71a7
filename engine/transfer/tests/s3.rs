//! Downloads, uploads and polls against an object store that checks signatures.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::time::Duration;

use flow_config::Inflight;
use flow_message::FileOp;
use flow_runtime::ports::{Callback, Edit};
use flow_testkit::{S3, wait};
use flow_transfer::{Carrier, PollOptions, Settings, Tls};
use support::objects::{
    ENTRY, announced, assert_entry_is_told, assert_four_and_other, assert_names_are_fetched,
    assert_noted, directory, found_new, operate, options, removal, rename, settle,
};
use support::{
    carrier_with, download_one, edits, gather_all, message, noise, poll, send, settings, words,
};

fn carrier(server: &S3, bucket: &str) -> Carrier {
    carrier_with(settings(), &server.credential("s3", bucket))
}

#[tokio::test]
async fn objects_of_all_sizes_and_names_are_fetched() {
    let mut server = S3::start();
    server.make("data");
    let names = [
        "plain",
        "a/b c/d+e",
        "per%25cent",
        "gr\u{fc}n/\u{1f340}",
        "q?x=1&y#z",
        "~(a)!'*,;:@$=",
    ];
    let carrier = carrier(&server, "data");
    let put = |name: &str, content: &[u8]| server.put("data", name, content, &[]);
    assert_names_are_fetched(&carrier, "s3://data/", &names, put).await;
}

#[tokio::test]
async fn what_the_metadata_says_is_told() {
    let mut server = S3::start();
    server.make("data");
    server.put("data", "a", b"x", &[ENTRY]);
    assert_entry_is_told(&carrier(&server, "data"), "s3://data/", "a").await;
}

#[tokio::test]
async fn a_fetch_that_breaks_goes_on_where_it_was() {
    let mut server = S3::start();
    server.make("data");
    let content = noise(3_000_000);
    server.put("data", "half-a", &content, &[]);
    let carrier = carrier(&server, "data");
    let (done, got) = download_one(&carrier, message("s3://data/", "half-a")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
    assert_eq!(
        server.requests(),
        [
            "GET /data/half-a 200 -",
            "GET /data/half-a 206 bytes=1500000-"
        ]
    );
}

#[tokio::test]
async fn what_can_not_be_fetched_says_why() {
    let mut server = S3::start();
    server.make("data");
    server.put("data", "a", b"x", &[]);
    let good = carrier(&server, "data");
    let (done, _) = download_one(&good, message("s3://data/", "gone/x")).await;
    assert_eq!(
        words(&done),
        "410 `s3://data/gone/x`: the server says 404 NoSuchKey (The specified key does not exist.)"
    );
    let (done, _) = download_one(&good, message("s3://data/", "")).await;
    assert_eq!(words(&done), "permanent: the path of an object is missing");

    let line = server.credential("s3", "data");
    let refused = |line: &str| carrier_with(support::owning("s3://data/"), line);
    let wrong = refused(&line.replacen("wJalr", "wrong", 1));
    let (done, _) = download_one(&wrong, message("s3://data/", "a")).await;
    assert_eq!(
        words(&done),
        "auth: `s3://data/a`: the server says 403 SignatureDoesNotMatch (no & no); the \
         credentials in credentials.conf were refused"
    );
    let old = refused(&format!("{line}, s3_session_token=old"));
    let (done, _) = download_one(&old, message("s3://data/", "a")).await;
    assert!(words(&done).contains(" 400 ExpiredToken "), "{done:?}");
    let anonymous = refused(&format!("{line}, s3_anonymous"));
    let (done, _) = download_one(&anonymous, message("s3://data/", "a")).await;
    assert!(
        words(&done).ends_with("there are no credentials for it in credentials.conf"),
        "{}",
        words(&done)
    );
    for secret in [S3::SECRET, "wrong", "Signature="] {
        assert!(!words(&done).contains(secret));
    }
    let nowhere = refused("s3://k:s@data/ s3_endpoint=http://127.0.0.1:1/");
    let (done, _) = download_one(&nowhere, message("s3://data/", "a")).await;
    assert!(
        words(&done).starts_with("temporary: no connection for `http://127.0.0.1:1/data/a`: "),
        "{}",
        words(&done)
    );
}

#[tokio::test]
async fn tokens_anonymous_buckets_and_tls_work() {
    let mut server = S3::start();
    server.make("public-data");
    server.put("public-data", "a", b"x", &[]);
    let line = server.credential("s3", "public-data");
    let token = percent_encoded(S3::TOKEN);
    for line in [
        format!("{line}, s3_session_token={token}"),
        format!("{line}, s3_anonymous"),
        line.replace(&server.http(), &server.https()),
        line.replace("s3://", "gs://"),
    ] {
        let settings = Settings {
            tls: Tls {
                ca_file: Some(server.ca_file()),
                ..Tls::default()
            },
            ..settings()
        };
        let scheme = &line[..2];
        let carrier = carrier_with(settings, &line);
        let url = format!("{scheme}://public-data/");
        let (done, got) = download_one(&carrier, message(&url, "a")).await;
        assert_eq!((words(&done).as_str(), got), ("done", Some(b"x".to_vec())));
    }
}

fn percent_encoded(text: &str) -> String {
    text.replace('+', "%2B").replace('=', "%3D")
}

#[tokio::test]
async fn a_bucket_elsewhere_is_found_once() {
    let mut server = S3::start();
    server.make("far-data");
    server.put("far-data", "a", b"x", &[]);
    server.put("far-data", "b", b"y", &[]);
    let carrier = carrier(&server, "far-data");
    for name in ["a", "b"] {
        let (done, _) = download_one(&carrier, message("s3://far-data/", name)).await;
        assert_eq!(words(&done), "done");
    }
    assert_eq!(
        server.requests(),
        [
            "GET /far-data/a 301 -",
            "GET /far-data/a 200 -",
            "GET /far-data/b 200 -"
        ]
    );
}

#[tokio::test]
async fn content_arrives_whole_with_what_sr3_wants_to_know() {
    let mut server = S3::start();
    server.make("data");
    for (inflight, length) in [
        (Inflight::Dot, 0),
        (Inflight::Umask, 10_000),
        (Inflight::None, (5 << 20) - 1),
        (Inflight::Directory("tmp/".into()), 5 << 20),
        (Inflight::Suffix(".tmp".into()), 31_000_007),
    ] {
        let content = noise(length);
        let settings = Settings {
            inflight,
            ..settings()
        };
        let carrier = carrier_with(settings, &server.credential("s3", "data"));
        let path = format!("out/b c/{length}");
        // Twice: what is there is replaced.
        for _ in 0..2 {
            let messages = vec![announced(&path, &content)];
            let done = send(&carrier, "s3://data/in", messages, &content).await;
            assert_eq!(words(&done[0]), "done");
            assert_eq!(
                edits(&done[0]),
                [
                    Edit::BaseUrl("s3://data/in".into()),
                    Edit::RelPath(path.clone()),
                    Edit::RetrievePath(None)
                ]
            );
        }
        let object = server.get("data", &format!("in/{path}"));
        assert!(object.content == content, "{length}");
        assert_eq!(object.content_type, "text/plain");
        assert_noted(&object.metadata);
        assert_eq!(object.etag.contains('-'), length >= 5 << 20, "{length}");
    }
    assert_eq!(server.uploads("data"), 0);
    let names = ["0", "10000", "31000007", "5242879", "5242880"];
    let keys = names.map(|name| format!("in/out/b c/{name}"));
    assert_eq!(server.keys("data"), keys);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_made_for_an_upload() {
    let mut server = S3::start();
    let content = noise(6 << 20);
    let to = ["new-one", "new-two"];
    for (bucket, content) in to.iter().zip([&content[..10], &content[..]]) {
        let carrier = carrier(&server, bucket);
        let url = format!("s3://{bucket}/");
        let done = send(&carrier, &url, vec![announced("x", content)], content).await;
        assert_eq!(words(&done[0]), "done");
        assert!(server.get(bucket, "x").content == content);
    }
    // Where nothing is uploaded, nothing is made.
    let carrier = carrier(&server, "new-three");
    let mut missing = poll(&carrier, "s3://new-three/", PollOptions::default());
    let failure = missing.gather(10, support::state()).await.unwrap_err();
    assert!(
        failure.to_string().contains("404 NoSuchBucket"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_leaves_nothing_behind() {
    let mut server = S3::start();
    server.make("data");
    let content = noise(12 << 20);
    // The content turns out to be shorter than it was said to be.
    let carrier = carrier(&server, "data");
    let messages = vec![message("file:///src", "x")];
    let done = support::send_short(&carrier, "s3://data/", messages, &content).await;
    assert_eq!(
        words(&done[0]),
        "temporary: the file became shorter while it was sent"
    );
    let none_left = || (server.uploads("data") == 0).then_some(());
    wait::until("the upload is given up", Duration::from_secs(20), none_left);
    assert!(
        server
            .requests()
            .iter()
            .any(|line| line.starts_with("DELETE /data/x 204")),
        "{:?}",
        server.requests()
    );
    assert_eq!(server.keys("data"), Vec::<String>::new());
}

#[tokio::test]
async fn operations_are_carried_out() {
    let mut server = S3::start();
    server.make("data");
    server.put("data", "in/a+b \u{fc}", b"x", &[("sarracenia_v3", "{}")]);
    server.put("data", "full/x", b"x", &[]);
    server.put("data", "empty/", b"", &[]);
    let carrier = carrier(&server, "data");
    let run = async |path, op| operate(&carrier, "s3://data/", path, op).await;
    assert_eq!(run("sub/new name", rename("in/a+b \u{fc}")).await, "done");
    let renamed = server.get("data", "sub/new name");
    assert_eq!(renamed.content, b"x");
    assert_eq!(renamed.metadata["sarracenia_v3"], "{}");
    // What was never there is sent.
    assert_eq!(run("sub/other", rename("gone")).await, "done");
    assert_eq!(server.get("data", "sub/other").content, b"new");
    let link = FileOp {
        hlink: Some("sub/other".into()),
        ..FileOp::default()
    };
    assert_eq!(run("hard", link).await, "done");
    assert_eq!(run("made", directory(false)).await, "done");
    assert_eq!(run("empty", directory(true)).await, "done");
    assert_eq!(
        run("full", directory(true)).await,
        "500 `s3://data/full/`: it is not empty"
    );
    for _ in 0..2 {
        assert_eq!(run("sub/other", removal()).await, "done");
    }
    assert_eq!(server.keys("data"), ["full/x", "hard", "sub/new name"]);
}

#[tokio::test]
async fn listings_are_walked_page_by_page() {
    let mut server = S3::start();
    server.make("data");
    for number in 0..110 {
        server.put(
            "data",
            &format!("in/many/f {number:04}"),
            b"0123456789",
            &[],
        );
    }
    server.put("data", "in/sub/deep/y+z", b"four", &[]);
    server.put("data", "in/", b"", &[]);
    server.put("data", "in/sub/", b"", &[]);
    server.put("data", "other", b"", &[]);
    let carrier = carrier(&server, "data");
    let found = gather_all(&mut poll(&carrier, "s3://data/in", options(true)), 64).await;
    assert_eq!(found.len(), 111);
    let deep = found_new(&found, "sub/deep/y+z");
    assert_eq!(&*deep.base_url, "s3://data/in");
    // A page of each: `in`, two of `many`, `sub`, `deep`.
    assert_eq!(server.requests().len(), 5, "{:?}", server.requests());

    assert_four_and_other(&carrier, "s3://data/", deep).await;
    // Nothing there is nothing found.
    let none = gather_all(&mut poll(&carrier, "s3://data/none", options(true)), 64).await;
    assert_eq!(none, []);
}

#[tokio::test]
async fn sources_are_removed_once_they_are_safe() {
    let mut server = S3::start();
    server.make("data");
    server.put("data", "a", b"x", &[]);
    let settings = Settings {
        delete: true,
        ..settings()
    };
    let carrier = carrier_with(settings, &server.credential("s3", "data"));
    settle(&carrier, "s3://data/", "a").await;
    assert_eq!(server.keys("data"), Vec::<String>::new());
}
