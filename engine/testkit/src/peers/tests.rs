//! The real server, spoken to in plain words.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Dovecot, RabbitMq, RabbitMqSetup};
use crate::generate;

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket takes a timeout");
        let mut client = Self(BufReader::new(stream));
        client.line();
        client
    }

    fn imap(server: &Dovecot) -> Self {
        let mut client = Self::connect(server.imap_port());
        let login = format!("LOGIN {} {}", Dovecot::USER, Dovecot::PASSWORD);
        let answer = client.ask(&login);
        assert!(answer.contains("a OK"), "{answer}");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0
            .read_line(&mut line)
            .expect("the server answers in time");
        line
    }

    fn send(&mut self, text: &str) {
        self.0
            .get_mut()
            .write_all(text.as_bytes())
            .expect("the server reads");
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(&format!("a {command}\r\n"));
        let mut answer = String::new();
        loop {
            let line = self.line();
            answer.push_str(&line);
            if line.starts_with("a ") || line.is_empty() {
                return answer;
            }
        }
    }
}

#[test]
fn serves_what_was_added_and_shows_what_clients_did() {
    let mut server = Dovecot::start();
    let mails: Vec<_> = generate::mails(5, 4_000, 3).collect();
    for mail in &mails {
        server.add_mail(Dovecot::USER, "INBOX", &mail.raw);
    }
    server.add_folder(Dovecot::USER, "Processed");

    let mut client = Client::imap(&server);
    let capabilities = client.ask("CAPABILITY");
    for wanted in ["IDLE", "MOVE", "UIDPLUS"] {
        assert!(capabilities.contains(wanted), "{capabilities}");
    }
    assert!(client.ask("SELECT INBOX").contains("* 5 EXISTS"));
    let answer = client.ask("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])");
    for (number, mail) in (1..).zip(&mails) {
        let size = format!("UID {number} RFC822.SIZE {} ", mail.raw.len());
        assert!(
            answer.contains(&size),
            "in order and of the right size: {answer}"
        );
        assert!(answer.contains(&mail.message_id), "{answer}");
    }
    client.ask("UID STORE 2 +FLAGS (\\Seen)");
    client.ask("UID MOVE 5 Processed");
    client.ask("LOGOUT");
    let stored = server.mails(Dovecot::USER, "INBOX");
    assert_eq!(
        stored.iter().map(|mail| mail.seen()).collect::<Vec<_>>(),
        [false, true, false, false]
    );
    assert_eq!(
        server.mails(Dovecot::USER, "Processed")[0].raw,
        mails[4].raw
    );

    server.set_uid_validity(Dovecot::USER, "INBOX", 42);
    server.restart();
    let answer = Client::imap(&server).ask("SELECT INBOX");
    assert!(
        answer.contains("[UIDVALIDITY 42]") && answer.contains("[UIDNEXT 5]"),
        "{answer}"
    );

    let port = server.imap_port();
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn tells_idle_clients_of_mail_added_past_it() {
    let server = Dovecot::start();
    let mut client = Client::imap(&server);
    client.ask("SELECT INBOX");
    client.send("a IDLE\r\n");
    assert!(client.line().starts_with("+ "));
    server.add_mail(Dovecot::USER, "INBOX", b"Subject: now\r\n\r\nnow\r\n");
    assert_eq!(client.line(), "* 1 EXISTS\r\n");
}

#[test]
fn speaks_pop3_and_offers_stls() {
    let server = Dovecot::start();
    server.add_mail(Dovecot::USER, "INBOX", b"Subject: one\r\n\r\none\r\n");
    let mut client = Client::connect(server.pop_port());
    client.send("CAPA\r\n");
    let mut capabilities = String::new();
    while !capabilities.ends_with("\r\n.\r\n") {
        capabilities.push_str(&client.line());
    }
    for wanted in ["STLS", "UIDL", "TOP"] {
        assert!(capabilities.contains(wanted), "{capabilities}");
    }
    client.send(&format!(
        "USER {}\r\nPASS {}\r\n",
        Dovecot::USER,
        Dovecot::PASSWORD
    ));
    assert!(client.line().starts_with("+OK"));
    assert!(client.line().starts_with("+OK"));
    client.send("STAT\r\n");
    assert!(client.line().starts_with("+OK 1 "));
}

/// What a RabbitMQ answers to one who speaks AMQP 0-9-1.
fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket takes a timeout");
    let mut first = [0; 11];
    stream.write_all(b"AMQP\0\0\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
        // A method frame on channel 0 with connection.start.
        && first[..3] == [1, 0, 0]
        && first[7..] == [0, 10, 0, 10]
}

#[test]
fn rabbitmq_has_what_it_was_set_up_with_and_keeps_it_when_killed() {
    let setup = RabbitMqSetup::new()
        .vhosts(["one"])
        .user("bob", "x", "^q_bob.*", "", ".*");
    let mut server = RabbitMq::start_with(&setup);
    assert!(speaks_amqp(server.port()));
    let permissions = server.control(&["list_permissions", "-p", "one"]);
    assert!(permissions.contains("bob\t^q_bob.*\t\t.*"), "{permissions}");
    server.control(&["set_permissions", "-p", "one", "bob", "", "", ""]);

    server.kill();
    assert!(!speaks_amqp(server.port()));
    server.restart();
    assert!(speaks_amqp(server.port()));
}
