//! What is in the queue of verdicts and is none: late, repeated, of another host, forged, nonsense.

use flow_testkit::{CommuniGateSetup, Verdict};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::pool::HOST;
use crate::{SOON, expect_each_once, queue_file, serve};

/// A verdict about the mail of a message, as a scanner makes one.
fn verdict(of: &Value, action: &str) -> Value {
    with(of, &[("cgpAnswer", action), ("cgpAnswerText", "")])
}

/// A message with other fields, and without content; those without a value are taken away.
fn with(of: &Value, fields: &[(&str, &str)]) -> Value {
    let mut message = of.clone();
    let all = message.as_object_mut().expect("a message has fields");
    all.remove("content");
    for (name, value) in fields {
        match *value {
            "" if *name != "cgpAnswerText" => {
                all.remove(*name);
            }
            value => {
                all.insert((*name).into(), value.into());
            }
        }
    }
    message
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().expect("it is a text").to_owned()
}

#[test]
fn no_mail_gets_a_verdict_that_is_not_its_own() {
    let broker = Broker::start();
    broker.spy();
    let flow = broker.host("mail1", "1MiB");
    flow.run(&["declare", HOST]).expect(0);
    let server = serve(&flow, HOST, CommuniGateSetup::default());
    server.mail("1", &queue_file(1, ""));
    server.mail("2", &queue_file(2, ""));
    let mut sent = [broker.overheard(), broker.overheard()];
    sent.sort_by_key(|message| text(message, "cgpFile"));
    let [first, second] = &sent;
    // The same file on another host, whose numbers may be the same as well.
    let other_flow = broker.host("mail2", "1MiB");
    let other = serve(&other_flow, HOST, CommuniGateSetup::default());
    other.mail("1", &queue_file(3, ""));
    let others = broker.overheard();
    assert_eq!(text(&others, "cgpFile"), text(first, "cgpFile"));

    let drop_first = verdict(first, "discard");
    let drop_with = |fields: &[(&str, &str)]| with(&drop_first, fields).to_string();
    let peer: u64 = text(first, "cgpPeer").parse().expect("a number");
    let (file, ticket) = (text(second, "cgpFile"), text(second, "cgpTicket"));
    let mut said = vec![
        drop_with(&[("cgpSequence", "99")]),
        drop_with(&[("cgpSequence", &text(second, "cgpSequence"))]),
        drop_with(&[("cgpPeer", &(peer + 1).to_string())]),
        drop_with(&[("cgpPeer", &(peer - 1).to_string())]),
        drop_with(&[("cgpPeer", "not a number")]),
        drop_with(&[("cgpFile", &file)]),
        drop_with(&[("cgpFile", &file), ("cgpTicket", &ticket)]),
        drop_with(&[("cgpTicket", &ticket)]),
        drop_with(&[("cgpTicket", "0000000000000000")]),
        drop_with(&[("cgpTicket", "")]),
        // Meant for the other host.
        verdict(&others, "discard").to_string(),
        drop_with(&[("cgpTicket", &text(&others, "cgpTicket"))]),
        // What a scanner says, by one who is none, and that nothing could be scanned.
        with(first, &[("cgpTicket", ""), ("sandbox-action", "discard")]).to_string(),
        with(first, &[("cgpTicket", ""), ("failed", "so there")]).to_string(),
        // About no mail at all.
        json!({ "pubTime": first["pubTime"], "baseUrl": "file:///", "relPath": "mail1/x" })
            .to_string(),
        "{}".into(),
        "no message".into(),
        String::new(),
    ];
    // At last the right one, twice, and then it is too late for another.
    said.push(verdict(first, "ok").to_string());
    said.push(verdict(first, "ok").to_string());
    said.push(verdict(first, "discard").to_string());
    // A word nobody knows is no verdict.
    said.push(verdict(second, "shred").to_string());
    broker.say("mail1", &said);
    let answers = server.answers(2, SOON);
    assert_eq!(answers["Queue/1.msg"], Verdict::Passed(vec![]));
    let shred = Verdict::Kept("the scanner said `shred`".into());
    assert_eq!(answers["Queue/2.msg"], shred);
    // The next mail as any other.
    server.mail("3", &queue_file(4, ""));
    let third = broker.overheard();
    assert_eq!(text(&third, "cgpFile"), "Queue/3.msg");
    let told = with(&third, &[("failed", "it can't be read")]);
    broker.say("mail1", &[told.to_string()]);
    let (_, kept) = server.answer(SOON);
    assert_eq!(kept, Verdict::Kept("it can't be read".into()));
    expect_each_once(&server.close());
    // None of it was taken for a mail and sent out; the other host has heard nothing yet.
    assert_eq!(broker.next_overheard(), None);
    broker.say("mail2", &[verdict(&others, "ok").to_string()]);
    assert_eq!(other.answer(SOON).1, Verdict::Passed(vec![]));
    expect_each_once(&other.close());
}
