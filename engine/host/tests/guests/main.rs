//! Guests that misbehave, one behaviour each, and what a person is told of it.
//!
//! The guests are in `tests/guests` of the repository and are built by the first test to need one.

mod compat;
mod connections;
mod contents;
mod hostile;
mod limits;
mod loading;
mod recorded;
mod requests;
mod secrets;
mod states;
mod support;
mod used;
mod verdicts;
mod voices;
mod web;
