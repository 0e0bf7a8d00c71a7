//! Which deliveries of a channel are in hand, and how to settle some of them in few frames.
//!
//! A frame with `multiple` settles everything in hand up to its tag, so a run from the oldest delivery on
//! that ends alike needs one frame however long it is. What comes after the first delivery that is still
//! in hand needs a frame each. A pass settles what it took, in order, so it is one frame as a rule.
//!
//! Deliveries that were not handed out are not in here; their tags are greater than all that are.

use std::collections::BTreeMap;

use flow_runtime::ports::Settlement;

/// Deliveries handed out and not settled yet, with their keys.
#[derive(Debug, Default)]
pub(super) struct Tags {
    held: BTreeMap<u64, String>,
}

/// One frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u64,
    pub(super) multiple: bool,
    pub(super) settlement: Settlement,
}

impl Tags {
    pub(super) fn hold(&mut self, tag: u64, key: String) {
        self.held.insert(tag, key);
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Gives up all of them: the channel is gone. With them go their keys.
    pub(super) fn take(&mut self) -> BTreeMap<u64, String> {
        std::mem::take(&mut self.held)
    }

    /// The frames that settle these, in the order to send them. What is not held is left out. Returns
    /// also the keys of what is acked, which is done with even if the frames get lost.
    pub(super) fn settle(
        &mut self,
        settlements: impl IntoIterator<Item = (u64, Settlement)>,
    ) -> (Vec<Frame>, Vec<String>) {
        let mut wanted: BTreeMap<u64, Settlement> = settlements
            .into_iter()
            .filter(|(tag, _)| self.held.contains_key(tag))
            .collect();
        let mut frames: Vec<Frame> = Vec::new();
        let mut done = Vec::new();
        while let Some(oldest) = self.held.first_entry() {
            let tag = *oldest.key();
            let Some(settlement) = wanted.remove(&tag) else {
                break;
            };
            let key = oldest.remove();
            if settlement == Settlement::Ack {
                done.push(key);
            }
            match frames.last_mut() {
                Some(last) if last.settlement == settlement => {
                    last.tag = tag;
                    last.multiple = true;
                }
                _ => frames.push(Frame {
                    tag,
                    multiple: false,
                    settlement,
                }),
            }
        }
        for (tag, settlement) in wanted {
            let key = self.held.remove(&tag);
            if settlement == Settlement::Ack {
                done.extend(key);
            }
            frames.push(Frame {
                tag,
                multiple: false,
                settlement,
            });
        }
        (frames, done)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ACK: Settlement = Settlement::Ack;
    const RELEASE: Settlement = Settlement::Release;

    fn holding(tags: impl IntoIterator<Item = u64>) -> Tags {
        let mut held = Tags::default();
        for tag in tags {
            held.hold(tag, tag.to_string());
        }
        held
    }

    fn frames(held: &mut Tags, settlements: &[(u64, Settlement)]) -> Vec<(u64, bool, Settlement)> {
        let (frames, _) = held.settle(settlements.iter().copied());
        frames
            .into_iter()
            .map(|frame| (frame.tag, frame.multiple, frame.settlement))
            .collect()
    }

    #[test]
    fn a_whole_batch_is_one_frame() {
        let mut held = holding(1..=500);
        let all: Vec<_> = (1..=400).rev().map(|tag| (tag, ACK)).collect();
        assert_eq!(frames(&mut held, &all), [(400, true, ACK)]);
        assert_eq!(held.len(), 100);
    }

    #[test]
    fn what_is_still_in_hand_is_not_settled_by_others() {
        let mut held = holding([1, 2, 3, 5, 6]);
        assert_eq!(
            frames(&mut held, &[(1, ACK), (3, ACK), (6, RELEASE)]),
            [(1, false, ACK), (3, false, ACK), (6, false, RELEASE)]
        );
        // Now 2 is the oldest, and 3 and 4 are no obstacle.
        assert_eq!(
            frames(&mut held, &[(2, RELEASE), (5, ACK), (5, ACK), (9, ACK)]),
            [(2, false, RELEASE), (5, false, ACK)]
        );
        assert_eq!(held.len(), 0);
    }

    proptest! {
        /// What a broker makes of the frames is what was asked for.
        #[test]
        fn frames_settle_exactly_what_was_asked(
            asked in proptest::collection::vec((1u64..40, any::<bool>()), 0..60),
            size in 1u64..40,
        ) {
            let mut held = holding(1..=size);
            let mut broker: BTreeSet<u64> = (1..=size).collect();
            let mut expected = BTreeMap::new();
            let mut settlements = Vec::new();
            for (tag, ack) in asked {
                let settlement = if ack { ACK } else { RELEASE };
                settlements.push((tag, settlement));
                if tag <= size {
                    expected.insert(tag, settlement);
                }
            }
            let (frames, done) = held.settle(settlements);
            let mut settled = BTreeMap::new();
            for frame in frames {
                let tags: Vec<u64> = if frame.multiple {
                    broker.range(..=frame.tag).copied().collect()
                } else {
                    prop_assert!(broker.contains(&frame.tag), "unknown tag closes the channel");
                    vec![frame.tag]
                };
                for tag in tags {
                    broker.remove(&tag);
                    settled.insert(tag, frame.settlement);
                }
            }
            let acked = expected.values().filter(|settlement| **settlement == ACK).count();
            prop_assert_eq!(settled, expected);
            prop_assert_eq!(done.len(), acked);
            prop_assert_eq!(held.len(), broker.len());
        }
    }
}
