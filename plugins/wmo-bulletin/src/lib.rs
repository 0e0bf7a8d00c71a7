//! `wmo-bulletin`: bulletins of the WMO's telecommunication system: their abbreviated headings,
//! names made of them, and files that hold many.
//!
//! A heading (`SACN31 CWAO 011200 RRA`) is read from a file's name or from the start of its content,
//! checked, and written into headers, names and paths. What a bulletin says is nobody's business
//! here. Source: WMO-No. 386, Manual on the Global Telecommunication System, Part II (headings, file
//! names, formats 00 and 01).

mod heading;
mod plugin;
mod wmo00;

pub use plugin::WmoBulletin;

flow_plugin::export!(WmoBulletin: Describe, Lifecycle, AfterAccept, AfterWork);
