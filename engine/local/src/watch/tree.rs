//! The directories being watched: which watch is which directory.
//!
//! The kernel names a directory by its *watch descriptor*, which belongs to the directory itself and
//! not to its name. Nodes know their parent and their own name, so renaming a directory is one step
//! however much is below it. About 200 bytes a directory; files are not known here.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A watch descriptor.
pub(crate) type Wd = i32;

#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: HashMap<Wd, Node>,
    /// Counts the walks through everything; a node says which one saw it last.
    pub(crate) round: u32,
}

#[derive(Debug)]
struct Node {
    /// None for what was given to be watched.
    parent: Option<Wd>,
    /// The whole path, where there is no parent.
    name: OsString,
    children: HashMap<OsString, Wd>,
    /// The names of interest, where the directory itself is none.
    only: Option<HashSet<OsString>>,
    round: u32,
}

/// What became of a directory that was to be entered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It was not watched before.
    New(Wd),
    /// It was, under this name.
    Known(Wd),
    /// It was entered before, in this round.
    Seen(Wd),
    /// It was, under another name.
    Moved(Wd, PathBuf),
}

impl Tree {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Files the directory under its parent, or as a root with its whole path.
    pub(crate) fn enter(
        &mut self,
        wd: Wd,
        parent: Option<Wd>,
        name: &OsStr,
        only: Option<&OsStr>,
    ) -> Entered {
        let round = self.round;
        let Some(node) = self.nodes.get_mut(&wd) else {
            let node = Node {
                parent,
                name: name.to_owned(),
                children: HashMap::new(),
                only: only.map(|name| HashSet::from([name.to_owned()])),
                round,
            };
            self.nodes.insert(wd, node);
            self.adopt(parent, name, wd);
            return Entered::New(wd);
        };
        let seen = std::mem::replace(&mut node.round, round) == round;
        match (&mut node.only, only) {
            (Some(names), Some(name)) => {
                names.insert(name.to_owned());
            }
            (names @ Some(_), None) => {
                // Now all of it is wanted.
                *names = None;
                return Entered::New(wd);
            }
            (None, _) => {}
        }
        let same = node.parent == parent && node.name == name;
        // A root below another root, or reached through a link, keeps its name.
        if same || node.parent.is_none() || parent.is_none() {
            return if seen {
                Entered::Seen(wd)
            } else {
                Entered::Known(wd)
            };
        }
        let old = self.path(wd).unwrap_or_default();
        self.detach(wd);
        if let Some(node) = self.nodes.get_mut(&wd) {
            node.parent = parent;
            name.clone_into(&mut node.name);
        }
        self.adopt(parent, name, wd);
        Entered::Moved(wd, old)
    }

