//! Giving the thing a message announces another name.
//!
//! Two cases, and a plugin need not tell them apart. Where the flow stores content, the new name is
//! the place it is stored at: `directory` and `filename` change, what to fetch stays. Where it only
//! announces, `relPath` changes, and `retrievePath` keeps what to fetch.
//!
//! Invariant: what comes out leads nowhere it should not: no `..`, no control characters, no empty
//! or over-long elements. What is not usable is a rejection with code 422, as the engine's own are.

use std::borrow::Cow;

use crate::{Edit, Message, Rejection};

/// Longest path element, bytes.
const NAME_MAX: usize = 255;

/// Whether the flow stores the content of this message.
fn is_stored(message: &Message) -> bool {
    message.directory.is_some() && message.filename.is_some()
}

/// The name the content has or will have.
pub fn current_name(message: &Message) -> &str {
    let last = || message.rel_path.rsplit('/').next().unwrap_or_default();
    message.filename.as_deref().unwrap_or_else(last)
}

/// relPath with the name the content has or will have.
pub fn current_path(message: &Message) -> Cow<'_, str> {
    match &message.filename {
        None => Cow::Borrowed(&message.rel_path),
        Some(name) => Cow::Owned(match message.rel_path.rsplit_once('/') {
            Some((directories, _)) => format!("{directories}/{name}"),
            None => name.clone(),
        }),
    }
}

/// Whether `name` can be one element of a path.
///
/// # Errors
/// 422, with why it can't.
pub fn check_element(name: &str) -> Result<(), Rejection> {
    let problem = if name.is_empty() || name == "." {
        "names nothing"
    } else if name == ".." {
        "leads out of its directory"
    } else if name.contains(['/', '\\']) {
        "is more than one name"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else if name.len() > NAME_MAX {
        "is longer than 255 bytes"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    Err(Rejection::new(422, format!("the name `{shown}` {problem}")))
}

/// The edits that give a message the file name `name`; its directories stay.
///
/// # Errors
/// 422 where it is no name.
pub fn rename(message: &Message, name: &str) -> Result<Vec<Edit>, Rejection> {
    check_element(name)?;
    if name == current_name(message) {
        return Ok(Vec::new());
    }
    if is_stored(message) {
        return Ok(vec![Edit::Filename(name.to_owned())]);
    }
    let path = match message.rel_path.rsplit_once('/') {
        Some((directories, _)) => format!("{directories}/{name}"),
        None => name.to_owned(),
    };
    Ok(announce_as(message, path))
}

/// The edits that give a message the path `path`.
///
/// Where content is stored, the directories of `path` are below the directory of the flow: those of
/// relPath, if the flow reproduces them, are replaced.
///
/// # Errors
/// 422 where it is no path.
pub fn move_to(message: &Message, path: &str) -> Result<Vec<Edit>, Rejection> {
    let elements: Vec<&str> = path
        .split('/')
        .filter(|element| !element.is_empty() && *element != ".")
        .collect();
    elements
        .iter()
        .try_for_each(|element| check_element(element))?;
    let Some((name, directories)) = elements.split_last() else {
        check_element("")?;
        return Ok(Vec::new());
    };
    let (Some(directory), Some(filename)) = (&message.directory, &message.filename) else {
        let path = elements.join("/");
        let same = path == message.rel_path;
        return Ok(if same {
            Vec::new()
        } else {
            announce_as(message, path)
        });
    };
    let mut edits = Vec::new();
    if name != filename {
        edits.push(Edit::Filename((*name).to_owned()));
    }
    let old: Vec<&str> = message
        .rel_path
        .rsplit_once('/')
        .map_or("", |(directories, _)| directories)
        .split('/')
        .filter(|element| !element.is_empty() && *element != ".")
        .collect();
    if old != directories {
        let base = without_end(directory, &old.join("/"));
        let root = if base == "/" { "" } else { base };
        let wanted = directories
            .iter()
            .fold(root.to_owned(), |all, element| format!("{all}/{element}"));
        edits.push(Edit::Directory(wanted));
    }
    Ok(edits)
}

/// `directory` without `end`, if it ends in these elements.
fn without_end<'a>(directory: &'a str, end: &str) -> &'a str {
    if end.is_empty() {
        return directory;
    }
    match directory
        .strip_suffix(end)
        .and_then(|base| base.strip_suffix('/'))
    {
        Some("") => "/",
        Some(base) => base,
        None => directory,
    }
}

fn announce_as(message: &Message, path: String) -> Vec<Edit> {
    let mut edits = vec![Edit::RelPath(path)];
    if message.retrieve_path.is_none() {
        edits.push(Edit::RetrievePath(Some(message.rel_path.clone())));
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(directory: &str) -> Message {
        let mut message = Message::new(1, "http://h/", "a/b/x.txt");
        message.directory = Some(directory.to_owned());
        message.filename = Some("x.txt".to_owned());
        message
    }

    #[test]
    fn what_is_only_announced_keeps_what_to_fetch() {
        let mut message = Message::new(1, "http://h/", "a/b/x.txt");
        let renamed = [
            Edit::RelPath("a/b/y.txt".into()),
            Edit::RetrievePath(Some("a/b/x.txt".into())),
        ];
        assert_eq!(rename(&message, "y.txt").unwrap(), renamed);
        assert_eq!(move_to(&message, "/a//b/./y.txt").unwrap(), renamed);
        assert_eq!(rename(&message, "x.txt").unwrap(), []);
        assert_eq!(move_to(&message, "a/b/x.txt").unwrap(), []);
        message.retrieve_path = Some("q?id=1".into());
        assert_eq!(
            rename(&message, "y.txt").unwrap(),
            [Edit::RelPath("a/b/y.txt".into())]
        );
        let bare = Message::new(1, "http://h/", "x");
        assert_eq!(rename(&bare, "y").unwrap()[0], Edit::RelPath("y".into()));
    }

    #[test]
    fn what_is_stored_changes_its_place() {
        let mirrored = stored("/data/a/b");
        assert_eq!(
            rename(&mirrored, "y.txt").unwrap(),
            [Edit::Filename("y.txt".into())]
        );
        assert_eq!(
            move_to(&mirrored, "12/b/y.txt").unwrap(),
            [
                Edit::Filename("y.txt".into()),
                Edit::Directory("/data/12/b".into())
            ]
        );
        assert_eq!(
            move_to(&mirrored, "x.txt").unwrap(),
            [Edit::Directory("/data".into())]
        );
        assert_eq!(move_to(&mirrored, "a/b/x.txt").unwrap(), []);
        assert_eq!(
            move_to(&stored("/data"), "12/x.txt").unwrap(),
            [Edit::Directory("/data/12".into())]
        );
        assert_eq!(
            move_to(&stored("/a/b"), "c/x.txt").unwrap(),
            [Edit::Directory("/c".into())]
        );
    }

    #[test]
    fn unusable_names_are_rejected() {
        let message = Message::new(1, "http://h/", "a/x");
        for name in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert_eq!(rename(&message, name).unwrap_err().code, 422, "{name:?}");
        }
        for path in ["", "/", "a/../b", "a/b\0"] {
            assert_eq!(move_to(&message, path).unwrap_err().code, 422, "{path:?}");
        }
        assert_eq!(
            rename(&message, "..").unwrap_err().reason,
            "the name `..` leads out of its directory"
        );
    }
}
