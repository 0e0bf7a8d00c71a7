//! Compares two versions of the contract: whether what was built for the older one runs with the
//! newer one.
//!
//! It reads WIT as text, as far as the contract uses it: interfaces, worlds and resources hold items,
//! and an item is the same if its tokens are. Whether the files are WIT at all is for those who
//! generate bindings of them.

use std::collections::{BTreeMap, BTreeSet};

/// The items of each interface, world and resource, by its header: `interface log`.
type Blocks = BTreeMap<String, BTreeSet<String>>;

/// What of `before` is not in `now`, or is in it where a plugin of `before` can't know it; empty where
/// such a plugin runs. Texts of files, in any order.
///
/// What a plugin imports may grow by functions and interfaces. What it exports may not grow: the host
/// would ask an older plugin for what it does not have, so a new entry point is a new interface.
pub(crate) fn breaks(before: &[String], now: &[String]) -> Vec<String> {
    let (before, now) = (blocks(before), blocks(now));
    let exported: BTreeSet<String> = before
        .values()
        .flatten()
        .filter_map(|item| item.strip_prefix("export "))
        .map(|name| format!("interface {name}"))
        .collect();
    let mut found = Vec::new();
    for (block, items) in &before {
        let Some(today) = now.get(block) else {
            found.push(format!("`{block}` is gone"));
            continue;
        };
        for item in items.difference(today) {
            found.push(format!("{block}: `{item}` is gone or another"));
        }
        if exported.contains(block) {
            for item in today.difference(items) {
                found.push(format!(
                    "{block}: `{item}` is new, which plugins that export it lack; a new entry point is a new interface"
                ));
            }
        }
    }
    found
}

fn blocks(files: &[String]) -> Blocks {
    let mut blocks = Blocks::new();
    for text in files {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        while let Some((item, after)) = item(rest) {
            rest = after;
            keep(&mut blocks, "", item);
        }
    }
    blocks
}

/// Files an item of the block `around`: a block of its own, or a line of that one.
fn keep(blocks: &mut Blocks, around: &str, item: &[String]) {
    let kind = item.first().map_or("", String::as_str);
    let open = item.iter().position(|token| token == "{");
    match (kind, open) {
        ("interface" | "world" | "resource", Some(open)) => {
            let header = item[..open].join(" ");
            let name = match around {
                "" => header,
                around => format!("{around} {header}"),
            };
            blocks.entry(name.clone()).or_default();
            let mut rest = &item[open + 1..item.len() - 1];
            while let Some((inner, after)) = self::item(rest) {
                rest = after;
                keep(blocks, &name, inner);
            }
        }
        // What a name stands for is compared where it is defined.
        ("use" | "package", _) => {}
        _ if around.is_empty() => {}
        _ => {
            let text = item.join(" ").replace(" , }", " }");
            let text = text.trim_end_matches(" ;").to_owned();
            blocks.entry(around.to_owned()).or_default().insert(text);
        }
    }
}

/// The first item of `tokens` and what follows it: up to a `;`, or to the end of its braces.
fn item(tokens: &[String]) -> Option<(&[String], &[String])> {
    let mut depth = 0_usize;
    for (number, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        // `use types.{a};` has both.
        let followed = tokens.get(number + 1).is_some_and(|next| next == ";");
        if depth == 0 && (token == ";" || token == "}" && !followed) {
            return Some(tokens.split_at(number + 1));
        }
    }
    None
}

/// Words and signs, without comments.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for line in text.lines() {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        let mut word = String::new();
        for letter in code.chars() {
            if letter.is_alphanumeric() || "-_%@.:/".contains(letter) {
                word.push(letter);
                continue;
            }
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            if !letter.is_whitespace() {
                tokens.push(letter.to_string());
            }
        }
        if !word.is_empty() {
            tokens.push(word);
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::breaks;

    const BEFORE: &str = "package flow:plugin@0.1.0;
/// Comments are no part of it.
interface types { record failure { text: string, code: u16, } }
interface log { use types.{failure};
    resource stream { read: func() -> u8; }
    write: func(text: string); }
interface gather { gather: func(limit: u32) -> u32; }
world plugin { import log; export gather; }";

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(BEFORE.contains(from), "{from}");
        let now = BEFORE.replace(from, to);
        assert_eq!(breaks(&[BEFORE.to_owned()], &[now]), expected);
    }

    #[test]
    fn what_plugins_import_may_grow() {
        check("@0.1.0", "@0.1.1", &[]);
        check(
            "/// Comments are no part of it.",
            "// Nor is { this; }\n\n",
            &[],
        );
        check("code: u16, }", "code: u16 }", &[]);
        check("write: func", "flush: func(); write: func", &[]);
        check("read: func", "close: func(); read: func", &[]);
        check("import log;", "import log; import more; export more;", &[]);
        check("use types.{failure};", "use types.{failure, other};", &[]);
    }

    #[test]
    fn what_is_there_stays() {
        check(
            "code: u16,",
            "code: u16, more: bool",
            &["interface types: `record failure { text: string , code: u16 }` is gone or another"],
        );
        check(
            "write: func(text: string);",
            "",
            &["interface log: `write: func ( text: string )` is gone or another"],
        );
        check(
            "read: func() -> u8;",
            "read: func() -> u16;",
            &["interface log resource stream: `read: func ( ) - > u8` is gone or another"],
        );
        check(
            "interface log",
            "interface logs",
            &[
                "`interface log` is gone",
                "`interface log resource stream` is gone",
            ],
        );
        check(
            "import log;",
            "",
            &["world plugin: `import log` is gone or another"],
        );
    }

    #[test]
    fn what_plugins_export_does_not_grow() {
        check(
            "gather: func(limit: u32) -> u32;",
            "gather: func(limit: u32) -> u32; more: func();",
            &[
                "interface gather: `more: func ( )` is new, which plugins that export it lack; \
                 a new entry point is a new interface",
            ],
        );
    }
}
