//! A server that does what the script says: what real ones do too rarely to wait for.
