//! Downloads from servers that misbehave.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise"
)]

mod support;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use flow_config::{Credentials, Proxies, SafeUrl};
use flow_message::Timestamp;
use flow_runtime::ports::{Callback as _, Edit, Worked};
use flow_transfer::{Carrier, PollOptions, Settings};
use support::server::{Answer, Request, Server};
use support::{
    carrier, download, download_one, edits, gather_all, message, noise, settings, words,
};

/// Serves `content` with ranges; the first `cuts` answers end after `after` bytes.
fn cutting(
    content: Vec<u8>,
    cuts: usize,
    after: usize,
) -> impl Fn(&Request) -> Answer + Send + Sync {
    const TAGS: &[&str] = &[
        "ETag: \"v1\"",
        "Last-Modified: Sun, 22 Nov 2026 01:52:07 GMT",
    ];
    move |request| {
        let answer = match request.header("range") {
            Some(range) if request.header("if-range") == Some("\"v1\"") => {
                let start = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
                let start: usize = start.unwrap().parse().unwrap();
                let range = format!(
                    "Content-Range: bytes {start}-{}/{}",
                    content.len() - 1,
                    content.len()
                );
                let headers = [TAGS, &[range.as_str()]].concat();
                Answer::new("206 Partial Content", &headers, &content[start..])
            }
            _ => Answer::new("200 OK", TAGS, &content),
        };
        if request.number < cuts {
            answer.cut(after)
        } else {
            answer
        }
    }
}

#[tokio::test]
async fn a_fetch_that_breaks_goes_on_where_it_was() {
    let content = noise(700_000);
    let server = Server::start(cutting(content.clone(), 2, 200_000)).await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
    let ranges: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=200000-".into()),
            Some("bytes=400000-".into())
        ]
    );
    assert!(edits(&done).contains(&Edit::Mtime(Some(
        "20261122T015207".parse::<Timestamp>().unwrap()
    ))));
}

#[tokio::test]
async fn breaking_again_and_again_is_left_to_retry() {
    let server = Server::start(cutting(noise(100_000), usize::MAX, 10)).await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert!(
        words(&done).starts_with("temporary: the connection broke in the middle of `http://"),
        "{}",
        words(&done)
    );
    assert_eq!(got, None);
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn progress_earns_more_tries() {
    let content = noise(9 << 20);
    let server = Server::start(cutting(content.clone(), 6, (1 << 20) + 10)).await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == content);
}

#[tokio::test]
async fn what_changed_meanwhile_starts_again() {
    let new = noise(5_000);
    let content = new.clone();
    let server = Server::start(move |request| match request.number {
        0 => Answer::new("200 OK", &["ETag: \"v1\""], &[1; 4_000]).cut(2_000),
        _ => Answer::new("200 OK", &["ETag: \"v2\""], &content),
    })
    .await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert_eq!(words(&done), "done");
    assert!(got.unwrap() == new);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"v1\""));
}

