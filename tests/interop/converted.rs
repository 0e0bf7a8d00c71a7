//! `flow convert` on configurations sr3 runs with: the flows go on where sr3 stopped.

use flow_testkit::Running;

use super::site::*;

/// Announced, winnowed, changed to v02, fetched and announced again, fetched once more.
const CHAIN: [&str; 4] = [
    "winnow/first",
    "shovel/old",
    "sarra/relay",
    "subscribe/leaf",
];

#[test]
fn converted_configurations_go_on_where_sr3_stopped() {
    let mut site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_tsource", "xs_first", "xs_old", "xs_relay"]);
    let (origin, url) = site.origin("origin");
    let (relay, relay_url) = site.origin("relay");
    let queue = |name: &str| format!("queueName q_tsource_{name}\nexpire 1h\n");
    site.sr3.add_config(
        "watch/tree",
        &format!(
            "post_broker {amqp}\npost_exchange xs_tsource\npost_baseUrl {url}\n\
             post_baseDir {origin}\npath {origin}\nsleep 0.2\n",
            origin = origin.display()
        ),
    );
    site.sr3.add_config(
        "winnow/first",
        &format!(
            "{}broker {amqp}\nexchange xs_tsource\nsubtopic #\npost_broker {amqp}\n\
             post_exchange xs_first\nnodupe_ttl 300\n{TELL}",
            queue("first")
        ),
    );
    site.sr3.add_config(
        "shovel/old",
        &format!(
            "{}broker {amqp}\nexchange xs_first\nsubtopic radar.#\nsubtopic bulletins.#\n\
             post_broker {amqp}\npost_exchange xs_old\npost_topicPrefix v02.post\n\
             post_format v02\nreject .*/scan_00[0-4].*\naccept .*\n{TELL}",
            queue("old")
        ),
    );
    site.sr3.add_config(
        "sarra/relay",
        &format!(
            "{}broker {amqp}\nexchange xs_old\ntopicPrefix v02.post\nsubtopic #\nmirror on\n\
             inflight .tmp\npost_broker {amqp}\npost_exchange xs_relay\npost_topicPrefix v03\n\
             post_format v03\npost_baseUrl {relay_url}\npost_baseDir {relay}\n\
             directory {relay}/in\nstrip 1\naccept .*\n{TELL}",
            queue("relay"),
            relay = relay.display()
        ),
    );
    site.sr3.add_config(
        "subscribe/leaf",
        &format!(
            "expire 1h\nbroker {amqp}\nexchange xs_relay\nsubtopic in.#\nmirror on\nstrip 1\n\
             directory ${{HOME}}/gifs\naccept .*\\.gif\ndirectory ${{HOME}}/rest\nmirror off\n\
             accept .*\n{TELL}"
        ),
    );
    directories(&origin, &samples(60));
    let (gifs, rest) = (site.sr3.path("gifs"), site.sr3.path("rest"));

    // What the chain makes of samples: `origin`'s names to those of the two directories.
    let (first, all) = (samples(25), samples(50));
    let expected = |tree: &Tree| -> (Tree, Tree) {
        let mut made = (Tree::new(), Tree::new());
        for (name, entry) in tree {
            if let Some(name) = name.strip_prefix("radar/") {
                let number: usize = name[name.len() - 7..name.len() - 4]
                    .parse()
                    .expect("a number");
                if number > 4 {
                    made.0.insert(name.to_owned(), entry.clone());
                }
            } else if let Some(name) = name.strip_prefix("bulletins/SA/") {
                made.1.insert(name.to_owned(), entry.clone());
            }
        }
        made
    };

    let mut flows: Vec<Running> = CHAIN.iter().map(|name| site.start_sr3(name)).collect();
    flows.push(site.start_sr3_watch("watch/tree"));
    write(&origin, &first);
    let told: Vec<&Running> = flows.iter().collect();
    let (wanted_gifs, wanted_rest) = expected(&first);
    arrives(&gifs, &wanted_gifs, &told);
    arrives(&rest, &wanted_rest, &told);
    // One of the queues has the name sr3 made up.
    let made_up = site.sr3.queue("subscribe/leaf").expect("sr3 has a queue");
    // The watch goes on, so that the queues fill while nobody consumes.
    let watch = flows.pop().expect("it was the last");
    stop(flows);
    write(&origin, &all);

    let (from, to) = (site.sr3.config_dir(), site.flow.config_dir());
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let state = site.sr3.state_dir();
    let state = state.to_string_lossy();
    site.flow
        .run(&["convert", &from, "--state", &state, "--out", &to, "--force"])
        .expect(0);
    let leaf = site.flow.config_dir().join("subscribe/leaf.yaml");
    let leaf = std::fs::read_to_string(leaf).expect("it was converted");
    let named = format!("\nqueueName: {made_up}\n");
    assert!(leaf.contains(&named), "{made_up} is not in\n{leaf}");
    site.flow.env("HOME", &site.sr3.home().to_string_lossy());
    site.flow.run(&["check"]).expect(0);
    let flows: Vec<Running> = CHAIN.iter().map(|name| site.start_flow(name)).collect();
    let told: Vec<&Running> = flows.iter().chain([&watch]).collect();
    let (wanted_gifs, wanted_rest) = expected(&all);
    arrives(&gifs, &wanted_gifs, &told);
    arrives(&rest, &wanted_rest, &told);
    stop(vec![watch]);

    // And from end to end without sr3.
    let watch = site.start_flow("watch/tree");
    let last = samples(60);
    write(&origin, &last);
    let told: Vec<&Running> = flows.iter().chain([&watch]).collect();
    let (wanted_gifs, wanted_rest) = expected(&last);
    arrives(&gifs, &wanted_gifs, &told);
    arrives(&rest, &wanted_rest, &told);
    stop(vec![watch]);
    stop(flows);
}
