//! What happens to files besides being written: linked, removed, renamed; directories too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use flow_testkit::Running;

use super::site::*;

/// A tree each.
const FORMATS: [&str; 2] = ["v03", "v02"];

/// One change, waited for before the next: what is asked is whether each means the same on both sides.
struct Step {
    what: &'static str,
    change: fn(&Path),
    /// Whether sr3 can say it in v02: it forgets where a link leads, and takes a directory that is
    /// removed for a file.
    sr3_says_in_v02: bool,
}

const STEPS: [Step; 7] = [
    Step {
        what: "a directory and files",
        change: |root| {
            fs::create_dir(root.join("in")).expect("a directory");
            for name in ["in/one.txt", "in/two.txt", "three.txt", "four.txt"] {
                fs::write(root.join(name), name).expect("a file");
            }
        },
        sr3_says_in_v02: true,
    },
    Step {
        what: "an empty directory",
        change: |root| fs::create_dir(root.join("empty")).expect("a directory"),
        sr3_says_in_v02: true,
    },
    Step {
        what: "a link",
        change: |root| symlink("one.txt", root.join("in/link")).expect("a link"),
        sr3_says_in_v02: false,
    },
    Step {
        what: "a changed file",
        change: |root| fs::write(root.join("three.txt"), "other").expect("a file"),
        sr3_says_in_v02: true,
    },
    Step {
        what: "removed files",
        change: |root| {
            fs::remove_file(root.join("in/two.txt")).expect("it is there");
            fs::remove_file(root.join("three.txt")).expect("it is there");
        },
        sr3_says_in_v02: true,
    },
    Step {
        what: "a removed link",
        change: |root| fs::remove_file(root.join("in/link")).expect("it is there"),
        sr3_says_in_v02: false,
    },
    Step {
        what: "a removed directory",
        change: |root| fs::remove_dir(root.join("empty")).expect("it is empty"),
        sr3_says_in_v02: false,
    },
];

/// Renames, of which the new name arrives, and the old one stays where it was.
#[track_caller]
fn renamed_but_kept(origin: &Path, copy: &Path, old: &str, new: &str, flows: &[&Running]) {
    let mut expected = found(origin);
    fs::rename(origin.join(old), origin.join(new)).expect("a rename");
    expected.extend(found(origin));
    mirrors(&format!("{old} renamed to {new}"), copy, &expected, flows);
}

#[test]
fn what_sr3_watches_is_mirrored() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&[]);
    let mut flows = Vec::new();
    for format in FORMATS {
        let exchange = format!("xs_tsource_{format}");
        site.sr3_announcer(&format!("watch/{format}"), &amqp, &exchange, format);
        site.flow_subscriber(&format!("subscribe/{format}"), &amqp, &exchange, format);
        flows.push(site.start_flow(&format!("subscribe/{format}")));
        flows.push(site.start_sr3_watch(&format!("watch/{format}")));
    }
    let told: Vec<&Running> = flows.iter().collect();
    let copies = FORMATS.map(|format| (format, site.origin(format).0, site.flow.path(format)));
    for step in &STEPS {
        let said = |format| format == "v03" || step.sr3_says_in_v02;
        for (_, origin, _) in copies.iter().filter(|(format, ..)| said(*format)) {
            (step.change)(origin);
        }
        for (_, origin, copy) in copies.iter().filter(|(format, ..)| said(*format)) {
            mirrors(step.what, copy, &found(origin), &told);
        }
    }
    for (_, origin, copy) in &copies {
        // sr3 announces the old name with the whole path on its own disk, which means nothing here.
        renamed_but_kept(origin, copy, "in/one.txt", "in/first.txt", &told);
    }
    stop(flows);
}

#[test]
fn what_is_watched_sr3_mirrors() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_tsource_v03", "xs_tsource_v02"]);
    let mut flows = Vec::new();
    for format in FORMATS {
        let exchange = format!("xs_tsource_{format}");
        site.flow_announcer(&format!("watch/{format}"), &amqp, &exchange, format);
        site.sr3_subscriber(&format!("subscribe/{format}"), &amqp, &exchange, format);
        flows.push(site.start_flow(&format!("watch/{format}")));
        flows.push(site.start_sr3(&format!("subscribe/{format}")));
    }
    let told: Vec<&Running> = flows.iter().collect();
    let copies = FORMATS.map(|format| (site.origin(format).0, site.sr3.path(format)));
    let rename = Step {
        what: "a renamed file",
        change: |root| fs::rename(root.join("four.txt"), root.join("five.txt")).expect("a rename"),
        sr3_says_in_v02: true,
    };
    // sr3 asks its queues every five seconds when little happens: both trees share that wait.
    for step in STEPS.iter().chain([&rename]) {
        for (origin, _) in &copies {
            (step.change)(origin);
        }
        for (origin, copy) in &copies {
            mirrors(step.what, copy, &found(origin), &told);
        }
    }
    for (origin, copy) in &copies {
        // sr3 looks for the old name below the directory of the new one.
        renamed_but_kept(origin, copy, "in/one.txt", "in/first.txt", &told);
    }
    stop(flows);
}