#[tokio::test]
async fn a_refused_range_starts_again_and_a_file_without_version_never_resumes() {
    let server = Server::start(|request| match request.number {
        0 => Answer::new("200 OK", &["ETag: \"v1\""], &[1; 4_000]).cut(2_000),
        1 => Answer::new("416 Range Not Satisfiable", &[], b""),
        _ => Answer::new("200 OK", &["ETag: \"v2\""], b"short"),
    })
    .await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"short".to_vec()))
    );

    let server = Server::start(|request| match request.number {
        0 => Answer::new("200 OK", &["ETag: W/\"weak\""], &[1; 4_000]).cut(2_000),
        _ => Answer::new("200 OK", &[], b"whole"),
    })
    .await;
    let (done, got) = download_one(&carrier(settings()), message(&server.url(), "a")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"whole".to_vec()))
    );
    assert_eq!(server.requests()[1].header("range"), None);
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let server = Server::start(|_| Answer::new("200 OK", &[], &[0; 1_000]).hang(10)).await;
    let settings = Settings {
        timeout: Duration::from_millis(50),
        resumes: 1,
        ..settings()
    };
    let (done, got) = download_one(&carrier(settings), message(&server.url(), "a")).await;
    assert_eq!(
        words(&done),
        "temporary: reading: nothing happened for 50ms (`timeout`)"
    );
    assert_eq!(got, None);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn statuses_end_as_they_should() {
    let server = Server::start(|request| {
        let status = request.path.trim_start_matches('/');
        match status {
            "429" => Answer::new("429 Too Many Requests", &["Retry-After: 7"], b""),
            "503" => Answer::new("503 Busy", &["Retry-After: soon"], b"<h1>busy</h1>"),
            status => Answer::new(&format!("{status} X"), &[], b"no"),
        }
    })
    .await;
    let carrier = carrier(support::owning(&server.url()));
    for (status, expected) in [
        ("404", "410 `U/404`: the server says 404 Not Found"),
        ("410", "410 `U/410`: the server says 410 Gone"),
        (
            "401",
            "auth: `U/401`: the server says 401 Unauthorized; there are no credentials for it in credentials.conf",
        ),
        ("400", "permanent: `U/400`: the server says 400 Bad Request"),
        (
            "429",
            "temporary after 7s: `U/429`: the server says 429 Too Many Requests",
        ),
        (
            "503",
            "temporary: `U/503`: the server says 503 Service Unavailable",
        ),
        (
            "500",
            "temporary: `U/500`: the server says 500 Internal Server Error",
        ),
        ("204", "permanent: `U/204`: the server says 204 No Content"),
    ] {
        let (done, got) = download_one(&carrier, message(&server.url(), status)).await;
        assert_eq!(words(&done).replace(&server.url(), "U"), expected);
        assert_eq!(got, None);
    }
    // None of these is a broken connection: each was asked for once.
    assert_eq!(server.requests().len(), 8);
    // Where only a message led, a refusal is that message's trouble, and no reason to pause.
    let stranger = support::carrier(settings());
    let (done, _) = download_one(&stranger, message(&server.url(), "401")).await;
    assert!(words(&done).starts_with("temporary: "), "{}", words(&done));
    let elsewhere = support::carrier(support::owning("http://localhost:1/"));
    let (done, _) = download_one(&elsewhere, message(&server.url(), "401")).await;
    assert!(words(&done).starts_with("temporary: "), "{}", words(&done));
}

#[tokio::test]
async fn nobody_there() {
    let server = Server::start(|_| Answer::new("200 OK", &[], b"")).await;
    let url = server.url();
    drop(server);
    let (done, _) = download_one(&carrier(settings()), message(&url, "a")).await;
    let words = words(&done);
    assert!(
        words.starts_with("temporary: no connection for `http://localhost"),
        "{words}"
    );
    assert!(words.contains("refused"), "{words}");
    let (done, _) = download_one(&carrier(settings()), message("gopher://x/", "a")).await;
    assert_eq!(
        support::words(&done),
        "permanent: no transfer of this version knows `gopher:` URLs"
    );
}

#[tokio::test]
async fn redirects_are_followed_with_care() {
    let elsewhere = Server::start(|_| Answer::new("200 OK", &[], b"elsewhere")).await;
    let other = elsewhere.url();
    let server = Server::start(move |request| {
        let to = match request.path.as_str() {
            "/here" => "/there?x=1".to_owned(),
            "/out" => format!("{other}/x"),
            "/circle" => "/circle".to_owned(),
            "/file" => "file:///etc/passwd".to_owned(),
            "/user" => format!(
                "http://eve:pw@localhost:{}/there",
                request.header("host").unwrap().split_once(':').unwrap().1
            ),
            "/nowhere" => return Answer::new("302 Found", &[], b""),
            _ => return Answer::new("200 OK", &[], b"there"),
        };
        Answer::new("302 Found", &[&format!("Location: {to}")], b"moved")
    })
    .await;
    let line = format!("http://alice:pw@localhost:{}/", server.port());
    let credentials = Credentials::parse("c.conf".as_ref(), &line).unwrap();
    let carrier = Carrier::new(settings(), Arc::new(credentials));
    let base = server.url().replace("//", "//alice@");
    let get = |path: &'static str| download_one(&carrier, message(&base, path));

    for (path, body) in [("here", "there"), ("user", "there"), ("out", "elsewhere")] {
        let (done, got) = get(path).await;
        assert_eq!((words(&done).as_str(), got), ("done", Some(body.into())));
    }
    let basic = Some("Basic YWxpY2U6cHc=");
    for request in server.requests() {
        assert_eq!(request.header("authorization"), basic, "{}", request.path);
    }
    let request = &elsewhere.requests()[0];
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("referer"), None);

    for (path, expected) in [
        (
            "circle",
            "temporary: `U/circle` redirects more than 10 times, at last to `U/circle`",
        ),
        (
            "file",
            "permanent: `U/file` redirects to a `file:` URL; only `http:` and `https:` are followed",
        ),
        (
            "nowhere",
            "temporary: `U/nowhere` redirects, but does not say where",
        ),
    ] {
        let (done, _) = get(path).await;
        assert_eq!(words(&done).replace(&server.url(), "U"), expected);
    }
}

