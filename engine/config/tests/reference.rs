//! The table of options against what it is made for: the page, every kind's defaults, and sr3.

mod common;

use common::{golden, least, load};
use flow_config::{Flow, Kind, OptionDoc, OptionType, option, options, page};

#[track_caller]
fn flow(name: &str, text: &str) -> Flow {
    match load(name, text) {
        Ok(loaded) => loaded.flow,
        Err(report) => panic!("{report}\n{text}"),
    }
}

/// `text` with `name` set to `value`; what can't be beside it left out.
fn with(kind: Kind, name: &str, value: &str) -> String {
    let mut text: String = least(kind)
        .lines()
        .filter(|line| !line.starts_with(&format!("{name}:")))
        .filter(|line| !(name == "delete_destination" && line.starts_with("directory:")))
        .map(|line| format!("{line}\n"))
        .collect();
    if name == "include" {
        return text;
    }
    // A plugin that downloads needs a place.
    if name == "callbacks" && kind == Kind::Flow {
        text.push_str("directory: /data\n");
    }
    // Who listens needs somebody who answers.
    if name == "listen" {
        text.push_str("callbacks: [hooks]\n");
    }
    text.push_str(&format!("{name}: {value}\n"));
    text
}

fn is_set(flow: &Flow, name: &str) -> bool {
    flow.settings.iter().any(|setting| {
        setting.name.split(['[', '.']).next() == Some(name) && setting.origin.is_written()
    })
}

#[test]
fn the_page_is_up_to_date() {
    golden("OPTIONS.md", &page());
}

#[test]
fn every_kind_has_its_defaults() {
    for kind in Kind::ALL {
        let flow = flow(&format!("{kind}/x"), least(kind));
        let width = flow
            .settings
            .iter()
            .map(|setting| setting.name.len())
            .max()
            .unwrap_or(0);
        let listing: String = flow
            .settings
            .iter()
            .map(|setting| {
                format!(
                    "{:width$}  {:40}  {}\n",
                    setting.name, setting.value, setting.origin
                )
            })
            .collect();
        golden(&format!("tests/kinds/{kind}.txt"), &listing);
    }
}

#[test]
fn every_option_can_be_set_and_is_shown() {
    for kind in Kind::ALL {
        for declared in options().iter().filter(|option| option.is_for(kind)) {
            // Included files are read by the loader, and are tested there.
            if declared.name == "include" {
                continue;
            }
            let flow = flow(
                &format!("{kind}/x"),
                &with(kind, declared.name, declared.example),
            );
            assert!(
                is_set(&flow, declared.name),
                "{kind}: {} is not shown: {:?}",
                declared.name,
                flow.settings
            );
        }
    }
}

#[test]
fn every_option_is_shown_where_it_means_something_and_only_there() {
    let structured = |option: &OptionDoc| {
        matches!(
            option.kind,
            OptionType::Filters | OptionType::Callbacks | OptionType::Allow
        ) || ["header", "include"].contains(&option.name)
    };
    for kind in Kind::ALL {
        let flow = flow(&format!("{kind}/x"), least(kind));
        for declared in options() {
            let shown = flow
                .settings
                .iter()
                .any(|setting| setting.name.split('[').next() == Some(declared.name));
            if declared.is_for(kind) {
                assert!(
                    shown || structured(declared),
                    "{kind}: {} is not shown",
                    declared.name
                );
            } else {
                assert!(!shown, "{kind}: {} is shown", declared.name);
                let report = load(
                    &format!("{kind}/x"),
                    &with(kind, declared.name, declared.example),
                )
                .expect_err(declared.name);
                let found = report
                    .findings()
                    .iter()
                    .any(|finding| finding.code == "config/not-here");
                assert!(found, "{kind}: {}: {report}", declared.name);
            }
        }
    }
}

#[test]
fn defaults_are_of_their_own_type() {
    // Every default is written out as a value, which has to give the same flow as leaving it out.
    for declared in options() {
        for kind in declared.kinds {
            let (Some(default), _) = declared.default_for(*kind) else {
                continue;
            };
            let value = format!("'{default}'");
            flow(&format!("{kind}/x"), &with(*kind, declared.name, &value));
        }
    }
    assert_eq!(
        option("sleep").expect("declared").default_for(Kind::Poll),
        (Some("60s"), true)
    );
}

/// Every option of sr3 is here, or somewhere said why not.
#[test]
fn no_option_of_sr3_is_forgotten() {
    const SR3: &str = include_str!("sr3-options.txt");
    let page = page();
    for name in SR3.split_whitespace() {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is neither here nor explained"
        );
    }
}

#[test]
fn a_flow_that_is_made_has_the_defaults_of_its_kind() {
    for kind in Kind::ALL {
        let name: flow_config::FlowName = format!("{kind}/x").parse().expect("a name");
        let made = Flow::new(name);
        assert!(made.input.is_none() && made.output.is_none() && made.callbacks.is_empty());
        let read = flow(&format!("{kind}/x"), least(kind));
        assert_eq!(made.sleep, read.sleep);
        assert_eq!(made.filters.placement.mirror, read.filters.placement.mirror);
        assert_eq!(made.transfer, read.transfer);
        assert_eq!(made.log, read.log);
        assert_eq!(made.events, read.events);
    }
}
