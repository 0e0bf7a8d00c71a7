//! Telling the server what became of its mails, and waiting for more.

use std::time::Duration;

use flow_plugin::{
    Download, Failure, Fate, Fetched, Gather, Lifecycle, Message, Outcome, Setting, Settled, Wake,
};

use super::super::script::{Stage, Step, expect, imap, say};
use super::*;
use crate::options::tests::text;

fn settle(
    options: &[(&str, Setting)],
    capabilities: &str,
    parts: Vec<Vec<Step>>,
) -> flow_plugin::Result<()> {
    let mut all = vec![login_with(capabilities), open("SELECT", "INBOX", 7, 9)];
    all.extend(parts);
    let stage = Stage::new(URL, 65536, vec![script(all)]);
    let outcome = |uid: u32, fate: Fate| Outcome {
        message: wanted(u64::from(uid), uid, None),
        fate,
    };
    let mut mail = Mail::start(context(None, options)).expect("good options");
    let result = mail.settled(vec![
        outcome(1, Fate::Posted),
        outcome(2, Fate::Rejected(flow_plugin::Rejection::new(404, "no"))),
        outcome(3, Fate::Posted),
        outcome(4, Fate::Retrying("later".to_owned())),
        outcome(5, Fate::Dead("never".to_owned())),
        Outcome {
            message: Message::new(6, URL, "INBOX/7-4.eml"),
            fate: Fate::Posted,
        },
    ]);
    stage.over();
    result
}

#[test]
fn only_posted_mails_are_marked_moved_or_deleted() {
    let moved = [("after", text("move")), ("move_to", text("Готово"))];
    settle(
        &[("after", text("seen"))],
        "IMAP4rev1",
        vec![imap(
            "UID STORE 1,3:4 +FLAGS.SILENT (\\Seen)",
            "{tag} OK\r\n",
        )],
    )
    .expect("settled");
    settle(
        &[("after", text("delete"))],
        "IMAP4rev1 UIDPLUS",
        vec![
            imap("UID STORE 1,3:4 +FLAGS.SILENT (\\Deleted)", "{tag} OK\r\n"),
            imap(
                "UID EXPUNGE 1,3:4",
                "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n{tag} OK\r\n",
            ),
        ],
    )
    .expect("settled");
    settle(
        &[("after", text("delete"))],
        "IMAP4rev1",
        vec![imap(
            "UID STORE 1,3:4 +FLAGS.SILENT (\\Deleted)",
            "{tag} OK\r\n",
        )],
    )
    .expect("settled");
    settle(
        &moved,
        "IMAP4rev1 MOVE",
        vec![
            imap(
                "UID MOVE 1,3:4 \"&BBMEPgRCBD4EMgQ+-\"",
                "{tag} NO [TRYCREATE] missing\r\n",
            ),
            imap("CREATE \"&BBMEPgRCBD4EMgQ+-\"", "{tag} OK\r\n"),
            imap(
                "UID MOVE 1,3:4 \"&BBMEPgRCBD4EMgQ+-\"",
                "* OK [COPYUID 1 1,3:4 1:3] x\r\n* 1 EXPUNGE\r\n{tag} OK\r\n",
            ),
        ],
    )
    .expect("settled");
    settle(
        &moved,
        "IMAP4rev1 UIDPLUS",
        vec![
            imap(
                "UID SEARCH UID 1,3:4 UNDELETED",
                "* SEARCH 3 4\r\n{tag} OK\r\n",
            ),
            imap("UID COPY 3:4 \"&BBMEPgRCBD4EMgQ+-\"", "{tag} OK\r\n"),
            imap("UID STORE 3:4 +FLAGS.SILENT (\\Deleted)", "{tag} OK\r\n"),
            imap("UID EXPUNGE 3:4", "{tag} OK\r\n"),
        ],
    )
    .expect("settled");
    let failure = settle(
        &[("after", text("seen"))],
        "IMAP4rev1",
        vec![imap(
            "UID STORE 1,3:4 +FLAGS.SILENT (\\Seen)",
            "{tag} NO [LIMIT] later\r\n",
        )],
    );
    assert!(matches!(failure, Err(Failure::Temporary(_))), "{failure:?}");
}

fn waiting(parts: Vec<Vec<Step>>, capabilities: &str) -> (Stage, Mail) {
    let mut all = vec![login_with(capabilities), open("EXAMINE", "INBOX", 7, 1)];
    all.extend(parts);
    let stage = Stage::new(URL, 65536, vec![script(all)]);
    let mut mail = plugin(&[]);
    assert_eq!(
        paths(&mail.gather(5).expect("gathered")),
        Vec::<&str>::new()
    );
    (stage, mail)
}

fn idling(heard: Vec<Step>) -> Vec<Step> {
    let mut steps = imap("IDLE", "+ idling\r\n* OK Still here\r\n");
    steps.extend(heard);
    steps.push(expect("DONE"));
    steps
}

