//! What many accept and reject rules cost: to load, to hold, and a message.
//! `cargo run --release -p flow-config --example rules_speed [rules…]`.

#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::hint::black_box;
use std::time::Instant;

use flow_config::{Conditions, Placement, Rule, Rules};
use flow_message::{Message, Timestamp};
use regex::{Regex, RegexSet};

const MESSAGES: usize = 2_000;

fn main() {
    let counts: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"))
        .collect();
    let counts = if counts.is_empty() {
        vec![1, 10, 1_000, 5_000]
    } else {
        counts
    };
    println!(
        "| rules | compiled, ms | memory, MiB | indexed, ms | memory, MiB | a message, us | one by one, us | as a RegexSet, us |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for count in counts {
        measure(count);
    }
}

fn measure(count: usize) {
    let patterns: Vec<String> = (0..count).map(|number| pattern(number, count)).collect();
    let messages: Vec<Message> = (0..MESSAGES)
        .map(|number| {
            let path = format!(
                "20261122/SOURCE-{}/model/run-{:02}/station-{:05}/file-{number}.grib2",
                number % 9,
                number % 24,
                number * 7_919 % (count * 5 / 4 + 1),
            );
            Message::new(
                Timestamp::from_unix(0, 0),
                "https://data.example.org/",
                path,
            )
        })
        .collect();
    let urls: Vec<String> = messages.iter().map(Message::url).collect();

    let (before, started) = (resident(), Instant::now());
    let list: Vec<Rule> = patterns.iter().map(|pattern| rule(pattern)).collect();
    let (compiled, rules_memory) = (started.elapsed(), resident() - before);
    let (before, started) = (resident(), Instant::now());
    let rules = Rules::from(list);
    let (indexed, index_memory) = (started.elapsed(), resident() - before);

    let look_up = || {
        let started = Instant::now();
        for (url, message) in urls.iter().zip(&messages) {
            black_box(rules.deciding(url, message));
        }
        started.elapsed()
    };
    // An expression makes its room when it is first tried.
    let before = resident();
    let first = look_up();
    let use_memory = resident() - before;
    let by_index = (0..5).map(|_| look_up()).min().unwrap_or_default();
    let one_by_one = || {
        let started = Instant::now();
        for (url, message) in urls.iter().zip(&messages) {
            black_box(rules.iter().find(|rule| rule.matches(url, message)));
        }
        started.elapsed()
    };
    let one_by_one = (0..2).map(|_| one_by_one()).min().unwrap_or_default();
    let by_set = RegexSet::new(&patterns).map(|set| {
        let started = Instant::now();
        for url in &urls {
            black_box(set.matches(url).iter().next());
        }
        started.elapsed()
    });

    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / MESSAGES as f64;
    println!(
        "| {count} | {:.1} | {rules_memory:.1} | {:.1} | {index_memory:.1} | {:.2} | {use_memory:.1} | {:.2} | {:.2} | {} |",
        compiled.as_secs_f64() * 1e3,
        indexed.as_secs_f64() * 1e3,
        micros(first),
        micros(by_index),
        micros(one_by_one),
        by_set.map_or("too large".to_owned(), |set| format!("{:.2}", micros(set))),
    );
}

fn pattern(number: usize, count: usize) -> String {
    match number {
        _ if number + 1 == count => "^(?:.*)".to_owned(),
        _ if number.is_multiple_of(3) => format!(r"^(?:.*/station-{number:05}/.*\.grib2$)"),
        _ if number % 3 == 1 => format!("^(?:.*/SOURCE-([0-9])/.*/station-{number:05}/(.*))"),
        _ => format!("^(?:https://data.example.org/[0-9]{{8}}/.*station-{number:05})"),
    }
}

fn rule(pattern: &str) -> Rule {
    Rule {
        text: pattern.to_owned(),
        regex: Regex::new(pattern).expect("an expression"),
        conditions: Conditions::default(),
        accept: true,
        placement: Placement::default(),
        origin: "flow/test.yaml:1".into(),
    }
}

/// MiB of this process in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}
