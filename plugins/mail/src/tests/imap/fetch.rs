//! Fetching mails, whatever the server puts around them.

use flow_plugin::{Download, Edit, Failure, Fetched, Gather, Header, Message, Setting};

use super::super::script::{Stage, Step, expect, imap, say};
use super::*;

#[test]
fn small_mails_come_with_one_command_whatever_is_between() {
    for cut in [1, 3, 65536] {
        let stage = Stage::new(
            URL,
            cut,
            vec![script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 9),
                imap(
                    "UID FETCH 1:3,5:7 (UID BODY.PEEK[])",
                    "* 1 FETCH (UID 1 BODY[] {11}\r\nA: b\r\n\r\n)x))\r\n\
                     * OK [ALERT] x\r\n\
                     * 2 FETCH (BODY[] {5}\r\nhello UID 2 FLAGS (\\Seen))\r\n\
                     * 9 EXISTS\r\n* 3 FETCH (FLAGS (\\Recent) UID 3)\r\n\
                     * 3 FETCH (UID 3 BODY[] \"quo\\\"ted\")\r\n\
                     * 4 FETCH (UID 99 BODY[] {4}\r\nnope)\r\n\
                     * 6 FETCH (UID 6 BODY[] {4}\r\n\r\n\r\n)\r\n\
                     * LIST () \"/\" {5}\r\nINBOX\r\n\
                     {tag} NO [EXPUNGEISSUED] some are gone\r\n",
                ),
                // What did not come is asked for by itself.
                imap("UID FETCH 5 (UID BODY.PEEK[]<0.1048576>)", "{tag} OK\r\n"),
                imap(
                    "UID FETCH 7 (UID BODY.PEEK[]<0.1048576>)",
                    "* 7 FETCH (UID 7 BODY[]<0> NIL)\r\n{tag} OK\r\n",
                ),
            ])],
        );
        let batch: Vec<Message> = [1, 2, 3, 5, 6, 7]
            .into_iter()
            .map(|uid| wanted(u64::from(uid), uid, Some(11)))
            .collect();
        let results = plugin(&[]).download(batch).expect("downloaded");
        assert_eq!(results[0], Fetched::Done(vec![]));
        assert_eq!(results[1], Fetched::Done(vec![Edit::Size(Some(5))]));
        assert!(
            matches!(&results[3], Fetched::Reject(r) if r.code == 410),
            "{results:?}"
        );
        assert_eq!(stage.content(1).as_deref(), Some(&b"A: b\r\n\r\n)x)"[..]));
        // No content is not empty content.
        assert!(
            matches!(&results[5], Fetched::Fail(Failure::Temporary(_))),
            "{results:?}"
        );
        assert_eq!(stage.content(7), None);
        assert_eq!(stage.content(2).as_deref(), Some(&b"hello"[..]));
        assert_eq!(stage.content(3).as_deref(), Some(&b"quo\"ted"[..]));
        assert_eq!(stage.content(6).as_deref(), Some(&b"\r\n\r\n"[..]));
        stage.over();
    }
}

#[test]
fn large_mails_come_in_windows_and_sizes_are_only_hints() {
    const WINDOW: usize = 64 * 1024;
    let body: Vec<u8> = (0..WINDOW * 2 + 1000).map(|n| (n % 251) as u8).collect();
    let window = |offset: usize| {
        let part = &body[offset.min(body.len())..(offset + WINDOW).min(body.len())];
        let mut answer =
            format!("* 1 FETCH (UID 1 BODY[]<{offset}> {{{}}}\r\n", part.len()).into_bytes();
        answer.extend_from_slice(part);
        answer.extend_from_slice(b")\r\n{tag} OK\r\n");
        vec![
            expect(&format!(
                "{{tag}} UID FETCH 1 (UID BODY.PEEK[]<{offset}.{WINDOW}>)"
            )),
            say(answer),
        ]
    };
    let at_end = |offset: usize| {
        imap(
            &format!("UID FETCH 1 (UID BODY.PEEK[]<{offset}.{WINDOW}>)"),
            &format!("* 1 FETCH (UID 1 BODY[]<{offset}> \"\")\r\n{{tag}} OK\r\n"),
        )
    };
    // Announced too large, and not at all.
    for (size, extra) in [
        (Some(1024 * 1024), vec![at_end(body.len())]),
        (None, vec![]),
    ] {
        let mut parts = vec![
            login(),
            open("EXAMINE", "INBOX", 7, 9),
            window(0),
            window(WINDOW),
            window(WINDOW * 2),
        ];
        parts.extend(extra);
        let stage = Stage::new(URL, 65536, vec![script(parts)]);
        let result = plugin(&[("window", Setting::Size(WINDOW as u64))])
            .download(vec![wanted(1, 1, size)])
            .expect("downloaded");
        assert_eq!(
            result,
            vec![Fetched::Done(vec![Edit::Size(Some(body.len() as u64))])]
        );
        assert_eq!(stage.content(1).as_deref(), Some(body.as_slice()));
        stage.over();
    }
}

