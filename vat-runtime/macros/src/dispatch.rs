//! From a message to the method that it is for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Ident as SynIdent;

use crate::model::{self, Method};

/// The body of a function that has `self`, `turn`, the number of the method `at` and
/// its `arguments`, and gives a `Result<Reply, Fault>`.
pub(crate) fn handle(krate: &TokenStream, target: &TokenStream, methods: &[Method]) -> TokenStream {
    let arms = methods.iter().enumerate().map(|(at, method)| {
        let body = arm(krate, target, method);
        quote!(#at => { #body })
    });
    quote! {
        let mut arguments = arguments;
        match at {
            #(#arms)*
            // Not reached: it is the number of one of the methods.
            _ => ::core::result::Result::Err("no such method".into()),
        }
    }
}

fn arm(krate: &TokenStream, target: &TokenStream, method: &Method) -> TokenStream {
    let ident = &method.ident;
    // Not the names of the parameters: these are at the call site, and may be ours.
    let locals: Vec<SynIdent> = (0..method.parameters.len())
        .map(|at| Ident::new(&format!("argument_{at}"), Span::mixed_site()))
        .collect();
    let taken = method.parameters.iter().zip(&locals).map(|(parameter, local)| {
        let (name, ty) = (&parameter.name, &parameter.ty);
        if parameter.rest {
            quote!(let #local = arguments.rest::<#ty>(#name)?;)
        } else {
            quote!(let #local = arguments.next::<#ty>(#name)?;)
        }
    });
    let turn = method.takes_turn.then(|| quote!(turn,));
    let private = quote!(#krate::typed::__private);
    let at = model::at(&method.answer);
    let copy = Ident::new("copy", Span::mixed_site());
    let receiver = if method.changes { quote!(&mut #copy) } else { quote!(self) };
    let reply = quote_spanned! {
        at=> #private::Returned::into_reply(#target::#ident(#receiver, #turn #(#locals),*))
    };
    let call = if method.changes {
        quote! {
            let mut #copy = ::core::clone::Clone::clone(self);
            let reply = #reply;
            #private::changed(#copy, reply)
        }
    } else {
        reply
    };
    quote! {
        #(#taken)*
        arguments.end()?;
        #call
    }
}
