//! Connections: grants, words for what goes wrong, TLS, and being interrupted.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_config::{Flow, SafeUrl};
use flow_runtime::ports::{Callback, Failure};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Log, callback, flow, state};

/// A flow whose plugin dials a loopback port under a host name.
fn dialling(host: &str, address: SocketAddr, mode: &str) -> Flow {
    let port = address.port().to_string();
    let mut flow = flow("dial", &[("host", host), ("port", &port), ("mode", mode)]);
    flow.own_urls
        .push(SafeUrl::parse(&format!("test://{host}/")).expect("a URL"));
    flow
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn lines(stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let mut seen = Vec::new();
    let mut line = String::new();
    while stream
        .read_line(&mut line)
        .await
        .is_ok_and(|count| count > 0)
    {
        seen.push(std::mem::take(&mut line).trim_end().to_owned());
        if seen.last().is_some_and(|line| line == "hello") {
            stream
                .get_mut()
                .write_all(b"one\ntwo\n\n")
                .await
                .expect("it listens");
        }
    }
    seen
}

async fn reason(callback: &mut Box<dyn Callback>) -> String {
    match callback.gather(10, state()).await {
        Err(Failure::Temporary { reason, .. }) => reason,
        other => panic!("not failed for a while: {other:?}"),
    }
}

#[tokio::test]
async fn a_connection_lives_over_calls() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        lines(stream).await
    });
    let mut dial = callback(&dialling("127.0.0.1", address, "plain")).await;
    for _ in 0..2 {
        let gathered = dial.gather(10, state()).await.expect("an answer");
        let paths: Vec<_> = gathered
            .messages
            .iter()
            .map(|message| message.rel_path.as_str())
            .collect();
        assert_eq!(paths, ["one", "two"]);
    }
    drop(dial);
    // One connection, closed with the instance.
    assert_eq!(server.await.expect("no panic"), ["hello", "hello"]);
}

#[tokio::test]
async fn a_connection_nobody_allowed_is_refused() {
    let mut flow = dialling("127.0.0.1", SocketAddr::from(([127, 0, 0, 1], 9)), "plain");
    flow.own_urls = vec![SafeUrl::parse("test://origin.example:25/").expect("a URL")];
    let mut dial = callback(&flow).await;
    assert_eq!(
        dial.gather(10, state()).await.expect_err("not allowed"),
        Failure::Config(
            "plugin `dial` may not connect to `127.0.0.1:9` [plugin/capability-denied]\n  \
             = note: this flow allows `origin.example:25`\n  \
             = hint: add `allow: { connect: ['127.0.0.1:9'] }` to the flow, or correct the URL in its options"
                .into()
        )
    );
    flow.allow.connect.push("127.0.0.1:9".into());
    let mut dial = callback(&flow).await;
    assert_eq!(
        reason(&mut dial).await,
        "`127.0.0.1:9` refused the connection: nothing listens there"
    );
    let mut undeclared = callback(&crate::support::flow("undeclared", &[])).await;
    assert_eq!(
        undeclared.gather(10, state()).await.expect_err("not asked for"),
        Failure::Config(
            "plugin `undeclared` may not connect to `example.org:143` [plugin/capability-denied]\n  \
             = note: its manifest does not ask for `connect`\n  \
             = hint: this is for the plugin's author to correct: add `connect` to `grants`"
                .into()
        )
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_said_so() {
    let mut dial = callback(&dialling(
        "no-such-host.invalid",
        SocketAddr::from(([127, 0, 0, 1], 9)),
        "plain",
    ))
    .await;
    let reason = reason(&mut dial).await;
    assert!(
        reason.starts_with("the host name `no-such-host.invalid` can't be resolved: "),
        "{reason}"
    );
}

#[tokio::test]
async fn a_silent_and_a_trickling_peer_are_given_up() {
    let (listener, address) = listen().await;
    let _silent = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.expect("a connection"));
        }
    });
    let mut flow = dialling("127.0.0.1", address, "plain");
    flow.timeout = Duration::from_millis(100);
    let mut dial = callback(&flow).await;
    assert_eq!(
        reason(&mut dial).await,
        format!("`{address}` sent nothing for 100ms")
    );

    let (listener, address) = listen().await;
    let _trickle = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // Always just in time, and never done.
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    let mut flow = dialling("127.0.0.1", address, "plain");
    flow.timeout = Duration::from_millis(100);
    // Waiting is not computing: the deadline has nothing to do with it.
    flow.callbacks[0].limits.deadline = Duration::from_millis(500);
    let mut dial = callback(&flow).await;
    let started = Instant::now();
    let reason = reason(&mut dial).await;
    assert!(
        reason.starts_with(&format!("`{address}` is too slow: ")),
        "{reason}"
    );
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "it had its ten limits"
    );
}

