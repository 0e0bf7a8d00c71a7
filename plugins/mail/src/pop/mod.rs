//! POP3 (RFC 1939): polling, fetching, deleting.
//!
//! Written here because no client crate both compiles for a component and streams: async-pop holds
//! every mail in memory as a whole.

pub(crate) mod mailbox;
pub(crate) mod session;
pub(crate) mod unstuff;
