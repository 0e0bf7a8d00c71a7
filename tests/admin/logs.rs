//! `logLevel`, `logEvents`, `logReject`, `logDuplicates`, `logMessageDump`: in a terminal.

use flow_testkit::Flow;

/// What a post of two files, one of them rejected, says on stderr.
fn said(options: &str, arguments: &[&str]) -> String {
    let flow = Flow::new();
    flow.write("out/a.txt", b"a");
    flow.write("out/b.bin", b"b");
    flow.add_flow(
        "post/a",
        &format!(
            "path: ${{HOME}}/out\npost_exchange: xs\nacceptUnmatched: off\n\
             filters:\n  - accept: '.*\\.txt$'\n{options}"
        ),
    );
    let mut all = vec!["foreground", "post/a", "--once"];
    all.extend(arguments);
    flow.run(&all).expect(0).stderr
}

#[test]
fn events_have_lines_as_the_flow_says() {
    let plain = said("", &[]);
    assert!(plain.contains("posted "), "{plain}");
    assert!(plain.contains("rejected "), "{plain}");
    assert!(!plain.contains("post/a  accepted "), "{plain}");
    let off = said("logReject: off\n", &[]);
    assert!(!off.contains("rejected  "), "{off}");
    let some = said("logEvents: [after_accept, reject]\n", &[]);
    assert!(some.contains("post/a  accepted "), "{some}");
    assert!(some.contains("rejected "), "{some}");
    assert!(!some.contains("posted  "), "{some}");
}

#[test]
fn the_level_is_the_flows_unless_asked_otherwise() {
    let quiet = said("logLevel: error\n", &[]);
    assert!(!quiet.contains(" INFO "), "{quiet}");
    let asked = said("logLevel: error\n", &["--log-level", "info"]);
    assert!(asked.contains("posted "), "{asked}");
    let much = said("logLevel: debug\n", &[]);
    assert!(much.contains(" DEBUG "), "{much}");
}

#[test]
fn a_dump_holds_the_message() {
    let dump = said("logMessageDump: on\n", &[]);
    assert!(dump.contains("\"relPath\""), "{dump}");
    assert!(!said("", &[]).contains("\"relPath\""));
}
