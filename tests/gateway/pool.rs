//! Mail hosts that share scanners over RabbitMQ.

use std::collections::BTreeSet;

use flow_testkit::{
    CommuniGate, CommuniGateSetup, Flow, RabbitMq, RabbitMqSetup, Running, Verdict, wait,
};

use crate::{SOON, installation, queue_file, serve, whose};

/// A broker and flows beside it.
struct Site {
    broker: RabbitMq,
    /// With its password, for credentials.conf.
    whole: String,
    url: String,
}

impl Site {
    fn new() -> Self {
        let setup = RabbitMqSetup::new().exchanges(["xs_mails", "xs_verdicts"]);
        let broker = RabbitMq::start_with(&setup);
        let whole = broker.url("/");
        let (user, place) = whole.rsplit_once('@').expect("a user");
        let (user, _) = user.rsplit_once(':').expect("a password");
        let url = format!("{user}@{place}");
        Self { broker, whole, url }
    }

    /// A mail host called `name`; mails of more than `inline` bytes are fetched.
    fn host(&self, name: &str, inline: &str) -> Flow {
        let flow = installation();
        flow.credentials(&format!("{}\n", self.whole));
        flow.add_flow(
            "flow/host",
            &format!(
                "download: off\npost_broker: {url}\npost_exchange: xs_mails\ninline: on\ninlineByteMax: {inline}\n\
                 post_baseUrl: file://${{HOME}}/cgp\nbroker: {url}\nexchange: xs_verdicts\nsubtopic: {name}.#\nqueueName: q_verdicts_{name}\n\
                 callbacks:\n- plugin: cgp-helper\n  host: {name}\n  base_directory: ${{HOME}}/cgp\n",
                url = self.url
            ),
        );
        flow
    }

    /// A machine that scans.
    fn scanner(&self) -> Flow {
        let flow = installation();
        flow.credentials(&format!("{}\n", self.whole));
        flow.add_flow(
            "subscribe/pool",
            &format!(
                "broker: {url}\nexchange: xs_mails\nqueueName: q_scan\ninstances: 8\nbatch: 1\nprefetch: 1\n\
                 directory: ${{HOME}}/scanning\ncallbacks: [cgp-decode, verdict, cgp-helper]\n\
                 post_broker: {url}\npost_exchange: xs_verdicts\n",
                url = self.url
            ),
        );
        flow.run(&["declare", "subscribe/pool"]).expect(0);
        flow
    }
}

fn scan(flow: &Flow) -> Running {
    flow.spawn(&["foreground", "subscribe/pool"])
}

fn check(server: CommuniGate, count: usize) {
    let answers = server.answers(count, SOON);
    for (file, verdict) in &answers {
        assert_eq!(*file, format!("Queue/{}.msg", whose(verdict)));
    }
    let report = server.close();
    assert_eq!(report.violations, [""; 0]);
    assert!(
        report
            .verdicts
            .values()
            .all(|verdicts: &Vec<Verdict>| verdicts.len() == 1)
    );
    let files: BTreeSet<&String> = answers.keys().collect();
    assert_eq!(files.len(), count);
}

#[test]
fn two_mail_hosts_share_two_scanners() {
    let site = Site::new();
    let machines = [site.scanner(), site.scanner()];
    let running: Vec<Running> = machines.iter().map(scan).collect();
    // One sends mails along, the other has them fetched.
    let hosts = [site.host("mail1", "1MiB"), site.host("mail2", "10B")];
    let servers: Vec<CommuniGate> = hosts
        .iter()
        .map(|flow| serve(flow, "flow/host", CommuniGateSetup::default()))
        .collect();
    for number in 0..40 {
        for (which, server) in servers.iter().enumerate() {
            // The same names on both hosts, and other mails.
            let number = number * 2 + which;
            server.mail(
                &number.to_string(),
                &queue_file(number, &format!("addheader {}", number % 50)),
            );
        }
    }
    for server in servers {
        check(server, 40);
    }
    drop(running);
    for flow in &machines {
        let left = std::fs::read_dir(flow.path("scanning")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "mails are not kept");
    }
}

#[test]
fn scanners_the_broker_and_the_helper_are_killed_and_no_mail_is_lost() {
    let mut site = Site::new();
    let machine = site.scanner();
    let mut running = scan(&machine);
    let host = site.host("mail1", "1MiB");
    let server = serve(&host, "flow/host", CommuniGateSetup::default());
    let count = 60;
    for number in 0..count {
        server.mail(
            &number.to_string(),
            &queue_file(number, &format!("addheader {}", 100 + number * 7 % 300)),
        );
    }
    let mut answers = server.answers(5, SOON);
    running.kill();
    running = scan(&machine);
    answers.extend(server.answers(5, SOON));
    server.kill_helper();
    answers.extend(server.answers(5, SOON));
    site.broker.kill();
    wait::pause(std::time::Duration::from_millis(500));
    site.broker.restart();
    answers.extend(server.answers(count - 15, SOON * 2));
    for (file, verdict) in &answers {
        assert_eq!(*file, format!("Queue/{}.msg", whose(verdict)));
    }
    assert_eq!(answers.len(), count);
    let report = server.close();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.timeouts), (2, 0));
    drop(running);
}
