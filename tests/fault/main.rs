//! `kill -9` at random instants, until the work is done: nothing is lost, nothing is there twice. And
//! what else ends in the middle: brokers, exchanges, the room on a disk.
//!
//! Each round prints its seed, its kills and what it counted. `FLOW_TEST_SEED` repeats the instants
//! of a round; what the process was doing at them depends on the machine.

mod brokers;
mod downloads;
mod kill;
