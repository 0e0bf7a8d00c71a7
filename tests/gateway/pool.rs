//! Mail hosts that share scanners over RabbitMQ.

use flow_testkit::{CommuniGate, CommuniGateSetup, Flow, Running, Sftp, Verdict, wait};

use crate::broker::Broker;
use crate::{SOON, expect_each_once, expect_own, installation, queue_file, serve};

pub(crate) const HOST: &str = "flow/host";
const POOL: &str = "subscribe/pool";

/// Flows beside a broker.
impl Broker {
    /// A mail host called `name`; mails of more than `inline` bytes are fetched.
    pub(crate) fn host(&self, name: &str, inline: &str) -> Flow {
        let flow = installation();
        flow.credentials(&format!("{}\n", self.whole));
        flow.add_flow(
            HOST,
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
    pub(crate) fn scanner(&self) -> Flow {
        let flow = installation();
        flow.credentials(&format!("{}\n", self.whole));
        flow.add_flow(
            POOL,
            &format!(
                "broker: {url}\nexchange: xs_mails\nqueueName: q_scan\ninstances: 8\nbatch: 1\nprefetch: 1\n\
                 directory: ${{HOME}}/scanning\ncallbacks: [cgp-decode, verdict, cgp-helper]\n\
                 post_broker: {url}\npost_exchange: xs_verdicts\npost_failed: on\n",
                url = self.url
            ),
        );
        flow.run(&["declare", POOL]).expect(0);
        flow
    }
}

pub(crate) fn scan(flow: &Flow) -> Running {
    flow.spawn(&["foreground", POOL])
}

fn check(server: CommuniGate, count: usize) {
    let answers = server.answers(count, SOON);
    expect_own(&answers);
    expect_each_once(&server.close());
    assert_eq!(answers.len(), count);
}

#[test]
fn two_mail_hosts_share_two_scanners() {
    let site = Broker::start();
    let machines = [site.scanner(), site.scanner()];
    let running: Vec<Running> = machines.iter().map(scan).collect();
    // One sends mails along, the other has them fetched.
    let hosts = [site.host("mail1", "1MiB"), site.host("mail2", "10B")];
    let servers: Vec<CommuniGate> = hosts
        .iter()
        .map(|flow| serve(flow, HOST, CommuniGateSetup::default()))
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
    let mut site = Broker::start();
    let machine = site.scanner();
    let mut running = scan(&machine);
    let host = site.host("mail1", "1MiB");
    let server = serve(&host, HOST, CommuniGateSetup::default());
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
    site.server.kill();
    wait::pause(std::time::Duration::from_millis(500));
    site.server.restart();
    answers.extend(server.answers(count - 15, SOON * 2));
    expect_own(&answers);
    assert_eq!(answers.len(), count);
    let report = server.close();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!((report.starts, report.timeouts), (2, 0));
    drop(running);
}

#[test]
fn what_the_scanners_can_not_have_scanned_is_answered_at_once() {
    let broker = Broker::start();
    let machine = broker.scanner();
    broker.spy();
    // Mails are fetched as they are from other machines. Nobody waits for the deadline, which is
    // minutes away.
    let sftp = Sftp::start();
    let url = format!("sftp://{}@127.0.0.1:{}/", sftp.user(), sftp.port());
    machine.credentials(&format!(
        "{}\n{url} ssh_keyfile={}\n",
        broker.whole,
        sftp.key_file().display()
    ));
    let host = broker.host("mail1", "10B");
    let path = host.config_dir().join(format!("{HOST}.yaml"));
    let text = std::fs::read_to_string(&path).expect("it was added");
    let text = text.replace("file://${HOME}/cgp", &url);
    std::fs::write(&path, text).expect("the home is writable");
    std::os::unix::fs::symlink(sftp.landing(), host.path("cgp")).expect("a link");
    let server = serve(&host, HOST, CommuniGateSetup::default());
    let gone = server.mail("gone", &queue_file(1, "ok"));
    broker.overheard();
    std::fs::remove_file(host.path("cgp").join(&gone)).expect("it was there");
    let never = server.mail("never", &queue_file(2, "never"));
    // However often it is tried, it does not work.
    let away = server.mail("away", &queue_file(3, "away"));
    let plain = server.mail("plain", b"Subject: not from the queue\n\nmail\n");
    let silent = server.mail("silent", &queue_file(4, "silent"));
    let fine = server.mail("fine", &queue_file(5, "ok"));
    let running = scan(&machine);
    let answers = server.answers(6, SOON);
    assert_eq!(answers[&fine], Verdict::Passed(vec![]));
    for (file, why) in [
        (&gone, "gone.msg"),
        (&never, "this can't be scanned"),
        (&away, "given up after 10 tries"),
        (&plain, "is no queue file"),
        (&silent, "the scanner said ``"),
    ] {
        let kept = matches!(&answers[file], Verdict::Kept(said) if said.contains(why));
        assert!(kept, "{file}: {:?}", answers[file]);
    }
    expect_each_once(&server.close());
    // They are also where the scanners' people look.
    running.terminate();
    running.finish(SOON).expect(0);
    let dead = machine.run(&["retry", "list", POOL, "--dead"]).expect(0);
    assert!(dead.stdout.contains("never.msg"), "{}", dead.stdout);
}
