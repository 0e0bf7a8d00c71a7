//! `export!`: from a plugin's traits to the component's exports.
//!
//! The plugin's one value lives in a slot that `start` fills; the contract never calls an instance
//! for two things at once, so the slot is never borrowed twice.

/// Exports the entry points named, and no others: `export!(Mail: Describe, Lifecycle, Gather);`
///
/// Without `Lifecycle` in the list the type has to be `Default`. Does nothing where the target is
/// not wasm.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $($entry:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated glue")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    ::std::cell::RefCell::new($crate::__initial!($plugin $($entry)+));
            }
            struct Exported;
            impl Exported {
                #[allow(dead_code, reason = "a plugin that only describes itself never needs it")]
                fn with<R>(call: impl FnOnce(&mut $plugin) -> $crate::Result<R>) -> $crate::Result<R> {
                    PLUGIN.with_borrow_mut(|slot| match slot {
                        Some(plugin) => call(plugin),
                        None => Err($crate::Failure::permanent("the plugin was not started")),
                    })
                }
            }
            $( $crate::__export_one!(Exported, PLUGIN, $plugin, $entry); )+
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            fn implements<T: $($crate::$entry +)+>() {}
            #[allow(dead_code, reason = "only has to compile")]
            fn check() { implements::<$plugin>(); }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __initial {
    ($plugin:ident Lifecycle $($rest:ident)*) => { ::std::option::Option::None };
    ($plugin:ident $other:ident $($rest:ident)*) => { $crate::__initial!($plugin $($rest)*) };
    ($plugin:ident) => { ::std::option::Option::Some(<$plugin as ::std::default::Default>::default()) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    ($exported:ident, $slot:ident, $plugin:ident, Describe) => {
        impl $crate::__bindings::exports_describe::exports::flow::plugin::describe::Guest for $exported {
            fn describe() -> $crate::Manifest { <$plugin as $crate::Describe>::describe() }
        }
        $crate::__bindings::exports_describe::__export_describe!($exported with_types_in $crate::__bindings::exports_describe);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Lifecycle) => {
        impl $crate::__bindings::exports_lifecycle::exports::flow::plugin::lifecycle::Guest for $exported {
            fn start(
                context: $crate::__bindings::exports_lifecycle::exports::flow::plugin::lifecycle::Context,
            ) -> $crate::Result<$crate::__bindings::exports_lifecycle::exports::flow::plugin::lifecycle::Started> {
                let plugin = <$plugin as $crate::Lifecycle>::start($crate::__context(context))?;
                let max_instances = $crate::Lifecycle::max_instances(&plugin);
                $slot.set(Some(plugin));
                Ok($crate::__bindings::exports_lifecycle::exports::flow::plugin::lifecycle::Started { max_instances })
            }
            fn housekeeping() -> $crate::Result<()> { $exported::with($crate::Lifecycle::housekeeping) }
            fn stop() {
                if let Some(mut plugin) = $slot.take() { $crate::Lifecycle::stop(&mut plugin); }
            }
        }
        $crate::__bindings::exports_lifecycle::__export_lifecycle!($exported with_types_in $crate::__bindings::exports_lifecycle);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Gather) => {
        impl $crate::__bindings::exports_gather::exports::flow::plugin::gather::Guest for $exported {
            fn gather(limit: u32) -> $crate::Result<$crate::Gathered> { $exported::with(|p| $crate::Gather::gather(p, limit)) }
        }
        $crate::__bindings::exports_gather::__export_gather!($exported with_types_in $crate::__bindings::exports_gather);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Wake) => {
        impl $crate::__bindings::exports_wake::exports::flow::plugin::wake::Guest for $exported {
            fn wait(timeout_ms: u64) -> $crate::Result<bool> {
                $exported::with(|p| $crate::Wake::wait(p, ::std::time::Duration::from_millis(timeout_ms)))
            }
        }
        $crate::__bindings::exports_wake::__export_wake!($exported with_types_in $crate::__bindings::exports_wake);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Settled) => {
        impl $crate::__bindings::exports_settled::exports::flow::plugin::settled::Guest for $exported {
            fn settled(outcomes: Vec<$crate::Outcome>) -> $crate::Result<()> {
                $exported::with(|p| $crate::Settled::settled(p, outcomes))
            }
        }
        $crate::__bindings::exports_settled::__export_settled!($exported with_types_in $crate::__bindings::exports_settled);
    };
    ($exported:ident, $slot:ident, $plugin:ident, AfterAccept) => {
        impl $crate::__bindings::exports_after_accept::exports::flow::plugin::after_accept::Guest for $exported {
            fn after_accept(batch: Vec<$crate::Message>) -> $crate::Result<Vec<$crate::Verdict>> {
                $exported::with(|p| $crate::AfterAccept::after_accept(p, batch))
            }
        }
        $crate::__bindings::exports_after_accept::__export_after_accept!($exported with_types_in $crate::__bindings::exports_after_accept);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Download) => {
        impl $crate::__bindings::exports_download::exports::flow::plugin::download::Guest for $exported {
            fn download(batch: Vec<$crate::Message>) -> $crate::Result<Vec<$crate::Fetched>> {
                $exported::with(|p| $crate::Download::download(p, batch))
            }
        }
        $crate::__bindings::exports_download::__export_download!($exported with_types_in $crate::__bindings::exports_download);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Send) => {
        impl $crate::__bindings::exports_send::exports::flow::plugin::send::Guest for $exported {
            fn send(batch: Vec<$crate::Message>) -> $crate::Result<Vec<$crate::Sent>> {
                $exported::with(|p| $crate::Send::send(p, batch))
            }
        }
        $crate::__bindings::exports_send::__export_send!($exported with_types_in $crate::__bindings::exports_send);
    };
    ($exported:ident, $slot:ident, $plugin:ident, AfterWork) => {
        impl $crate::__bindings::exports_after_work::exports::flow::plugin::after_work::Guest for $exported {
            fn after_work(batch: Vec<$crate::Message>) -> $crate::Result<Vec<$crate::Verdict>> {
                $exported::with(|p| $crate::AfterWork::after_work(p, batch))
            }
        }
        $crate::__bindings::exports_after_work::__export_after_work!($exported with_types_in $crate::__bindings::exports_after_work);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Post) => {
        impl $crate::__bindings::exports_post::exports::flow::plugin::post::Guest for $exported {
            fn post(batch: Vec<$crate::Message>) -> $crate::Result<Vec<$crate::Result<()>>> {
                $exported::with(|p| $crate::Post::post(p, batch))
            }
        }
        $crate::__bindings::exports_post::__export_post!($exported with_types_in $crate::__bindings::exports_post);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Request) => {
        impl $crate::__bindings::exports_request::exports::flow::plugin::request::Guest for $exported {
            fn handle(request: $crate::HttpRequest) -> $crate::Result<$crate::HttpResponse> {
                $exported::with(|p| $crate::Request::handle(p, request))
            }
        }
        $crate::__bindings::exports_request::__export_request!($exported with_types_in $crate::__bindings::exports_request);
    };
    ($exported:ident, $slot:ident, $plugin:ident, Line) => {
        impl $crate::__bindings::exports_line::exports::flow::plugin::line::Guest for $exported {
            fn line(peer: u64, text: String) -> $crate::Result<()> { $exported::with(|p| $crate::Line::line(p, peer, text)) }
            fn closed(peer: u64) -> $crate::Result<()> { $exported::with(|p| $crate::Line::closed(p, peer)) }
        }
        $crate::__bindings::exports_line::__export_line!($exported with_types_in $crate::__bindings::exports_line);
    };
}
