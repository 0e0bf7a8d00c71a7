//! The entry points by the names of their methods, and the shapes such a method may have.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, FnArg, Ident, ImplItemFn, Result, ReturnType, Type, TypePath};

use crate::text;

/// Methods of the lifecycle; the others are entry points by themselves.
pub(crate) const LIFECYCLE: [&str; 4] = ["start", "max_instances", "housekeeping", "stop"];

/// Method, trait, and the trait's method.
const ENTRY_POINTS: [(&str, &str, &str); 10] = [
    ("gather", "Gather", "gather"),
    ("wake", "Wake", "wait"),
    ("settled", "Settled", "settled"),
    ("after_accept", "AfterAccept", "after_accept"),
    ("download", "Download", "download"),
    ("send", "Send", "send"),
    ("after_work", "AfterWork", "after_work"),
    ("post", "Post", "post"),
    ("request", "Request", "handle"),
    ("line", "Line", "line"),
];

/// What sr3 calls them.
const IN_SR3: [(&str, &str); 4] = [
    ("on_start", "start"),
    ("on_housekeeping", "housekeeping"),
    ("on_stop", "stop"),
    ("poll", "gather"),
];

/// The trait an entry point is exported by, if the method is one.
pub(crate) fn of(method: &str) -> Option<(&'static str, &'static str)> {
    ENTRY_POINTS
        .iter()
        .find(|(name, ..)| *name == method)
        .map(|(_, own, call)| (*own, *call))
}

/// Every entry point, for messages.
pub(crate) fn names() -> String {
    let names: Vec<_> = ENTRY_POINTS
        .iter()
        .map(|(name, ..)| format!("`{name}`"))
        .collect();
    names.join(", ")
}

/// Whether the method was meant to be an entry point and is none.
pub(crate) fn mistaken(method: &ImplItemFn) -> Option<Error> {
    let ident = &method.sig.ident;
    let name = ident.to_string();
    if of(&name).is_some() || LIFECYCLE.contains(&name.as_str()) || name == "closed" {
        return None;
    }
    let sr3 = IN_SR3.iter().find(|(old, _)| *old == name);
    let meant = sr3.map(|(_, new)| *new).or_else(|| {
        let all = ENTRY_POINTS.iter().map(|(name, ..)| *name).chain(LIFECYCLE);
        let called = matches!(method.sig.inputs.first(), Some(FnArg::Receiver(_)));
        called
            .then(|| all.into_iter().find(|known| text::near(&name, known)))
            .flatten()
    })?;
    let text = format!(
        "`{name}` is no entry point and would never be called: did you mean `{meant}`? (a helper with such a name goes into an `impl` block of its own)"
    );
    Some(Error::new_spanned(ident, text))
}

/// What a method gets at a time.
enum Shape {
    /// The whole batch: `Vec<Message>`.
    Batch,
    /// The whole batch, borrowed: `&[Message]`.
    Slice,
    /// One message: `&Message`.
    Each,
    /// One message to keep: `Message`.
    EachOwned,
    /// sr3's lists: `&mut Worklist`.
    Worklist,
}

