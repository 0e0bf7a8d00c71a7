//! Kinds of flows over real brokers and servers: the whole binary, RabbitMQ, Mosquitto, nginx, moto.
//!
//! Each test builds what a site would: files appear somewhere, flows announce, move and store them,
//! and at the end the trees are the same, byte for byte.

mod hostile;
mod options;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_testkit::{
    Flow, Mosquitto, Nginx, RabbitMq, RabbitMqSetup, Running, S3, wait, without_password,
};
use flow_tests::tree;

const SOON: Duration = Duration::from_secs(60);

/// Files of a tree with their content, by path below it. What is unfinished is not there yet.
fn content(root: &Path) -> BTreeMap<String, Vec<u8>> {
    tree::files(root)
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root).expect("below the root");
            let name = name.to_string_lossy().into_owned();
            let hidden = name.rsplit('/').next().is_some_and(|n| n.starts_with('.'));
            let bytes = (!hidden).then(|| std::fs::read(&path).ok()).flatten()?;
            Some((name, bytes))
        })
        .collect()
}

/// Files like those of a weather office: some directories, some empty, one large.
fn samples() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for number in 0..60usize {
        let name = format!(
            "radar/{}/scan_{number:03}.gif",
            ["CASBV", "CASET"][number % 2]
        );
        let bytes = (0..number * 997)
            .map(|at| (at * 31 + number) as u8)
            .collect();
        files.insert(name, bytes);
    }
    files.insert(
        "bulletins/SA/CWAO 22.txt".into(),
        b"SACN31 CWAO 220700\r\n".to_vec(),
    );
    files.insert(
        "large.bin".into(),
        (0..3_000_000u32).map(|n| (n / 7) as u8).collect(),
    );
    files
}

fn write_all(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(&path, bytes).expect("a file");
    }
}

#[track_caller]
fn arrives(root: &Path, expected: &BTreeMap<String, Vec<u8>>, flows: &[&Running]) {
    let end = Instant::now() + SOON;
    while content(root).len() < expected.len() && Instant::now() < end {
        wait::pause(Duration::from_millis(50));
    }
    let found = content(root);
    if found.len() < expected.len() {
        let told: Vec<String> = flows.iter().map(|flow| flow.stderr()).collect();
        panic!(
            "{} of {} files arrived\n{}",
            found.len(),
            expected.len(),
            told.join("\n---\n")
        );
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{name} differs");
    }
}

fn stop(flows: Vec<Running>) {
    for flow in &flows {
        flow.terminate();
    }
    for flow in flows {
        flow.finish(Duration::from_secs(20)).expect(0);
    }
}

fn spawn(flow: &Flow, name: &str) -> Running {
    flow.spawn(&["foreground", name, "--log-level", "debug"])
}

fn rabbit(flow: &Flow) -> (RabbitMq, String) {
    let broker =
        RabbitMq::start_with(&RabbitMqSetup::new().user("tsource", "pw-8$x", ".*", ".*", ".*"));
    let url = broker.url_for("tsource", "pw-8$x", "/");
    flow.credentials(&format!("{url}\n"));
    (broker, without_password(&url))
}

#[test]
fn a_watched_tree_is_mirrored_over_amqp_and_http() {
    let flow = Flow::new();
    let (_broker, amqp) = rabbit(&flow);
    let web = Nginx::start();
    let root = web.root();
    flow.add_flow(
        "watch/tree",
        &format!(
            "path: {root}\npost_broker: {amqp}\npost_exchange: xs_tsource\n\
             post_baseUrl: {url}/\npost_baseDir: {root}\n",
            root = root.display(),
            url = web.http().trim_end_matches('/'),
        ),
    );
    flow.add_flow(
        "sarra/mirror",
        &format!(
            "broker: {amqp}\nexchange: xs_tsource\ndirectory: ${{HOME}}/mirror\n\
             post_broker: {amqp}\npost_exchange: xs_public\npost_baseUrl: file:/\n"
        ),
    );
    let mirror = spawn(&flow, "sarra/mirror");
    let watch = spawn(&flow, "watch/tree");
    flow_tests::watches(&watch, SOON);
    let files = samples();
    write_all(&root, &files);
    arrives(&flow.path("mirror"), &files, &[&watch, &mirror]);
    // Changed content of the same size is fetched again.
    let mut changed = files;
    let scan = changed
        .get_mut("radar/CASBV/scan_058.gif")
        .expect("it is there");
    scan.reverse();
    std::fs::write(root.join("radar/CASBV/scan_058.gif"), &*scan).expect("a file");
    let path = flow.path("mirror/radar/CASBV/scan_058.gif");
    let wanted = scan.clone();
    wait::until("the change arrives", SOON, || {
        std::fs::read(&path).ok().filter(|found| *found == wanted)
    });
    stop(vec![watch, mirror]);
}

