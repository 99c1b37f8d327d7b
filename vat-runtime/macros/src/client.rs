//! The reference of its own type for the objects with an interface.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{GenericParam, Generics, Type, Visibility, parse_quote};

use crate::model::{self, Method, Parameter};

/// What is known of the reference to be made.
pub(crate) struct Reference {
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    pub(crate) methods_ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) doc: String,
    pub(crate) summary: String,
    pub(crate) name: String,
    /// The type of the objects that it can be made of.
    pub(crate) object: TokenStream,
}

pub(crate) fn expand(
    krate: &TokenStream,
    reference: &Reference,
    methods: &[Method],
) -> TokenStream {
    let mut generics = reference.generics.clone();
    let parameters: Vec<Ident> =
        generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    for parameter in &parameters {
        generics.make_where_clause().predicates.push(parse_quote!(#parameter: 'static));
    }
    let code = Code {
        private: quote!(#krate::typed::__private),
        reference,
        methods,
        generics,
        marker: quote!(::core::marker::PhantomData<fn() -> (#(#parameters,)*)>),
    };
    let (structs, own, modes) = (code.structs(), code.own(), code.modes());
    let (typed, conversions, basics) = (code.typed(), code.conversions(), code.basics());
    quote!(#structs #own #modes #typed #conversions #basics)
}

/// What is known of an interface, as a constant.
pub(crate) fn interface(
    private: &TokenStream,
    name: &str,
    summary: &str,
    methods: &[Method],
) -> TokenStream {
    let methods = methods.iter().map(|method| {
        let Method { name, summary, settled, .. } = method;
        let apply = method.apply.then(|| quote!(.apply()));
        let parameters = method.parameters.iter().map(|parameter| {
            let Parameter { name, ty, rest, .. } = parameter;
            let of = if *rest { quote!(rest_of) } else { quote!(of) };
            quote!(#private::Parameter::#of::<#ty>(#name))
        });
        quote! {
            #private::Method::new(
                #name,
                #summary,
                const { &[#(#parameters),*] },
                <#settled as #private::Typed>::TYPE,
            )#apply
        }
    });
    quote! {
        &#private::Interface::new(#name, #summary, const { &[#(#methods),*] })
    }
}

struct Code<'r> {
    private: TokenStream,
    reference: &'r Reference,
    methods: &'r [Method],
    /// Those of the interface, each type `'static`.
    generics: Generics,
    marker: TokenStream,
}

impl Code<'_> {
    /// The name of the type parameter for the mode, which none of theirs may have.
    fn mode(&self) -> Ident {
        let mut name = String::from("M");
        while self.generics.type_params().any(|theirs| theirs.ident == name) {
            name.push('M');
        }
        Ident::new(&name, Span::call_site())
    }

    fn structs(&self) -> TokenStream {
        let Self { private, marker, .. } = self;
        let Reference { visibility, ident, methods_ident, generics, doc, .. } = self.reference;
        let parameters: Vec<_> = generics.params.iter().map(without_default).collect();
        let bounds = &generics.where_clause;
        let mode = self.mode();
        let methods_doc = format!("The methods of [`{ident}`] in one of the ways to call them.");
        quote! {
            #[doc = #doc]
            #visibility struct #ident<#(#parameters),*> #bounds {
                to: #private::Ref,
                of: #marker,
            }

            #[doc = #methods_doc]
            #[must_use = "nothing happens until a method is called"]
            #[allow(dead_code)]
            #visibility struct #methods_ident<'r, #mode, #(#parameters),*> #bounds {
                to: &'r #private::Ref,
                mode: #mode,
                of: #marker,
            }
        }
    }

    /// The methods of the reference itself.
    fn own(&self) -> TokenStream {
        let Self { private, generics, .. } = self;
        let Reference { visibility, ident, object, .. } = self.reference;
        let (impl_generics, type_generics, bounds) = generics.split_for_impl();
        let methods = self.methods.iter().map(|method| {
            let (docs, name, settled) = (docs(method), &method.ident, &method.settled);
            let (parameters, message) = (parameters(method), self.message(method));
            quote! {
                #(#docs)*
                #visibility fn #name(&self, #(#parameters),*) -> #private::Answer<#settled> {
                    #private::Answer::from_promise(self.to.send(#message))
                }
            }
        });
        let ways = self.ways();
        quote! {
            #[allow(dead_code, clippy::too_many_arguments)]
            impl #impl_generics #ident #type_generics #bounds {
                /// What is known of the interface.
                #visibility const DESCRIPTION: &'static #private::Interface =
                    <Self as #private::TypedRef>::INTERFACE;

                /// Makes an actor of the turn's vat, which is there for good when the turn
                /// ends well.
                #visibility fn spawn(turn: &mut #private::Turn<'_>, object: #object) -> Self {
                    Self::from_ref(turn.spawn(object))
                }

                /// Makes an actor from outside of turns.
                #visibility fn spawn_in(vat: &#private::Vat, object: #object) -> Self {
                    Self::from_ref(vat.spawn(object))
                }

                /// The reference, or promise, said to be to an object with this interface.
                #[must_use]
                #visibility fn from_ref(reference: #private::Ref) -> Self {
                    Self { to: reference, of: ::core::marker::PhantomData }
                }

                /// The reference without its type.
                #[must_use]
                #visibility fn untyped(&self) -> &#private::Ref {
                    &self.to
                }

                #ways

                #(#methods)*
            }
        }
    }

    /// What gives the same methods in other modes.
    fn ways(&self) -> TokenStream {
        let Self { private, generics, .. } = self;
        let Reference { visibility, methods_ident, .. } = self.reference;
        let arguments: Vec<_> = generics.type_params().map(|parameter| &parameter.ident).collect();
        let in_turn = [
            ("call", "Calling", "Calls the object, which is in this vat."),
            ("send", "Sending", "Sends a message when the turn ends well."),
            (
                "send_only",
                "SendingOnly",
                "Sends a message when the turn ends well, and wants no answer.",
            ),
        ];
        let in_turn = in_turn.into_iter().map(|(name, mode, doc)| {
            let (name, mode) = (format_ident!("{name}"), format_ident!("{mode}"));
            quote! {
                #[doc = #doc]
                #visibility fn #name<'r, 't>(
                    &'r self,
                    turn: &'r mut #private::Turn<'t>,
                ) -> #methods_ident<'r, #private::#mode<'r, 't>, #(#arguments),*> {
                    #methods_ident {
                        to: &self.to,
                        mode: #private::#mode::new(turn),
                        of: ::core::marker::PhantomData,
                    }
                }
            }
        });
        quote! {
            #(#in_turn)*

            /// Sends a message at once, from outside of turns, and wants no answer.
            #visibility fn send_only_now(
                &self,
            ) -> #methods_ident<'_, #private::SendingOnlyNow, #(#arguments),*> {
                #methods_ident {
                    to: &self.to,
                    mode: #private::SendingOnlyNow,
                    of: ::core::marker::PhantomData,
                }
            }
        }
    }

    /// The methods in any of the modes.
    fn modes(&self) -> TokenStream {
        let Self { private, generics, .. } = self;
        let Reference { visibility, methods_ident, .. } = self.reference;
        let (mode, bounds) = (self.mode(), &generics.where_clause);
        let parameters_of_type: Vec<_> = generics.params.iter().map(without_default).collect();
        let arguments: Vec<_> = generics.type_params().map(|parameter| &parameter.ident).collect();
        let methods = self.methods.iter().map(|method| {
            let (docs, name) = (docs(method), &method.ident);
            let (answer, settled) = (&method.answer, &method.settled);
            let (parameters, message) = (parameters(method), self.message(method));
            let outcome = quote_spanned! {
                model::at(answer)=> <#mode as #private::Mode>::Outcome<#answer, #settled>
            };
            quote! {
                #(#docs)*
                #visibility fn #name(self, #(#parameters),*) -> #outcome {
                    #private::Mode::perform::<#answer, #settled>(self.mode, self.to, #message)
                }
            }
        });
        quote! {
            #[allow(dead_code, clippy::too_many_arguments)]
            impl<#mode: #private::Mode, #(#parameters_of_type),*>
                #methods_ident<'_, #mode, #(#arguments),*> #bounds
            {
                #(#methods)*
            }
        }
    }

    /// The arguments of the message.
    fn message(&self, method: &Method) -> TokenStream {
        let private = &self.private;
        let name = &method.name;
        let name = if method.apply {
            quote!(::core::option::Option::None)
        } else {
            quote!(::core::option::Option::Some(#name))
        };
        let arguments = method.parameters.iter().map(|parameter| {
            let Parameter { ident, ty, .. } = parameter;
            if parameter.rest {
                quote!(.with_rest::<#ty>(#ident))
            } else if is_text(ty) {
                quote!(.with::<#ty>(::core::convert::Into::into(#ident)))
            } else {
                quote!(.with::<#ty>(#ident))
            }
        });
        let count = method.parameters.len();
        quote!(#private::Outgoing::new(#name, #count)#(#arguments)*.into_args())
    }

    fn typed(&self) -> TokenStream {
        let Self { private, generics, .. } = self;
        let Reference { ident, name, summary, .. } = self.reference;
        let (impl_generics, type_generics, bounds) = generics.split_for_impl();
        let interface = interface(private, name, summary, self.methods);
        quote! {
            impl #impl_generics #private::TypedRef for #ident #type_generics #bounds {
                const INTERFACE: &'static #private::Interface = #interface;

                fn from_ref(reference: #private::Ref) -> Self {
                    Self { to: reference, of: ::core::marker::PhantomData }
                }

                fn untyped(&self) -> &#private::Ref {
                    &self.to
                }
            }
        }
    }

    fn conversions(&self) -> TokenStream {
        let Self { private, generics, .. } = self;
        let Reference { ident, name, .. } = self.reference;
        let (impl_generics, type_generics, bounds) = generics.split_for_impl();
        let from = [
            (quote!(#private::Ref), quote!(reference)),
            (quote!(#private::Promise), quote!(reference.into_ref())),
        ];
        let from = from.into_iter().map(|(source, reference)| {
            quote! {
                impl #impl_generics ::core::convert::From<#source> for #ident #type_generics #bounds {
                    fn from(reference: #source) -> Self {
                        Self { to: #reference, of: ::core::marker::PhantomData }
                    }
                }
            }
        });
        let into = [quote!(#private::Ref), quote!(#private::Value)];
        let into = into.into_iter().map(|target| {
            quote! {
                impl #impl_generics ::core::convert::From<#ident #type_generics> for #target #bounds {
                    fn from(reference: #ident #type_generics) -> Self {
                        reference.to.into()
                    }
                }
            }
        });
        quote! {
            #(#from)*
            #(#into)*

            impl #impl_generics ::core::convert::From<&#ident #type_generics>
                for #private::Value
            #bounds
            {
                fn from(reference: &#ident #type_generics) -> Self {
                    #private::Value::Ref(::core::clone::Clone::clone(&reference.to))
                }
            }

            impl #impl_generics #private::Typed for #ident #type_generics #bounds {
                const TYPE: &'static #private::Type =
                    &#private::Type::Reference(::core::option::Option::Some(#name));
            }

            impl #impl_generics #private::IntoValue for #ident #type_generics #bounds {
                fn into_value(self) -> #private::Value {
                    #private::Value::Ref(self.to)
                }
            }

            impl #impl_generics #private::FromValue for #ident #type_generics #bounds {
                fn from_value(
                    value: #private::Value,
                ) -> ::core::result::Result<Self, #private::Mismatch> {
                    match value {
                        #private::Value::Ref(to) => ::core::result::Result::Ok(
                            Self { to, of: ::core::marker::PhantomData },
                        ),
                        other => ::core::result::Result::Err(#private::Mismatch::of(
                            <Self as #private::Typed>::TYPE.with_article(),
                            &other,
                        )),
                    }
                }
            }
        }
    }

    /// What a derive would ask more of the type parameters for than is needed.
    fn basics(&self) -> TokenStream {
        let Reference { ident, .. } = self.reference;
        let (impl_generics, type_generics, bounds) = self.generics.split_for_impl();
        let name = ident.to_string();
        quote! {
            impl #impl_generics ::core::clone::Clone for #ident #type_generics #bounds {
                fn clone(&self) -> Self {
                    Self {
                        to: ::core::clone::Clone::clone(&self.to),
                        of: ::core::marker::PhantomData,
                    }
                }
            }

            impl #impl_generics ::core::cmp::PartialEq for #ident #type_generics #bounds {
                fn eq(&self, other: &Self) -> ::core::primitive::bool {
                    self.to == other.to
                }
            }

            impl #impl_generics ::core::cmp::Eq for #ident #type_generics #bounds {}

            impl #impl_generics ::core::hash::Hash for #ident #type_generics #bounds {
                fn hash<H: ::core::hash::Hasher>(&self, state: &mut H) {
                    ::core::hash::Hash::hash(&self.to, state);
                }
            }

            impl #impl_generics ::core::fmt::Debug for #ident #type_generics #bounds {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_tuple(#name).field(&self.to).finish()
                }
            }
        }
    }
}

/// A parameter as an `impl` may have it.
fn without_default(parameter: &GenericParam) -> GenericParam {
    let mut parameter = parameter.clone();
    if let GenericParam::Type(parameter) = &mut parameter {
        parameter.default = None;
        parameter.eq_token = None;
    }
    parameter
}

fn docs(method: &Method) -> Vec<TokenStream> {
    if method.docs.is_empty() {
        let doc = format!("Calls the method `{}`.", method.name);
        return vec![quote!(#[doc = #doc])];
    }
    method.docs.iter().map(|doc| quote!(#doc)).collect()
}

fn parameters(method: &Method) -> Vec<TokenStream> {
    let parameter = |parameter: &Parameter| {
        let Parameter { ident, ty, rest, .. } = parameter;
        if *rest {
            quote!(#ident: ::std::vec::Vec<#ty>)
        } else if is_text(ty) {
            quote!(#ident: impl ::core::convert::Into<#ty>)
        } else {
            quote!(#ident: #ty)
        }
    };
    method.parameters.iter().map(parameter).collect()
}

/// Whether callers may give anything that makes one: they have literals.
fn is_text(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|last| {
        last.arguments.is_none()
            && ["String", "SmolStr", "Symbol"].iter().any(|text| last.ident == text)
    })
}
