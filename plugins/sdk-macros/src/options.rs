//! `#[derive(Options)]`: a struct's fields as the options of a manifest.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, Lit, LitStr, Result, Token};

use crate::text;

/// What `#[option(…)]` on a field may say.
#[derive(Default)]
struct Said {
    name: Option<String>,
    default: Option<String>,
    example: Option<String>,
    kind: Option<TokenStream>,
    choices: Vec<LitStr>,
    secret: bool,
}

const KINDS: [(&str, &str); 8] = [
    ("flag", "Flag"),
    ("count", "Count"),
    ("size", "Size"),
    ("duration", "Duration"),
    ("text", "Text"),
    ("url", "Url"),
    ("choice", "Choice"),
    ("regex", "Regex"),
];

/// What stands in for the options of a struct that has mistakes, so that only those are told.
pub(crate) fn stand_in(item: &DeriveInput) -> TokenStream {
    let name = &item.ident;
    let (impl_generics, type_generics, bounds) = item.generics.split_for_impl();
    quote! {
        impl #impl_generics ::flow_plugin::OptionSet for #name #type_generics #bounds {
            fn specs() -> ::std::vec::Vec<::flow_plugin::OptionSpec> {
                ::std::vec::Vec::new()
            }

            fn read(_: &::flow_plugin::Options) -> ::flow_plugin::Result<Self> {
                ::std::panic!("the options have mistakes")
            }
        }
    }
}

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let name = &item.ident;
    let fields = match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(&fields.named),
            _ => None,
        },
        _ => None,
    };
    let fields = fields.ok_or_else(|| {
        Error::new_spanned(
            name,
            "options are a struct with named fields, one for each option",
        )
    })?;
    let mut specs = Vec::new();
    let mut reads = Vec::new();
    for field in fields {
        let (spec, read) = one(field)?;
        specs.push(spec);
        reads.push(read);
    }
    let (impl_generics, type_generics, bounds) = item.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::flow_plugin::OptionSet for #name #type_generics #bounds {
            fn specs() -> ::std::vec::Vec<::flow_plugin::OptionSpec> {
                ::std::vec![#(#specs),*]
            }

            fn read(options: &::flow_plugin::Options) -> ::flow_plugin::Result<Self> {
                ::std::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

/// The spec of a field, and how it is read.
fn one(field: &Field) -> Result<(TokenStream, TokenStream)> {
    let ident = field
        .ident
        .as_ref()
        .expect("the fields of such a struct have names");
    let said = said(field)?;
    let name = said.name.unwrap_or_else(|| ident.unraw().to_string());
    let doc = text::doc(&field.attrs);
    if doc.is_empty() {
        return Err(Error::new_spanned(
            ident,
            format!(
                "say what `{name}` is, with units, in a doc comment: `flow plugin show` prints it"
            ),
        ));
    }
    let ty = &field.ty;
    let mut spec = quote!(::flow_plugin::option_of::<#ty>(#name, #doc));
    if let Some(kind) = said.kind {
        spec = quote!(#spec.kind(::flow_plugin::OptionKind::#kind));
    }
    if !said.choices.is_empty() {
        let choices = &said.choices;
        spec = quote!(#spec.kind(::flow_plugin::OptionKind::Choice).choices(&[#(#choices),*]));
    }
    if let Some(default) = said.default {
        spec = quote!(#spec.default(#default));
    }
    if let Some(example) = said.example {
        spec = quote!(#spec.example(#example));
    }
    if said.secret {
        spec = quote!(#spec.secret());
    }
    Ok((
        quote!(#spec.build()),
        quote!(#ident: <#ty as ::flow_plugin::OptionValue>::read(options, #name)?),
    ))
}

fn said(field: &Field) -> Result<Said> {
    let mut said = Said::default();
    for attribute in &field.attrs {
        if !attribute.path().is_ident("option") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            let path = &meta.path;
            if path.is_ident("secret") {
                said.secret = true;
            } else if path.is_ident("choices") {
                let list;
                syn::parenthesized!(list in meta.input);
                let list =
                    list.parse_terminated(<LitStr as syn::parse::Parse>::parse, Token![,])?;
                said.choices = list.into_iter().collect();
            } else if path.is_ident("name") {
                said.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if path.is_ident("example") {
                said.example = Some(written(&meta.value()?.parse()?)?);
            } else if path.is_ident("default") {
                said.default = Some(written(&meta.value()?.parse()?)?);
            } else if path.is_ident("kind") {
                said.kind = Some(kind(&meta.value()?.parse()?)?);
            } else {
                return Err(meta.error(
                    "an option says `default`, `example`, `name`, `kind`, `choices(…)` or `secret`",
                ));
            }
            Ok(())
        })?;
    }
    Ok(said)
}

fn kind(text: &LitStr) -> Result<TokenStream> {
    let known = KINDS.iter().find(|(name, _)| *name == text.value());
    let (_, variant) = known.ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|(name, _)| format!("`{name}`")).collect();
        Error::new_spanned(text, format!("a kind is one of {}", names.join(", ")))
    })?;
    let variant = syn::Ident::new(variant, text.span());
    Ok(quote!(#variant))
}

/// A value as a flow would write it: `"10s"`, `5`, `true`, `-1`.
fn written(value: &Expr) -> Result<String> {
    let literal = |lit: &Lit| match lit {
        Lit::Str(text) => Some(text.value()),
        Lit::Int(number) => Some(number.base10_digits().to_owned()),
        Lit::Bool(flag) => Some(flag.value.to_string()),
        _ => None,
    };
    let text = match value {
        Expr::Lit(value) => literal(&value.lit),
        Expr::Unary(syn::ExprUnary {
            op: syn::UnOp::Neg(_),
            expr,
            ..
        }) => match &**expr {
            Expr::Lit(value) => literal(&value.lit).map(|text| format!("-{text}")),
            _ => None,
        },
        _ => None,
    };
    text.ok_or_else(|| {
        Error::new_spanned(value, "write it as a flow would: `\"10s\"`, `5`, `true`")
    })
}
