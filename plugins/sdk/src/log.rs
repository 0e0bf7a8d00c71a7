//! The flow's log. Never put a secret here.

use crate::sys;

pub use crate::bindings::imports::flow::plugin::log::Level;

/// Per message.
pub fn trace(text: impl AsRef<str>) {
    sys::log(Level::Trace, text.as_ref());
}

/// Per batch.
pub fn debug(text: impl AsRef<str>) {
    sys::log(Level::Debug, text.as_ref());
}

/// What an operator just asked for.
pub fn info(text: impl AsRef<str>) {
    sys::log(Level::Info, text.as_ref());
}

/// Went wrong, and recovered by itself.
pub fn warn(text: impl AsRef<str>) {
    sys::log(Level::Warn, text.as_ref());
}

/// Needs a person.
pub fn error(text: impl AsRef<str>) {
    sys::log(Level::Error, text.as_ref());
}
