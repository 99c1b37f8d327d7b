//! Structs and tuples, put together and taken apart: what both derives are made of.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Attribute, Error, Field, Fields, LitStr, Result, Type};

use crate::attributes;
use crate::names::{self, Rename};

/// A field of a struct, a tuple or a variant.
pub(crate) struct Part<'f> {
    /// Its name, if it has one.
    ident: Option<&'f Ident>,
    /// Where it is while it is put together or taken apart.
    local: Ident,
    ty: &'f Type,
    /// Its key in messages.
    key: String,
    default: bool,
    skip: bool,
}

/// The attributes of a field, `#[passable(...)]` or `#[durable(...)]`.
#[derive(Default)]
struct FieldAttributes {
    rename: Option<LitStr>,
    default: bool,
    skip: bool,
}

impl FieldAttributes {
    fn read(attributes: &[Attribute], name: &str) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("rename") {
                    found.rename = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("default") {
                    found.default = true;
                } else if meta.path.is_ident("skip") && name == "durable" {
                    found.skip = true;
                } else {
                    let skip = if name == "durable" { ", `skip`" } else { "" };
                    return Err(
                        meta.error(format!("expected `default`{skip} or `rename = \"...\"`"))
                    );
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

/// The fields, with what the attributes of this name say.
pub(crate) fn parts<'f>(
    fields: &'f Fields,
    attribute: &str,
    rename: Rename,
) -> Result<Vec<Part<'f>>> {
    let mut parts: Vec<Part<'f>> = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let Field { ident, ty, attrs, .. } = field;
        let own = FieldAttributes::read(attrs, attribute)?;
        if ident.is_none()
            && let Some(rename) = &own.rename
        {
            return Err(Error::new_spanned(rename, "a field without a name has no key"));
        }
        let plain = ident.as_ref().map(names::plain).unwrap_or_default();
        let key = own.rename.as_ref().map_or_else(|| rename.apply(&plain), LitStr::value);
        let FieldAttributes { default, skip, .. } = own;
        let same = |other: &Part<'_>| ident.is_some() && other.key == key && !skip && !other.skip;
        if parts.iter().any(same) {
            return Err(Error::new_spanned(field, format!("another field has the key {key:?}")));
        }
        let local = format_ident!("part_{at}", span = Span::mixed_site());
        parts.push(Part { ident: ident.as_ref(), local, ty, key, default, skip });
    }
    Ok(parts)
}

/// The pattern that takes a struct or variant apart, and makes one.
pub(crate) fn pattern(path: &TokenStream, fields: &Fields, parts: &[Part<'_>]) -> TokenStream {
    let locals = parts.iter().map(|part| &part.local);
    match fields {
        Fields::Named(_) => {
            let idents = parts.iter().map(|part| part.ident);
            quote!(#path { #(#idents: #locals),* })
        }
        Fields::Unnamed(_) => quote!(#path ( #(#locals),* )),
        Fields::Unit => quote!(#path),
    }
}

/// The value of what [`pattern`] has taken apart. `clones` what is only borrowed.
pub(crate) fn into_value(
    private: &TokenStream,
    fields: &Fields,
    parts: &[Part<'_>],
    clones: bool,
) -> TokenStream {
    let value = |part: &Part<'_>| {
        let local = &part.local;
        if clones { quote!(::core::clone::Clone::clone(#local)) } else { quote!(#local) }
    };
    let kept: Vec<&Part<'_>> = parts.iter().filter(|part| !part.skip).collect();
    match (fields, kept.as_slice()) {
        (Fields::Named(_), kept) => {
            let keys = kept.iter().map(|part| &part.key);
            let values = kept.iter().map(|part| value(part));
            quote!(#private::FieldsOut::default()#(.with(#keys, #values))*.into_value())
        }
        (Fields::Unnamed(_), [only]) => {
            let value = value(only);
            quote!(#private::IntoValue::into_value(#value))
        }
        (Fields::Unnamed(_), kept) => {
            let values = kept.iter().map(|part| value(part));
            quote!(#private::Value::List(::std::vec![
                #(#private::IntoValue::into_value(#values)),*
            ]))
        }
        (Fields::Unit, _) => quote!(#private::Value::Undefined),
    }
}

/// How a struct is taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'r> {
    pub(crate) private: &'r TokenStream,
    /// What it is, for errors: a `&Type`.
    pub(crate) ty: &'r TokenStream,
    /// Refuses fields that nobody has asked for.
    pub(crate) closed: bool,
    /// Where the fields come from that are not there: a value with the same fields.
    pub(crate) fallback: Option<&'r Ident>,
}

/// Makes the locals of [`pattern`] of the value named `value`; with `?`.
pub(crate) fn from_value(reading: Reading<'_>, fields: &Fields, parts: &[Part<'_>]) -> TokenStream {
    let Reading { private, ty, closed, fallback } = reading;
    let skipped = parts.iter().filter(|part| part.skip).map(|part| {
        let (local, ty) = (&part.local, part.ty);
        quote!(let #local = <#ty as ::core::default::Default>::default();)
    });
    let kept: Vec<&Part<'_>> = parts.iter().filter(|part| !part.skip).collect();
    let taken = match (fields, kept.as_slice()) {
        (Fields::Named(_), kept) => {
            let fields = Ident::new("fields", Span::mixed_site());
            let each = kept.iter().map(|part| {
                let Part { ident, local, ty, key, default, .. } = part;
                match fallback {
                    _ if *default => quote!(let #local = #fields.or_default::<#ty>(#key)?;),
                    Some(all) => quote!(let #local = #fields.or::<#ty>(#key, #all.#ident)?;),
                    None => quote!(let #local = #fields.required::<#ty>(#key)?;),
                }
            });
            let end = closed.then(|| quote!(#fields.end()?;));
            quote! {
                let mut #fields = #private::FieldsIn::of(value, #ty)?;
                #(#each)*
                #end
            }
        }
        (Fields::Unnamed(_), [only]) => {
            let (local, ty) = (&only.local, only.ty);
            quote!(let #local = <#ty as #private::FromValue>::from_value(value)?;)
        }
        (Fields::Unnamed(_), []) => quote! {
            <() as #private::FromValue>::from_value(value)?;
        },
        (Fields::Unnamed(_), kept) => {
            let locals = kept.iter().map(|part| &part.local);
            let types = kept.iter().map(|part| part.ty);
            quote! {
                let (#(#locals,)*) = <(#(#types,)*) as #private::FromValue>::from_value(value)?;
            }
        }
        (Fields::Unit, _) => quote!(<() as #private::FromValue>::from_value(value)?;),
    };
    quote!(#(#skipped)* #taken)
}

/// The first attribute of this name anywhere on the fields.
pub(crate) fn refuse_attributes(fields: &Fields, name: &str, why: &str) -> Result<()> {
    for field in fields {
        let mut attrs = field.attrs.clone();
        if let Some(attribute) = attributes::take(&mut attrs, name).first() {
            return Err(Error::new_spanned(attribute, why));
        }
    }
    Ok(())
}
