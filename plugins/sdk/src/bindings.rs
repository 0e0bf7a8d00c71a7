//! The contract as Rust, generated from `plugins/wit`: the imports once, then each entry point by
//! itself, all sharing one set of types. Generated code only; the rest of the crate gives it shape.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]

/// What the host gives.
pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        world: "imports",
        generate_all,
        additional_derives: [Clone, PartialEq],
        additional_derives_ignore: ["reader", "writer", "stream", "request", "body"],
    });
}

/// The one entry point that uses none of the shared types.
pub mod exports_describe {
    wit_bindgen::generate!({
        path: "../wit",
        world: "exports-describe",
        pub_export_macro: true,
        export_macro_name: "__export_describe",
        default_bindings_module: "flow_plugin::__bindings::exports_describe",
        additional_derives: [Clone, PartialEq],
    });
}

macro_rules! entry_points {
    ($($module:ident $world:literal $macro_name:literal $default:literal;)+) => {$(
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro_name,
                default_bindings_module: $default,
                with: { "flow:plugin/types@0.1.0": crate::bindings::imports::flow::plugin::types },
                additional_derives: [Clone, PartialEq],
            });
        }
    )+};
}

entry_points! {
    exports_lifecycle "exports-lifecycle" "__export_lifecycle" "flow_plugin::__bindings::exports_lifecycle";
    exports_gather "exports-gather" "__export_gather" "flow_plugin::__bindings::exports_gather";
    exports_wake "exports-wake" "__export_wake" "flow_plugin::__bindings::exports_wake";
    exports_settled "exports-settled" "__export_settled" "flow_plugin::__bindings::exports_settled";
    exports_after_accept "exports-after-accept" "__export_after_accept" "flow_plugin::__bindings::exports_after_accept";
    exports_download "exports-download" "__export_download" "flow_plugin::__bindings::exports_download";
    exports_send "exports-send" "__export_send" "flow_plugin::__bindings::exports_send";
    exports_after_work "exports-after-work" "__export_after_work" "flow_plugin::__bindings::exports_after_work";
    exports_post "exports-post" "__export_post" "flow_plugin::__bindings::exports_post";
    exports_request "exports-request" "__export_request" "flow_plugin::__bindings::exports_request";
    exports_line "exports-line" "__export_line" "flow_plugin::__bindings::exports_line";
}
