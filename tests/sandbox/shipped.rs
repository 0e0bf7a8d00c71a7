//! The flows that are shipped: a folder in, clean files and a quarantine out.

use flow_testkit::{Flow, Sandbox};

use crate::{SOON, is_there, until};

#[test]
fn a_folder_is_scanned() {
    let sandbox = Sandbox::start();
    let flow = Flow::new();
    for name in ["watch/scan.yaml", "subscribe/scan.yaml"] {
        flow.run(&["add", name]).expect(0);
    }
    flow.credentials(&sandbox.credential());
    flow.amend(
        "subscribe/scan",
        &[("caFile", &sandbox.ca_file().display().to_string())],
    );
    let path = flow.config_dir().join("subscribe/scan.yaml");
    let text = std::fs::read_to_string(&path).expect("it was added");
    let text = text.replace("https://sandbox.example.com", &sandbox.url());
    std::fs::write(&path, text).expect("the home is writable");
    std::fs::create_dir_all(flow.path("scan/in")).expect("the home is writable");
    // Its queue has to be there before the folder is announced.
    flow.run(&["foreground", "subscribe/scan", "--once"])
        .expect(0);
    let scan = flow.spawn(&["foreground", "subscribe/scan"]);
    let mut watch = flow.spawn(&["foreground", "watch/scan"]);
    watch.wait_for("started", SOON);
    let first = flow.path("scan/clean/one.txt");
    let mut tries = 0;
    // It says that it has started before it watches: written until it is noticed.
    until("the first file", || {
        tries += 1;
        if tries % 500 == 1 {
            flow.write("scan/in/one.txt", format!("hello {tries}").as_bytes());
        }
        is_there(&first)
    });
    flow.write("scan/in/sub/bad.exe", b"some malware");
    flow.write("scan/in/sub/new.txt", b"more");
    until("the second file", || {
        is_there(&flow.path("scan/clean/sub/new.txt"))
    });
    let quarantine = flow.path("scan/quarantine");
    until("the quarantine", || {
        std::fs::read_dir(&quarantine).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .ends_with("-bad.exe.quarantine")
            })
        })
    });
    assert!(!is_there(&flow.path("scan/clean/sub/bad.exe")));
    for running in [watch, scan] {
        running.terminate();
        running.finish(SOON).expect(0);
    }
}
