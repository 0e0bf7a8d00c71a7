//! The macros of `flow-plugin`: what an author would otherwise write for each plugin anew.
//!
//! [`plugin`](macro@plugin) on an `impl` block exports the entry points it has methods for;
//! [`Options`] turns a struct into the options of the manifest and reads them; [`Choice`] turns an
//! enum into an option with a fixed set of values. What they accept, and every mistake they know,
//! is in the crate `flow-plugin`, which re-exports them.

mod choice;
mod entry;
mod options;
mod plugin;
mod text;

use proc_macro::TokenStream;

/// Exports the entry points that an `impl` block has methods for.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin::expand(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a struct the options of a plugin.
#[proc_macro_derive(Options, attributes(option))]
pub fn options(item: TokenStream) -> TokenStream {
    let expanded = syn::parse(item).map(|item| {
        options::expand(&item).unwrap_or_else(|error| {
            // Without any options, what uses them would be told as well, at more length.
            let mut told = error.to_compile_error();
            told.extend(options::stand_in(&item));
            told
        })
    });
    expanded
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes an enum the values of an option.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(item: TokenStream) -> TokenStream {
    syn::parse(item)
        .and_then(choice::expand)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
