//! One of ours between two of sr3's, and one of sr3's between two of ours.

use super::site::*;

/// Announces whether a file was fetched as often as it is in `tree`.
#[track_caller]
fn fetched_once(site: &Site, name: &str, tree: &Tree) {
    let requests = site.web.requests();
    let fetched = requests
        .iter()
        .filter(|line| line.contains("GET ") && line.contains(&format!("/{name}/")))
        .count();
    assert_eq!(fetched, files(tree).len(), "{requests:#?}");
}

#[test]
fn duplicates_between_flows_of_sr3_are_winnowed() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_first"]);
    site.flow.add_flow(
        "winnow/first",
        &format!(
            "broker: {amqp}\nexchange: xs_tsource\npost_broker: {amqp}\npost_exchange: xs_first\n"
        ),
    );
    site.sr3_subscriber("subscribe/first", &amqp, "xs_first", "v03");
    let winnow = site.start_flow("winnow/first");
    let get = site.start_sr3("subscribe/first");
    let tree = samples(60);
    let (origin, _) = site.origin("first");
    write(&origin, &tree);
    site.sr3_announcer("post/first", &amqp, "xs_tsource", "v03");
    for _ in 0..2 {
        site.sr3_post("first");
    }
    arrives(&site.sr3.path("first"), &tree, &[&winnow, &get]);
    // What comes after all duplicates has come after them.
    let last = Tree::from([("last.txt".to_owned(), Entry::File(b"last".to_vec()))]);
    write(&origin, &last);
    site.sr3_post("first");
    let tree = tree.into_iter().chain(last).collect();
    arrives(&site.sr3.path("first"), &tree, &[&winnow, &get]);
    stop(vec![winnow, get]);
    fetched_once(&site, "first", &tree);
}

#[test]
fn formats_are_changed_between_flows_of_sr3_and_of_ours() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&[
        "xs_v02-v03_out_ours",
        "xs_v03-v02_out_ours",
        "xs_v02-v03_in_theirs",
        "xs_v03-v02_in_theirs",
    ]);
    let tree = samples(30);
    let mut flows = Vec::new();
    for (from, to) in [("v02", "v03"), ("v03", "v02")] {
        let name = format!("{from}-{to}");
        let (before, after) = (format!("xs_{name}_in"), format!("xs_{name}_out"));
        let (prefix_from, prefix_to) = (prefix(from), prefix(to));

        let ours = format!("ours-{name}");
        site.flow.add_flow(
            &format!("shovel/{ours}"),
            &format!(
                "broker: {amqp}\nexchange: {before}_ours\ntopicPrefix: {prefix_from}\n\
                 post_broker: {amqp}\npost_exchange: {after}_ours\n\
                 post_topicPrefix: {prefix_to}\npost_format: {to}\n"
            ),
        );
        site.sr3_announcer(
            &format!("post/{ours}"),
            &amqp,
            &format!("{before}_ours"),
            from,
        );
        site.sr3_subscriber(
            &format!("subscribe/{ours}"),
            &amqp,
            &format!("{after}_ours"),
            to,
        );
        flows.push(site.start_flow(&format!("shovel/{ours}")));
        flows.push(site.start_sr3(&format!("subscribe/{ours}")));

        let theirs = format!("theirs-{name}");
        site.sr3.add_config(
            &format!("shovel/{theirs}"),
            &format!(
                "broker {amqp}\nexchange {before}_theirs\ntopicPrefix {prefix_from}\nsubtopic #\n\
                 post_broker {amqp}\npost_exchange {after}_theirs\n\
                 post_topicPrefix {prefix_to}\npost_format {to}\n{TELL}housekeeping 2\n"
            ),
        );
        site.flow_announcer(
            &format!("post/{theirs}"),
            &amqp,
            &format!("{before}_theirs"),
            from,
        );
        site.flow_subscriber(
            &format!("subscribe/{theirs}"),
            &amqp,
            &format!("{after}_theirs"),
            to,
        );
        flows.push(site.start_flow(&format!("subscribe/{theirs}")));
        flows.push(site.start_sr3(&format!("shovel/{theirs}")));

        for name in [&ours, &theirs] {
            write(&site.origin(name).0, &tree);
        }
        site.sr3_post(&ours);
        site.flow
            .run(&["foreground", &format!("post/{theirs}")])
            .expect(0);
    }
    let told: Vec<_> = flows.iter().collect();
    for name in ["v02-v03", "v03-v02"] {
        arrives(&site.sr3.path(&format!("ours-{name}")), &tree, &told);
        arrives(&site.flow.path(&format!("theirs-{name}")), &tree, &told);
    }
    stop(flows);
}
