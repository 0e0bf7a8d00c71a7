//! Rules in order, and finding the first that matches without trying them all.
//!
//! Every expression is looked through for texts that whatever it matches has to contain. One
//! automaton (Aho-Corasick) then finds all texts of all rules in one pass over a URL, and only the
//! rules whose text is there are tried, in their order. What takes part is a superset of what
//! matches, so the result is that of trying each.
//!
//! One compiled set of the expressions (`RegexSet`) was tried first: a thousand rules that start with `.*`
//! make each state of its automaton a thousand places long, which was no faster than trying each, and
//! five thousand are refused as too large. See the example `rules_speed`.
//!
//! # Invariants
//! - [`Rules::deciding`] is what trying the rules one by one is; a property test holds it to that.
//! - Memory and time to build grow with the length of the rules, not with what they could match.
//! - Rules without such a text (`.*[0-9]{8}.*`) are tried for every message.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use flow_message::Message;

use self::literals::{Need, needs};
use super::filters::Rule;

mod literals;

/// So few rules are tried as fast as they are looked up.
const FEW: usize = 8;

/// Rules in order; a slice of them in all but how they are looked up. The first that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    list: Vec<Rule>,
    index: Option<Arc<Index>>,
}

/// Which rules a URL can match.
#[derive(Debug)]
struct Index {
    texts: AhoCorasick,
    /// By text, the rules that need it: a part of `holders`.
    spans: Vec<(u32, u32)>,
    holders: Vec<u32>,
    /// Rules that need no text, in order.
    always: Vec<u32>,
}

impl Rules {
    /// The rules, in order.
    pub fn as_slice(&self) -> &[Rule] {
        &self.list
    }

    /// The rule that decides about `message`, whose URL is `url`.
    pub fn deciding(&self, url: &str, message: &Message) -> Option<&Rule> {
        let Some(index) = &self.index else {
            return self.list.iter().find(|rule| rule.matches(url, message));
        };
        let mut candidates = index.always.clone();
        for found in index.texts.find_overlapping_iter(url) {
            let (start, end) = index.spans[found.pattern().as_usize()];
            candidates.extend_from_slice(&index.holders[start as usize..end as usize]);
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
            .into_iter()
            .map(|number| &self.list[number as usize])
            .find(|rule| rule.matches(url, message))
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let index = if list.len() > FEW {
            Index::of(&list).map(Arc::new)
        } else {
            None
        };
        Self { list, index }
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Rules {
    type Item = &'a Rule;
    type IntoIter = std::slice::Iter<'a, Rule>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Index {
    /// None where the rules are too many for it; they are tried one by one then.
    fn of(rules: &[Rule]) -> Option<Self> {
        let needs: Vec<Vec<Need>> = rules
            .iter()
            .map(|rule| needs(rule.regex.as_str()))
            .collect();
        let mut uses: HashMap<&[u8], u32> = HashMap::new();
        for text in needs.iter().flatten().flatten() {
            *uses.entry(text).or_default() += 1;
        }
        let mut always = Vec::new();
        let mut by_text: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (number, needs) in needs.iter().enumerate() {
            let number = u32::try_from(number).ok()?;
            // What few rules need tells them apart best.
            match needs.iter().min_by_key(|need| cost(need, &uses)) {
                None => always.push(number),
                Some(best) => {
                    for text in best {
                        by_text.entry(text).or_default().push(number);
                    }
                }
            }
        }
        let mut texts: Vec<(&[u8], Vec<u32>)> = by_text.into_iter().collect();
        texts.sort_unstable();
        let mut holders = Vec::new();
        let mut spans = Vec::with_capacity(texts.len());
        for (_, numbers) in &texts {
            let start = u32::try_from(holders.len()).ok()?;
            holders.extend_from_slice(numbers);
            spans.push((start, u32::try_from(holders.len()).ok()?));
        }
        let texts = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(texts.iter().map(|(text, _)| text))
            .ok()?;
        Some(Self {
            texts,
            spans,
            holders,
            always,
        })
    }
}

/// How often looking for `need` will be for nothing, roughly: how many rules share its texts, and
/// how short they are.
fn cost(need: &Need, uses: &HashMap<&[u8], u32>) -> (u64, std::cmp::Reverse<usize>) {
    let shortest = need.iter().map(Vec::len).min().unwrap_or_default();
    let shared: u64 = need
        .iter()
        .map(|text| u64::from(uses.get(text.as_slice()).copied().unwrap_or_default()))
        .sum();
    let common = match shortest {
        0 | 1 => 10_000,
        2 => 100,
        3 => 10,
        _ => 0,
    };
    (shared + common, std::cmp::Reverse(shortest))
}

#[cfg(test)]
mod tests;
