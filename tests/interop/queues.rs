//! One queue for both: consumed side by side, and handed over from one to the other.

use flow_testkit::{Running, wait};

use super::site::*;

/// Both consume from the queue `q_tsource_NAME`; returns them, sr3's first.
#[track_caller]
fn side_by_side(
    site: &Site,
    amqp: &str,
    name: &str,
    settings: &[(&str, &str)],
    sr3_first: bool,
) -> (Running, Running) {
    let full = format!("subscribe/{name}");
    let exchange = format!("xs_tsource_{name}");
    // Of so many flow holds no more, so that one that stands still leaves the rest to the other.
    let queue = format!("q_tsource_{name}");
    let settings = [&[("queueName", &*queue), ("batch", "10")], settings].concat();
    site.sr3_subscriber(&full, amqp, &exchange, "v03");
    site.flow_subscriber(&full, amqp, &exchange, "v03");
    site.sr3.amend(&full, &settings);
    site.flow
        .amend(&full, &[&settings[..], &[("prefetch", "10")]].concat());
    if sr3_first {
        let sr3 = site.start_sr3(&full);
        (sr3, site.start_flow(&full))
    } else {
        let flow = site.start_flow(&full);
        (site.start_sr3(&full), flow)
    }
}

/// The files below both, sr3's first.
fn taken(site: &Site, name: &str) -> (Tree, Tree) {
    let taken = |root| files(&found(root));
    (taken(&site.sr3.path(name)), taken(&site.flow.path(name)))
}

#[test]
fn a_queue_is_shared_and_each_message_goes_to_one_of_both() {
    let site = Site::new();
    let (broker, amqp) =
        site.rabbit(&["xs_tsource_plain", "xs_tsource_turned", "xs_tsource_limits"]);
    const NONE: &[(&str, &str)] = &[];
    let queues = [
        ("plain", NONE, true),
        ("turned", NONE, false),
        (
            "limits",
            &[("expire", "1h"), ("messageAgeMax", "1d")],
            false,
        ),
    ];
    for (name, settings, sr3_first) in queues {
        site.flow_announcer(
            &format!("watch/{name}"),
            &amqp,
            &format!("xs_tsource_{name}"),
            "v03",
        );
        let watch = site.start_flow(&format!("watch/{name}"));
        let (sr3, flow) = side_by_side(&site, &amqp, name, settings, sr3_first);
        let tree = samples(60);
        flow.pause();
        write(&site.origin(name).0, &tree);
        wait::until("sr3 to take some", LIMIT, || {
            (taken(&site, name).0.len() > 10).then_some(())
        });
        flow.resume();
        let (by_sr3, by_flow) = wait::until("all to arrive somewhere", LIMIT, || {
            let (by_sr3, by_flow) = taken(&site, name);
            let all: Tree = by_sr3.clone().into_iter().chain(by_flow.clone()).collect();
            (all == tree).then_some((by_sr3, by_flow))
        });
        let both: Vec<&String> = by_sr3
            .keys()
            .filter(|file| by_flow.contains_key(*file))
            .collect();
        assert!(both.is_empty(), "{name}: {both:?} went to both");
        assert!(!by_flow.is_empty(), "{name}: all went to sr3");
        let told = sr3.stderr();
        assert!(!told.contains("PRECONDITION"), "{told}");
        stop(vec![sr3, flow, watch]);
    }
    let left = broker.control(&[
        "list_queues",
        "name",
        "messages",
        "--quiet",
        "--no-table-headers",
    ]);
    for (name, ..) in queues {
        assert!(left.contains(&format!("q_tsource_{name}\t0")), "{left}");
    }
}

/// What is announced while neither runs is kept for whoever starts next.
#[track_caller]
fn handed_over(site: &Site, broker: &str) {
    let name = "subscribe/over";
    let settings = [("queueName", "q_tsource_over"), ("expire", "1h")];
    site.flow_announcer("watch/over", broker, "xs_tsource_over", "v03");
    site.sr3_subscriber(name, broker, "xs_tsource_over", "v03");
    site.flow_subscriber(name, broker, "xs_tsource_over", "v03");
    site.sr3.amend(name, &settings);
    site.flow.amend(name, &settings);
    let watch = site.start_flow("watch/over");
    let (origin, _) = site.origin("over");
    let part = |number: usize| -> Tree {
        files(&samples(30))
            .into_iter()
            .map(|(name, entry)| (format!("{number}/{name}"), entry))
            .collect()
    };

    let sr3 = site.start_sr3(name);
    write(&origin, &part(1));
    arrives(&site.sr3.path("over"), &part(1), &[&sr3, &watch]);
    stop(vec![sr3]);
    write(&origin, &part(2));
    let flow = site.start_flow(name);
    arrives(&site.flow.path("over"), &part(2), &[&flow, &watch]);
    stop(vec![flow]);
    write(&origin, &part(3));
    let sr3 = site.start_sr3(name);
    let by_sr3 = part(1).into_iter().chain(part(3)).collect();
    arrives(&site.sr3.path("over"), &by_sr3, &[&sr3, &watch]);
    stop(vec![sr3, watch]);
}

#[test]
fn a_queue_is_handed_over_and_back() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_tsource_over"]);
    handed_over(&site, &amqp);
}

#[test]
fn a_session_is_handed_over_and_back() {
    let site = Site::new();
    let (_broker, mqtt) = site.mosquitto();
    handed_over(&site, &mqtt);
}