#[test]
fn a_polled_listing_is_fetched_once_over_mqtt() {
    let flow = Flow::new();
    let broker = Mosquitto::start();
    let web = Nginx::start();
    let files = samples();
    write_all(&web.root(), &files);
    let mqtt = broker.url();
    let (scheme, place) = mqtt.split_once("://").expect("a URL");
    let place = place.rsplit('@').next().unwrap_or(place);
    flow.credentials(&format!(
        "{scheme}://{}:p%40ss%2Fw%3Ard@{place}\n",
        Mosquitto::USER
    ));
    flow.add_flow(
        "poll/listing",
        &format!(
            "pollUrl: {}\npost_broker: {mqtt}\npost_exchange: xs_poll\nsleep: 1s\n",
            web.http()
        ),
    );
    flow.add_flow(
        "subscribe/get",
        &format!("broker: {mqtt}\nexchange: xs_poll\ndirectory: ${{HOME}}/got\nmirror: on\n"),
    );
    let mut get = spawn(&flow, "subscribe/get");
    get.wait_for("started", SOON);
    let poll = spawn(&flow, "poll/listing");
    arrives(&flow.path("got"), &files, &[&get, &poll]);
    // Polled again and again, announced once.
    let before = web
        .requests()
        .iter()
        .filter(|line| line.contains("scan_"))
        .count();
    wait::pause(Duration::from_secs(3));
    let after = web
        .requests()
        .iter()
        .filter(|line| line.contains("scan_"))
        .count();
    assert_eq!((before, after), (60, 60));
    stop(vec![poll, get]);
}

#[test]
fn the_objects_of_a_bucket_are_fetched_and_removed() {
    let flow = Flow::new();
    let mut store = S3::start();
    store.make("data");
    let files = samples();
    for (name, bytes) in &files {
        store.put("data", &format!("in/{name}"), bytes, &[]);
    }
    store.put("data", "elsewhere", b"not to be touched", &[]);
    flow.credentials(&format!("{}\n", store.credential("s3", "data")));
    flow.add_flow(
        "poll/bucket",
        "pollUrl: s3://data/in\npost_exchange: xs_poll\nsleep: 1s\n",
    );
    flow.add_flow(
        "subscribe/get",
        "exchange: xs_poll\ndirectory: ${HOME}/got\nmirror: on\ndelete_source: on\n",
    );
    let mut get = spawn(&flow, "subscribe/get");
    get.wait_for("started", SOON);
    let poll = spawn(&flow, "poll/bucket");
    arrives(&flow.path("got"), &files, &[&get, &poll]);
    wait::until("the objects are gone", SOON, || {
        (store.keys("data") == ["elsewhere"]).then_some(())
    });
    for running in [&get, &poll] {
        let told = running.stderr();
        assert!(!told.contains(S3::SECRET) && !told.contains("X-Amz-Signature"));
    }
    stop(vec![poll, get]);
}

#[test]
fn duplicates_are_winnowed_between_two_kinds_of_brokers() {
    let flow = Flow::new();
    let (_broker, amqp) = rabbit(&flow);
    let files = samples();
    let root = flow.path("data");
    write_all(&root, &files);
    let post = |name: &str| {
        flow.add_flow(
            &format!("post/{name}"),
            &format!(
                "path: {root}\npost_broker: {amqp}\npost_exchange: xs_tsource\n\
                 post_baseUrl: file:/\npost_baseDir: /\n",
                root = root.display()
            ),
        );
    };
    post("one");
    post("two");
    flow.add_flow(
        "winnow/first",
        &format!("broker: {amqp}\nexchange: xs_tsource\npost_exchange: xs_first\n"),
    );
    flow.add_flow(
        "subscribe/copy",
        "exchange: xs_first\ndirectory: ${HOME}/copy\n",
    );
    let mut copy = spawn(&flow, "subscribe/copy");
    copy.wait_for("started", SOON);
    let mut winnow = spawn(&flow, "winnow/first");
    winnow.wait_for("started", SOON);
    flow.run(&["foreground", "post/one"]).expect(0);
    flow.run(&["foreground", "post/two"]).expect(0);
    let names: BTreeMap<String, Vec<u8>> = files
        .into_iter()
        .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or(&path).to_owned(), bytes))
        .collect();
    arrives(&flow.path("copy"), &names, &[&winnow, &copy]);
    stop(vec![winnow, copy]);
}
