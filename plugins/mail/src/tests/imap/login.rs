//! Logging in, and being refused.

use flow_plugin::{Failure, Gather, Lifecycle, Security};

use super::super::script::{Stage, Step, expect, imap, say};
use super::*;
use crate::options::tests::text;

/// On a line of its own, as the command line expects it.
const HINT: &str = "\n  = hint: correct the line for `imap://me@localhost/` in credentials.conf";

#[track_caller]
fn refused(answer: &str) -> Failure {
    let mut steps = vec![say("* OK [CAPABILITY IMAP4rev1] hello\r\n")];
    steps.extend(imap("LOGIN \"me\" \"pass word\"", answer));
    let _stage = Stage::new(URL, 5, vec![steps]);
    let failure = plugin(&[]).gather(1).expect_err("no login");
    assert!(!failure.reason().contains("pass word"), "{failure:?}");
    failure
}

#[test]
fn refused_logins_are_told_apart() {
    for answer in [
        "{tag} NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
        "{tag} NO wrong\r\n",
        "{tag} NO [EXPIRED] old\r\n",
    ] {
        let failure = refused(answer);
        assert!(
            matches!(&failure, Failure::Auth(text) if text.starts_with("`localhost` refused the password of `me`: ") && text.ends_with(HINT)),
            "{failure:?}"
        );
    }
    for answer in [
        "{tag} NO [UNAVAILABLE] Temporary authentication failure.\r\n",
        "{tag} NO [THROTTLED] slow down\r\n",
        "{tag} NO [LIMIT] too many\r\n",
        "{tag} NO [INUSE] locked\r\n",
        "{tag} BAD User is authenticated but not connected.\r\n",
        "* BYE too many connections\r\n",
        "",
    ] {
        let failure = refused(answer);
        assert!(
            matches!(failure, Failure::Temporary(_)),
            "{answer}: {failure:?}"
        );
    }
    assert!(matches!(
        refused("{tag} NO [PRIVACYREQUIRED] tls\r\n"),
        Failure::Config(_)
    ));
}

#[test]
fn tokens_are_said_with_xoauth2_and_a_refusal_is_answered() {
    let url = "imaps://me@mail.example/";
    let response = crate::sasl::base64("user=me\x01auth=Bearer T0KEN\x01\x01");
    let mut steps = vec![say("* OK hello\r\n")];
    steps.extend(imap(
        "CAPABILITY",
        "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n{tag} OK\r\n",
    ));
    steps.extend(imap("AUTHENTICATE XOAUTH2", "+ \r\n"));
    steps.extend([
        expect(&response),
        say("+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"),
        expect(""),
    ]);
    // The tag of the AUTHENTICATE is the library's first.
    steps.push(say(
        "A0001 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n",
    ));
    let stage = Stage::new(url, 65536, vec![steps]);
    stage
        .host
        .borrow_mut()
        .tokens
        .insert(url.to_owned(), "T0KEN".to_owned());
    let mut mail =
        Mail::start(context(Some(url), &[("auth", text("xoauth2"))])).expect("good options");
    let failure = mail.gather(1).expect_err("no login");
    assert!(
        matches!(&failure, Failure::Auth(text) if text.contains("access token") && !text.contains("T0KEN")),
        "{failure:?}"
    );
    assert_eq!(
        *stage.dialled.lock().expect("one thread"),
        vec![("mail.example".to_owned(), 993, Security::Tls)]
    );
    stage.over();
}

#[test]
fn passwords_do_not_go_out_in_clear_text_by_themselves() {
    let url = "imap://me@mail.example/";
    let greeting = || say("* OK [CAPABILITY IMAP4rev1] hello\r\n");
    let gather = |option: &str, steps: Vec<Step>| {
        let stage = Stage::new(url, 65536, vec![steps]);
        let mut mail =
            Mail::start(context(Some(url), &[("starttls", text(option))])).expect("good options");
        let failure = mail.gather(1).expect_err("nothing works");
        stage.over();
        failure
    };
    let failure = gather("auto", vec![greeting()]);
    assert!(
        matches!(&failure, Failure::Config(text) if text.contains("clear text") && text.contains("starttls: off")),
        "{failure:?}"
    );
    let failure = gather("required", vec![greeting()]);
    assert!(
        matches!(&failure, Failure::Config(text) if text.contains("does not offer STARTTLS")),
        "{failure:?}"
    );
    let mut steps = vec![greeting()];
    steps.extend(imap("LOGIN \"me\" \"pass word\"", "{tag} NO no\r\n"));
    assert!(matches!(gather("off", steps), Failure::Auth(_)));
    // What was offered before TLS does not count after it.
    let mut steps = vec![say("* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n")];
    steps.extend(imap("STARTTLS", "{tag} OK go\r\n"));
    steps.push(Step::Tls);
    steps.extend(imap(
        "CAPABILITY",
        "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN\r\n{tag} OK\r\n",
    ));
    steps.extend(imap("AUTHENTICATE PLAIN", "+ \r\n"));
    steps.extend([
        expect(&crate::sasl::base64("\0me\0pass word")),
        say("A0001 NO no\r\n"),
    ]);
    assert!(matches!(gather("auto", steps), Failure::Auth(_)));
    // Something said in the clear after the agreement is an attack.
    let mut steps = vec![say("* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n")];
    steps.extend(imap(
        "STARTTLS",
        "{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=EVIL\r\n",
    ));
    let failure = gather("auto", steps);
    assert!(
        matches!(&failure, Failure::Temporary(t) if t.reason.contains("in the clear")),
        "{failure:?}"
    );
}
