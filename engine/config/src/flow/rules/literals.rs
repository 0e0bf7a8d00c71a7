//! Texts that everything an expression matches contains.
//!
//! ASCII letters are lower case throughout, and are looked for in any case: `(?i)` then needs no
//! more texts than its absence.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts one of which is contained; none of them empty.
pub(super) type Need = Vec<Vec<u8>>;

/// All that an expression matches, while it is that little.
type Exact = BTreeSet<Vec<u8>>;

/// Most texts that are followed through a concatenation.
const EXACT_MAX: usize = 16;
/// Most texts of one need.
const NEED_MAX: usize = 64;
/// Longest text that is followed, bytes.
const TEXT_MAX: usize = 256;

/// What the matches of a part have in common.
#[derive(Default)]
struct Part {
    /// Each of them holds.
    needs: Vec<Need>,
    exact: Option<Exact>,
}

/// What each match of `regex` contains: of every need, one text. None where nothing is known.
pub(super) fn needs(regex: &str) -> Vec<Need> {
    match regex_syntax::parse(regex) {
        Ok(hir) => close(part(&hir)),
        Err(_) => Vec::new(),
    }
}

/// The needs of a part that is not followed any further.
fn close(part: Part) -> Vec<Need> {
    let mut needs = part.needs;
    needs.extend(part.exact.and_then(need_of));
    needs
}

fn need_of(exact: Exact) -> Option<Need> {
    let usable = !exact.is_empty() && exact.len() <= NEED_MAX && !exact.contains([].as_slice());
    usable.then(|| exact.into_iter().collect())
}

fn only(text: Vec<u8>) -> Exact {
    Exact::from([text])
}

fn part(hir: &Hir) -> Part {
    let exact = match hir.kind() {
        // What looks around takes no room.
        HirKind::Empty | HirKind::Look(_) => Some(only(Vec::new())),
        HirKind::Literal(literal) if literal.0.len() <= TEXT_MAX => {
            Some(only(literal.0.to_ascii_lowercase()))
        }
        // The beginning of a long one is enough.
        HirKind::Literal(literal) => {
            return Part {
                needs: vec![vec![literal.0[..TEXT_MAX].to_ascii_lowercase()]],
                exact: None,
            };
        }
        HirKind::Class(class) => characters(class),
        HirKind::Capture(capture) => return part(&capture.sub),
        HirKind::Repetition(repetition) => {
            return match (repetition.min, repetition.max) {
                (1, Some(1)) => part(&repetition.sub),
                (0, Some(1)) => Part {
                    needs: Vec::new(),
                    exact: part(&repetition.sub).exact.map(|mut exact| {
                        exact.insert(Vec::new());
                        exact
                    }),
                },
                (0, _) => Part::default(),
                _ => Part {
                    needs: close(part(&repetition.sub)),
                    exact: None,
                },
            };
        }
        HirKind::Concat(parts) => return concatenation(parts),
        HirKind::Alternation(parts) => return alternation(parts),
    };
    Part {
        needs: Vec::new(),
        exact,
    }
}

/// The characters of a class of few.
fn characters(class: &Class) -> Option<Exact> {
    let mut exact = Exact::new();
    let mut add = |character: char| {
        let mut buffer = [0; 4];
        let text = character.to_ascii_lowercase();
        exact.insert(text.encode_utf8(&mut buffer).as_bytes().to_vec());
        exact.len() <= EXACT_MAX
    };
    let few = match class {
        Class::Unicode(class) => class
            .iter()
            .flat_map(|range| range.start()..=range.end())
            .all(&mut add),
        Class::Bytes(class) => class
            .iter()
            .flat_map(|range| range.start()..=range.end())
            .all(|byte| byte.is_ascii() && add(char::from(byte))),
    };
    few.then_some(exact)
}

fn concatenation(parts: &[Hir]) -> Part {
    let mut needs = Vec::new();
    let mut run = only(Vec::new());
    let mut whole = true;
    for hir in parts {
        let mut next = part(hir);
        needs.append(&mut next.needs);
        let joined = next.exact.as_ref().and_then(|exact| join(&run, exact));
        run = match joined {
            Some(joined) => joined,
            None => {
                whole = false;
                needs.extend(need_of(run));
                next.exact.unwrap_or_else(|| only(Vec::new()))
            }
        };
    }
    if whole {
        return Part {
            needs,
            exact: Some(run),
        };
    }
    needs.extend(need_of(run));
    Part { needs, exact: None }
}

/// Each of `left` followed by each of `right`, if those are few.
fn join(left: &Exact, right: &Exact) -> Option<Exact> {
    let longest = |exact: &Exact| exact.iter().map(Vec::len).max().unwrap_or_default();
    if left.len() * right.len() > EXACT_MAX || longest(left) + longest(right) > TEXT_MAX {
        return None;
    }
    let pairs = left.iter().flat_map(|left| {
        right
            .iter()
            .map(move |right| [&left[..], &right[..]].concat())
    });
    Some(pairs.collect())
}

fn alternation(parts: &[Hir]) -> Part {
    let parts: Vec<Part> = parts.iter().map(part).collect();
    if parts
        .iter()
        .all(|part| part.exact.is_some() && part.needs.is_empty())
    {
        let all: Exact = parts
            .into_iter()
            .filter_map(|part| part.exact)
            .flatten()
            .collect();
        if all.len() <= EXACT_MAX {
            return Part {
                needs: Vec::new(),
                exact: Some(all),
            };
        }
        return Part {
            needs: need_of(all).into_iter().collect(),
            exact: None,
        };
    }
    // One need of each branch: that with the longest texts.
    let mut need = BTreeSet::new();
    for part in parts {
        let longest = |need: &Need| need.iter().map(Vec::len).min();
        match close(part).into_iter().max_by_key(longest) {
            Some(best) => need.extend(best),
            None => return Part::default(),
        }
    }
    Part {
        needs: need_of(need).into_iter().collect(),
        exact: None,
    }
}

#[cfg(test)]
mod tests {
    use super::needs;

    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

    fn check(regex: &str, expected: &[&[&str]]) {
        let found: Vec<Vec<String>> = needs(regex)
            .into_iter()
            .map(|need| {
                need.into_iter()
                    .map(|text| String::from_utf8(text).unwrap())
                    .collect()
            })
            .collect();
        assert_eq!(found, expected, "{regex}");
    }

    #[test]
    fn texts_every_match_contains() {
        check("^(?:.*)", &[]);
        check("^(?:)", &[]);
        check("^(?:.*/SOURCE/.*)", &[&["/source/"]]);
        check(r"^(?:.*\.(pdf|csv)$)", &[&[".csv", ".pdf"]]);
        check(
            "^(?:http://a/[0-9]+/b.*c)",
            &[&DIGITS, &["http://a/"], &["/b"], &["c"]],
        );
        check("^(?:(?i)Abc)", &[&["abc"]]);
        check("^(?:a?b)", &[&["ab", "b"]]);
        check("^(?:(abc)*d?)", &[]);
        check("^(?:(abc){2,}x)", &[&["abc"], &["x"]]);
        check("^(?:a|.*)", &[]);
        check("^(?:.*ab|.*cde.*f)", &[&["ab", "cde"]]);
        check("^(?:[0-9])", &[&DIGITS]);
        check("^(?:[a-z]x)", &[&["x"]]);
        check(r"^(?:x\bäß)", &[&["xäß"]]);
    }
}
