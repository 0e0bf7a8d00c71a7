//! The life of entries over connections that come and go.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn message(id: u16, dup: bool) -> Publish {
    Publish {
        id: Some(id),
        dup,
        topic: "x/v03".into(),
        payload: Bytes::from_static(b"{}"),
        ..Publish::default()
    }
}

fn keys(ledger: &mut Ledger) -> Vec<(String, bool)> {
    std::iter::from_fn(|| ledger.offer())
        .map(|offer| (offer.key, offer.again))
        .collect()
}

#[test]
fn what_was_handed_out_is_not_handed_out_again_after_a_lost_connection() {
    let mut ledger = Ledger::default();
    for id in 1..=3 {
        assert_eq!(
            ledger.arrive(id.to_string(), message(id, false)),
            Arrival::Offered
        );
    }
    let first = ledger.offer().unwrap();
    let second = ledger.offer().unwrap();
    ledger.ack(first.tag);
    // In doubt: the server may have it or not.
    assert_eq!(ledger.untold(), [(first.tag, 1)]);
    ledger.lost();
    ledger.ack(second.tag);
    assert!(!ledger.has_untold(), "there is nobody to tell");
    assert_eq!(
        ledger.arrive("1".into(), message(1, true)),
        Arrival::Done(1)
    );
    assert_eq!(
        ledger.arrive("2".into(), message(2, true)),
        Arrival::Done(2)
    );
    assert_eq!(ledger.arrive("3".into(), message(3, true)), Arrival::Known);
    // These answers can be lost as well.
    ledger.lost();
    assert_eq!(
        ledger.arrive("1".into(), message(1, true)),
        Arrival::Done(1)
    );
    assert_eq!(ledger.answered(), [first.tag]);
    ledger.forget(&[first.tag]);
    assert_eq!(ledger.entries.len(), 2, "nothing is kept for ever");
    assert_eq!(keys(&mut ledger), [("3".to_owned(), true)]);
    assert_eq!(ledger.out(), 1);
}

#[test]
fn a_server_that_numbers_anew_is_understood_if_it_says_that_it_sends_again() {
    let mut ledger = Ledger::default();
    ledger.arrive("a".into(), message(1, false));
    let held = ledger.offer().unwrap();
    ledger.lost();
    assert_eq!(ledger.arrive("a".into(), message(9, true)), Arrival::Known);
    ledger.ack(held.tag);
    assert_eq!(ledger.untold(), [(held.tag, 9)]);
    // An equal message that is new is a message of its own.
    assert_eq!(
        ledger.arrive("a".into(), message(10, false)),
        Arrival::Offered
    );
}

#[test]
fn an_identifier_is_free_once_acked_and_a_clash_before() {
    let mut ledger = Ledger::default();
    ledger.arrive("a".into(), message(1, false));
    assert_eq!(ledger.arrive("a".into(), message(1, true)), Arrival::Known);
    assert_eq!(ledger.arrive("b".into(), message(1, false)), Arrival::Clash);
    let held = ledger.offer().unwrap();
    ledger.ack(held.tag);
    let told: Vec<u64> = ledger.untold().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(
        ledger.arrive("b".into(), message(1, false)),
        Arrival::Offered
    );
    ledger.forget(&told);
    let held = ledger.offer().unwrap();
    assert_eq!(held.key, "b");
    ledger.ack(held.tag);
    assert_eq!(
        ledger.untold(),
        [(held.tag, 1)],
        "forgetting `a` left `b` alone"
    );
}

#[test]
fn released_messages_come_first_and_in_order() {
    let mut ledger = Ledger::default();
    for id in 1..=4 {
        ledger.arrive(id.to_string(), message(id, false));
    }
    let tags: Vec<u64> = (0..3).map(|_| ledger.offer().unwrap().tag).collect();
    ledger.release(&[tags[2], tags[0]]);
    ledger.release(&[tags[0]]);
    assert_eq!(
        keys(&mut ledger),
        [
            ("1".to_owned(), true),
            ("3".to_owned(), true),
            ("4".to_owned(), false)
        ]
    );
    assert_eq!(ledger.out(), 4);
}

#[test]
fn messages_of_a_session_the_server_lost_are_still_worked_on() {
    let mut ledger = Ledger::default();
    ledger.arrive("a".into(), message(1, false));
    ledger.arrive("b".into(), message(2, false));
    let held = ledger.offer().unwrap();
    ledger.orphan();
    ledger.ack(held.tag);
    assert!(!ledger.has_untold(), "the server does not know it any more");
    assert_eq!(
        ledger.arrive("c".into(), message(1, false)),
        Arrival::Offered
    );
    assert_eq!(
        keys(&mut ledger),
        [("b".to_owned(), false), ("c".to_owned(), false)]
    );
}

