//! `#[derive(Passable)]`: conversions of structs and enums.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{
    Attribute, Data, DataEnum, DataStruct, DeriveInput, Error, Fields, Generics, LitStr, Result,
    Variant, parse_quote, parse2,
};

use crate::fields::{self, Reading};
use crate::names::{self, Rename};

/// What `#[passable(...)]` says on a type.
#[derive(Default)]
struct TypeAttributes {
    rename: Option<LitStr>,
    rename_all: Rename,
    default: bool,
    deny_unknown: bool,
}

impl TypeAttributes {
    fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|found| found.path().is_ident("passable")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    found.rename = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("rename_all") {
                    found.rename_all = Rename::parse(&meta.value()?.parse()?)?;
                } else if meta.path.is_ident("default") {
                    found.default = true;
                } else if meta.path.is_ident("deny_unknown") {
                    found.deny_unknown = true;
                } else {
                    return Err(meta.error(
                        "expected `default`, `deny_unknown`, `rename = \"...\"` or \
                         `rename_all = \"...\"`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// The three parts of what is generated.
struct Conversions {
    /// A `Type`.
    ty: TokenStream,
    into_value: TokenStream,
    /// From `value`, with `?`.
    from_value: TokenStream,
}

pub(crate) fn expand(krate: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let private = quote!(#krate::typed::__private);
    let own = TypeAttributes::read(&item.attrs)?;
    let Conversions { ty, into_value, from_value } = match &item.data {
        Data::Struct(data) => of_struct(&private, &item, &own, data)?,
        Data::Enum(data) => of_enum(&private, &item, &own, data)?,
        Data::Union(data) => {
            return Err(Error::new_spanned(data.union_token, "a union can't be passed"));
        }
    };
    let absent = own.default.then(|| {
        quote! {
            fn absent() -> ::core::option::Option<Self> {
                ::core::option::Option::Some(::core::default::Default::default())
            }
        }
    });
    let ident = &item.ident;
    let typed = bounded(&item.generics, &quote!(#private::Typed));
    let into = bounded(&item.generics, &quote!(#private::IntoValue));
    let from = bounded(&item.generics, &quote!(#private::FromValue));
    let (typed_generics, type_generics, typed_bounds) = typed.split_for_impl();
    let (into_generics, _, into_bounds) = into.split_for_impl();
    let (from_generics, _, from_bounds) = from.split_for_impl();
    Ok(quote! {
        impl #typed_generics #private::Typed for #ident #type_generics #typed_bounds {
            const TYPE: &'static #private::Type = #ty;
        }

        impl #into_generics #private::IntoValue for #ident #type_generics #into_bounds {
            fn into_value(self) -> #private::Value {
                #into_value
            }
        }

        impl #from_generics #private::FromValue for #ident #type_generics #from_bounds {
            fn from_value(
                value: #private::Value,
            ) -> ::core::result::Result<Self, #private::Mismatch> {
                #from_value
            }

            #absent
        }
    })
}

/// The generics, with a bound for each of the types.
fn bounded(generics: &Generics, bound: &TokenStream) -> Generics {
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#bound));
    }
    generics
}

fn of_struct(
    private: &TokenStream,
    item: &DeriveInput,
    own: &TypeAttributes,
    data: &DataStruct,
) -> Result<Conversions> {
    let name = names::plain(&item.ident);
    let fields = &data.fields;
    if matches!(fields, Fields::Unit) {
        let symbol = own.rename.as_ref().map_or_else(|| names::kebab(&name), LitStr::value);
        return Ok(of_unit(private, &symbol));
    }
    if let Some(rename) = &own.rename {
        return Err(Error::new_spanned(rename, "only a struct without fields has a symbol"));
    }
    if !matches!(fields, Fields::Named(_)) {
        fields::refuse_attributes(
            fields,
            "passable",
            "what is left out of a list can't be told from what is there: name the fields",
        )?;
    }
    let parts = fields::parts(fields, "passable", own.rename_all)?;
    let pattern = fields::pattern(&quote!(Self), fields, &parts);
    let ty = match fields {
        Fields::Unnamed(unnamed) => {
            let types: Vec<_> = unnamed.unnamed.iter().map(|field| &field.ty).collect();
            if let [only] = types.as_slice() {
                quote!(<#only as #private::Typed>::TYPE)
            } else {
                quote!(<(#(#types,)*) as #private::Typed>::TYPE)
            }
        }
        _ => quote!(&#private::Type::Struct(#name)),
    };
    let into_value = fields::into_value(private, fields, &parts, false);
    let fallback = Ident::new("fallback", Span::mixed_site());
    let uses_fallback = own.default && matches!(fields, Fields::Named(_));
    let reading = Reading {
        private,
        ty: &quote!(<Self as #private::Typed>::TYPE),
        closed: own.deny_unknown,
        fallback: uses_fallback.then_some(&fallback),
    };
    let taken = fields::from_value(reading, fields, &parts);
    let default = uses_fallback
        .then(|| quote!(let #fallback = <Self as ::core::default::Default>::default();));
    Ok(Conversions {
        ty,
        into_value: quote!(let #pattern = self; #into_value),
        from_value: quote!(#default #taken ::core::result::Result::Ok(#pattern)),
    })
}

/// A struct without fields: a symbol.
fn of_unit(private: &TokenStream, symbol: &str) -> Conversions {
    let names = quote!(&[#symbol]);
    Conversions {
        ty: quote!(&#private::Type::Symbol),
        into_value: quote!(#private::Value::symbol(#symbol)),
        from_value: quote! {
            match #private::tag_of(value, #names)? {
                (tag, ::core::option::Option::None) if tag == #symbol => {
                    ::core::result::Result::Ok(Self)
                }
                (tag, content) => ::core::result::Result::Err(
                    #private::alternatives(#names, &tag, content.as_ref()),
                ),
            }
        },
    }
}

/// The symbol or tag of a variant.
fn variant_name(variant: &Variant) -> Result<String> {
    let mut name = None;
    for attribute in variant.attrs.iter().filter(|found| found.path().is_ident("passable")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("expected `rename = \"...\"`"));
            }
            name = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(name.unwrap_or_else(|| names::kebab(&names::plain(&variant.ident))))
}

fn of_enum(
    private: &TokenStream,
    item: &DeriveInput,
    own: &TypeAttributes,
    data: &DataEnum,
) -> Result<Conversions> {
    if let Some(rename) = &own.rename {
        return Err(Error::new_spanned(rename, "each variant has a name of its own"));
    }
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&item.ident, "there is no value of an empty enum"));
    }
    let name = names::plain(&item.ident);
    let mut symbols: Vec<String> = Vec::new();
    let (mut into, mut from) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        let symbol = variant_name(variant)?;
        if symbols.contains(&symbol) {
            return Err(Error::new_spanned(variant, format!("another variant is {symbol:?}")));
        }
        let (ident, fields) = (&variant.ident, &variant.fields);
        let path = quote!(Self::#ident);
        if matches!(fields, Fields::Unit) {
            into.push(quote!(#path => #private::Value::symbol(#symbol),));
            from.push(quote! {
                (#symbol, ::core::option::Option::None) => ::core::result::Result::Ok(#path),
            });
        } else {
            let parts = fields::parts(fields, "passable", own.rename_all)?;
            let pattern = fields::pattern(&path, fields, &parts);
            let content = fields::into_value(private, fields, &parts, false);
            into.push(quote!(#pattern => #private::tagged(#symbol, #content),));
            let whole = format!("{name}::{}", names::plain(ident));
            let reading = Reading {
                private,
                ty: &quote!(&#private::Type::Struct(#whole)),
                closed: own.deny_unknown,
                fallback: None,
            };
            let taken = fields::from_value(reading, fields, &parts);
            let place = format!("tag {symbol:?}");
            from.push(quote! {
                (#symbol, ::core::option::Option::Some(value)) => {
                    #private::within(#place, move || {
                        #taken
                        ::core::result::Result::Ok(#pattern)
                    })
                }
            });
        }
        symbols.push(symbol);
    }
    Ok(Conversions {
        ty: quote!(&#private::Type::Enum(#name)),
        into_value: quote!(match self { #(#into)* }),
        from_value: quote! {
            const NAMES: &[&::core::primitive::str] = &[#(#symbols),*];
            let (tag, content) = #private::tag_of(value, NAMES)?;
            match (tag.as_str(), content) {
                #(#from)*
                (_, content) => ::core::result::Result::Err(
                    #private::alternatives(NAMES, &tag, content.as_ref()),
                ),
            }
        },
    })
}
