//! `rename`: gives the things messages announce other names, paths or roots.
//!
//! The value (a file name, a relPath or a baseUrl) goes through fixed steps, each of which may be
//! left out: sr3's keyword, replacements, a template for the whole, the case. What comes out is
//! checked and applied by the SDK's `naming`. Nothing depends on the clock, so that a message gets
//! the same name at every try.

mod keyword;
mod plugin;
mod steps;

pub use plugin::Rename;

flow_plugin::export!(Rename: Describe, Lifecycle, AfterAccept, AfterWork);
