//! Downloads, uploads and polls against a blob store that checks signatures.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use flow_config::Inflight;
use flow_runtime::ports::Callback;
use flow_testkit::Azure;
use flow_transfer::{Carrier, Settings};
use support::objects::{
    ENTRY, announced, assert_entry_is_told, assert_four_and_other, assert_names_are_fetched,
    assert_noted, directory, found_new, operate, options, removal, rename, settle,
};
use support::{
    carrier_with, download_one, gather_all, message, noise, owning, poll, send, settings, words,
};

const URL: &str = "azure://flowaccount/data";

fn carrier(server: &Azure) -> Carrier {
    carrier_with(owning(URL), &server.credential())
}

#[tokio::test]
async fn blobs_of_all_names_are_fetched_with_what_the_metadata_says() {
    let mut server = Azure::start();
    server.make("data", false);
    let names = [
        "plain",
        "a/b c/d+e",
        "per%25cent",
        "gr\u{fc}n/\u{1f340}",
        "q?x=1&y#z",
    ];
    let carrier = carrier(&server);
    let put = |name: &str, content: &[u8]| server.put("data", name, content, &[]);
    assert_names_are_fetched(&carrier, URL, &names, put).await;
    server.put("data", "noted", b"x", &[ENTRY]);
    assert_entry_is_told(&carrier, URL, "noted").await;
}

#[tokio::test]
async fn who_may_not_is_told_so_and_no_message_is_lost() {
    let mut server = Azure::start();
    server.make("data", false);
    server.make("open", true);
    server.put("data", "a", b"x", &[]);
    server.put("open", "a", b"y", &[]);
    let good = carrier(&server);
    let (done, _) = download_one(&good, message(URL, "gone/x")).await;
    let gone = words(&done);
    assert!(
        gone.starts_with("410 `azure://flowaccount/data/gone/x`: the server says 404 BlobNotFound"),
        "{gone}"
    );
    let (done, _) = download_one(&good, message(URL, "")).await;
    assert_eq!(words(&done), "permanent: the path of a blob is missing");

    let endpoint = format!("azure_endpoint={}", server.endpoint());
    let who = async |line: &str, container: &str| {
        let carrier = carrier_with(owning(URL), line);
        let url = format!("azure://flowaccount/{container}");
        words(&download_one(&carrier, message(&url, "a")).await.0)
    };
    let wrong = format!("azure://flowaccount:d3Jvbmcta2V5@flowaccount/ {endpoint}");
    let refused = who(&wrong, "data").await;
    assert!(
        refused.starts_with("auth: ") && refused.ends_with("credentials.conf were refused"),
        "{refused}"
    );
    let nobody = format!("azure://flowaccount/ {endpoint}");
    let hidden = who(&nobody, "data").await;
    assert!(
        hidden.starts_with("auth: ") && hidden.ends_with("for it in credentials.conf"),
        "{hidden}"
    );
    assert_eq!(who(&nobody, "open").await, "done");
    let shared = server.share("data", "r");
    let written = |text: &str| format!("{nobody}, azure_storage_credentials={text}");
    assert_eq!(who(&written(&shared), "data").await, "done");
    // As sr3 wants it: encoded once more.
    let twice = shared
        .replace('%', "%25")
        .replace('&', "%26")
        .replace('=', "%3D");
    assert_eq!(who(&written(&twice), "data").await, "done");
    // And it is good for nothing else.
    let reader = carrier_with(owning(URL), &written(&shared));
    let done = send(&reader, URL, vec![announced("x", b"x")], b"x").await;
    let refused = words(&done[0]);
    assert!(refused.starts_with("auth: "), "{refused}");
    for secret in ["sig=", "d3Jvbmcta2V5", Azure::KEY] {
        assert!(!refused.contains(secret) && !hidden.contains(secret));
    }
}

