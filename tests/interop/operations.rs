//! What happens to files besides being written: renamed, linked, removed; directories too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use flow_testkit::Running;

use super::site::*;

/// One change, waited for before the next: what is asked is whether each means the same on both sides.
type Step = (&'static str, fn(&Path));

const STEPS: [Step; 8] = [
    ("a directory and files", |root| {
        fs::create_dir(root.join("in")).expect("a directory");
        for name in ["in/one.txt", "in/two.txt", "three.txt"] {
            fs::write(root.join(name), name).expect("a file");
        }
    }),
    ("an empty directory", |root| {
        fs::create_dir(root.join("empty")).expect("a directory");
    }),
    ("a link", |root| {
        symlink("one.txt", root.join("in/link")).expect("a link");
    }),
    ("a changed file", |root| {
        fs::write(root.join("three.txt"), "other").expect("a file");
    }),
    ("a renamed file", |root| {
        fs::rename(root.join("in/one.txt"), root.join("in/first.txt")).expect("a rename");
    }),
    ("a file in another directory", |root| {
        fs::rename(root.join("in/two.txt"), root.join("empty/two.txt")).expect("a rename");
    }),
    ("a removed file and link", |root| {
        fs::remove_file(root.join("in/link")).expect("it is there");
        fs::remove_file(root.join("three.txt")).expect("it is there");
    }),
    ("a removed directory", |root| {
        fs::remove_file(root.join("in/first.txt")).expect("it is there");
        fs::remove_dir(root.join("in")).expect("it is empty");
    }),
];

#[track_caller]
fn carried_out(origin: &Path, copies: &[&Path], flows: &[&Running]) {
    for (what, change) in STEPS {
        change(origin);
        for copy in copies {
            eprintln!("{what}, in {}", copy.display());
            mirrors(copy, &found(origin), flows);
        }
    }
}

#[test]
fn what_sr3_watches_is_mirrored() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_tsource_tree"]);
    site.sr3_announcer("watch/tree", &amqp, "xs_tsource_tree", "v03");
    site.flow_subscriber("subscribe/tree", &amqp, "xs_tsource_tree", "v03");
    let get = site.start_flow("subscribe/tree");
    let watch = site.start_sr3_watch("watch/tree");
    let (origin, _) = site.origin("tree");
    carried_out(&origin, &[&site.flow.path("tree")], &[&get, &watch]);
    stop(vec![get, watch]);
}

#[test]
fn what_is_watched_sr3_mirrors() {
    let site = Site::new();
    let (_broker, amqp) = site.rabbit(&["xs_tsource_tree"]);
    site.flow_announcer("watch/tree", &amqp, "xs_tsource_tree", "v03");
    site.sr3_subscriber("subscribe/tree", &amqp, "xs_tsource_tree", "v03");
    let watch = site.start_flow("watch/tree");
    let get = site.start_sr3("subscribe/tree");
    let (origin, _) = site.origin("tree");
    carried_out(&origin, &[&site.sr3.path("tree")], &[&get, &watch]);
    stop(vec![get, watch]);
}
