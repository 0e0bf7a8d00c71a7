//! `filter-fields`: accepts or rejects messages by any of their fields.
//!
//! The flow's `filters` look at the URL; this looks at whatever a text can be made of, at sizes,
//! and in long lists of keys, which are looked up instead of tried one by one. Pure.

mod plugin;

pub use plugin::FilterFields;

flow_plugin::export!(FilterFields: Describe, Lifecycle, AfterAccept, AfterWork);
