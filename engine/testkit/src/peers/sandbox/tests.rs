//! The played sandbox, asked by the client that others wrote against the product.

use std::time::Duration;

use super::{Delay, Kind, Plan, Sandbox, Verdict};

/// Scans what its arguments name, one line of JSON for each.
const SCRIPT: &str = r#"
import asyncio, json, os, sys
from ptsandbox import Sandbox, SandboxKey
from ptsandbox.models import SandboxBaseScanTaskRequest

async def main():
    key = SandboxKey(name="test", key=os.environ["SANDBOX_KEY"], host=os.environ["SANDBOX_HOST"])
    async with Sandbox(key) as sandbox:
        print((await sandbox.api.get_health_status()).data.status)
        print((await sandbox.api.get_version()).data.version)
        for path in sys.argv[1:]:
            form, path = path.split(":")
            try:
                if form == "two":
                    started = await sandbox.create_scan(path, file_name=os.path.basename(path))
                    whole = await sandbox.wait_for_report(started, 20)
                elif form == "stream":
                    with open(path, "rb") as file:
                        whole = await sandbox.create_scan(file, file_name="stream")
                elif form == "held":
                    whole = await sandbox.create_scan(path, async_result=False, short_result=True)
                else:
                    whole = await sandbox.source_check_file(path, short_result=True)
                result = whole.get_long_report().result
                print(json.dumps([str(result.scan_state), str(result.verdict), result.threat]))
            except Exception as error:
                text = str(error.__cause__ or error)
                print(type(error).__name__, getattr(error, "status", ""), text.splitlines()[0][:200])

asyncio.run(main())
"#;

#[track_caller]
fn run(sandbox: &Sandbox, scans: &[&str], key: Option<&str>) -> Vec<String> {
    let mut command = sandbox.client();
    command.args(["-c", SCRIPT]).args(scans);
    if let Some(key) = key {
        command.env("SANDBOX_KEY", key);
    }
    let home = sandbox.home.path();
    std::fs::write(home.join("clean"), "hello").expect("the home is writable");
    std::fs::write(home.join("bad"), "some malware").expect("the home is writable");
    let output = command.output().expect("python runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || key.is_some(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(str::to_owned)
        .chain(key.map(|_| said))
        .collect()
}

#[test]
fn the_client_of_others_scans_in_every_form() {
    let sandbox = Sandbox::with(Plan {
        delay: Delay::Always(Duration::from_millis(300)),
        preflight: true,
        ..Plan::default()
    });
    let said = run(
        &sandbox,
        &["two:clean", "two:bad", "held:bad", "one:clean", "one:bad"],
        None,
    );
    assert_eq!(said[..2], ["OK", "5.11.0.12345"]);
    assert_eq!(said.len(), 7, "{said:#?}");
    for (line, word) in
        said[2..]
            .iter()
            .zip(["CLEAN", "DANGEROUS", "DANGEROUS", "CLEAN", "DANGEROUS"])
    {
        assert!(line.contains("FULL") && line.contains(word), "{said:#?}");
    }
    assert!(said[3].contains("Trojan.Test."), "{said:#?}");
    assert!(sandbox.count("checkTask") > 0 && sandbox.count("checkFile") == 2);
    assert_eq!(sandbox.scans().len(), 5);
    assert!(
        sandbox
            .asked()
            .iter()
            .all(|asked| asked.status == 200 && !asked.chunked)
    );
}

#[test]
fn it_refuses_what_the_product_refuses() {
    let sandbox = Sandbox::start();
    // Without a length: the client sends streams in chunks.
    let said = run(&sandbox, &["stream:clean", "two:clean"], None);
    assert!(said[2].starts_with("SandboxUploadException"), "{said:#?}");
    let refused = &sandbox.asked()[2];
    assert!(refused.chunked && refused.status == 411, "{refused:?}");
    assert!(said[3].contains("CLEAN"), "{said:#?}");
    let said = run(&sandbox, &[], Some("another key"));
    assert!(said.concat().contains("401"), "{said:#?}");
}

#[test]
fn faults_come_as_ordered() {
    let sandbox = Sandbox::start();
    sandbox.plan(|plan| {
        plan.fault("createScanTask", Kind::Status(500));
        plan.judge = Box::new(|_| Verdict::new("PARTIAL", "UNKNOWN"));
        plan.ttl = Duration::from_secs(3600);
    });
    let said = run(&sandbox, &["held:clean", "held:clean"], None);
    assert!(said[2].contains("500"), "{said:#?}");
    assert!(
        said[3].contains("PARTIAL") && said[3].contains("UNKNOWN"),
        "{said:#?}"
    );
    // It goes down and comes back where it was, with what it knew.
    let scans = sandbox.scans().len();
    sandbox.down();
    let refused = std::net::TcpStream::connect(sandbox.address);
    assert!(refused.is_err());
    sandbox.up();
    sandbox.plan(|plan| plan.judge = Box::new(|_| Verdict::new("FULL", "CLEAN")));
    let said = run(&sandbox, &["two:clean"], None);
    assert!(said[2].contains("CLEAN"), "{said:#?}");
    assert_eq!(sandbox.scans().len(), scans + 1);
    // Files are gone after their time.
    sandbox.plan(|plan| plan.ttl = Duration::ZERO);
    let said = run(&sandbox, &["held:clean"], None);
    assert!(said[2].contains("404"), "{said:#?}");
}
