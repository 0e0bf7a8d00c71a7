//! POP3, scripted.

use std::time::Duration;

use flow_plugin::{
    Download, Edit, Failure, Fate, Fetched, Gather, Gathered, Lifecycle, Message, Outcome, Settled,
    Wake,
};

use super::script::{Stage, Step, expect, pop, say};
use crate::Mail;
use crate::options::tests::{context, text};

const URL: &str = "pop://me@localhost/";

fn login() -> Vec<Step> {
    login_with("UIDL\r\nTOP\r\n")
}

fn login_with(capabilities: &str) -> Vec<Step> {
    let mut steps = vec![say("+OK hello\r\n")];
    steps.extend(pop("CAPA", &format!("+OK\r\n{capabilities}.\r\n")));
    steps.extend(pop("USER me", "+OK\r\n"));
    steps.extend(pop("PASS pass word", "+OK in\r\n"));
    steps
}

fn listing(mails: &[(u32, &str, u64)]) -> Vec<Step> {
    let sizes: String = mails
        .iter()
        .map(|(number, _, size)| format!("{number} {size}\r\n"))
        .collect();
    let uidls: String = mails
        .iter()
        .map(|(number, uidl, _)| format!("{number} {uidl}\r\n"))
        .collect();
    let mut steps = pop(
        "LIST",
        &format!("+OK {} mails\r\n{sizes}.\r\n", mails.len()),
    );
    steps.extend(pop("UIDL", &format!("+OK\r\n{uidls}.\r\n")));
    steps
}

fn script(parts: Vec<Vec<Step>>) -> Vec<Step> {
    parts.into_iter().flatten().collect()
}

fn quit() -> Vec<Step> {
    pop("QUIT", "+OK bye\r\n")
}

fn plugin(after: &str) -> Mail {
    Mail::start(context(Some(URL), &[("after", text(after))])).expect("good options")
}

fn paths(gathered: &Gathered) -> Vec<&str> {
    gathered
        .messages
        .iter()
        .map(|message| message.rel_path.as_str())
        .collect()
}

fn message(id: u64, name: &str) -> Message {
    Message::new(id, URL, name)
}

fn outcome(name: &str, fate: Fate) -> Outcome {
    Outcome {
        message: message(0, name),
        fate,
    }
}

#[test]
fn polls_fetch_settle_and_leave_the_maildrop_free() {
    for cut in [1, 65536] {
        let mails = [(1, "aa", 10), (2, "b/b", 20), (3, "cc", 30)];
        let stage = Stage::new(
            URL,
            cut,
            vec![
                script(vec![
                    login(),
                    listing(&mails),
                    pop("RETR 1", "+OK\r\nA: b\r\n\r\n..x\r\n.\r\n"),
                    pop("RETR 3", "-ERR no such message\r\n"),
                    quit(),
                ]),
                script(vec![login(), listing(&mails[1..]), quit()]),
                script(vec![login(), listing(&mails), quit()]),
            ],
        );
        let mut mail = plugin("keep");
        assert_eq!(mail.max_instances(), Some(1));
        let first = mail.gather(2).expect("gathered");
        let hashed = crate::names::from_uidl("b/b");
        assert_eq!(
            (paths(&first), first.more),
            (vec!["aa.eml", hashed.as_str()], true)
        );
        assert_eq!(
            (first.messages[0].size, first.messages[0].base_url.as_str()),
            (Some(10), URL)
        );
        let results = mail
            .download(vec![
                message(1, "aa.eml"),
                message(2, "cc.eml"),
                message(3, "zz.eml"),
            ])
            .expect("downloaded");
        assert_eq!(results[0], Fetched::Done(vec![Edit::Size(Some(12))]));
        assert!(
            matches!(results[1], Fetched::Fail(Failure::Temporary(_))),
            "{results:?}"
        );
        assert!(
            matches!(&results[2], Fetched::Reject(r) if r.code == 410),
            "{results:?}"
        );
        assert_eq!(
            stage.content(1).as_deref(),
            Some(&b"A: b\r\n\r\n.x\r\n"[..])
        );
        let second = mail.gather(2).expect("gathered");
        assert_eq!((paths(&second), second.more), (vec!["cc.eml"], false));
        mail.settled(vec![
            outcome("aa.eml", Fate::Posted),
            outcome(&hashed, Fate::Retrying("x".to_owned())),
            outcome("cc.eml", Fate::Posted),
        ])
        .expect("settled");
        // A poll that finds nothing new; `aa` is gone from the server, and forgotten.
        assert_eq!(
            paths(&mail.gather(5).expect("gathered")),
            Vec::<&str>::new()
        );
        assert_eq!(mail.wait(Duration::from_secs(1)), Ok(false));
        // After a restart `aa` is back: the server gave its UIDL to another mail.
        let mut announces = context(Some(URL), &[]);
        announces.downloads = false;
        let mut mail = Mail::start(announces).expect("good options");
        assert_eq!(paths(&mail.gather(5).expect("gathered")), vec!["aa.eml"]);
        stage.over();
    }
}

