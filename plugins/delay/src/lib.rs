//! `delay`: holds messages back until they are old enough, or until no newer one of the same thing
//! has come for that long.
//!
//! Nothing waits here. A message too young is given back with the time that is left; the flow's
//! retry store holds it, durably, and offers it again. What decides which of several is the latest
//! is in the plugin's state, which is stored together with the fate of the messages.

mod latest;
mod plugin;

pub use plugin::Delay;

flow_plugin::export!(Delay: Describe, Lifecycle, AfterAccept);