#[tokio::test]
async fn waiting_is_interrupted_and_the_connection_goes_on() {
    let log = Log::capture();
    let (listener, address) = listen().await;
    let idling = Arc::new(Notify::new());
    let server = {
        let idling = idling.clone();
        async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream
                .read_line(&mut line)
                .await
                .is_ok_and(|count| count > 0)
            {
                match std::mem::take(&mut line).trim_end() {
                    "hello" => stream
                        .get_mut()
                        .write_all(b"one\n\n")
                        .await
                        .expect("it listens"),
                    "idle" => idling.notify_one(),
                    "done" => stream
                        .get_mut()
                        .write_all(b"idled\n")
                        .await
                        .expect("it listens"),
                    other => panic!("{other}"),
                }
            }
        }
    };
    let server = tokio::spawn(server);
    let mut dial = callback(&dialling("127.0.0.1", address, "plain")).await;
    dial.gather(10, state()).await.expect("an answer");
    let wanted = Arc::new(Notify::new());
    let started = Instant::now();
    let (answer, ()) = tokio::join!(dial.wait(Duration::from_secs(600), wanted.clone()), async {
        idling.notified().await;
        wanted.notify_waiters();
    });
    assert_eq!(answer, Ok(false));
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(
        log.text().contains("after the interruption: idled"),
        "{}",
        log.text()
    );
    // The end of the wait interrupts as well, whatever time limit the guest gave its reads.
    assert_eq!(
        dial.wait(Duration::from_millis(50), wanted).await,
        Ok(false)
    );
    dial.gather(10, state())
        .await
        .expect("the connection goes on");
    drop(dial);
    server.await.expect("no panic");
}

/// An authority and a certificate it signed for `localhost`; the authority's as PEM.
pub(crate) fn certificates() -> (String, Arc<rustls::ServerConfig>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, key);
    let leaf_key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .expect("parameters")
        .signed_by(&leaf_key, &issuer)
        .expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![CertificateDer::from(leaf)], key)
    .expect("a configuration");
    (authority.pem(), Arc::new(config))
}

/// Serves TLS after STARTTLS, or from the start.
async fn serve_tls(listener: TcpListener, config: Arc<rustls::ServerConfig>, starttls: bool) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
        tokio::spawn(async move {
            if starttls && !greet(&mut stream, b"ready\n").await {
                return;
            }
            if let Ok(stream) = acceptor.accept(stream).await {
                lines(stream).await;
            }
        });
    }
}

/// Reads `STARTTLS` and answers.
async fn greet(stream: &mut TcpStream, answer: &[u8]) -> bool {
    let mut line = [0; 9];
    tokio::io::AsyncReadExt::read_exact(stream, &mut line)
        .await
        .is_ok()
        && line == *b"STARTTLS\n"
        && stream.write_all(answer).await.is_ok()
}

fn trusting(mut flow: Flow, pem: &str, directory: &Path) -> Flow {
    let file = directory.join("ca.pem");
    std::fs::write(&file, pem).expect("temp file");
    flow.ca_file = Some(file);
    flow
}

#[tokio::test]
async fn tls_works_with_the_flows_own_authority_and_says_what_is_wrong_without() {
    let home = tempfile::tempdir().expect("temp dir");
    for mode in ["tls", "starttls"] {
        let (pem, config) = certificates();
        let (listener, address) = listen().await;
        tokio::spawn(serve_tls(listener, config, mode == "starttls"));
        let good = trusting(dialling("localhost", address, mode), &pem, home.path());
        let mut dial = callback(&good).await;
        let gathered = dial.gather(10, state()).await.expect("a secure connection");
        assert_eq!(gathered.messages.len(), 2, "{mode}");

        let peer = format!("localhost:{}", address.port());
        let mut dial = callback(&dialling("localhost", address, mode)).await;
        assert_eq!(
            reason(&mut dial).await,
            format!(
                "no secure connection to `{peer}`: its certificate is signed by an authority this machine does not trust [plugin/tls]\n  \
                 = hint: if it is signed by your own authority, name that authority's certificate: `caFile: /path/to/ca.pem`"
            )
        );

        // The right authority, the wrong name.
        let other = trusting(dialling("127.0.0.1", address, mode), &pem, home.path());
        let mut dial = callback(&other).await;
        let text = reason(&mut dial).await;
        assert!(
            text.starts_with(&format!(
                "no secure connection to `{address}`: its certificate is for another name"
            )),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_said_so() {
    let home = tempfile::tempdir().expect("temp dir");
    let (_listener, address) = listen().await;
    let flow = trusting(
        dialling("localhost", address, "tls"),
        "nothing\n",
        home.path(),
    );
    let mut dial = callback(&flow).await;
    let file = home.path().join("ca.pem");
    assert_eq!(
        dial.gather(10, state()).await.expect_err("no certificate"),
        Failure::Config(format!(
            "`caFile` {}: there is no certificate in it",
            file.display()
        ))
    );
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_said_so() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let mut dial = callback(&dialling("localhost", address, "tls")).await;
    let text = reason(&mut dial).await;
    assert!(
        text.starts_with(&format!(
            "no secure connection to `localhost:{}`: no TLS: ",
            address.port()
        )),
        "{text}"
    );
    assert!(
        text.ends_with("= hint: check that the port speaks TLS from the start"),
        "{text}"
    );
}

#[tokio::test]
async fn bytes_before_the_handshake_are_refused() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // The injected line comes with the answer, in one piece.
        greet(&mut stream, b"ready\ninjected\n").await;
        std::future::pending::<()>().await;
    });
    let mut dial = callback(&dialling("localhost", address, "starttls")).await;
    assert_eq!(
        reason(&mut dial).await,
        format!(
            "`localhost:{}` sent something between STARTTLS and the TLS handshake [plugin/tls]\n  \
             = note: nobody but an attacker does that; the connection was given up",
            address.port()
        )
    );
}