#[test]
fn deletion_is_said_after_the_fact_and_sealed_with_quit() {
    let mails = [(1, "aa", 10), (2, "bb", 20)];
    let stage = Stage::new(
        URL,
        65536,
        vec![
            script(vec![
                login(),
                listing(&mails),
                pop("DELE 1", "+OK\r\n"),
                pop("QUIT", "-ERR [SYS/TEMP] some were not removed\r\n"),
            ]),
            script(vec![
                login(),
                listing(&mails),
                pop("DELE 1", "+OK\r\n"),
                quit(),
            ]),
            // Said again after a crash: it is gone, which is fine.
            script(vec![login(), listing(&mails[1..]), quit()]),
        ],
    );
    let mut mail = plugin("delete");
    assert_eq!(
        paths(&mail.gather(5).expect("gathered")),
        vec!["aa.eml", "bb.eml"]
    );
    let outcomes = || {
        vec![
            outcome("aa.eml", Fate::Posted),
            outcome("bb.eml", Fate::Dead("x".to_owned())),
        ]
    };
    mail.settled(outcomes()).expect("settled with a second try");
    mail.settled(outcomes()).expect("settled again");
    stage.over();
}

#[test]
fn mails_are_asked_for_at_once_where_the_server_takes_that() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login_with("UIDL\r\nPIPELINING\r\n"),
            listing(&[(1, "aa", 10), (2, "bb", 20)]),
            vec![
                expect("RETR 1"),
                expect("RETR 2"),
                say("+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n"),
            ],
        ])],
    );
    let results = plugin("keep")
        .download(vec![message(1, "aa.eml"), message(2, "bb.eml")])
        .expect("downloaded");
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Fetched::Done(_))),
        "{results:?}"
    );
    assert_eq!(
        (stage.content(1), stage.content(2)),
        (Some(b"one\r\n".to_vec()), Some(b"two\r\n".to_vec()))
    );
    stage.over();
}

#[test]
fn a_session_that_died_of_age_is_replaced_and_no_half_mail_is_kept() {
    let mails = [(1, "aa", 10), (2, "bb", 20)];
    let stage = Stage::new(
        URL,
        65536,
        vec![
            script(vec![
                login(),
                listing(&mails),
                pop("RETR 1", "+OK\r\none\r\n.\r\n"),
                pop("RETR 2", "+OK\r\nhalf"),
                vec![Step::Close],
            ]),
            script(vec![
                login(),
                listing(&mails),
                pop("RETR 2", "+OK\r\nwhole\r\n.\r\n"),
            ]),
        ],
    );
    let results = plugin("keep")
        .download(vec![message(1, "aa.eml"), message(2, "bb.eml")])
        .expect("downloaded");
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Fetched::Done(_))),
        "{results:?}"
    );
    assert_eq!(stage.content(2), Some(b"whole\r\n".to_vec()));
    stage.over();
}