#[test]
fn a_message_of_qos_0_is_held_and_answered_to_nobody() {
    let mut ledger = Ledger::default();
    let message = Publish {
        id: None,
        ..message(1, false)
    };
    ledger.arrive("a".into(), message.clone());
    ledger.arrive("a".into(), message);
    ledger.lost();
    for _ in 0..2 {
        let held = ledger.offer().unwrap();
        ledger.ack(held.tag);
    }
    assert!(!ledger.has_untold());
    assert!(ledger.entries.is_empty());
}

/// A server that does what the specification says, and loses connections and acks.
#[derive(Debug, Default)]
struct Model {
    unacked: Vec<(u16, u32)>,
    /// Acks on their way to it.
    coming: Vec<u16>,
    next: u32,
}

impl Model {
    fn read(&mut self) {
        let coming = std::mem::take(&mut self.coming);
        self.unacked.retain(|(id, _)| !coming.contains(id));
    }
}

/// As a session does it: what is sent, and what can be forgotten once it was read.
fn tell(ledger: &mut Ledger, server: &mut Model) -> Vec<u64> {
    let mut told = ledger.answered();
    for (tag, id) in ledger.untold() {
        server.coming.push(id);
        told.push(tag);
    }
    told
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send,
    Offer,
    Ack(usize),
    Release(usize),
    Tell,
    Lose { acks_arrive: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        4 => Just(Step::Offer),
        3 => (0_usize..4).prop_map(Step::Ack),
        1 => (0_usize..4).prop_map(Step::Release),
        2 => Just(Step::Tell),
        1 => any::<bool>().prop_map(|acks_arrive| Step::Lose { acks_arrive }),
    ]
}

proptest! {
    /// Whatever happens: each message is worked on once, and none is left at the server.
    #[test]
    fn each_message_is_settled_once(steps in proptest::collection::vec(step(), 0..120)) {
        let mut ledger = Ledger::default();
        let mut server = Model::default();
        let mut out: Vec<(u64, String)> = Vec::new();
        let mut acked: Vec<String> = Vec::new();
        let finish = [Step::Lose { acks_arrive: false }]
            .into_iter()
            .chain(std::iter::repeat_n([Step::Offer, Step::Ack(0), Step::Tell], 60).flatten());
        for step in steps.into_iter().chain(finish) {
            match step {
                Step::Send => {
                    let free = (1..=20).find(|id| server.unacked.iter().all(|(used, _)| used != id));
                    if let Some(id) = free {
                        server.next += 1;
                        server.unacked.push((id, server.next));
                        let arrival = ledger.arrive(server.next.to_string(), message(id, false));
                        prop_assert_eq!(arrival, Arrival::Offered);
                    }
                }
                Step::Offer => {
                    if let Some(offer) = ledger.offer() {
                        prop_assert!(out.iter().all(|(_, key)| *key != offer.key));
                        prop_assert!(!acked.contains(&offer.key), "{} came twice", offer.key);
                        out.push((offer.tag, offer.key));
                    }
                }
                Step::Ack(at) if at < out.len() => {
                    let (tag, key) = out.remove(at);
                    ledger.ack(tag);
                    acked.push(key);
                }
                Step::Release(at) if at < out.len() => {
                    let (tag, _) = out.remove(at);
                    ledger.release(&[tag]);
                }
                Step::Ack(_) | Step::Release(_) => {}
                Step::Tell => {
                    let told = tell(&mut ledger, &mut server);
                    server.read();
                    ledger.forget(&told);
                }
                Step::Lose { acks_arrive } => {
                    tell(&mut ledger, &mut server);
                    if acks_arrive {
                        server.read();
                    }
                    server.coming.clear();
                    ledger.lost();
                    for (id, number) in server.unacked.clone() {
                        if let Arrival::Done(id) = ledger.arrive(number.to_string(), message(id, true)) {
                            server.coming.push(id);
                        }
                    }
                }
            }
        }
        prop_assert_eq!(acked.len(), usize::try_from(server.next).unwrap());
        prop_assert!(server.unacked.is_empty(), "{:?}", server.unacked);
        prop_assert_eq!(ledger.out(), 0);
    }
}
