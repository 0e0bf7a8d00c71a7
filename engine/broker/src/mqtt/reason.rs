//! Reason codes in words, and what they mean for the caller.
//!
//! Source: MQTT Version 5.0, section 2.4.

use crate::error::Kind;

/// The least code that says no.
pub(super) const FAILURE: u8 = 0x80;
/// Accepted, and nobody is subscribed.
pub(super) const NO_SUBSCRIBERS: u8 = 0x10;

/// What a code says, and what sort of error it is.
pub(super) fn explain(code: u8) -> (&'static str, Kind) {
    match code {
        0x80 => ("it gives no reason", Kind::Unreachable),
        0x81 => ("it finds the packet malformed", Kind::Unreachable),
        0x82 => ("it finds the protocol violated", Kind::Unreachable),
        0x83 => ("for a reason of its own", Kind::Unreachable),
        0x84 => ("it does not speak MQTT 5", Kind::Unsupported),
        0x85 => ("it does not take the client id", Kind::Unsupported),
        0x86 => ("the user or the password is wrong", Kind::Login),
        0x87 => ("it does not permit it", Kind::Denied),
        0x88 => ("it is unavailable", Kind::Unreachable),
        0x89 => ("it is busy", Kind::Unreachable),
        0x8a => ("the client is banned", Kind::Login),
        0x8b => ("it is shutting down", Kind::Unreachable),
        0x8c => ("it wants another way to log in", Kind::Login),
        0x8d => ("it heard nothing for too long", Kind::Unreachable),
        0x8e => ("another client took over the session", Kind::TakenOver),
        0x8f => ("it does not take the filter", Kind::Unsupported),
        0x90 => ("it does not take the topic", Kind::Unacceptable),
        0x91 => ("the packet identifier is in use", Kind::Unreachable),
        0x92 => ("it does not know the packet identifier", Kind::Unreachable),
        0x93 => ("more was sent than it takes at a time", Kind::Unreachable),
        0x94 => ("it does not take the topic alias", Kind::Unreachable),
        0x95 => ("the packet is larger than it takes", Kind::Unacceptable),
        0x96 => ("messages come too fast for it", Kind::Unreachable),
        0x97 => ("a quota is used up", Kind::Full),
        0x98 => ("an administrator ended it", Kind::Unreachable),
        0x99 => ("the body is not what it says to be", Kind::Unacceptable),
        0x9a => ("it keeps no retained messages", Kind::Unsupported),
        0x9b => ("it does not take QoS 1", Kind::Unsupported),
        0x9c | 0x9d => ("it wants another server used", Kind::Unsupported),
        0x9e => ("it has no shared subscriptions", Kind::Unsupported),
        0x9f => ("connections come too fast for it", Kind::Unreachable),
        0xa0 => ("the connection was as long as it may be", Kind::Unreachable),
        0xa1 => ("it has no subscription identifiers", Kind::Unsupported),
        0xa2 => ("it has no wildcard subscriptions", Kind::Unsupported),
        _ => ("for a reason MQTT 5 does not have", Kind::Unreachable),
    }
}
