//! IMAP (RFC 3501, RFC 9051): polling, fetching, telling the server what became of its mails.

pub(crate) mod answer;
pub(crate) mod fetch;
pub(crate) mod idle;
pub(crate) mod opening;
pub(crate) mod poll;
pub(crate) mod search;
pub(crate) mod session;
pub(crate) mod settle;