#[tokio::test]
async fn content_arrives_whole_with_what_sr3_wants_to_know() {
    let mut server = Azure::start();
    server.make("data", false);
    for (inflight, length, blocks) in [
        (Inflight::Dot, 0, 0),
        (Inflight::None, (8 << 20) - 1, 0),
        (Inflight::Directory("tmp/".into()), 8 << 20, 1),
        (Inflight::Suffix(".tmp".into()), 31_000_007, 4),
    ] {
        let content = noise(length);
        let settings = Settings {
            inflight,
            ..owning(URL)
        };
        let carrier = carrier_with(settings, &server.credential());
        let path = format!("out/b c/{length}");
        // Twice: what is there is replaced.
        for _ in 0..2 {
            let messages = vec![announced(&path, &content)];
            let done = send(&carrier, &format!("{URL}/in"), messages, &content).await;
            assert_eq!(words(&done[0]), "done");
        }
        let stored = server.get("data", &format!("in/{path}"));
        assert!(stored.content == content, "{length}");
        assert_eq!(stored.content_type, "text/plain");
        assert_eq!(stored.blocks, blocks, "{length}");
        assert_noted(&stored.metadata);
    }
    let names = ["0", "31000007", "8388607", "8388608"];
    assert_eq!(
        server.keys("data"),
        names.map(|name| format!("in/out/b c/{name}"))
    );
    // A container is never made: the message waits for somebody to do it.
    let carrier = carrier(&server);
    let messages = vec![announced("x", b"x")];
    let done = send(&carrier, "azure://flowaccount/none", messages, b"x").await;
    let failed = words(&done[0]);
    assert!(
        failed.starts_with("temporary: ") && failed.contains("404 ContainerNotFound"),
        "{failed}"
    );
}

#[tokio::test]
async fn operations_are_carried_out_with_a_key_and_with_a_shared_signature() {
    let mut server = Azure::start();
    server.make("data", false);
    let shared = server.share("data", "rcwdl");
    let lines = [
        server.credential(),
        format!(
            "azure://flowaccount/ azure_endpoint={}, azure_storage_credentials={shared}",
            server.endpoint()
        ),
    ];
    for line in lines {
        server.put("data", "in/a+b \u{fc}", b"x", &[("sarracenia_v3", "{}")]);
        server.put("data", "full/x", b"x", &[]);
        let carrier = carrier_with(owning(URL), &line);
        let run = async |path, op| operate(&carrier, URL, path, op).await;
        assert_eq!(run("sub/new name", rename("in/a+b \u{fc}")).await, "done");
        let renamed = server.get("data", "sub/new name");
        assert_eq!(renamed.content, b"x");
        assert_eq!(renamed.metadata["sarracenia_v3"], "{}");
        assert_eq!(run("made", directory(false)).await, "done");
        assert_eq!(run("empty", directory(true)).await, "done");
        assert_eq!(
            run("full", directory(true)).await,
            "500 `azure://flowaccount/data/full`: it is not empty"
        );
        for _ in 0..2 {
            assert_eq!(run("sub/new name", removal()).await, "done");
        }
        assert_eq!(server.keys("data"), ["full/x"]);
    }
}

#[tokio::test]
async fn listings_are_walked_and_what_they_announce_is_fetched() {
    let mut server = Azure::start();
    server.make("data", false);
    for number in 0..20 {
        server.put(
            "data",
            &format!("in/many/f {number:04}"),
            b"0123456789",
            &[],
        );
    }
    server.put("data", "in/sub/deep/y+z & <q>", b"four", &[]);
    server.put("data", "other", b"", &[]);
    let carrier = carrier(&server);
    let found = gather_all(&mut poll(&carrier, &format!("{URL}/in"), options(true)), 7).await;
    assert_eq!(found.len(), 21);
    let deep = found_new(&found, "sub/deep/y+z & <q>");
    assert_four_and_other(&carrier, URL, deep).await;
    let mut none = poll(&carrier, "azure://flowaccount/none", options(true));
    let failure = none.gather(10, support::state()).await.unwrap_err();
    assert!(
        failure.to_string().contains("404 ContainerNotFound"),
        "{failure}"
    );
    // Sources are removed once they are safe.
    let removing = carrier_with(
        Settings {
            delete: true,
            ..settings()
        },
        &server.credential(),
    );
    settle(&removing, URL, "other").await;
    assert!(!server.keys("data").contains(&"other".to_owned()));
}
