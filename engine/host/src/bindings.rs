//! The contract, generated from `plugins/wit`. Nothing here is written by hand.
//!
//! Arguments of exports are borrowed types (`MessageParam<'_>`), so that a batch crosses without
//! copying its strings first; what a guest returns is owned.
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the WIT files document it, and typed calls are unchecked once looked up"
)]

wasmtime::component::bindgen!({
    path: "../../plugins/wit",
    world: "plugin",
    imports: {
        "flow:plugin/connection.connect": async | trappable,
        "flow:plugin/connection.[method]stream.read": async | trappable,
        "flow:plugin/connection.[method]stream.write": async | trappable,
        "flow:plugin/connection.[method]stream.start-tls": async | trappable,
        "flow:plugin/secret.bearer-token": async | trappable,
        "flow:plugin/http.send": async | trappable,
        "flow:plugin/submit.submit": async | trappable,
        "flow:plugin/lines.write": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
    with: {
        "flow:plugin/connection.stream": crate::imports::connection::Stream,
        "flow:plugin/content.reader": crate::imports::content::Reader,
        "flow:plugin/content.writer": crate::imports::content::Writer,
    },
});
