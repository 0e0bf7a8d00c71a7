//! Conversations with the server, word by word.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Server;

const MAIL: &[u8] = b"From: a@x.example\r\nSubject: one\r\n folded\r\nX-Other: no\r\n\r\nbody\r\n";

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address())
            .await
            .expect("the server listens");
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        assert!(
            client
                .line()
                .await
                .starts_with("* OK [CAPABILITY IMAP4rev1")
        );
        client
    }

    async fn logged_in(server: &Server) -> Self {
        let mut client = Self::connect(server).await;
        assert!(
            client
                .ask("LOGIN alice \"pass word\"")
                .await
                .ends_with("logged in\r\n")
        );
        client
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .await
            .expect("the server answers in UTF-8");
        line
    }

    async fn send(&mut self, text: &str) {
        self.stream
            .get_mut()
            .write_all(text.as_bytes())
            .await
            .expect("the server reads");
    }

    /// Sends a command and returns the whole answer, tagged line included.
    async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("t {command}\r\n")).await;
        let mut answer = String::new();
        loop {
            let line = self.line().await;
            answer.push_str(&line);
            if line.starts_with("t ") || line.is_empty() {
                return answer;
            }
        }
    }
}

async fn server_with(mails: usize) -> Server {
    let server = Server::start("alice", "pass word")
        .await
        .expect("a free port");
    for _ in 0..mails {
        server.deliver("INBOX", MAIL.to_vec());
    }
    server
}