    fn adopt(&mut self, parent: Option<Wd>, name: &OsStr, wd: Wd) {
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.insert(name.to_owned(), wd);
        }
    }

    /// Takes the node out of its parent's children, unless another took its name there.
    fn detach(&mut self, wd: Wd) {
        let Some(node) = self.nodes.get(&wd) else {
            return;
        };
        let (parent, name) = (node.parent, node.name.clone());
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent))
            && parent.children.get(&name) == Some(&wd)
        {
            parent.children.remove(&name);
        }
    }

    /// The path of a directory; none if it is not watched (any more).
    pub(crate) fn path(&self, wd: Wd) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut node = self.nodes.get(&wd)?;
        // A tree has no loops, but what a network file system makes of itself is not known.
        for _ in 0..4_096 {
            names.push(&node.name);
            match node.parent {
                Some(parent) => node = self.nodes.get(&parent)?,
                None => return Some(names.into_iter().rev().collect()),
            }
        }
        None
    }

    /// The directory it is in and its name there, as [`Self::enter`] has them.
    pub(crate) fn place(&self, wd: Wd) -> Option<(Option<Wd>, OsString)> {
        let node = self.nodes.get(&wd)?;
        Some((node.parent, node.name.clone()))
    }

    /// Whether something of this name in the directory is of interest.
    pub(crate) fn wants(&self, wd: Wd, name: &OsStr) -> bool {
        self.nodes
            .get(&wd)
            .is_some_and(|node| node.only.as_ref().is_none_or(|only| only.contains(name)))
    }

    pub(crate) fn is_root(&self, wd: Wd) -> bool {
        self.nodes
            .get(&wd)
            .is_some_and(|node| node.parent.is_none())
    }

    pub(crate) fn child(&self, parent: Wd, name: &OsStr) -> Option<Wd> {
        self.nodes.get(&parent)?.children.get(name).copied()
    }

    /// Files a directory under its new name.
    pub(crate) fn rename(&mut self, wd: Wd, parent: Wd, name: &OsStr) {
        self.detach(wd);
        if let Some(node) = self.nodes.get_mut(&wd) {
            node.parent = Some(parent);
            name.clone_into(&mut node.name);
            self.adopt(Some(parent), name, wd);
        }
    }

    /// Forgets a directory, and nothing below it: the kernel says so of each.
    pub(crate) fn forget(&mut self, wd: Wd) {
        self.detach(wd);
        self.nodes.remove(&wd);
    }

    /// The directory and all that are below it.
    pub(crate) fn below(&self, wd: Wd) -> Vec<Wd> {
        let mut all = vec![wd];
        let mut next = 0;
        while let Some(node) = all.get(next) {
            if let Some(node) = self.nodes.get(node) {
                all.extend(node.children.values());
            }
            next += 1;
        }
        all
    }

    /// Directories the current round did not see, parents after what is below them.
    pub(crate) fn unseen(&self) -> Vec<(Wd, PathBuf)> {
        let mut unseen: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.round != self.round && node.parent.is_some())
            .filter_map(|(wd, _)| Some((*wd, self.path(*wd)?)))
            .collect();
        unseen.sort_unstable_by(|a, b| b.1.cmp(&a.1));
        unseen
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::{Entered, Tree};

    #[test]
    fn a_renamed_directory_takes_what_is_below_it_along() {
        let mut tree = Tree::default();
        let name = OsStr::new;
        assert_eq!(tree.enter(1, None, name("/r"), None), Entered::New(1));
        assert_eq!(tree.enter(2, Some(1), name("a"), None), Entered::New(2));
        assert_eq!(tree.enter(3, Some(2), name("b"), None), Entered::New(3));
        assert_eq!(tree.path(3).as_deref(), Some(Path::new("/r/a/b")));
        tree.rename(2, 1, name("c"));
        assert_eq!(tree.path(3).as_deref(), Some(Path::new("/r/c/b")));
        assert_eq!(tree.child(1, name("a")), None);
        assert_eq!(tree.enter(3, Some(2), name("b"), None), Entered::Seen(3));
        let moved = tree.enter(3, Some(1), name("d"), None);
        assert_eq!(moved, Entered::Moved(3, "/r/c/b".into()));
        assert_eq!(tree.below(1).len(), 3);
        tree.round += 1;
        tree.enter(1, None, name("/r"), None);
        assert_eq!(tree.enter(2, Some(1), name("c"), None), Entered::Known(2));
        assert_eq!(tree.unseen(), [(3, "/r/d".into())]);
    }

    #[test]
    fn only_some_names_until_all_are_wanted() {
        let mut tree = Tree::default();
        let name = OsStr::new;
        tree.enter(1, None, name("/r"), Some(name("x")));
        assert!(tree.wants(1, name("x")) && !tree.wants(1, name("y")));
        tree.enter(1, None, name("/r"), Some(name("y")));
        assert!(tree.wants(1, name("y")));
        let all = tree.enter(1, None, name("/r"), None);
        assert_eq!(all, Entered::New(1));
        assert!(tree.wants(1, name("z")));
    }
}
