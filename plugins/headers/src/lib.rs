//! `headers`: sets, renames and deletes header fields of messages.
//!
//! Pure: a message in, edits out. Steps come in a fixed order (extract, rename, set, delete), and
//! each sees what the earlier ones did. Fields that decide where content is (relPath, baseUrl,
//! size…) are not this plugin's business.

mod plugin;
mod steps;

pub use plugin::Headers;

flow_plugin::export!(Headers: Describe, Lifecycle, AfterAccept, AfterWork);