#[tokio::test]
async fn credentials_are_checked_in_every_form() {
    let server = server_with(0).await;
    let mut client = Client::connect(&server).await;
    assert!(
        client
            .ask("SELECT INBOX")
            .await
            .starts_with("t BAD log in first")
    );
    assert!(
        client
            .ask("LOGIN alice wrong")
            .await
            .starts_with("t NO [AUTHENTICATIONFAILED]")
    );
    // \0alice\0pass word
    assert!(
        client
            .ask("AUTHENTICATE PLAIN AGFsaWNlAHBhc3Mgd29yZA==")
            .await
            .starts_with("t OK")
    );

    let mut client = Client::connect(&server).await;
    client.send("t AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.line().await, "+ \r\n");
    client.send("AGFsaWNlAHBhc3Mgd29yZA==\r\n").await;
    assert!(client.line().await.starts_with("t OK"));

    let mut client = Client::connect(&server).await;
    client.send("t LOGIN {5}\r\n").await;
    assert_eq!(client.line().await, "+ go ahead\r\n");
    client.send("alice {9+}\r\npass word\r\n").await;
    assert!(client.line().await.starts_with("t OK"));
}

#[tokio::test]
async fn fetch_answers_what_was_asked_and_peek_leaves_no_trace() {
    let server = server_with(1).await;
    let mut client = Client::logged_in(&server).await;
    let answer = client.ask("SELECT INBOX").await;
    assert!(
        answer.contains("* 1 EXISTS\r\n") && answer.contains("[UIDVALIDITY 1700000000]"),
        "{answer}"
    );

    let answer = client
        .ask("UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[])")
        .await;
    let size = MAIL.len();
    let raw = std::str::from_utf8(MAIL).expect("ASCII");
    assert_eq!(
        answer,
        format!(
            "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE {size} BODY[] {{{size}}}\r\n{raw})\r\nt OK done\r\n"
        )
    );
    let answer = client.ask("UID FETCH 1 (BODY.PEEK[]<6.9>)").await;
    assert!(
        answer.starts_with("* 1 FETCH (UID 1 BODY[]<6> {9}\r\na@x.examp)\r\n"),
        "{answer}"
    );
    let answer = client
        .ask("UID FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        .await;
    assert!(
        answer.contains("BODY[HEADER.FIELDS (SUBJECT)] {25}\r\nSubject: one\r\n folded\r\n\r\n)"),
        "{answer}"
    );
    let answer = client.ask("FETCH 1 (UID INTERNALDATE)").await;
    assert!(
        answer.contains("* 1 FETCH (UID 1 INTERNALDATE \""),
        "{answer}"
    );
    assert!(server.mails("INBOX")[0].flags.is_empty());

    client.ask("UID FETCH 1 BODY[TEXT]").await;
    assert!(server.mails("INBOX")[0].flags.contains("\\Seen"));
    assert!(
        client
            .ask("UID FETCH 1 BODYSTRUCTURE")
            .await
            .contains("t BAD this server has no FETCH item")
    );
}

#[tokio::test]
async fn search_store_and_expunge_go_by_uid() {
    let server = server_with(4).await;
    let mut client = Client::logged_in(&server).await;
    client.ask("SELECT INBOX").await;
    assert_eq!(
        client.ask("UID STORE 2,4 +FLAGS (\\seen)").await,
        "* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n* 4 FETCH (UID 4 FLAGS (\\Seen))\r\nt OK done\r\n"
    );
    assert_eq!(
        client.ask("UID SEARCH UNSEEN").await,
        "* SEARCH 1 3\r\nt OK done\r\n"
    );
    assert_eq!(
        client.ask("UID SEARCH UID 3:* NOT SEEN").await,
        "* SEARCH 3\r\nt OK done\r\n"
    );
    // `n:*` always holds the last one, whatever n.
    assert_eq!(
        client.ask("UID SEARCH UID 9:*").await,
        "* SEARCH 4\r\nt OK done\r\n"
    );
    assert_eq!(
        client.ask("UID SEARCH OR UID 1 (SEEN LARGER 10)").await,
        "* SEARCH 1 2 4\r\nt OK done\r\n"
    );
    assert!(
        client
            .ask("UID SEARCH SUBJECT one")
            .await
            .starts_with("t BAD")
    );

    assert_eq!(
        client.ask("UID STORE 1,2 +FLAGS.SILENT (\\Deleted)").await,
        "t OK done\r\n"
    );
    assert_eq!(
        client.ask("UID EXPUNGE 1,3").await,
        "* 1 EXPUNGE\r\nt OK expunged\r\n"
    );
    assert_eq!(
        client.ask("UID SEARCH ALL").await,
        "* SEARCH 2 3 4\r\nt OK done\r\n"
    );
}

#[tokio::test]
async fn move_needs_its_folder_and_tells_the_new_uids() {
    let server = server_with(2).await;
    let mut client = Client::logged_in(&server).await;
    client.ask("SELECT INBOX").await;
    assert!(
        client
            .ask("UID MOVE 1 Processed")
            .await
            .starts_with("t NO [TRYCREATE]")
    );
    assert!(client.ask("CREATE Processed").await.starts_with("t OK"));
    assert_eq!(
        client.ask("UID MOVE 1 Processed").await,
        "* OK [COPYUID 1700000001 1 1] moved\r\n* 1 EXPUNGE\r\nt OK moved\r\n"
    );
    assert_eq!(server.mails("INBOX").len(), 1);
    assert_eq!(&*server.mails("Processed")[0].raw, MAIL);
    assert_eq!(client.ask("LIST \"\" *").await.matches("* LIST").count(), 2);
}

#[tokio::test]
async fn idle_tells_of_new_mail_at_once() {
    let server = server_with(1).await;
    let mut client = Client::logged_in(&server).await;
    client.ask("SELECT INBOX").await;
    client.send("t IDLE\r\n").await;
    assert_eq!(client.line().await, "+ idling\r\n");
    let uid = server.deliver("INBOX", MAIL.to_vec());
    assert_eq!(uid, 2);
    assert_eq!(client.line().await, "* 2 EXISTS\r\n");
    client.send("DONE\r\n").await;
    assert_eq!(client.line().await, "t OK idled\r\n");
}

#[tokio::test]
async fn examine_changes_nothing() {
    let server = server_with(1).await;
    let mut client = Client::logged_in(&server).await;
    assert!(client.ask("EXAMINE INBOX").await.contains("[READ-ONLY]"));
    assert!(
        client
            .ask("UID STORE 1 +FLAGS (\\Seen)")
            .await
            .starts_with("t NO")
    );
    client.ask("UID FETCH 1 BODY[]").await;
    assert!(server.mails("INBOX")[0].flags.is_empty());
}

#[tokio::test]
async fn nonsense_is_answered_and_the_session_goes_on() {
    let server = server_with(1).await;
    let mut client = Client::logged_in(&server).await;
    assert!(client.ask("FROB 1").await.starts_with("t BAD"));
    client.send("t LOGIN \"open\r\n").await;
    assert!(
        client
            .line()
            .await
            .starts_with("* BAD a quoted string is not closed")
    );
    assert!(client.ask("APPEND {3+}\r\nabc").await.starts_with("t BAD"));
    assert!(client.ask("NOOP").await.starts_with("t OK"));
    assert!(client.ask("LOGOUT").await.starts_with("* BYE"));
    let mut rest = Vec::new();
    client
        .stream
        .read_to_end(&mut rest)
        .await
        .expect("the server closes");
    assert!(rest.is_empty());
}
