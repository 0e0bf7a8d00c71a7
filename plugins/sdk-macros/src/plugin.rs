//! `#[plugin]`: from an `impl` block to the traits it has methods for, and their export.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Error, Expr, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, Token, Type, token,
};

use crate::entry;

/// `schemes("a", "b")`, `grants(http)`, `summary = "…"`.
enum Argument {
    Text(Ident, Expr),
    Schemes(Vec<LitStr>),
    Grants(Vec<Ident>),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        if input.peek(token::Paren) {
            let list;
            syn::parenthesized!(list in input);
            return match name.to_string().as_str() {
                "schemes" => {
                    let list: Punctuated<LitStr, Token![,]> =
                        list.parse_terminated(<LitStr as Parse>::parse, Token![,])?;
                    Ok(Self::Schemes(list.into_iter().collect()))
                }
                "grants" => {
                    let list: Punctuated<Ident, Token![,]> =
                        list.parse_terminated(<Ident as Parse>::parse, Token![,])?;
                    Ok(Self::Grants(list.into_iter().collect()))
                }
                _ => Err(unknown(&name)),
            };
        }
        if !["name", "version", "summary", "doc"].contains(&name.to_string().as_str()) {
            return Err(unknown(&name));
        }
        input.parse::<Token![=]>()?;
        Ok(Self::Text(name, input.parse()?))
    }
}

fn unknown(name: &Ident) -> Error {
    Error::new_spanned(
        name,
        "a plugin says `summary = …`, `doc = …`, `name = …`, `version = …`, `schemes(…)` or `grants(…)`; the rest comes from Cargo.toml and from its methods",
    )
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Punctuated::<Argument, Token![,]>::parse_terminated.parse2(arguments)?;
    let block: ItemImpl = syn::parse2(item)?;
    let plugin = plugin_type(&block)?;
    let methods: Vec<&ImplItemFn> = block
        .items
        .iter()
        .filter_map(|item| match item {
            ImplItem::Fn(method) => Some(method),
            _ => None,
        })
        .collect();
    let mut errors = methods.iter().filter_map(|method| entry::mistaken(method));
    if let Some(mut error) = errors.next() {
        errors.for_each(|other| error.combine(other));
        return Err(error);
    }
    let find = |name: &str| {
        methods
            .iter()
            .copied()
            .find(|method| method.sig.ident == name)
    };

    let mut exported = Vec::new();
    let mut implementations = Vec::new();
    for method in &methods {
        let Some((own_trait, _)) = entry::of(&method.sig.ident.to_string()) else {
            continue;
        };
        let own_trait = format_ident!("{own_trait}");
        let body = entry::body(&plugin, method)?;
        let closed = (own_trait == "Line").then(|| find("closed")).flatten();
        let closed = closed.map(|_| {
            quote! {
                fn closed(&mut self) -> ::flow_plugin::Result<()> { #plugin::closed(self) }
            }
        });
        implementations
            .push(quote! { impl ::flow_plugin::#own_trait for #plugin { #body #closed } });
        exported.push(own_trait);
    }
    if exported.is_empty() {
        return Err(Error::new_spanned(
            &block.self_ty,
            format!(
                "a plugin has at least one of the methods {}",
                entry::names()
            ),
        ));
    }
    let start = find("start");
    let settings = start.and_then(settings);
    if entry::LIFECYCLE.iter().any(|name| find(name).is_some()) {
        implementations.push(lifecycle(&plugin, start, find)?);
        exported.insert(0, format_ident!("Lifecycle"));
    }
    let describe = describe(&plugin, &arguments, settings)?;
    Ok(quote! {
        #block
        #describe
        #(#implementations)*
        ::flow_plugin::export!(#plugin: Describe, #(#exported),*);
    })
}

fn plugin_type(block: &ItemImpl) -> Result<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "`#[plugin]` goes on the plugin's own `impl` block, which implements no trait",
        ));
    }
    match &*block.self_ty {
        Type::Path(path) if block.generics.params.is_empty() => match path.path.get_ident() {
            Some(ident) => Ok(ident.clone()),
            None => Err(Error::new_spanned(
                path,
                "the plugin is a type of this module",
            )),
        },
        other => Err(Error::new_spanned(
            other,
            "the plugin is a type without parameters",
        )),
    }
}

/// The struct of options `start` takes.
fn settings(start: &ImplItemFn) -> Option<&Type> {
    start.sig.inputs.iter().find_map(|input| match input {
        FnArg::Typed(input) if !is_context(&input.ty) => Some(&*input.ty),
        _ => None,
    })
}