#[test]
fn a_window_counts_only_at_its_own_offset_and_its_absence_is_no_end() {
    const WINDOW: usize = 64 * 1024;
    let ask = |offset: usize| format!("UID FETCH 1 (UID BODY.PEEK[]<{offset}.{WINDOW}>)");
    let window = |offset: usize, byte: char, length: usize| {
        format!(
            "* 1 FETCH (UID 1 BODY[]<{offset}> {{{length}}}\r\n{})\r\n",
            String::from(byte).repeat(length)
        )
    };
    let fetch = |second: Vec<Step>, rest: Vec<Step>| {
        let first = imap(
            &ask(0),
            &format!(
                "{}{}{{tag}} OK\r\n",
                window(0, 'a', WINDOW),
                window(WINDOW * 5, 'x', 3)
            ),
        );
        let stage = Stage::new(
            URL,
            65536,
            vec![script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 9),
                first,
                second,
                rest,
            ])],
        );
        let result = plugin(&[("window", Setting::Size(WINDOW as u64))])
            .download(vec![wanted(1, 1, Some(2 * 1024 * 1024))])
            .expect("downloaded");
        stage.over();
        (result, stage.content(1))
    };
    // Windows of other offsets, of other mails, twice: none of it gets into the mail.
    let noise = format!(
        "{}{}{}{}{{tag}} OK\r\n",
        window(0, 'x', WINDOW),
        window(WINDOW, 'y', 9).replace("UID 1 ", "UID 2 "),
        window(WINDOW, 'b', 5),
        window(WINDOW, 'x', 5)
    );
    let end = imap(
        &ask(WINDOW + 5),
        &format!("{}{{tag}} OK\r\n", window(WINDOW + 5, 'x', 0)),
    );
    let (result, content) = fetch(imap(&ask(WINDOW), &noise), end);
    assert!(matches!(&result[0], Fetched::Done(_)), "{result:?}");
    assert_eq!(
        content,
        Some(format!("{}bbbbb", "a".repeat(WINDOW)).into_bytes())
    );
    // A server that falls silent, or withholds, has not reached the end.
    for answer in [
        "{tag} OK\r\n",
        "* 1 FETCH (UID 1 BODY[]<65536> NIL)\r\n{tag} OK\r\n",
        "* 1 FETCH (UID 1 FLAGS ())\r\n{tag} OK\r\n",
        "{tag} NO [SERVERBUG] x\r\n",
    ] {
        let (result, content) = fetch(imap(&ask(WINDOW), answer), vec![]);
        assert!(
            matches!(&result[0], Fetched::Fail(Failure::Temporary(_))),
            "{answer}: {result:?}"
        );
        assert_eq!(content, None, "{answer}");
    }
}

