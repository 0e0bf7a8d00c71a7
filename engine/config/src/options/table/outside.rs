//! Options of what comes in from outside.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{LISTENS, of};

pub(super) static OUTSIDE: &[OptionDoc] = &[
    of(
        "listen",
        T::Url,
        "Where the flow listens. `http://ADDRESS:PORT/PATH`, or `https:`: requests at the path and \
         below it go to the plugin that has `request`; several flows may share an address with \
         different paths. `unix:/PATH`: whoever connects sends lines to the plugin that has `line`. \
         Other machines reach it only at an address of this machine, or `0.0.0.0`. A flow whose plugin \
         has `line` and that listens nowhere is run by another program, with `flow helper`.",
        "http://127.0.0.1:8080/hooks",
    )
    .only(LISTENS)
    .new_here(),
    of(
        "tlsCert",
        T::Path,
        "The certificate shown at `listen: https:`, PEM, followed by those between it and its authority. \
         Read when the flow starts.",
        "/etc/ssl/flow.pem",
    )
    .only(LISTENS)
    .new_here(),
    of(
        "tlsKey",
        T::Path,
        "The private key of `tlsCert`, PEM.",
        "/etc/ssl/private/flow.key",
    )
    .only(LISTENS)
    .new_here(),
    of(
        "bodyMax",
        T::Size,
        "Bodies of requests larger than this are answered with 413.",
        "64MiB",
    )
    .only(LISTENS)
    .default("16MiB")
    .new_here(),
];
