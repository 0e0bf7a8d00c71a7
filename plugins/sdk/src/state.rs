//! Durable pairs, private to this callback of this flow and shared by its instances.
//!
//! Writes are seen at once, and become durable together with the outcome of the messages of the
//! call that made them.

use std::time::Duration;

use crate::{Failure, Result, sys};

/// Reads.
///
/// # Errors
/// `temporary` if the store can't be read.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    sys::state_get(key)
}

/// Reads text.
///
/// # Errors
/// As [`get`]; `permanent` if the value is not UTF-8.
pub fn get_text(key: &str) -> Result<Option<String>> {
    get(key)?
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| Failure::permanent(format!("what is stored under `{key}` is not text")))
}

/// Reads a number written by [`put_number`]. What is not a number counts as absent.
///
/// # Errors
/// As [`get`].
pub fn get_number(key: &str) -> Result<Option<u64>> {
    Ok(get(key)?.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok()))
}

/// Writes: at most 1 KiB of key and 1 MiB of value.
///
/// # Errors
/// `temporary` if the store can't be written, `permanent` if the pair is too large.
pub fn put(key: &str, value: impl AsRef<[u8]>) -> Result<()> {
    sys::state_put(key, value.as_ref(), None)
}

/// Writes a number.
///
/// # Errors
/// As [`put`].
pub fn put_number(key: &str, value: u64) -> Result<()> {
    put(key, value.to_string())
}

/// Writes a pair that disappears by itself after `ttl` (whole seconds).
///
/// # Errors
/// As [`put`].
pub fn put_for(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> Result<()> {
    sys::state_put(key, value.as_ref(), Some(ttl.as_secs().max(1)))
}

/// Deletes; what is not there is fine.
///
/// # Errors
/// As [`put`].
pub fn delete(key: &str) -> Result<()> {
    sys::state_delete(key)
}

/// Writes `new` only if the value is still `old`; says whether it did.
///
/// # Errors
/// As [`put`].
pub fn swap(key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
    sys::state_swap(key, old, new)
}

/// Keys that start with `prefix` and sort after `after`, in order, at most `limit`.
///
/// # Errors
/// As [`get`].
pub fn list(prefix: &str, after: &str, limit: u32) -> Result<Vec<String>> {
    sys::state_list(prefix, after, limit)
}

/// Every key that starts with `prefix`, in order, asked for in pages.
///
/// # Errors
/// As [`get`].
pub fn keys(prefix: &str) -> Result<Vec<String>> {
    const PAGE: u32 = 1000;
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = list(prefix, keys.last().map_or("", String::as_str), PAGE)?;
        let last = page.len() < PAGE as usize;
        keys.extend(page);
        if last {
            return Ok(keys);
        }
    }
}
