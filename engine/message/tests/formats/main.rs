//! Every wire format: captured samples, the real sr3, and what holds for every message and text.

mod carried;
mod carries;
mod corpus;
mod peer;
mod properties;
mod reference;
mod targets;
mod topics;
mod typed;
mod v02;
mod v03;
mod vectors;
mod wis;
