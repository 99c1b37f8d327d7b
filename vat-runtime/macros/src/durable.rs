//! `#[derive(Durable)]`: portraits of structs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, LitInt, Result, parse2};

use crate::fields::{self, Reading};
use crate::names::{self, Rename};

pub(crate) fn expand(krate: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let private = quote!(#krate::typed::__private);
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(
            &item.ident,
            "`Durable` can be derived for structs: implement it by hand for others",
        ));
    };
    let version = version(&item.attrs)?;
    let version = version.map(|version| quote!(const VERSION: ::core::primitive::u32 = #version;));
    let parts = fields::parts(&data.fields, "durable", Rename::Keep)?;
    let pattern = fields::pattern(&quote!(Self), &data.fields, &parts);
    let portrait = fields::into_value(&private, &data.fields, &parts, true);
    let name = names::plain(&item.ident);
    let reading = Reading {
        private: &private,
        ty: &quote!(&#private::Type::Struct(#name)),
        closed: true,
        fallback: None,
    };
    let restored = fields::from_value(reading, &data.fields, &parts);
    let ident = &item.ident;
    let (impl_generics, type_generics, bounds) = item.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics #private::Durable for #ident #type_generics #bounds {
            #version

            #[allow(unused_variables)]
            fn portray(&self) -> #private::Value {
                let #pattern = self;
                #portrait
            }

            fn restore(
                value: #private::Value,
            ) -> ::core::result::Result<Self, #private::RestoreError> {
                #restored
                ::core::result::Result::Ok(#pattern)
            }
        }
    })
}

fn version(attributes: &[Attribute]) -> Result<Option<LitInt>> {
    let mut version = None;
    for attribute in attributes.iter().filter(|found| found.path().is_ident("durable")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("version") {
                return Err(meta.error("expected `version = 2`"));
            }
            let number: LitInt = meta.value()?.parse()?;
            number.base10_parse::<u32>()?;
            version = Some(number);
            Ok(())
        })?;
    }
    Ok(version)
}
