//! What was announced lately, so that it is not announced again for being noticed twice.
//!
//! Telling and looking overlap: a file may be found by a scan and told of by the kernel. Both lead to
//! the same path with the same content. Two generations of fixed size are all that is remembered;
//! what is forgotten is announced once more, which receivers recognise by its key.

use std::collections::HashMap;
use std::path::Path;

use crate::announce::{Print, hash_of};

/// Paths in one generation: 16 bytes each, and as much again for the table.
const GENERATION: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    young: HashMap<u64, Print>,
    old: HashMap<u64, Print>,
}

impl Recent {
    /// Whether this path was announced with just this content; remembers it in any case.
    pub(crate) fn knows(&mut self, path: &Path, print: Print) -> bool {
        let path = hash_of(path);
        let before = self.young.get(&path).or_else(|| self.old.get(&path));
        let same = before.is_some_and(|before| before.hash == print.hash && !before.racy);
        if !same {
            if self.young.len() >= GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(path, print);
        }
        same
    }

    /// A directory has another name now, or left with what was in it: no path says any more what it
    /// said. Rather all is forgotten than paths kept to find those below.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// The path is another file now, or none.
    pub(crate) fn forget(&mut self, path: &Path) {
        let path = hash_of(path);
        self.young.remove(&path);
        self.old.remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{GENERATION, Recent};
    use crate::announce::Print;

    #[test]
    fn the_same_again_is_known_until_it_changes_or_much_else_happened() {
        let mut recent = Recent::default();
        let print = |hash| Print { hash, racy: false };
        let path = Path::new("/a");
        assert!(!recent.knows(path, print(1)));
        assert!(recent.knows(path, print(1)));
        assert!(!recent.knows(path, print(2)));
        recent.forget(path);
        assert!(!recent.knows(path, print(2)));
        for index in 0..3 * GENERATION {
            recent.knows(Path::new(&index.to_string()), print(0));
        }
        assert!(!recent.knows(path, print(2)));
        let racy = Print {
            hash: 3,
            racy: true,
        };
        assert!(!recent.knows(path, racy));
        assert!(!recent.knows(path, racy));
    }
}
