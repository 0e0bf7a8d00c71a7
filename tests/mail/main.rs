//! The main job against a real server: Dovecot, the shipped plugins, the whole binary.
//!
//! Every run is a process of its own, so "twice" always means "also after a restart".

mod big;
mod catalogue;
mod effects;
mod example;
mod hostile;
mod identity;
mod live;
mod matrix;
