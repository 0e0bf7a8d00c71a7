//! What a flow that listens promises when it is full, when it ends, over TLS, and to slow clients.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_testkit::{Authority, Flow};
use flow_tests::queue;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::peer::{Client, Part, read};
use crate::requests::{listen, scene};
use crate::{SOON, stop, until};

/// Asks over TLS, trusting `authority` if that is said.
fn ask_securely(
    address: &str,
    authority: Option<&Authority>,
    request: &str,
) -> std::io::Result<Option<Part>> {
    let mut roots = RootCertStore::empty();
    if let Some(authority) = authority {
        let pem = CertificateDer::from_pem_file(authority.ca_file()).expect("a certificate");
        roots.add(pem).expect("an authority");
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(SOON))?;
    let mut stream = StreamOwned::new(client, tcp);
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    Ok(read(&mut BufReader::new(stream)))
}

#[track_caller]
fn listens(flow: &Flow, more: &str) {
    let text = format!(
        "listen: http://127.0.0.1:0/hooks\npost_exchange: xs_hooks\ncallbacks: [desk]\n{more}"
    );
    flow.add_flow("flow/hooks", &text);
}

#[test]
fn https_is_served_with_a_certificate_of_ones_own() {
    let flow = scene();
    let authority = Authority::create(flow.home()).expect("an authority");
    flow.add_flow(
        "flow/hooks",
        "listen: https://127.0.0.1:0/hooks\ntlsCert: ${HOME}/cert.pem\ntlsKey: ${HOME}/key.pem\n\
         post_exchange: xs_hooks\ncallbacks: [desk]\n",
    );
    let (running, address) = listen(&flow, "flow/hooks");
    let request = "POST /hooks/safe HTTP/1.1\r\nHost: flow\r\nContent-Length: 4\r\n\r\ntext";
    let answer = ask_securely(&address, Some(&authority), request).expect("a connection");
    assert_eq!(answer.expect("an answer").status(), 202);
    // Who does not trust the authority does not ask, and who speaks in the clear is not answered.
    let refused = ask_securely(&address, None, request).expect_err("it is not trusted");
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    assert!(
        Client::connect(&address)
            .ask("POST", "/hooks/clear", "")
            .is_none()
    );
    until("posts", || queue::names(&flow, "xs_hooks") == ["safe"]);
    stop(running);
}

#[test]
fn a_full_inbox_says_when_to_come_again() {
    let flow = scene();
    // So slow that it is full for minutes.
    listens(&flow, "messageRateMax: 1\n");
    let (running, address) = listen(&flow, "flow/hooks");
    let mut client = Client::connect(&address);
    let answer = client.ask("POST", "/hooks/flood", "").expect("an answer");
    assert_eq!(answer.status(), 202);
    let answer = client.ask("POST", "/hooks/more", "").expect("an answer");
    assert_eq!((answer.status(), answer.header("retry-after")), (503, "5"));
    assert_eq!(answer.body, "too much is waiting to be worked on\n");
    stop(running);
}

#[test]
fn what_is_in_hand_is_answered_before_the_end() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let mut client = Client::connect(&address);
    client.say(
        "POST /hooks/last HTTP/1.1\r\nHost: flow\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    // It is in hand: the flow wants its body.
    assert_eq!(client.answer().expect("it goes on").status(), 100);
    running.terminate();
    until("the flow takes no more", || {
        let stream = TcpStream::connect(&address);
        stream.is_err() || {
            let answer = Client::connect(&address).ask("GET", "/hooks/echo", "");
            answer.is_some_and(|answer| answer.status() == 503)
        }
    });
    client.say("text");
    assert_eq!(client.answer().expect("an answer").status(), 202);
    running.finish(SOON).expect(0);
    // What was taken and not worked on any more is there at the next start.
    flow.run(&["foreground", "flow/hooks", "--once"]).expect(0);
    assert_eq!(queue::names(&flow, "xs_hooks"), ["last"]);
}

#[test]
fn clients_that_trickle_are_given_up() {
    let flow = scene();
    let (running, address) = listen(&flow, "flow/hooks");
    let begun = Instant::now();
    let slow = |text: &'static str| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect_patiently(&address, Duration::from_secs(180));
            client.say(text);
            (
                client.answer().map(|answer| answer.status()),
                begun.elapsed(),
            )
        })
    };
    let head = slow("POST /hooks/head HTTP/1.1\r\nHo");
    let body = slow("POST /hooks/body HTTP/1.1\r\nHost: flow\r\nContent-Length: 100\r\n\r\nsome");
    let (answer, took) = head.join().expect("it ends");
    assert!(answer.is_none_or(|status| status == 408), "{answer:?}");
    assert!(took > Duration::from_secs(10), "{took:?}");
    let (answer, took) = body.join().expect("it ends");
    assert_eq!(answer, Some(408));
    assert!(took > Duration::from_secs(50), "{took:?}");
    let log = stop(running);
    assert!(!log.contains("ERROR"), "{log}");
    assert!(queue::names(&flow, "xs_hooks").is_empty());
}

#[test]
fn a_plugin_that_falls_over_often_pauses_the_flow_and_is_asked_on() {
    let flow = scene();
    let (mut running, address) = listen(&flow, "flow/hooks");
    let mut client = Client::connect(&address);
    for _ in 0..5 {
        let answer = client.ask("POST", "/hooks/trap", "").expect("an answer");
        assert_eq!(answer.status(), 500);
    }
    running.wait_for("a plugin failed 5 times within a minute", SOON);
    // One sender's requests do not silence the flow for the others.
    let answer = client.ask("POST", "/hooks/next", "").expect("an answer");
    assert_eq!(answer.status(), 202);
    stop(running);
}
