//! Rules about code, looked for in the code alone: comments, strings and tests do not count.

use std::path::{Path, PathBuf};

use super::{expect_none, files, read, root, show};

/// The code of a file with comments, strings and characters blanked, line ends kept, and its
/// `#[cfg(test)]` modules cut off (they come last, by our own habit).
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        out.push(' ');
        rest = &rest[length..];
    }
    out
}

/// Length of a raw string literal at the start of `text`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(
        body.find(&end)
            .map_or(text.len(), |at| start + at + end.len()),
    )
}

/// Length of the string literal at the start of `text`.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal at the start of `text`; 1 where it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..]
            .find('\'')
            .map_or(1, |at| if at == 0 { 4 } else { at + 3 })
            .min(text.len()),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// The identifiers of each line of code, with the line's number.
fn identifiers(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code(text).lines()) {
        let words = line
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty());
        found.extend(words.map(|word| (number, word.to_owned())));
    }
    found
}

/// Source files of the engine's crates that are not tests.
fn sources(directory: &str) -> Vec<PathBuf> {
    let mut paths = files(directory, &["rs"]);
    paths.retain(|path| {
        let inside = path.strip_prefix(root()).unwrap_or(path);
        let test = inside
            .iter()
            .any(|part| part == "tests" || part == "benches" || part == "examples");
        !test && path.file_name().is_some_and(|name| name != "tests.rs")
    });
    paths
}

fn below(path: &Path, directories: &[&str]) -> bool {
    directories
        .iter()
        .any(|directory| path.starts_with(root().join(directory)))
}

/// Parts of names that only an integration has.
const INTEGRATIONS: &[&str] = &[
    "imap",
    "pop3",
    "smtp",
    "mail",
    "maildir",
    "mailbox",
    "gmail",
    "amocrm",
    "amojo",
    "edna",
    "fcm",
    "sberbank",
    "communigate",
    "ptsandbox",
    "postgres",
    "webhook",
];

#[test]
fn the_engine_names_no_integration() {
    let mut violations = Vec::new();
    for path in sources("engine") {
        // The servers that tests and the demo talk to, and the demo itself.
        if below(
            &path,
            &[
                "engine/testkit",
                "engine/cli/src/commands/demo",
                "engine/cli/src/commands/demo.rs",
            ],
        ) {
            continue;
        }
        for (number, word) in identifiers(&read(&path)) {
            let lower = word.to_lowercase();
            if INTEGRATIONS.iter().any(|name| lower.contains(name)) {
                violations.push(format!("{}:{number}: `{word}`", show(&path)));
            }
        }
    }
    expect_none(
        "no integration is named under engine/: if it must be, the contract lacks something",
        &violations,
    );
}

/// Looks for any of `words` directly followed by `!` or preceded by a path, outside of `allowed`.
fn calls(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut violations = Vec::new();
    for path in sources("engine") {
        if below(&path, allowed) || path.file_name().is_some_and(|name| name == "build.rs") {
            continue;
        }
        for (number, line) in (1..).zip(code(&read(&path)).lines()) {
            let before = |at: usize| line[..at].chars().next_back();
            let own = |at: usize| !before(at).is_some_and(|c| c.is_alphanumeric() || c == '_');
            for word in words {
                if line.match_indices(word).any(|(at, _)| own(at)) {
                    violations.push(format!("{}:{number}: `{word}`", show(&path)));
                }
            }
        }
    }
    violations
}

#[test]
fn only_the_cli_prints_and_exits() {
    let words = [
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "dbg!",
        "process::exit",
        "stdout()",
        "stderr()",
    ];
    let violations = calls(&words, &["engine/cli", "engine/xtask"]);
    expect_none(
        "only cli prints or exits; everything else returns, or logs through tracing",
        &violations,
    );
}

#[test]
fn only_the_cli_reads_the_environment() {
    let words = [
        "env::var",
        "env::vars",
        "env::var_os",
        "env::vars_os",
        "env::set_var",
        "env::temp_dir",
    ];
    let violations = calls(&words, &["engine/cli", "engine/testkit", "engine/xtask"]);
    expect_none(
        "the environment is read once, in cli, and passed down",
        &violations,
    );
}

#[test]
fn unsafe_is_where_it_was_agreed() {
    let violations = calls(&["unsafe {", "unsafe fn", "unsafe impl"], &["engine/host"]);
    expect_none("unsafe code is in host alone, with its reason", &violations);
}

#[test]
fn code_is_told_from_comments_strings_and_characters() {
    let text = "let a = \"println!(\\\"x\\\")\"; // eprintln!\n/* imap */ let b = r#\"imap \"quoted\" \"#;\n\
                let c = '\"'; let d: &'static str = b\"\\\\\"; let e = '\\''; done();\n";
    let kept = code(text);
    for word in ["println", "eprintln", "imap", "quoted"] {
        assert!(!kept.contains(word), "{word} in {kept}");
    }
    for word in ["let a", "let b", "let c", "static str", "let e", "done()"] {
        assert!(kept.contains(word), "{word} in {kept}");
    }
    assert_eq!(kept.lines().count(), text.lines().count());
}
