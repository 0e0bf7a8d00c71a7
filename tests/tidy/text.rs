//! What no file contains: notes to ourselves, and traces of the machine it was written on.

use super::{expect_none, files, read, show};

const TEXTS: &[&str] = &[
    "rs", "toml", "md", "yaml", "yml", "wit", "conf", "sh", "py", "snap",
];

/// Words looked for, put together here so that this file does not contain them.
fn forbidden() -> Vec<(String, &'static str)> {
    let word = |parts: &[&str]| parts.concat();
    vec![
        (
            word(&["TO", "DO"]),
            "do it, or open an issue and name it in a sentence",
        ),
        (
            word(&["FIX", "ME"]),
            "do it, or open an issue and name it in a sentence",
        ),
        (word(&["X", "XX"]), "say what is wrong in a sentence"),
        (word(&["/ro", "ot/"]), "no path of one machine"),
        (word(&["/wo", "rk/"]), "no path of one machine"),
        (
            word(&["unimple", "mented!"]),
            "an unfinished branch is an error with a text",
        ),
        (
            word(&["to", "do!("]),
            "an unfinished branch is an error with a text",
        ),
    ]
}

/// Whether `text` holds `word` and not merely as a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let whole = word.chars().all(char::is_alphabetic);
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !whole
            || (!letter(line[..at].chars().next_back())
                && !letter(line[at + word.len()..].chars().next()))
    })
}

#[test]
fn no_notes_to_ourselves_and_no_paths_of_one_machine() {
    let mut violations = Vec::new();
    let mut paths: Vec<_> = ["engine", "plugins", "sr-configs", "examples", "tests"]
        .iter()
        .flat_map(|one| files(one, TEXTS))
        .collect();
    for top in [
        "README.md",
        "Cargo.toml",
        "deny.toml",
        "clippy.toml",
        "tests/run",
        "tests/bench/run",
        ".ci/run",
    ] {
        paths.push(super::root().join(top));
    }
    for path in paths.iter().filter(|path| path.is_file()) {
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            for (word, advice) in forbidden() {
                if holds(line, &word) {
                    violations.push(format!("{}:{number}: `{word}`: {advice}", show(path)));
                }
            }
        }
    }
    expect_none("what must not be in a file", &violations);
}

#[test]
fn markdown_has_one_sentence_per_line_or_less() {
    // Long lines hide changes in review; a table row or a link may be as long as it needs.
    let mut violations = Vec::new();
    for path in ["engine", "plugins", "examples", "tests"]
        .iter()
        .flat_map(|one| files(one, &["md"]))
    {
        let text = read(&path);
        let mut fenced = false;
        for (number, line) in (1..).zip(text.lines()) {
            fenced ^= line.trim_start().starts_with("```");
            if !fenced && !line.trim_start().starts_with('|') && line.chars().count() > 400 {
                violations.push(format!(
                    "{}:{number}: {} characters",
                    show(&path),
                    line.chars().count()
                ));
            }
        }
    }
    expect_none("one sentence per line in Markdown", &violations);
}
