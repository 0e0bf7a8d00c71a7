//! The contract's bindings, shared by the guests in `examples/`.
//!
//! Not the plugin SDK: these guests break rules the SDK would not let them break.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    reason = "generated from the WIT files"
)]

pub mod imports {
    wit_bindgen::generate!({ path: "../../plugins/wit", world: "imports", generate_all });
}

pub use imports::flow::plugin::types;
pub use imports::flow::plugin::types::*;
pub use imports::flow::plugin::{
    connection, content, http, lines, log, metrics, secret, state, submit,
};

macro_rules! entry_point {
    ($module:ident $world:tt $bindings:tt $export:tt) => {
        entry_point!($module $world $bindings $export {
            with: { "flow:plugin/types@0.1.0": crate::types }
        });
    };
    ($module:ident $world:tt $bindings:tt $export:tt { $($types:tt)* }) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../plugins/wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $bindings,
                $($types)*
            });
            pub use exports::flow::plugin::$module::*;
        }
    };
}

entry_point!(describe "exports-describe" "guests::describe" "export_describe" {});
entry_point!(lifecycle "exports-lifecycle" "guests::lifecycle" "export_lifecycle");
entry_point!(gather "exports-gather" "guests::gather" "export_gather");
entry_point!(wake "exports-wake" "guests::wake" "export_wake");
entry_point!(settled "exports-settled" "guests::settled" "export_settled");
entry_point!(after_accept "exports-after-accept" "guests::after_accept" "export_after_accept");
entry_point!(download "exports-download" "guests::download" "export_download");
entry_point!(send "exports-send" "guests::send" "export_send");
entry_point!(after_work "exports-after-work" "guests::after_work" "export_after_work");
entry_point!(post "exports-post" "guests::post" "export_post");
entry_point!(request "exports-request" "guests::request" "export_request");
entry_point!(line "exports-line" "guests::line" "export_line");

/// Exports the named entry points of a type.
#[macro_export]
macro_rules! export {
    ($guest:ident: $($entry:ident),+ $(,)?) => { $( $crate::export_one!($guest $entry); )+ };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_one {
    ($g:ident describe) => { $crate::describe::export_describe!($g with_types_in $crate::describe); };
    ($g:ident lifecycle) => { $crate::lifecycle::export_lifecycle!($g with_types_in $crate::lifecycle); };
    ($g:ident gather) => { $crate::gather::export_gather!($g with_types_in $crate::gather); };
    ($g:ident wake) => { $crate::wake::export_wake!($g with_types_in $crate::wake); };
    ($g:ident settled) => { $crate::settled::export_settled!($g with_types_in $crate::settled); };
    ($g:ident after_accept) => { $crate::after_accept::export_after_accept!($g with_types_in $crate::after_accept); };
    ($g:ident download) => { $crate::download::export_download!($g with_types_in $crate::download); };
    ($g:ident send) => { $crate::send::export_send!($g with_types_in $crate::send); };
    ($g:ident after_work) => { $crate::after_work::export_after_work!($g with_types_in $crate::after_work); };
    ($g:ident post) => { $crate::post::export_post!($g with_types_in $crate::post); };
    ($g:ident line) => { $crate::line::export_line!($g with_types_in $crate::line); };
    ($g:ident request) => { $crate::request::export_request!($g with_types_in $crate::request); };
}

/// Implements `describe` with a manifest expression.
#[macro_export]
macro_rules! describe {
    ($guest:ident, $manifest:expr) => {
        impl $crate::describe::Guest for $guest {
            fn describe() -> $crate::describe::Manifest {
                $manifest
            }
        }
    };
}

/// A manifest with nothing but a name.
pub fn manifest(name: &str) -> describe::Manifest {
    describe::Manifest {
        name: name.into(),
        version: "1.2.3".into(),
        summary: format!("test guest {name}"),
        doc: String::new(),
        options: Vec::new(),
        schemes: Vec::new(),
        grants: Vec::new(),
    }
}

/// An option of a kind, without anything else.
pub fn option(name: &str, kind: describe::OptionKind) -> describe::OptionSpec {
    describe::OptionSpec {
        name: name.into(),
        kind,
        default: None,
        required: false,
        repeated: false,
        secret: false,
        choices: Vec::new(),
        doc: format!("sets {name}"),
        example: None,
    }
}

/// A message with nothing but a path.
pub fn new_message(rel_path: &str) -> NewMessage {
    NewMessage {
        pub_time: String::new(),
        base_url: "test://guest/".into(),
        rel_path: rel_path.into(),
        retrieve_path: None,
        size: None,
        mtime: None,
        content_type: None,
        identity: None,
        headers: Vec::new(),
        content: None,
    }
}

/// What a failure says.
pub fn text(failure: &Failure) -> String {
    match failure {
        Failure::Temporary(f) => format!("temporary: {}", f.reason),
        Failure::Permanent(reason) => format!("permanent: {reason}"),
        Failure::Auth(reason) => format!("auth: {reason}"),
        Failure::Config(reason) => format!("config: {reason}"),
        Failure::Interrupted => "interrupted".into(),
    }
}

/// A header edit.
pub fn header(name: &str, value: impl Into<String>) -> Edit {
    Edit::Header((name.into(), Some(Value::Text(value.into()))))
}

thread_local! {
    static KEPT: std::cell::RefCell<std::collections::BTreeMap<String, String>> =
        std::cell::RefCell::default();
}

/// Keeps the text options `start` was given; see `keep_options!`.
pub fn keep(context: &lifecycle::Context) {
    let texts = context
        .options
        .iter()
        .filter_map(|(name, value)| match value {
            lifecycle::Setting::Text(text) => Some((name.clone(), text.clone())),
            _ => None,
        });
    KEPT.set(texts.collect());
}

/// A text option that was kept.
pub fn kept(name: &str) -> Option<String> {
    KEPT.with_borrow(|options| options.get(name).cloned())
}

/// Implements `lifecycle` for a guest that keeps its options, with its `max-instances`.
#[macro_export]
macro_rules! keep_options {
    ($guest:ident, $instances:expr) => {
        impl $crate::lifecycle::Guest for $guest {
            fn start(
                context: $crate::lifecycle::Context,
            ) -> Result<$crate::lifecycle::Started, $crate::Failure> {
                $crate::keep(&context);
                Ok($crate::lifecycle::Started {
                    max_instances: $instances,
                })
            }
            fn housekeeping() -> Result<(), $crate::Failure> {
                Ok(())
            }
            fn stop() {}
        }
    };
}
