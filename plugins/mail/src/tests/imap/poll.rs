//! Finding mails, and knowing them again.

use flow_plugin::{Failure, Fate, Gather, Header, Security, Setting, Settled};

use super::super::script::{Stage, Step, expect, imap, say};
use super::*;
use crate::options::tests::text;

#[test]
fn a_poll_announces_what_is_new_and_changes_nothing() {
    // Answers cut into single bytes and whole.
    for cut in [1, 7, 65536] {
        let stage = Stage::new(
            URL,
            cut,
            vec![script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 12),
                imap(
                    "UID SEARCH UID 1:*",
                    "* SEARCH 11 9\r\n* SEARCH 10\r\n{tag} OK\r\n",
                ),
                imap(
                    &format!("UID FETCH 9:10 {ITEMS}"),
                    &format!("{}* 9 EXISTS\r\n{}{{tag}} OK\r\n", mail(2, 10), mail(1, 9)),
                ),
                imap(
                    &format!("UID FETCH 11 {ITEMS}"),
                    &format!(
                        "* 3 FETCH (FLAGS (\\Seen) UID 11)\r\n{}{{tag}} OK\r\n",
                        mail(3, 11)
                    ),
                ),
            ])],
        );
        let mut mail = plugin(&[]);
        let first = mail.gather(2).expect("gathered");
        assert_eq!(
            (paths(&first), first.more),
            (vec!["INBOX/7-9.eml", "INBOX/7-10.eml"], true)
        );
        let message = &first.messages[0];
        assert_eq!((message.base_url.as_str(), message.size), (URL, Some(109)));
        assert_eq!(message.mtime.as_deref(), Some("20260717T004425"));
        assert_eq!(message.content_type.as_deref(), Some("message/rfc822"));
        assert_eq!(message.headers, vec![Header::text("messageId", "<9@x>")]);
        let second = mail.gather(2).expect("gathered");
        assert_eq!(
            (paths(&second), second.more),
            (vec!["INBOX/7-11.eml"], false)
        );
        stage.over();
        assert_eq!(
            *stage.dialled.lock().expect("one thread"),
            vec![("localhost".to_owned(), 143, Security::Plain)]
        );
        assert!(!stage.logged().contains("pass word"));
    }
}

#[test]
fn only_what_was_settled_is_remembered_over_a_restart() {
    let stage = Stage::new(
        URL,
        65536,
        vec![
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 4),
                imap("UID SEARCH UID 1:*", "* SEARCH 1 2 3\r\n{tag} OK\r\n"),
                imap(
                    &format!("UID FETCH 1:3 {ITEMS}"),
                    &format!("{}{}{}{{tag}} OK\r\n", mail(1, 1), mail(2, 2), mail(3, 3)),
                ),
                imap("NOOP", "{tag} OK\r\n"),
                // The trap: `n:*` always matches the last mail.
                imap("UID SEARCH UID 4:*", "* SEARCH 3\r\n{tag} OK\r\n"),
            ]),
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 4),
                imap("UID SEARCH UID 2:*", "* SEARCH 2 3\r\n{tag} OK\r\n"),
                imap(
                    &format!("UID FETCH 2 {ITEMS}"),
                    &format!("{}{{tag}} OK\r\n", mail(2, 2)),
                ),
            ]),
            // All settled: nothing to search for.
            script(vec![login(), open("EXAMINE", "INBOX", 7, 4)]),
        ],
    );
    let mut mail = plugin(&[]);
    let gathered = mail.gather(10).expect("gathered");
    let mut settled = outcomes(&gathered, &Fate::Posted);
    settled[2].fate = Fate::Retrying("later".to_owned());
    let second = settled.remove(1);
    mail.settled(settled).expect("settled");
    assert_eq!(
        paths(&mail.gather(10).expect("gathered")),
        Vec::<&str>::new()
    );
    let mut mail = plugin(&[]);
    assert_eq!(
        paths(&mail.gather(10).expect("gathered")),
        vec!["INBOX/7-2.eml"]
    );
    mail.settled(vec![second.clone()]).expect("settled");
    mail.settled(vec![second]).expect("settled again");
    assert_eq!(
        paths(&plugin(&[]).gather(10).expect("gathered")),
        Vec::<&str>::new()
    );
    stage.over();
}

#[test]
fn new_uids_do_not_announce_old_mail_again() {
    let stage = Stage::new(
        URL,
        65536,
        vec![
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 3),
                imap("UID SEARCH UID 1:*", "* SEARCH 1 2\r\n{tag} OK\r\n"),
                imap(
                    &format!("UID FETCH 1:2 {ITEMS}"),
                    &format!("{}{}{{tag}} OK\r\n", mail(1, 1), mail(2, 2)),
                ),
            ]),
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 8, 40),
                imap("UID SEARCH UID 1:*", "* SEARCH 31 32 39\r\n{tag} OK\r\n"),
                // 31 is the mail that was 1, 32 the one that was 2 and is in retry; 39 is new.
                imap(
                    &format!("UID FETCH 31:32,39 {ITEMS}"),
                    &format!(
                        "{}{}{}{{tag}} OK\r\n",
                        mail(1, 1).replace("UID 1 ", "UID 31 "),
                        mail(2, 2).replace("UID 2 ", "UID 32 "),
                        mail(3, 39)
                    ),
                ),
            ]),
        ],
    );
    let mut mail = plugin(&[]);
    let gathered = mail.gather(10).expect("gathered");
    let mut settled = outcomes(&gathered, &Fate::Posted);
    settled[1].fate = Fate::Retrying("later".to_owned());
    mail.settled(settled).expect("settled");
    let gathered = plugin(&[]).gather(10).expect("gathered");
    assert_eq!(paths(&gathered), vec!["INBOX/8-32.eml", "INBOX/8-39.eml"]);
    assert!(
        stage.logged().contains("UIDVALIDITY was 7, is 8"),
        "{}",
        stage.logged()
    );
    stage.over();
}

