//! Over a broker.
