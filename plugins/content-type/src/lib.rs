//! `content-type`: finds out the type of content, and accepts or rejects by it.
//!
//! Three witnesses: what the message says, what the name ends in, and how the content begins. They
//! are heard in the order the flow names them, and the first that knows decides. Content is read
//! only as far as it has to be, one chunk.

mod plugin;
mod types;

pub use plugin::ContentType;

flow_plugin::export!(ContentType: Describe, Lifecycle, AfterAccept, AfterWork);