#[test]
fn folders_by_pattern_and_with_names_in_any_script() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            imap(
                "LIST \"\" \"Work/*\"",
                "* LIST (\\Noselect) \"/\" Work\r\n* LIST () \"/\" \"Work/&BBIERQQ+BDQ-\"\r\n* LIST () \"/\" {8}\r\nWork/a b\r\n{tag} OK\r\n",
            ),
            open("EXAMINE", "INBOX", 7, 1),
            open("EXAMINE", "Work/&BBIERQQ+BDQ-", 8, 2),
            imap("UID SEARCH UID 1:*", "* SEARCH 1\r\n{tag} OK\r\n"),
            open("EXAMINE", "Work/a b", 9, 2),
            imap("UID SEARCH UID 1:*", "* SEARCH 1\r\n{tag} OK\r\n"),
            open("EXAMINE", "Work/&BBIERQQ+BDQ-", 8, 2),
            imap(
                &format!("UID FETCH 1 {ITEMS}"),
                &format!("{}{{tag}} OK\r\n", mail(1, 1)),
            ),
            open("EXAMINE", "Work/a b", 9, 2),
            imap(
                &format!("UID FETCH 1 {ITEMS}"),
                "* 1 FETCH (UID 1)\r\n{tag} OK\r\n",
            ),
        ])],
    );
    let folders = Setting::List(vec!["inbox".to_owned(), "Work/*".to_owned()]);
    let gathered = plugin(&[("folders", folders)])
        .gather(10)
        .expect("gathered");
    assert_eq!(
        paths(&gathered),
        vec!["Work/Вход/8-1.eml", "Work/a%20b/9-1.eml"]
    );
    // A server that leaves items out still gets its mail announced.
    assert_eq!(
        (
            gathered.messages[1].size,
            gathered.messages[1].mtime.as_deref()
        ),
        (None, None)
    );
    stage.over();
}

#[test]
fn a_search_announces_what_matches_and_remembers_while_it_does() {
    let search = "UID SEARCH UNSEEN";
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            open("EXAMINE", "INBOX", 7, 9),
            imap(search, "* SEARCH 8 3\r\n{tag} OK\r\n"),
            imap(
                &format!("UID FETCH 3,8 {ITEMS}"),
                &format!("{}{}{{tag}} OK\r\n", mail(1, 3), mail(2, 8)),
            ),
            imap("NOOP", "{tag} OK\r\n"),
            imap(search, "* SEARCH 2 8\r\n{tag} OK\r\n"),
            imap(
                &format!("UID FETCH 2 {ITEMS}"),
                &format!("{}{{tag}} OK\r\n", mail(1, 2)),
            ),
            imap("NOOP", "{tag} OK\r\n"),
            imap(search, "* SEARCH 3 8\r\n{tag} OK\r\n"),
            imap(
                &format!("UID FETCH 3 {ITEMS}"),
                &format!("{}{{tag}} OK\r\n", mail(1, 3)),
            ),
        ])],
    );
    let mut mail = plugin(&[("search", text("UNSEEN"))]);
    for expected in [
        vec!["INBOX/7-3.eml", "INBOX/7-8.eml"],
        vec!["INBOX/7-2.eml"],
        vec!["INBOX/7-3.eml"],
    ] {
        let gathered = mail.gather(10).expect("gathered");
        assert_eq!(paths(&gathered), expected);
        mail.settled(outcomes(&gathered, &Fate::Posted))
            .expect("settled");
    }
    stage.over();
}

#[test]
fn a_search_in_other_scripts_goes_as_literals() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            open("EXAMINE", "INBOX", 7, 9),
            imap(
                "UID SEARCH CHARSET UTF-8 UNSEEN SUBJECT {12}",
                "* 4 EXISTS\r\n+ go on\r\n",
            ),
            vec![
                expect("Заявка FROM \"a b\""),
                say("* SEARCH\r\nA0004 OK\r\n"),
            ],
        ])],
    );
    let mut mail = plugin(&[("search", text("UNSEEN SUBJECT \"Заявка\" FROM \"a b\""))]);
    assert_eq!(
        paths(&mail.gather(10).expect("gathered")),
        Vec::<&str>::new()
    );
    stage.over();
}

#[test]
fn criteria_and_folders_that_are_wrong_are_the_authors_to_mend() {
    let gather = |parts: Vec<Vec<Step>>| {
        let mut all = vec![login()];
        all.extend(parts);
        let stage = Stage::new(URL, 65536, vec![script(all)]);
        let failure = plugin(&[("search", text("UNSEN"))])
            .gather(10)
            .expect_err("no gather");
        stage.over();
        failure
    };
    let failure = gather(vec![
        open("EXAMINE", "INBOX", 7, 9),
        imap("UID SEARCH UNSEN", "{tag} BAD unknown key UNSEN\r\n"),
    ]);
    assert!(
        matches!(&failure, Failure::Config(text) if text.contains("UNSEN")),
        "{failure:?}"
    );
    let failure = gather(vec![imap(
        "EXAMINE \"INBOX\"",
        "{tag} NO [NONEXISTENT] Mailbox doesn't exist\r\n",
    )]);
    assert!(
        matches!(&failure, Failure::Config(text) if text.contains("folder `INBOX`")),
        "{failure:?}"
    );
    let failure = gather(vec![imap(
        "EXAMINE \"INBOX\"",
        "{tag} NO [UNAVAILABLE] later\r\n",
    )]);
    assert!(matches!(failure, Failure::Temporary(_)), "{failure:?}");
}
