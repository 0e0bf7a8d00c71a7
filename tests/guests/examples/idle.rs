//! Describes itself and does nothing.
struct Idle;
guests::describe!(Idle, guests::manifest("idle"));
guests::export!(Idle: describe);
