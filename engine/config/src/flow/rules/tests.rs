//! The look-up decides as trying each rule does.

use flow_message::{Message, Timestamp};
use proptest::prelude::*;
use regex::Regex;

use super::Rules;
use crate::flow::{Conditions, Placement, Rule, SizeRange};

fn rule(number: usize, accept: bool, regex: &str, least: Option<u64>) -> Rule {
    Rule {
        text: format!("{number}"),
        regex: Regex::new(&format!("^(?:{regex})")).unwrap(),
        conditions: Conditions {
            size: least.map(|least| SizeRange {
                least,
                most: u64::MAX,
            }),
            ..Conditions::default()
        },
        accept,
        placement: Placement::default(),
        origin: String::new(),
    }
}

fn message(path: &str, size: Option<u64>) -> Message {
    let mut message = Message::new(Timestamp::from_unix(0, 0), "http://o/", path);
    message.size = size;
    message
}

/// Texts that overlap each other and differ in case only, and what combines them.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(String::new()),
        Just(".*".to_owned()),
        Just("http://o/".to_owned()),
        Just(r"\.pdf$".to_owned()),
        Just("[0-9]+".to_owned()),
        Just("[^/]*".to_owned()),
        Just("(?i:Ks)".to_owned()),
        Just(r"\b".to_owned()),
        Just("^".to_owned()),
        "[abAB/.]{1,4}".prop_map(|text| text.replace('.', r"\.")),
        "[äk1]{1,2}",
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            proptest::collection::vec(inner.clone(), 1..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            inner.clone().prop_map(|part| format!("({part})?")),
            inner.clone().prop_map(|part| format!("(?:{part})*")),
            inner.clone().prop_map(|part| format!("(?:{part}){{1,2}}")),
            inner.prop_map(|part| format!("(?i:{part})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_look_up_decides_as_trying_each_rule_does(
        expressions in proptest::collection::vec(
            (any::<bool>(), expression(), proptest::option::of(0_u64..3)),
            9..40,
        ),
        urls in proptest::collection::vec(
            ("[abAB/.äk1KsS\u{212a}\u{17f}]{0,12}(\\.pdf)?", proptest::option::of(0_u64..3)),
            1..20,
        ),
    ) {
        let list: Vec<Rule> = expressions
            .iter()
            .enumerate()
            .map(|(number, (accept, regex, least))| rule(number, *accept, regex, *least))
            .collect();
        let rules = Rules::from(list);
        prop_assert!(rules.index.is_some());
        for (path, size) in urls {
            let message = message(&path, size);
            let url = message.url();
            let expected = rules.iter().find(|rule| {
                rule.regex.is_match(&url) && rule.conditions.hold(&message)
            });
            prop_assert_eq!(
                rules.deciding(&url, &message).map(|rule| rule.text.as_str()),
                expected.map(|rule| rule.text.as_str()),
                "{}", url
            );
        }
    }
}

#[test]
fn the_order_counts_among_thousands() {
    let mut list: Vec<Rule> = (0..3_000)
        .map(|number| rule(number, true, &format!(".*/station-{number:04}/.*"), None))
        .collect();
    list.insert(1_500, rule(9_000, false, ".*", Some(1_000)));
    list.push(rule(9_001, false, ".*", None));
    let rules = Rules::from(list);
    let check = |path: &str, size| {
        let message = message(path, size);
        let found = rules.deciding(&message.url(), &message);
        found.map(|rule| rule.text.clone()).unwrap()
    };
    assert_eq!(check("a/station-0007/x", None), "7");
    assert_eq!(check("a/station-0007/x", Some(2_000)), "7");
    assert_eq!(check("a/station-2007/x", Some(2_000)), "9000");
    assert_eq!(check("a/station-2007/station-1600/x", None), "1600");
    assert_eq!(check("a/station-9999/x", None), "9001");
}
