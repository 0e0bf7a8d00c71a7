//! Names guests choose, before they become paths.

use crate::error::Error;

/// Bytes of one path element, as file systems have it.
const LONGEST: usize = 255;
/// Bytes of a whole path, as Linux has it.
const LONGEST_PATH: usize = 4096;

/// Checks one path element: what a file may be called.
pub(crate) fn check_element(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name can't be empty".into());
    }
    if name == "." || name == ".." {
        return Err(format!("`{name}` is a directory"));
    }
    if name.contains(['/', '\\']) {
        return Err("a name is one path element, without separators".into());
    }
    if name.chars().any(char::is_control) {
        return Err("it has control characters".into());
    }
    if name.len() > LONGEST {
        return Err(format!(
            "it has {} bytes, {LONGEST} are possible",
            name.len()
        ));
    }
    Ok(())
}

/// Checks a relPath: it never leads upwards.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("a path can't be empty".into());
    }
    if path.split(['/', '\\']).any(|element| element == "..") {
        return Err("`..` leads out of where content is stored".into());
    }
    if path.chars().any(char::is_control) {
        return Err("it has control characters".into());
    }
    if path.len() > LONGEST_PATH {
        return Err(format!(
            "it has {} bytes, {LONGEST_PATH} are possible",
            path.len()
        ));
    }
    Ok(())
}

/// The last element of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The error for a name that was refused.
pub(crate) fn refused(plugin: &str, name: &str, why: &str) -> Error {
    let shown: String = name
        .chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect();
    Error::new(
        "plugin/unsafe-path",
        format!("plugin `{plugin}` chose the name `{shown}`, which is refused: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::{check_element, check_path};

    #[test]
    fn only_one_plain_element_is_a_name() {
        for name in ["a", "a b.txt", "..a", "Übersicht (1).pdf", ".hidden", "a:b"] {
            assert_eq!(check_element(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a\\b",
            "a\0",
            "a\nb",
            &"x".repeat(256),
            "\u{85}",
        ] {
            assert!(check_element(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_path_never_leads_upwards() {
        for path in ["a", "a/b", "/a//b", "a..b/..c", "?id=1"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "", "..", "../a", "a/../b", "a/..", "a\\..\\b", "a\0b", "a\r\nb",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}