#[test]
fn idle_wakes_at_news_and_leaves_the_connection_usable_when_interrupted() {
    const MINUTE: Duration = Duration::from_secs(60);
    // The tags of the library count from the login: A0001 LOGIN, A0002 CAPABILITY, A0003 EXAMINE.
    let (stage, mut mail) = waiting(
        vec![
            idling(vec![say("* 1 EXISTS\r\n")]),
            vec![say("A0004 OK\r\n")],
        ],
        "IMAP4rev1 IDLE",
    );
    assert_eq!(mail.wait(MINUTE), Ok(true));
    stage.over();

    let (stage, mut mail) = waiting(
        vec![
            idling(vec![Step::Fail(Failure::Interrupted)]),
            vec![say("* 1 EXISTS\r\nA0004 OK\r\n")],
            imap("NOOP", "{tag} OK\r\n"),
            imap("UID SEARCH UID 1:*", "* SEARCH\r\n{tag} OK\r\n"),
        ],
        "IMAP4rev1 IDLE",
    );
    assert_eq!(mail.wait(MINUTE), Ok(false));
    assert_eq!(
        paths(&mail.gather(5).expect("gathered")),
        Vec::<&str>::new()
    );
    stage.over();

    // A timeout: the server answers DONE, and IDLE starts again.
    let (stage, mut mail) = waiting(
        vec![
            idling(vec![Step::Fail(Failure::temporary("timed out"))]),
            vec![say("A0004 OK\r\n")],
            idling(vec![say("* 2 EXISTS\r\n")]),
            vec![say("A0005 OK\r\n")],
        ],
        "IMAP4rev1 IDLE",
    );
    assert_eq!(mail.wait(MINUTE), Ok(true));
    stage.over();

    // A broken connection is no news, and not kept.
    let (stage, mut mail) = waiting(
        vec![
            imap("IDLE", "+ idling\r\n* BYE idle for too long\r\n"),
            vec![expect("DONE"), Step::Close],
        ],
        "IMAP4rev1 IDLE",
    );
    assert_eq!(mail.wait(MINUTE), Ok(false));
    assert_eq!(mail.wait(MINUTE), Ok(false));
    stage.over();

    // Told while something else was asked, which IDLE does not repeat.
    let fetch = imap(
        "UID FETCH 1 (UID BODY.PEEK[])",
        "* 1 FETCH (UID 1 BODY[] {2}\r\nok)\r\n* 2 EXISTS\r\n{tag} OK\r\n",
    );
    let (stage, mut mail) = waiting(vec![fetch], "IMAP4rev1 IDLE");
    assert_eq!(
        mail.download(vec![wanted(1, 1, Some(2))]),
        Ok(vec![Fetched::Done(vec![])])
    );
    assert_eq!(mail.wait(MINUTE), Ok(true));
    stage.over();

    let (stage, mut mail) = waiting(vec![], "IMAP4rev1");
    assert_eq!(mail.wait(MINUTE), Ok(false));
    stage.over();
}

/// As after `kill -9` of a server whose processes for single connections live on.
#[test]
fn a_server_that_falls_silent_is_given_up_soon() {
    const MINUTE: Duration = Duration::from_secs(60);
    let silent = || Step::Fail(Failure::temporary("timed out"));
    let again = || {
        script(vec![
            login_with("IMAP4rev1 IDLE"),
            open("EXAMINE", "INBOX", 7, 1),
        ])
    };

    // It does not answer DONE.
    let first = script(vec![
        login_with("IMAP4rev1 IDLE"),
        open("EXAMINE", "INBOX", 7, 1),
        idling(vec![silent()]),
        vec![Step::Mute],
    ]);
    let stage = Stage::new(URL, 65536, vec![first, again()]);
    let mut mail = plugin(&[]);
    mail.gather(5).expect("gathered");
    assert_eq!(mail.wait(MINUTE), Ok(false));
    mail.gather(5).expect("gathered over a new connection");
    stage.over();

    // The same, read later because something else was wanted.
    let first = script(vec![
        login_with("IMAP4rev1 IDLE"),
        open("EXAMINE", "INBOX", 7, 1),
        idling(vec![Step::Fail(Failure::Interrupted)]),
        vec![Step::Mute],
    ]);
    let stage = Stage::new(URL, 65536, vec![first, again()]);
    let mut mail = plugin(&[]);
    mail.gather(5).expect("gathered");
    assert_eq!(mail.wait(MINUTE), Ok(false));
    mail.gather(5).expect("gathered over a new connection");
    stage.over();

    // It does not answer the first question of a poll.
    let first = script(vec![
        login_with("IMAP4rev1"),
        open("EXAMINE", "INBOX", 7, 1),
        vec![expect("{tag} NOOP"), Step::Mute],
    ]);
    let stage = Stage::new(URL, 65536, vec![first, again()]);
    let mut mail = plugin(&[]);
    mail.gather(5).expect("gathered");
    mail.gather(5).expect("gathered over a new connection");
    stage.over();
}
