//! `kill -9` of the helper at random, until all mails are answered.

use std::time::Duration;

use flow_testkit::{CommuniGateSetup, wait};

use crate::{HELPER, SOON, expect_each_once, expect_own, gateway, queue_file, serve};

#[test]
fn helpers_are_killed_and_every_mail_gets_its_own_verdict() {
    let flow = gateway("", "");
    let setup = CommuniGateSetup {
        outstanding: 8,
        ..Default::default()
    };
    let server = serve(&flow, HELPER, setup);
    let count = 40;
    for number in 0..count {
        server.mail(
            &number.to_string(),
            &queue_file(number, &format!("addheader {}", number * 37 % 400)),
        );
    }
    let mut answers = server.answers(3, SOON);
    for round in 0..4_u64 {
        wait::pause(Duration::from_millis(50 + round * 170));
        server.kill_helper();
        // It answers again, so the next one is killed at work.
        answers.extend(server.answers(2, SOON));
    }
    answers.extend(server.answers(count - 11, SOON));
    expect_own(&answers);
    assert_eq!(answers.len(), count);
    let report = server.close();
    expect_each_once(&report);
    assert_eq!((report.starts, report.timeouts), (5, 0));
}
