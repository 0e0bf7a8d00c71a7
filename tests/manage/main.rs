//! The background process, from outside: the whole binary, real processes, real signals.
//!
//! The flows watch directories and post to the embedded broker, so nothing but the binary is needed.

mod faults;
mod files;
mod life;
mod scene;
mod transfers;
