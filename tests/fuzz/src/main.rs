//! Coverage-guided fuzzing of the message decoders: libFuzzer over the targets that every test run
//! takes through its mutations. `tests/fuzz/run` builds and starts it.
//!
//! The target is chosen by the environment variable `FUZZ_TARGET`, as the command line is libFuzzer's.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../../engine/message/tests/formats/reference.rs"]
mod reference;
#[path = "../../../engine/message/tests/formats/targets.rs"]
mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS
        .into_iter()
        .find(|(name, _)| *name == wanted);
    found.expect("FUZZ_TARGET names a target").1
});

fuzz_target!(|data: &[u8]| TARGET(data));
