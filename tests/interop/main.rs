//! Real sr3 and flow on the same brokers, each doing what the other relies on.
//!
//! A site moves from sr3 to flow one flow at a time, so every seam between the two is tried here: what
//! one announces the other fetches, a queue is shared, one stands between two of the other, and the
//! broker or either of them is killed meanwhile. The oracle is the tree at the end.

mod announce;
mod between;
mod converted;
mod graph;
mod operations;
mod queues;
mod site;