fn is_context(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => entry::is(&reference.elem, "Context"),
        ty => entry::is(ty, "Context"),
    }
}

fn lifecycle<'a>(
    plugin: &Ident,
    start: Option<&ImplItemFn>,
    find: impl Fn(&str) -> Option<&'a ImplItemFn>,
) -> Result<TokenStream> {
    let start = match start {
        Some(start) => started(plugin, start)?,
        None => quote!(::std::result::Result::Ok(
            <Self as ::std::default::Default>::default()
        )),
    };
    let max_instances = find("max_instances").map(|_| {
        quote! {
            fn max_instances(&self) -> ::std::option::Option<u32> { #plugin::max_instances(self) }
        }
    });
    let housekeeping = find("housekeeping").map(|_| {
        quote! {
            fn housekeeping(&mut self) -> ::flow_plugin::Result<()> { #plugin::housekeeping(self) }
        }
    });
    let stop = find("stop").map(|_| {
        quote! {
            fn stop(&mut self) { #plugin::stop(self) }
        }
    });
    Ok(quote! {
        impl ::flow_plugin::Lifecycle for #plugin {
            #[allow(unused_variables, reason = "a plugin need not care")]
            fn start(context: ::flow_plugin::Context) -> ::flow_plugin::Result<Self> { #start }
            #max_instances
            #housekeeping
            #stop
        }
    })
}

fn started(plugin: &Ident, start: &ImplItemFn) -> Result<TokenStream> {
    let mut given = Vec::new();
    let mut read = None;
    for input in &start.sig.inputs {
        let FnArg::Typed(input) = input else {
            return Err(Error::new_spanned(
                input,
                "`start` makes the plugin: it takes its options, its context, or both, and no `self`",
            ));
        };
        let ty = &*input.ty;
        if is_context(ty) {
            given.push(match ty {
                Type::Reference(_) => quote!(&context),
                _ => quote!(context),
            });
        } else if read.is_some() {
            return Err(Error::new_spanned(
                ty,
                "`start` takes one struct of options",
            ));
        } else {
            read = Some(quote! {
                let settings = <#ty as ::flow_plugin::OptionSet>::read(&context.options)?;
            });
            given.push(quote!(settings));
        }
    }
    let call = quote!(#plugin::start(#(#given),*));
    let bare = entry::returns(start, "Self") || entry::returns(start, &plugin.to_string());
    Ok(match bare {
        true => quote! { #read ::std::result::Result::Ok(#call) },
        false => quote! { #read #call },
    })
}

fn describe(
    plugin: &Ident,
    arguments: &Punctuated<Argument, Token![,]>,
    settings: Option<&Type>,
) -> Result<TokenStream> {
    let text = |wanted: &str| {
        arguments.iter().find_map(|argument| match argument {
            Argument::Text(name, value) if name == wanted => Some(value),
            _ => None,
        })
    };
    let or = |given: Option<&Expr>, variable: &str| match given {
        Some(value) => quote!(#value),
        None => quote!(::std::env!(#variable)),
    };
    let name = or(text("name"), "CARGO_PKG_NAME");
    let version = or(text("version"), "CARGO_PKG_VERSION");
    let summary = or(text("summary"), "CARGO_PKG_DESCRIPTION");
    let mut manifest = quote!(::flow_plugin::manifest(#name, #version, #summary));
    if let Some(doc) = text("doc") {
        manifest = quote!(#manifest.doc(#doc));
    }
    if let Some(settings) = settings {
        manifest = quote!(#manifest.options::<#settings>());
    }
    for argument in arguments {
        match argument {
            Argument::Schemes(schemes) => manifest = quote!(#manifest.schemes(&[#(#schemes),*])),
            Argument::Grants(grants) => {
                for grant in grants {
                    let variant = match grant.to_string().as_str() {
                        "connect" => quote!(Connect),
                        "http" => quote!(Http),
                        "secrets" => quote!(Secrets),
                        _ => {
                            return Err(Error::new_spanned(
                                grant,
                                "a grant is `connect`, `http` or `secrets`",
                            ));
                        }
                    };
                    manifest = quote!(#manifest.grant(::flow_plugin::Grant::#variant));
                }
            }
            Argument::Text(..) => {}
        }
    }
    Ok(quote! {
        impl ::flow_plugin::Describe for #plugin {
            fn describe() -> ::flow_plugin::Manifest { #manifest.build() }
        }
    })
}