#[test]
fn mails_over_the_limit_and_mails_that_vanished_are_rejected() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            imap(
                "EXAMINE \"Gone\"",
                "{tag} NO [NONEXISTENT] no such folder\r\n",
            ),
            open("EXAMINE", "INBOX", 7, 9),
            imap(
                "UID FETCH 2:3 (UID BODY.PEEK[])",
                "* 2 FETCH (UID 2 BODY[] {20}\r\n01234567890123456789)\r\n* 3 FETCH (UID 3 BODY[] {2}\r\nok)\r\n{tag} OK\r\n",
            ),
        ])],
    );
    let mut gone = Message::new(4, URL, "Gone/7-1.eml");
    gone.size = Some(5);
    let batch = vec![
        wanted(1, 1, Some(1000)),
        wanted(2, 2, Some(8)),
        wanted(3, 3, Some(2)),
        gone,
        Message::new(5, URL, "nonsense"),
    ];
    let results = plugin(&[("limit_size", Setting::Size(10))])
        .download(batch)
        .expect("downloaded");
    let codes: Vec<Option<u16>> = results
        .iter()
        .map(|result| {
            if let Fetched::Reject(rejection) = result {
                Some(rejection.code)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(codes, vec![Some(413), Some(413), None, Some(404), None]);
    assert_eq!(results[2], Fetched::Done(vec![]));
    assert!(matches!(results[4], Fetched::Fail(Failure::Permanent(_))));
    assert_eq!(stage.content(2), None);
    stage.over();
}

#[test]
fn after_new_uids_a_mail_is_found_by_its_message_id() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            open("EXAMINE", "INBOX", 8, 90),
            imap(
                "UID SEARCH HEADER Message-ID \"<1@x>\"",
                "* SEARCH 80 81\r\n{tag} OK\r\n",
            ),
            imap(
                "UID FETCH 80:81 (UID RFC822.SIZE)",
                "* 1 FETCH (UID 80 RFC822.SIZE 6)\r\n* 2 FETCH (UID 81 RFC822.SIZE 5)\r\n{tag} OK\r\n",
            ),
            imap(
                "UID FETCH 81 (UID BODY.PEEK[])",
                "* 2 FETCH (UID 81 BODY[] {5}\r\nhello)\r\n{tag} OK\r\n",
            ),
        ])],
    );
    let mut message = wanted(1, 1, Some(5));
    message.headers.push(Header::text("messageId", "<1@x>"));
    let results = plugin(&[])
        .download(vec![message, wanted(2, 2, Some(5))])
        .expect("downloaded");
    assert_eq!(results[0], Fetched::Done(vec![]));
    assert!(
        matches!(&results[1], Fetched::Reject(r) if r.code == 410),
        "{results:?}"
    );
    assert_eq!(stage.content(1).as_deref(), Some(&b"hello"[..]));
    stage.over();
}

#[test]
fn a_connection_that_breaks_in_a_mail_is_replaced_once() {
    let fetched =
        |uids: &str, rest: &str| imap(&format!("UID FETCH {uids} (UID BODY.PEEK[])"), rest);
    let stage = Stage::new(
        URL,
        65536,
        vec![
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 9),
                fetched("1", "* 1 FETCH (UID 1 BODY[] {2}\r\nok)\r\n{tag} OK\r\n"),
                fetched(
                    "2:3",
                    "* 2 FETCH (UID 2 BODY[] {2}\r\nok)\r\n* 3 FETCH (UID 3 BODY[] {200}\r\nhalf a ma",
                ),
                vec![Step::Close],
            ]),
            script(vec![
                login(),
                open("EXAMINE", "INBOX", 7, 9),
                fetched("3", "* 3 FETCH (UID 3 BODY[] {5}\r\nwhole)\r\n{tag} OK\r\n"),
            ]),
        ],
    );
    let mut mail = plugin(&[]);
    assert_eq!(
        mail.download(vec![wanted(1, 1, Some(2))]),
        Ok(vec![Fetched::Done(vec![])])
    );
    let results = mail
        .download(vec![wanted(2, 2, Some(2)), wanted(3, 3, Some(5))])
        .expect("downloaded");
    assert_eq!(results, vec![Fetched::Done(vec![]), Fetched::Done(vec![])]);
    assert_eq!(stage.content(3).as_deref(), Some(&b"whole"[..]));
    stage.over();
}

#[test]
fn a_server_that_says_goodbye_is_a_temporary_failure_in_its_own_words() {
    let stage = Stage::new(
        URL,
        65536,
        vec![script(vec![
            login(),
            open("EXAMINE", "INBOX", 7, 9),
            imap("UID SEARCH UID 1:*", "* BYE shutting down\r\n"),
        ])],
    );
    let failure = plugin(&[]).gather(10).expect_err("no gather");
    assert!(
        matches!(&failure, Failure::Temporary(t) if t.reason.contains("shutting down")),
        "{failure:?}"
    );
    stage.over();
}
