//! Prints what `tests/sr3/make.py` gives to the real sr3 to read.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

#[path = "../tests/formats/vectors.rs"]
mod vectors;

fn main() {
    println!("{:#}", vectors::ours());
}
