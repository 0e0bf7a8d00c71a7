//! Between the ports' types and the contract's.

pub(crate) mod incoming;
pub(crate) mod outgoing;

/// Header names that have a named field in the contract.
pub(crate) const NAMED: [&str; 8] = [
    "pubTime",
    "baseUrl",
    "relPath",
    "retrievePath",
    "size",
    "mtime",
    "contentType",
    "identity",
];
