//! Text for people: tables, sizes, times, colours, errors. Pure, so that tests can pin it.

mod error;
mod known;
mod paint;
mod table;
mod units;
mod untrusted;

pub(crate) use error::error;
pub(crate) use paint::Paint;
pub(crate) use table::{Align, Table};
pub(crate) use units::{bytes, count, elapsed, plural, wait};
pub(crate) use untrusted::{printable, printable_lines};
