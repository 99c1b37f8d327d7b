//! `#[interface]`: a trait, and the reference to objects that implement it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::Parser as _;
use syn::{Error, GenericParam, ItemTrait, Result, TraitItem, meta, parse_quote, parse2};

use crate::attributes::{self, MethodAttributes};
use crate::client::{self, Reference};
use crate::dispatch;
use crate::model::{self, Method};
use crate::names::{self, Rename};

pub(crate) fn expand(
    krate: &TokenStream,
    arguments: TokenStream,
    item: TokenStream,
) -> Result<TokenStream> {
    let mut item: ItemTrait = parse2(item)?;
    let mut rename = Rename::Kebab;
    let parser = meta::parser(|meta| {
        if !meta.path.is_ident("rename_all") {
            return Err(meta.error("expected `rename_all = \"...\"`"));
        }
        rename = Rename::parse(&meta.value()?.parse()?)?;
        Ok(())
    });
    parser.parse2(arguments)?;
    for parameter in &item.generics.params {
        if !matches!(parameter, GenericParam::Type(_)) {
            return Err(Error::new_spanned(
                parameter,
                "an interface has parameters for types only",
            ));
        }
    }
    let types: Vec<_> = item.generics.type_params().map(|found| found.ident.clone()).collect();
    for ty in types {
        item.generics.make_where_clause().predicates.push(parse_quote!(#ty: 'static));
    }
    let methods = read_methods(krate, rename, &mut item)?;
    let name = &item.ident;
    let plain = names::plain(name);
    let (_, type_generics, _) = item.generics.split_for_impl();
    let reference = Reference {
        visibility: item.vis.clone(),
        ident: format_ident!("{plain}Ref", span = name.span()),
        methods_ident: format_ident!("{plain}Methods", span = name.span()),
        generics: item.generics.clone(),
        doc: format!("A reference to an object with the interface [`{plain}`]."),
        summary: attributes::summary(&item.attrs),
        name: plain,
        object: quote!(impl #name #type_generics + #krate::typed::__private::Behaviour),
    };
    let client = client::expand(krate, &reference, &methods);
    add_dispatch(krate, &mut item, &reference, &methods);
    Ok(quote!(#item #client))
}

fn read_methods(krate: &TokenStream, rename: Rename, item: &mut ItemTrait) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    let mut needs_size = false;
    for member in &mut item.items {
        let TraitItem::Fn(function) = member else {
            return Err(Error::new_spanned(member, "an interface has methods only"));
        };
        let own = MethodAttributes::take(&mut function.attrs)?.unwrap_or_default();
        let output = &function.sig.output;
        needs_size |= quote!(#output).into_iter().any(mentions_self);
        if !own.skip {
            methods.push(Method::read(krate, own, rename, &function.attrs, &mut function.sig)?);
        }
    }
    model::check_names(&methods)?;
    if needs_size {
        item.colon_token.get_or_insert_default();
        item.supertraits.push(parse_quote!(::core::marker::Sized));
    }
    Ok(methods)
}

fn mentions_self(tree: proc_macro2::TokenTree) -> bool {
    match tree {
        proc_macro2::TokenTree::Ident(ident) => ident == "Self",
        proc_macro2::TokenTree::Group(group) => group.stream().into_iter().any(mentions_self),
        _ => false,
    }
}

/// What `#[object]` calls: in the trait, so that it needs no other name than that.
fn add_dispatch(
    krate: &TokenStream,
    item: &mut ItemTrait,
    reference: &Reference,
    methods: &[Method],
) {
    let name = &item.ident;
    let (_, type_generics, _) = item.generics.split_for_impl();
    let target = quote!(<Self as #name #type_generics>);
    let handle = dispatch::handle(krate, &target, methods);
    let clone = methods.iter().any(|method| method.changes);
    let clone = clone.then(|| quote!(+ ::core::clone::Clone));
    let ident = &reference.ident;
    let of = type_generics.as_turbofish();
    let interface = parse_quote! {
        #[doc(hidden)]
        fn __interface() -> &'static #krate::typed::__private::Interface
        where
            Self: ::core::marker::Sized,
        {
            <#ident #of as #krate::typed::__private::TypedRef>::INTERFACE
        }
    };
    let handle = parse_quote! {
        #[doc(hidden)]
        #[allow(unused_mut, unused_variables, clippy::needless_pass_by_value)]
        fn __handle(
            &self,
            turn: &mut #krate::typed::__private::Turn<'_>,
            at: ::core::primitive::usize,
            arguments: #krate::typed::__private::Incoming,
        ) -> ::core::result::Result<#krate::typed::__private::Reply, #krate::typed::__private::Fault>
        where
            Self: ::core::marker::Sized + #krate::typed::__private::Behaviour #clone,
        {
            #handle
        }
    };
    item.items.push(interface);
    item.items.push(handle);
}