/// The trait's method, which calls the author's.
pub(crate) fn body(plugin: &Ident, method: &ImplItemFn) -> Result<TokenStream> {
    let own = &method.sig.ident;
    let name = own.to_string();
    let rest = quote!(::flow_plugin);
    Ok(match name.as_str() {
        "gather" => quote! {
            fn gather(&mut self, limit: u32) -> #rest::Result<#rest::Gathered> { #plugin::#own(self, limit) }
        },
        "wake" => quote! {
            fn wait(&mut self, timeout: ::std::time::Duration) -> #rest::Result<bool> { #plugin::#own(self, timeout) }
        },
        "settled" => quote! {
            fn settled(&mut self, outcomes: ::std::vec::Vec<#rest::Outcome>) -> #rest::Result<()> { #plugin::#own(self, outcomes) }
        },
        "request" => quote! {
            fn handle(&mut self, request: #rest::HttpRequest) -> #rest::Result<#rest::HttpResponse> { #plugin::#own(self, request) }
        },
        "line" => quote! {
            fn line(&mut self, text: ::std::string::String) -> #rest::Result<()> { #plugin::#own(self, text) }
        },
        "after_accept" | "after_work" => batch(plugin, method, &quote!(Verdict), &quote!(Fail))?,
        "download" => batch(plugin, method, &quote!(Fetched), &quote!(Fail))?,
        "send" => batch(plugin, method, &quote!(Sent), &quote!(Fail))?,
        "post" => post(plugin, method)?,
        _ => {
            return Err(Error::new(
                Span::call_site(),
                format!("`{name}` is no entry point"),
            ));
        }
    })
}

fn batch(
    plugin: &Ident,
    method: &ImplItemFn,
    answer: &TokenStream,
    fail: &TokenStream,
) -> Result<TokenStream> {
    let own = &method.sig.ident;
    let call = match shape(method)? {
        Shape::Batch => quote!(#plugin::#own(self, batch)),
        Shape::Slice => quote!(#plugin::#own(self, &batch)),
        Shape::Each => quote! {
            ::std::result::Result::Ok(batch.iter().map(|message| {
                #plugin::#own(self, message).unwrap_or_else(::flow_plugin::#answer::#fail)
            }).collect())
        },
        Shape::EachOwned => quote! {
            ::std::result::Result::Ok(batch.into_iter().map(|message| {
                #plugin::#own(self, message).unwrap_or_else(::flow_plugin::#answer::#fail)
            }).collect())
        },
        Shape::Worklist if own == "after_accept" || own == "after_work" => {
            let of = format_ident!("of_{own}");
            quote! {{
                let mut work = ::flow_plugin::Worklist::#of(batch);
                #plugin::#own(self, &mut work)?;
                ::std::result::Result::Ok(work.into_verdicts())
            }}
        }
        Shape::Worklist => {
            return Err(Error::new_spanned(
                own,
                format!("`{own}` gets messages, not a worklist: take `&Message` or `Vec<Message>`"),
            ));
        }
    };
    Ok(quote! {
        fn #own(&mut self, batch: ::std::vec::Vec<::flow_plugin::Message>)
            -> ::flow_plugin::Result<::std::vec::Vec<::flow_plugin::#answer>> { #call }
    })
}

fn post(plugin: &Ident, method: &ImplItemFn) -> Result<TokenStream> {
    let own = &method.sig.ident;
    let call = match shape(method)? {
        Shape::Batch => quote!(#plugin::#own(self, batch)),
        Shape::Slice => quote!(#plugin::#own(self, &batch)),
        Shape::Each => quote! {
            ::std::result::Result::Ok(batch.iter().map(|message| #plugin::#own(self, message)).collect())
        },
        Shape::EachOwned => quote! {
            ::std::result::Result::Ok(batch.into_iter().map(|message| #plugin::#own(self, message)).collect())
        },
        Shape::Worklist => {
            return Err(Error::new_spanned(
                own,
                "`post` gets messages, not a worklist: take `&Message` or `Vec<Message>`",
            ));
        }
    };
    Ok(quote! {
        fn post(&mut self, batch: ::std::vec::Vec<::flow_plugin::Message>)
            -> ::flow_plugin::Result<::std::vec::Vec<::flow_plugin::Result<()>>> { #call }
    })
}

fn shape(method: &ImplItemFn) -> Result<Shape> {
    let given = method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(&*input.ty),
        FnArg::Receiver(_) => None,
    });
    let mut given = given.collect::<Vec<_>>().into_iter();
    let wrong = || {
        let name = &method.sig.ident;
        Error::new_spanned(
            &method.sig,
            format!(
                "`{name}` takes `&mut self` and one of `&Message` (one at a time), `Vec<Message>` (the batch){}",
                if name == "after_accept" || name == "after_work" {
                    " or `&mut Worklist` (sr3's lists)"
                } else {
                    ""
                }
            ),
        )
    };
    let (Some(ty), None) = (given.next(), given.next()) else {
        return Err(wrong());
    };
    match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(_) => Ok(Shape::Slice),
            inner if is(inner, "Worklist") && reference.mutability.is_some() => Ok(Shape::Worklist),
            inner if is(inner, "Message") => Ok(Shape::Each),
            _ => Err(wrong()),
        },
        ty if is(ty, "Vec") => Ok(Shape::Batch),
        ty if is(ty, "Message") => Ok(Shape::EachOwned),
        _ => Err(wrong()),
    }
}

/// Whether a type is called so, wherever it is.
pub(crate) fn is(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(TypePath { path, .. }) => path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

/// Whether a method returns something called so.
pub(crate) fn returns(method: &ImplItemFn, name: &str) -> bool {
    match &method.sig.output {
        ReturnType::Type(_, ty) => is(ty, name),
        ReturnType::Default => false,
    }
}
