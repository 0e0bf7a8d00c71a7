//! `#[derive(Choice)]`: an enum as the values an option may have.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result};

use crate::text;

pub(crate) fn expand(item: DeriveInput) -> Result<TokenStream> {
    let name = &item.ident;
    let Data::Enum(data) = &item.data else {
        return Err(Error::new_spanned(
            name,
            "choices are an enum, one variant for each",
        ));
    };
    let mut idents = Vec::new();
    let mut names = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "a choice is a name alone and carries nothing",
            ));
        }
        let mut own = text::snake(&variant.ident.to_string());
        for attribute in &variant.attrs {
            if attribute.path().is_ident("choice") {
                attribute.parse_nested_meta(|meta| {
                    if !meta.path.is_ident("name") {
                        return Err(meta.error("a choice says `name = \"…\"`"));
                    }
                    own = meta.value()?.parse::<LitStr>()?.value();
                    Ok(())
                })?;
            }
        }
        idents.push(&variant.ident);
        names.push(own);
    }
    Ok(quote! {
        impl ::flow_plugin::OptionValue for #name {
            const KIND: ::flow_plugin::OptionKind = ::flow_plugin::OptionKind::Choice;

            fn choices() -> &'static [&'static str] {
                &[#(#names),*]
            }

            fn read(options: &::flow_plugin::Options, name: &str) -> ::flow_plugin::Result<Self> {
                match options.text(name)?.as_str() {
                    #(#names => ::std::result::Result::Ok(Self::#idents),)*
                    other => ::std::result::Result::Err(::flow_plugin::Failure::config(
                        ::std::format!("option `{name}` can't be `{other}`"),
                    )),
                }
            }
        }
    })
}
