//! What is converted, and where what it includes is found.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Component, Queues};

/// One configuration of sr3.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The file, as the report names it. Its stem is the flow's name.
    pub path: &'a Path,
    /// What is in it.
    pub text: &'a str,
    /// Whose configuration it is.
    pub component: Component,
    /// What sr3's state directory holds for it; none: nobody looked.
    pub queues: Option<&'a Queues>,
}

/// Finds files that are included.
pub trait Include {
    /// The file `name` as it stands in a line of `from`, and what is in it; none: there is none.
    fn find(&self, name: &str, from: &Path) -> Option<(PathBuf, String)>;
}

/// What is known beside the configuration itself.
#[derive(Default)]
pub struct Known {
    /// Files whose options apply to every flow, in order: `admin.conf`, `default.conf`.
    pub before: Vec<(PathBuf, String)>,
    /// Finds included files; none: nothing is found.
    pub include: Option<Box<dyn Include>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before: Vec<_> = self.before.iter().map(|(path, _)| path).collect();
        f.debug_struct("Known")
            .field("before", &before)
            .field("include", &self.include.is_some())
            .finish()
    }
}

/// Finds includes as sr3 does: beside the configuration, then in the folder of all of them.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The configuration folder, such as `~/.config/sr3`; shown paths are relative to it.
    pub root: PathBuf,
}

impl Include for Folder {
    fn find(&self, name: &str, from: &Path) -> Option<(PathBuf, String)> {
        let beside = self.root.join(from);
        let beside = beside.parent().unwrap_or(&self.root);
        let candidates = [beside.join(name), self.root.join(name)];
        for candidate in candidates {
            if candidate.is_file()
                && let Ok(bytes) = fs::read(&candidate)
            {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let shown = candidate.strip_prefix(&self.root).unwrap_or(&candidate);
                return Some((shown.to_owned(), text));
            }
        }
        None
    }
}
