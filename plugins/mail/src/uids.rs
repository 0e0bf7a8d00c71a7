//! Sets of UIDs, as ranges: compact in state, and as IMAP writes them.

use std::fmt;
use std::str::FromStr;

/// A set of UIDs; ranges are sorted, disjoint and never touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, uid: u32) -> bool {
        let at = self.0.partition_point(|&(_, last)| last < uid);
        self.0.get(at).is_some_and(|&(first, _)| first <= uid)
    }

    pub(crate) fn insert(&mut self, uid: u32) {
        let at = self.0.partition_point(|&(_, last)| last < uid);
        if self.0.get(at).is_some_and(|&(first, _)| first <= uid) {
            return;
        }
        let joins_left = at > 0 && self.0[at - 1].1 + 1 == uid;
        let joins_right = self.0.get(at).is_some_and(|&(first, _)| uid + 1 == first);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = uid,
            (false, true) => self.0[at].0 = uid,
            (false, false) => self.0.insert(at, (uid, uid)),
        }
    }

    /// Adds 1 to `last`.
    pub(crate) fn fill_up_to(&mut self, last: u32) {
        if last == 0 {
            return;
        }
        let rest: Vec<(u32, u32)> = self
            .0
            .iter()
            .copied()
            .filter(|range| range.1 > last)
            .collect();
        let mut ranges = vec![(1, last)];
        for (first, end) in rest {
            if first <= last + 1 {
                ranges[0].1 = end;
            } else {
                ranges.push((first, end));
            }
        }
        self.0 = ranges;
    }

    /// Keeps those `keep` wants, looking at each.
    pub(crate) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let kept: Self = self.iter().filter(|&uid| keep(uid)).collect();
        *self = kept;
    }

    /// How far the set goes from 1 without a gap; 0 if it does not hold 1.
    pub(crate) fn floor(&self) -> u32 {
        match self.0.first() {
            Some(&(1, last)) => last,
            _ => 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// As IMAP writes it, in pieces no longer than `most` bytes: servers limit command lines.
    pub(crate) fn commands(&self, most: usize) -> Vec<String> {
        let mut pieces: Vec<String> = Vec::new();
        for &range in &self.0 {
            let text = range_text(range);
            match pieces.last_mut() {
                Some(piece) if piece.len() + text.len() < most => {
                    piece.push(',');
                    piece.push_str(&text);
                }
                _ => pieces.push(text),
            }
        }
        pieces
    }
}

fn range_text((first, last): (u32, u32)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}:{last}")
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut uids: Vec<u32> = uids.into_iter().collect();
        uids.sort_unstable();
        let mut set = Self::default();
        for uid in uids {
            match set.0.last_mut() {
                Some(range) if range.1 >= uid => {}
                Some(range) if range.1 + 1 == uid => range.1 = uid,
                _ => set.0.push((uid, uid)),
            }
        }
        set
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &range) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(&range_text(range))?;
        }
        Ok(())
    }
}

impl FromStr for UidSet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut set = Self::default();
        for piece in text.split(',').filter(|piece| !piece.is_empty()) {
            let (first, last) = piece.split_once(':').unwrap_or((piece, piece));
            let range: (u32, u32) = (
                first.parse().map_err(|_| ())?,
                last.parse().map_err(|_| ())?,
            );
            let after = set.0.last().map_or(0, |&(_, last)| last);
            if range.0 == 0 || range.0 > range.1 || (after > 0 && range.0 <= after + 1) {
                return Err(());
            }
            set.0.push(range);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uids: &[u32], expected: &str) {
        let mut set = UidSet::default();
        for &uid in uids {
            set.insert(uid);
        }
        assert_eq!(set.to_string(), expected);
        assert_eq!(set, uids.iter().copied().collect());
        assert_eq!(expected.parse(), Ok(set.clone()));
        assert!(uids.iter().all(|&uid| set.contains(uid)));
        assert!(!set.contains(1000));
    }

    #[test]
    fn sets_are_ranges_however_they_were_filled() {
        check(&[], "");
        check(&[5], "5");
        check(&[3, 1, 2], "1:3");
        check(&[1, 3, 2, 7, 9, 8, 7], "1:3,7:9");
        check(&[10, 1, 5], "1,5,10");
    }

    #[test]
    fn filling_swallows_what_it_reaches() {
        let mut set: UidSet = [2, 5, 7, 8, 20].into_iter().collect();
        set.fill_up_to(6);
        assert_eq!((set.to_string().as_str(), set.floor()), ("1:8,20", 8));
        set.fill_up_to(30);
        assert_eq!(set.to_string(), "1:30");
        set.retain(|uid| uid % 10 == 0);
        assert_eq!((set.to_string().as_str(), set.floor()), ("10,20,30", 0));
    }

    #[test]
    fn commands_stay_short() {
        let set: UidSet = (1..=50).map(|n| n * 2).collect();
        let commands = set.commands(20);
        assert!(
            commands.iter().all(|command| command.len() <= 20),
            "{commands:?}"
        );
        assert_eq!(commands.join(","), set.to_string());
        assert!(
            "3,1".parse::<UidSet>().is_err()
                && "0".parse::<UidSet>().is_err()
                && "x".parse::<UidSet>().is_err()
        );
    }
}