#[test]
fn without_uidl_mails_are_told_by_their_header() {
    let steps = || {
        script(vec![
            login_with("TOP\r\n"),
            pop("LIST", "+OK\r\n1 10\r\n2 10\r\n.\r\n"),
            pop("UIDL", "-ERR unknown command\r\n"),
            pop("TOP 1 0", "+OK\r\nMessage-ID:\r\n <1@x>\r\n\r\n.\r\n"),
            pop("TOP 2 0", "+OK\r\nMessage-ID: <2@x>\r\n\r\n.\r\n"),
        ])
    };
    let stage = Stage::new(URL, 65536, vec![steps(), steps()]);
    let first = plugin("keep").gather(5).expect("gathered");
    let again = plugin("keep").gather(5).expect("gathered");
    assert_eq!(first, again);
    assert!(
        first.messages[0].rel_path.starts_with("t-")
            && first.messages[0].rel_path != first.messages[1].rel_path
    );
    assert_eq!(
        first.messages[0].headers[0],
        flow_plugin::Header::text("messageId", "<1@x>")
    );
    stage.over();
}

/// On a line of its own, as the command line expects it.
const HINT: &str = "\n  = hint: correct the line for `pop://me@localhost/` in credentials.conf";

#[track_caller]
fn refused(answer: &str) -> Failure {
    let mut steps = vec![say("+OK hello\r\n")];
    steps.extend(pop("CAPA", "+OK\r\nUIDL\r\nLOGIN-DELAY 900\r\n.\r\n"));
    steps.extend(pop("USER me", "+OK\r\n"));
    steps.extend(pop("PASS pass word", answer));
    let stage = Stage::new(URL, 3, vec![steps]);
    let failure = plugin("keep").gather(1).expect_err("no login");
    assert!(!failure.reason().contains("pass word"), "{failure:?}");
    stage.over();
    failure
}

#[test]
fn refused_logins_are_told_apart() {
    for answer in [
        "-ERR [AUTH] Authentication failed.\r\n",
        "-ERR invalid password\r\n",
    ] {
        let failure = refused(answer);
        assert!(
            matches!(&failure, Failure::Auth(text) if text.starts_with("`localhost` refused the password of `me`: ") && text.ends_with(HINT)),
            "{failure:?}"
        );
    }
    for answer in [
        "-ERR [IN-USE] Do you have another POP session running?\r\n",
        "-ERR [SYS/TEMP] later\r\n",
        "-ERR maildrop already locked\r\n",
    ] {
        let failure = refused(answer);
        assert!(
            matches!(failure, Failure::Temporary(_)),
            "{answer}: {failure:?}"
        );
    }
    let Failure::Temporary(delay) = refused("-ERR [LOGIN-DELAY] not so fast\r\n") else {
        panic!("not temporary")
    };
    assert_eq!(delay.retry_after_ms, Some(900_000));
    assert!(matches!(
        refused("-ERR [SYS/PERM] broken mailbox\r\n"),
        Failure::Config(_)
    ));
}

#[test]
fn tls_and_tokens() {
    let url = "pop://me@mail.example/";
    let start = |options: &[(&str, flow_plugin::Setting)]| {
        Mail::start(context(Some(url), options)).expect("good options")
    };
    // Not offered, and the password would cross the network.
    let mut steps = vec![say("+OK hello\r\n")];
    steps.extend(pop("CAPA", "-ERR what\r\n"));
    let stage = Stage::new(url, 65536, vec![steps]);
    assert!(
        matches!(start(&[]).gather(1), Err(Failure::Config(text)) if text.contains("clear text"))
    );
    stage.over();

    let response = crate::sasl::base64("user=me\x01auth=Bearer T0KEN\x01\x01");
    let mut steps = vec![say("+OK hello\r\n")];
    steps.extend(pop("CAPA", "+OK\r\nSTLS\r\n.\r\n"));
    steps.extend(pop("STLS", "+OK go\r\n"));
    steps.push(Step::Tls);
    steps.extend(pop("CAPA", "+OK\r\nSASL XOAUTH2\r\n.\r\n"));
    steps.extend(pop("AUTH XOAUTH2", "+ \r\n"));
    steps.extend(pop(&response, "+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"));
    steps.extend(pop("", "-ERR [AUTH] refused\r\n"));
    let stage = Stage::new(url, 65536, vec![steps]);
    stage
        .host
        .borrow_mut()
        .tokens
        .insert(url.to_owned(), "T0KEN".to_owned());
    let failure = start(&[("auth", text("xoauth2"))])
        .gather(1)
        .expect_err("refused");
    assert!(
        matches!(&failure, Failure::Auth(text) if text.contains("access token") && !text.contains("T0KEN")),
        "{failure:?}"
    );
    stage.over();
}
