//! Happenings in, works out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Moment, Pending};
use crate::announce::{Op, Work};

const SETTLE: Duration = Duration::from_millis(5);

struct Scene {
    pending: Pending,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        let wall = 0;
        let pending = Pending::new(
            SETTLE,
            Moment {
                steady: start,
                wall,
            },
        );
        Self { pending, start }
    }

    fn at(&self, millis: u64) -> Moment {
        Moment {
            steady: self.start + Duration::from_millis(millis),
            wall: i128::from(millis),
        }
    }

    /// Happenings in the test's own short form, one a millisecond.
    fn happen(&mut self, text: &str) {
        for (index, happening) in text.split(", ").enumerate() {
            let now = self.at(index as u64);
            let words: Vec<&str> = happening.split(' ').collect();
            let path = |index: usize| PathBuf::from(words[index]);
            let pending = &mut self.pending;
            match words[0] {
                "open" => pending.opened(path(1), now),
                "write" => pending.write(path(1), false, now),
                "link" => pending.write(path(1), true, now),
                "rm" => pending.remove(path(1), false, now),
                "rmdir" => pending.remove(path(1), true, now),
                "mkdir" => pending.mkdir(path(1), now),
                "mv" => pending.rename(path(1), path(2), false, now),
                "mvdir" => pending.rename(path(1), path(2), true, now),
                "hold" => {
                    let due = now.steady + Duration::from_millis(50);
                    pending.hold(path(1), due, (true, true, true), now);
                }
                other => panic!("{other}"),
            }
        }
    }

    fn take(&mut self, millis: u64) -> String {
        let now = self.at(millis).steady;
        let works = self
            .pending
            .take(100, now)
            .into_iter()
            .map(|(work, _)| short(&work));
        works.collect::<Vec<_>>().join(", ")
    }
}

fn short(work: &Work) -> String {
    let path = work.path.display();
    match &work.op {
        Op::Write { new: true, .. } => format!("new {path}"),
        Op::Write { .. } => format!("write {path}"),
        Op::Remove { directory: false } => format!("rm {path}"),
        Op::Remove { directory: true } => format!("rmdir {path}"),
        Op::Mkdir => format!("mkdir {path}"),
        Op::Rename { from, directory } => {
            let what = if *directory { "mvdir" } else { "mv" };
            format!("{what} {} {path}", from.display())
        }
    }
}

fn check(happened: &str, announced: &str) {
    let mut scene = Scene::new();
    scene.happen(happened);
    assert_eq!(scene.take(1_000), announced, "{happened}");
    assert_eq!(scene.pending.len(), 0, "{happened}");
}

#[test]
fn what_belongs_together_is_one_work() {
    check("open a, write a, write a, write a", "new a");
    check("write a, write b, write a", "write b, write a");
    check("open a, write a, rm a", "");
    check("open a, rm a", "");
    check("write a, rm a", "rm a");
    check("rm a, open a, write a", "write a");
    check("hold a, write a", "new a");
    check("hold a, rm a", "");
    check("hold a", "new a");
    check("mkdir d, rmdir d", "");
    check("rmdir d, mkdir d", "rmdir d, mkdir d");
    check("rmdir a, open a, write a", "rmdir a, write a");
}

#[test]
fn temporary_names_are_never_heard_of() {
    check("open t, write t, mv t a", "new a");
    check("rm a, open t, write t, mv t a", "write a");
    check("open t, mv t a, write a", "new a");
    // Whether the second name was there before is not known.
    check("open t, write t, mv t u, mv u a", "mv u a, write a");
    check("hold t, mv t a", "new a");
    check(
        "mkdir t, open t/x, write t/x, mvdir t d",
        "mkdir d, new d/x",
    );
    check(
        "mkdir t, open t/x, mvdir t d, write d/x",
        "mkdir d, new d/x",
    );
    check("mkdir t, hold t/x, mvdir t d", "mkdir d, new d/x");
}

#[test]
fn renames_keep_their_order() {
    check("mv a b", "mv a b");
    check("mv a b, mv c a, mv b c", "mv a b, mv c a, mv b c");
    check("write a, mv a b", "mv a b, write b");
    check("mv a b, write b", "mv a b, write b");
    check("mv a b, rm b", "mv a b, rm b");
    check("write b, mv a b", "mv a b");
    check("rm a, mv b a", "mv b a");
    check("write d/x, mvdir d e", "mvdir d e, write e/x");
    check(
        "mv a d/a, mvdir d e, write e/a",
        "mv a d/a, mvdir d e, write e/a",
    );
    check("rm d/x, mvdir d e", "rm d/x, mvdir d e");
    check("mvdir d e, mkdir d", "mvdir d e, mkdir d");
}

#[test]
fn what_goes_on_is_waited_for_but_not_for_ever() {
    let mut scene = Scene::new();
    let path = PathBuf::from("a");
    for millis in 0..200 {
        let now = scene.at(millis);
        scene.pending.write(path.clone(), false, now);
        let taken = scene.take(millis);
        if !taken.is_empty() {
            assert_eq!((taken.as_str(), millis), ("write a", 104));
            return;
        }
    }
    panic!("it was never announced");
}

#[test]
fn what_was_found_waits_for_what_is_being_told() {
    let mut scene = Scene::new();
    scene.pending.set_quiet(false, scene.at(0));
    let due = scene.at(10).steady;
    let found = scene.at(1);
    scene
        .pending
        .hold("a".into(), due, (true, true, true), found);
    assert_eq!(scene.take(20), "");
    assert_eq!(scene.pending.next_due(), None);
    assert_eq!(scene.pending.safe(scene.at(20)), 0);
    scene.pending.set_quiet(true, scene.at(25));
    assert_eq!(scene.pending.safe(scene.at(25)), 1);
    assert_eq!(scene.take(30), "new a");
    assert_eq!(scene.pending.safe(scene.at(40)), 40);
}

#[test]
fn shedding_keeps_what_can_not_be_found_again() {
    let mut scene = Scene::new();
    scene.happen("write a, rm b, mv c d, hold e, open f, mkdir g");
    assert_eq!((scene.pending.len(), scene.pending.shed_len()), (5, 3));
    scene.pending.shed();
    assert_eq!(scene.take(1_000), "rm b, mv c d");
}
