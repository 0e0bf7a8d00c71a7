//! Flows that are wrong in company, or odd: what is said of `company/<case>.yaml`, whose first line
//! names the flow, is in `company/<case>.txt`.

mod common;

use std::path::Path;

use common::{golden, load};

#[test]
fn what_is_said_of_flows() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/company");
    let mut cases: Vec<_> = std::fs::read_dir(&directory)
        .expect("the directory of cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    cases.sort();
    assert!(cases.len() > 20);
    for path in cases {
        let text = std::fs::read_to_string(&path).expect("a case");
        let name = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "))
            .expect("the first line names the flow");
        let said = match load(name, &text) {
            Ok(loaded) => format!("it starts\n\n{}", loaded.warnings.render(false)),
            Err(report) => report.render(false),
        };
        let case = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        golden(&format!("tests/company/{case}.txt"), &said);
    }
}
