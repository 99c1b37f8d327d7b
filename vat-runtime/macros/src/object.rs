//! `#[object]`: a behaviour that hands messages to the methods of an `impl`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Error, Ident, ImplItem, ItemImpl, LitBool, Path, Result, Token, Visibility, parenthesized,
    parse2,
};

use crate::attributes::{self, MethodAttributes};
use crate::client::{self, Reference};
use crate::dispatch;
use crate::model::{self, Method};
use crate::names::Rename;

/// What `#[object(...)]` says.
struct Arguments {
    also: Vec<Path>,
    describe: bool,
    reference: Option<(Visibility, Ident)>,
    rename: Option<(Ident, Rename)>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut found = Self { also: Vec::new(), describe: true, reference: None, rename: None };
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            if name == "also" {
                let inside;
                parenthesized!(inside in input);
                let paths = Punctuated::<Path, Token![,]>::parse_terminated(&inside)?;
                found.also.extend(paths);
            } else if name == "describe" {
                input.parse::<Token![=]>()?;
                found.describe = input.parse::<LitBool>()?.value;
            } else if name == "reference" {
                input.parse::<Token![=]>()?;
                found.reference = Some((input.parse()?, input.parse()?));
            } else if name == "rename_all" {
                input.parse::<Token![=]>()?;
                found.rename = Some((name, Rename::parse(&input.parse()?)?));
            } else {
                return Err(Error::new_spanned(
                    name,
                    "expected `also(...)`, `describe = false`, `reference = NameRef` or \
                     `rename_all = \"...\"`",
                ));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(found)
    }
}

pub(crate) fn expand(
    krate: &TokenStream,
    arguments: TokenStream,
    item: TokenStream,
) -> Result<TokenStream> {
    let arguments: Arguments = parse2(arguments)?;
    let item: ItemImpl = parse2(item)?;
    if let Some((_, path, _)) = item.trait_.clone() {
        if let Some((_, ident)) = &arguments.reference {
            return Err(Error::new_spanned(
                ident,
                "the interface has a reference of its own: `reference` is for an `impl` without",
            ));
        }
        if let Some((name, _)) = &arguments.rename {
            return Err(Error::new_spanned(name, "the names are those of the interface"));
        }
        return Ok(of_interface(krate, &arguments, &item, &path));
    }
    if let Some(path) = arguments.also.first() {
        return Err(Error::new_spanned(
            path,
            "`also` goes with the `impl` of an object's first interface",
        ));
    }
    inherent(krate, &arguments, item)
}

/// For an `impl` of one interface, and perhaps further ones elsewhere.
fn of_interface(
    krate: &TokenStream,
    arguments: &Arguments,
    item: &ItemImpl,
    path: &Path,
) -> TokenStream {
    let private = quote!(#krate::typed::__private);
    let object = &item.self_ty;
    let interfaces: Vec<TokenStream> = std::iter::once(path)
        .chain(&arguments.also)
        .map(|path| quote!(<#object as #path>))
        .collect();
    let describes = arguments.describe;
    let receive = quote! {
        let call = #private::Call::new(args);
        #(
            let call = match call.select(#interfaces::__interface()) {
                ::core::result::Result::Ok((at, arguments)) => {
                    return #interfaces::__handle(self, turn, at, arguments);
                }
                ::core::result::Result::Err(call) => call,
            };
        )*
        call.otherwise(&[#(#interfaces::__interface()),*], #describes)
    };
    let behaviour = behaviour(&private, item, &receive);
    quote!(#item #behaviour)
}

/// For the methods of the object itself.
fn inherent(krate: &TokenStream, arguments: &Arguments, mut item: ItemImpl) -> Result<TokenStream> {
    let rename = arguments.rename.as_ref().map_or(Rename::Kebab, |(_, rename)| *rename);
    let mut methods = Vec::new();
    for member in &mut item.items {
        let ImplItem::Fn(function) = member else { continue };
        match MethodAttributes::take(&mut function.attrs)? {
            Some(own) if !own.skip => {
                methods.push(Method::read(krate, own, rename, &function.attrs, &mut function.sig)?);
            }
            _ => {}
        }
    }
    let object = &item.self_ty;
    if methods.is_empty() {
        return Err(Error::new_spanned(
            object,
            "an object without methods: mark those for messages with `#[method]`",
        ));
    }
    model::check_names(&methods)?;
    let name = model::type_name(object)
        .ok_or_else(|| Error::new_spanned(object, "expected a type with a name"))?;
    let summary = attributes::summary(&item.attrs);
    let client = arguments.reference.as_ref().map(|(visibility, ident)| {
        let base = ident.to_string();
        let reference = Reference {
            visibility: visibility.clone(),
            ident: ident.clone(),
            methods_ident: format_ident!("{}Methods", base.strip_suffix("Ref").unwrap_or(&base)),
            generics: item.generics.clone(),
            doc: format!("A reference to a [`{name}`]."),
            summary: summary.clone(),
            name: name.clone(),
            object: quote!(#object),
        };
        client::expand(krate, &reference, &methods)
    });
    let private = quote!(#krate::typed::__private);
    let interface = client::interface(&private, &name, &summary, &methods);
    let handle = dispatch::handle(krate, &quote!(Self), &methods);
    let describes = arguments.describe;
    let receive = quote! {
        let interface: &'static #private::Interface = const { #interface };
        let (at, arguments) = match #private::Call::new(args).select(interface) {
            ::core::result::Result::Ok(found) => found,
            ::core::result::Result::Err(call) => {
                return call.otherwise(&[interface], #describes);
            }
        };
        #handle
    };
    let behaviour = behaviour(&private, &item, &receive);
    Ok(quote!(#item #behaviour #client))
}

fn behaviour(private: &TokenStream, item: &ItemImpl, receive: &TokenStream) -> TokenStream {
    let object = &item.self_ty;
    let (impl_generics, _, bounds) = item.generics.split_for_impl();
    quote! {
        impl #impl_generics #private::Behaviour for #object #bounds {
            #[allow(unused_mut, unused_variables)]
            fn receive(
                &self,
                turn: &mut #private::Turn<'_>,
                args: #private::Args,
            ) -> ::core::result::Result<#private::Reply, #private::Fault> {
                #receive
            }
        }
    }
}
