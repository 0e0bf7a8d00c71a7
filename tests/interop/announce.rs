//! One announces, the other fetches: both directions, both formats, all announcers, both brokers.

use flow_testkit::Running;

use super::site::*;

/// What announces a tree: once and to the end, or as it changes.
const ANNOUNCERS: [&str; 2] = ["post", "watch"];

/// `how-format` of every announcer and format, each with its own tree and exchange.
fn names(formats: &[&str]) -> Vec<String> {
    let all = |how: &&str| {
        let how = (*how).to_owned();
        formats.iter().map(move |format| format!("{how}-{format}"))
    };
    ANNOUNCERS.iter().flat_map(all).collect()
}

fn format_of(name: &str) -> &str {
    name.rsplit('-').next().expect("it has a format")
}

#[track_caller]
fn sr3_announces(site: &Site, broker: &str, formats: &[&str], files: &Tree) {
    let names = names(formats);
    let mut gets = Vec::new();
    let mut watches = Vec::new();
    for name in &names {
        let how = name
            .split('-')
            .next()
            .expect("it begins with the announcer");
        let exchange = format!("xs_tsource_{name}");
        site.sr3_announcer(&format!("{how}/{name}"), broker, &exchange, format_of(name));
        site.flow_subscriber(
            &format!("subscribe/{name}"),
            broker,
            &exchange,
            format_of(name),
        );
        gets.push(site.start_flow(&format!("subscribe/{name}")));
        if how == "watch" {
            // What is put into a directory as soon as it is made, sr3 may miss.
            directories(&site.origin(name).0, files);
            watches.push(site.start_sr3_watch(&format!("watch/{name}")));
        }
    }
    for name in &names {
        write(&site.origin(name).0, files);
        if name.starts_with("post") {
            site.sr3_post(name);
        }
    }
    let told: Vec<&Running> = gets.iter().chain(&watches).collect();
    for name in &names {
        arrives(&site.flow.path(name), files, &told);
        tidy(&site.flow.path(name));
    }
    stop(gets);
    stop(watches);
}

#[track_caller]
fn flow_announces(site: &Site, broker: &str, formats: &[&str], files: &Tree) {
    let names = names(formats);
    let mut gets = Vec::new();
    let mut watches = Vec::new();
    for name in &names {
        let how = name
            .split('-')
            .next()
            .expect("it begins with the announcer");
        let exchange = format!("xs_tsource_{name}");
        site.flow_announcer(&format!("{how}/{name}"), broker, &exchange, format_of(name));
        site.sr3_subscriber(
            &format!("subscribe/{name}"),
            broker,
            &exchange,
            format_of(name),
        );
        if how == "watch" {
            watches.push(site.start_flow(&format!("watch/{name}")));
        }
        gets.push(site.start_sr3(&format!("subscribe/{name}")));
    }
    for name in &names {
        write(&site.origin(name).0, files);
        if name.starts_with("post") {
            site.flow
                .run(&["foreground", &format!("post/{name}")])
                .expect(0);
        }
    }
    let told: Vec<&Running> = gets.iter().chain(&watches).collect();
    for name in &names {
        arrives(&site.sr3.path(name), files, &told);
    }
    stop(gets);
    stop(watches);
}

#[test]
fn what_sr3_announces_over_amqp_is_fetched() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&[]);
    let mut files = samples(40);
    files.extend(awkward());
    sr3_announces(&site, &amqp, &["v03", "v02"], &files);
}

#[test]
fn what_is_announced_over_amqp_sr3_fetches() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&[
        "xs_tsource_post-v03",
        "xs_tsource_post-v02",
        "xs_tsource_watch-v03",
        "xs_tsource_watch-v02",
    ]);
    flow_announces(&site, &amqp, &["v03", "v02"], &samples(40));
}

#[test]
fn what_sr3_announces_over_mqtt_is_fetched() {
    let site = Site::new();
    let (_broker, mqtt) = site.mosquitto();
    let mut files = samples(40);
    files.extend(awkward());
    sr3_announces(&site, &mqtt, &["v03"], &files);
}

#[test]
fn what_is_announced_over_mqtt_sr3_fetches() {
    let site = Site::new();
    let (_broker, mqtt) = site.mosquitto();
    flow_announces(&site, &mqtt, &["v03"], &samples(40));
}