#[tokio::test]
async fn sizes_are_compared_with_what_was_announced() {
    let server = Server::start(|request| match request.path.as_str() {
        "/chunked" => {
            let mut answer = Answer::new("200 OK", &[], b"");
            answer.head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".into();
            answer.body = b"3\r\nabc\r\n0\r\n\r\n".to_vec();
            answer
        }
        _ => Answer::new(
            "200 OK",
            &["Last-Modified: Sun, 22 Nov 2026 01:52:07 GMT"],
            b"abc",
        ),
    })
    .await;
    let announced = |path: &str, size, mtime: Option<&str>| {
        let mut message = message(&server.url(), path);
        message.size = Some(size);
        message.mtime = mtime.map(|time| time.parse().unwrap());
        message
    };
    let strict = carrier(settings());
    for (message, expected) in [
        (announced("a", 3, None), "done"),
        (
            announced("a", 5, None),
            "410 3 bytes came, 5 were announced; `acceptSizeWrong: true` would keep it",
        ),
        (
            announced("a", 5, Some("20261122T015200")),
            "410 3 bytes came, 5 were announced; it has changed since, which another message announces",
        ),
        (
            announced("chunked", 5, None),
            "temporary: 3 bytes came, 5 were announced",
        ),
        (announced("chunked", 3, None), "done"),
    ] {
        let (done, got) = download_one(&strict, message).await;
        assert_eq!(words(&done), expected);
        assert_eq!(got.is_some(), expected == "done");
    }
    let lax = carrier(Settings {
        accept_size_wrong: true,
        ..settings()
    });
    let (done, got) = download_one(&lax, announced("a", 5, None)).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"abc".to_vec()))
    );
}

#[tokio::test]
async fn what_is_too_large_is_not_fetched_to_its_end() {
    let server = Server::start(|request| match request.path.as_str() {
        "/chunked" => {
            let mut answer = Answer::new("200 OK", &[], b"");
            answer.head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".into();
            answer.body = b"ff\r\n".to_vec();
            answer.body.extend_from_slice(&[b'x'; 255]);
            answer.body.extend_from_slice(b"\r\n");
            answer.hang = true;
            answer
        }
        _ => Answer::new("200 OK", &[], &[0; 101]),
    })
    .await;
    let carrier = carrier(Settings {
        file_size_max: NonZeroU64::new(100),
        ..settings()
    });
    let mut announced = message(&server.url(), "never/asked");
    announced.size = Some(101);
    for (message, expected) in [
        (announced, "413 101 bytes are more than `fileSizeMax`"),
        (
            message(&server.url(), "a"),
            "413 101 bytes are more than `fileSizeMax`",
        ),
        (
            message(&server.url(), "chunked"),
            "413 it is larger than `fileSizeMax` (100 bytes)",
        ),
    ] {
        let (done, got) = download_one(&carrier, message).await;
        assert_eq!((words(&done).as_str(), got), (expected, None));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn hostile_paths_are_refused_before_anybody_is_asked() {
    let server = Server::start(|_| Answer::new("200 OK", &[], b"")).await;
    let carrier = carrier(settings());
    for path in ["../../etc/passwd", "a/../../b", "a\0b", "a\nb"] {
        let mut hostile = message(&server.url(), "x");
        hostile.rel_path = path.into();
        let mut item = support::item(0, message(&server.url(), "x"));
        item.message = hostile.clone().into();
        let mut lane = carrier.downloader(&[]);
        let content = Arc::new(support::Memory::default());
        let done =
            flow_runtime::ports::Callback::download(&mut lane, &[item], content, support::state())
                .await
                .unwrap();
        assert!(
            words(&done[0]).starts_with("permanent: `"),
            "{}",
            words(&done[0])
        );
    }
    let mut hostile = message(&server.url(), "x");
    hostile.retrieve_path = Some("%2e%2e/secret".into());
    let (done, _) = download_one(&carrier, hostile).await;
    assert!(words(&done).contains("leads out of its directory"));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn items_overlap_but_not_at_one_place() {
    let server = Server::start(|request| Answer::new("200 OK", &[], request.path.as_bytes())).await;
    let carrier = carrier(Settings {
        overlap: 4,
        ..settings()
    });
    let messages: Vec<_> = (0..8)
        .map(|number| message(&server.url(), &format!("same/{}", number / 4)))
        .collect();
    let (done, content) = download(&carrier, messages).await;
    assert!(done.iter().all(|done| matches!(done, Worked::Done(_))));
    let order = content.order();
    for place in [0..4, 4..8] {
        let of_place: Vec<u64> = order
            .iter()
            .copied()
            .filter(|id| place.contains(id))
            .collect();
        assert!(of_place.is_sorted(), "{order:?}");
    }
    assert!(content.most_open() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn as_many_as_overlap_are_under_way_at_once() {
    let barrier = Arc::new(std::sync::Barrier::new(4));
    let server = Server::start(move |request| {
        // Ends only when four requests wait here together.
        tokio::task::block_in_place(|| barrier.wait());
        Answer::new("200 OK", &[], request.path.as_bytes())
    })
    .await;
    let carrier = carrier(Settings {
        overlap: 4,
        ..settings()
    });
    let messages: Vec<_> = (0..8)
        .map(|number| message(&server.url(), &format!("f{number}")))
        .collect();
    let (done, content) = download(&carrier, messages).await;
    assert!(done.iter().all(|done| matches!(done, Worked::Done(_))));
    assert_eq!(content.finished(7), Some(b"/f7".to_vec()));
}

#[tokio::test]
async fn a_user_without_credentials_stays_to_be_retried() {
    let server = Server::start(|_| Answer::new("200 OK", &[], b"")).await;
    let credentials = Credentials::parse("c.conf".as_ref(), "").unwrap();
    let carrier = Carrier::new(settings(), Arc::new(credentials));
    let base = format!("http://bob@localhost:{}/", server.port());
    let (done, _) = download_one(&carrier, message(&base, "a")).await;
    assert_eq!(
        words(&done).replace(&server.port().to_string(), "PORT"),
        "temporary: no credentials for `http://bob@localhost:PORT/`: add the line \
         `http://bob:PASSWORD@localhost:PORT/` to c.conf (chmod 600)"
    );
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_proxy_is_asked_unless_the_host_is_excepted() {
    let proxy = Server::start(|request| Answer::new("200 OK", &[], request.path.as_bytes())).await;
    let direct = Server::start(|_| Answer::new("200 OK", &[], b"direct")).await;
    let carrier = carrier(Settings {
        proxies: Proxies {
            http: Some(proxy.url()),
            https: None,
            none: "other.example,localhost".into(),
        },
        ..settings()
    });
    let (done, got) = download_one(&carrier, message("http://origin.invalid/x", "y")).await;
    let asked = Some(b"http://origin.invalid/x/y".to_vec());
    assert_eq!((words(&done).as_str(), got), ("done", asked));
    let (done, got) = download_one(&carrier, message(&direct.url(), "y")).await;
    assert_eq!(
        (words(&done).as_str(), got),
        ("done", Some(b"direct".to_vec()))
    );
}

#[tokio::test]
async fn listings_are_read_as_they_come_and_may_break() {
    let server = Server::start(|request| {
        let mut page = String::from("<pre><a href=\"../\">../</a>\n");
        for number in 0..3_000 {
            page.push_str(&format!(
                "<a href=\"f{number}\">f{number}</a>  22-Nov-2026 01:52  17\n"
            ));
        }
        let page = page.into_bytes();
        let half = page.len() / 2;
        let answer = Answer::new("200 OK", &["Content-Type: text/html"], &page);
        match request.path.as_str() {
            "/cut/" => answer.cut(half),
            "/hang/" => answer.hang(half),
            "/image/" => Answer::new("200 OK", &["Content-Type: image/png"], &page),
            _ => answer,
        }
    })
    .await;
    let carrier = carrier(Settings {
        timeout: Duration::from_millis(200),
        ..settings()
    });
    let poll = |path: &str| {
        let url = SafeUrl::parse(&format!("{}/{path}", server.url())).unwrap();
        carrier.poll(&url, PollOptions::default()).unwrap()
    };
    let found = gather_all(&mut poll("whole"), 700).await;
    assert_eq!(found.len(), 3_000);
    assert_eq!(found[0].size, Some(17));
    // What was seen before it broke is announced; the rest is the next poll's.
    for path in ["cut", "hang"] {
        let found = gather_all(&mut poll(path), 700).await;
        assert!(
            (1_000..2_000).contains(&found.len()),
            "{path}: {}",
            found.len()
        );
    }
    let failure = poll("image")
        .gather(10, support::state())
        .await
        .unwrap_err();
    assert!(
        failure
            .to_string()
            .ends_with("is no listing: its type is `image/png`"),
        "{failure}"
    );
}
