//! The methods of a trait or an `impl`, as attributes and signatures tell them. Owns
//! what a method of an object may look like.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Pat, PathArguments, Result, ReturnType, Signature,
    Type, parse_quote,
};

use crate::attributes::{self, MethodAttributes};
use crate::names::{self, Rename};

/// A method for messages.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    /// Its documentation, and what else is to be told to callers.
    pub(crate) docs: Vec<Attribute>,
    pub(crate) summary: String,
    /// Its name in messages; for people only if it is not named in them.
    pub(crate) name: String,
    pub(crate) apply: bool,
    /// `&mut self`.
    pub(crate) changes: bool,
    pub(crate) takes_turn: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// What it answers with, seen from the same vat, and in the end.
    pub(crate) answer: Type,
    pub(crate) settled: Type,
}

/// An argument that a method expects.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    /// Its type; of each, if it is the rest.
    pub(crate) ty: Type,
    pub(crate) rest: bool,
}

/// Names that a typed reference has for its own.
const RESERVED: [&str; 8] =
    ["call", "send", "send_only", "send_only_now", "spawn", "spawn_in", "from_ref", "untyped"];

impl Method {
    /// The method, whose own attributes have been taken. Takes those of its parameters.
    pub(crate) fn read(
        krate: &TokenStream,
        own: MethodAttributes,
        rename: Rename,
        attributes: &[Attribute],
        signature: &mut Signature,
    ) -> Result<Self> {
        let changes = receiver(signature)?;
        refuse_shape(signature)?;
        let ident = signature.ident.clone();
        let plain = names::plain(&ident);
        if RESERVED.contains(&plain.as_str()) {
            return Err(Error::new_spanned(
                &ident,
                format!(
                    "a typed reference has a method `{plain}` of its own: rename this one, and \
                     keep its name in messages by `#[method(name = \"{}\")]`",
                    rename.apply(&plain),
                ),
            ));
        }
        let mut inputs: Vec<&mut FnArg> = signature.inputs.iter_mut().skip(1).collect();
        let takes_turn = inputs.first().is_some_and(|input| is_turn(input));
        let from = usize::from(takes_turn);
        let last = inputs.len().saturating_sub(1);
        let mut parameters = Vec::new();
        for (at, input) in inputs.iter_mut().enumerate().skip(from) {
            parameters.push(Parameter::read(input, at - from, at == last)?);
        }
        let (answer, settled) = answer_types(krate, &signature.output, changes)?;
        Ok(Self {
            docs: attributes::docs(attributes).into_iter().cloned().collect(),
            summary: attributes::summary(attributes),
            name: own.name.map_or_else(|| rename.apply(&plain), |name| name.value()),
            apply: own.apply,
            ident,
            changes,
            takes_turn,
            parameters,
            answer,
            settled,
        })
    }
}

/// That no two methods are the same in messages.
pub(crate) fn check_names(methods: &[Method]) -> Result<()> {
    for (at, method) in methods.iter().enumerate() {
        let same = |other: &&Method| {
            other.apply == method.apply && (method.apply || other.name == method.name)
        };
        if let Some(other) = methods.iter().take(at).find(same) {
            let what = if method.apply {
                "messages without a name can go to one method only".to_owned()
            } else {
                format!("{:?} is the name of `{}` in messages already", method.name, other.ident)
            };
            return Err(Error::new_spanned(&method.ident, what));
        }
    }
    Ok(())
}

/// Whether it is `&mut self`.
fn receiver(signature: &Signature) -> Result<bool> {
    const WANTED: &str = "a method of an object takes `&self` or `&mut self`";
    match signature.receiver() {
        Some(receiver) if receiver.reference.is_some() && receiver.colon_token.is_none() => {
            Ok(receiver.mutability.is_some())
        }
        Some(receiver) => Err(Error::new_spanned(receiver, WANTED)),
        None => Err(Error::new_spanned(&signature.ident, WANTED)),
    }
}

fn refuse_shape(signature: &Signature) -> Result<()> {
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "a method is one turn, which can't wait: return `Answer<T>` and give it \
             `turn.spawn_async(async move |here| ...)`",
        ));
    }
    if let Some(parameter) = signature.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a method of an object can't have parameters for types or lifetimes: which ones \
             they are does not go into a message",
        ));
    }
    Ok(())
}

/// The last part of a path, with what is in its angle brackets.
fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

fn is_turn(input: &FnArg) -> bool {
    let FnArg::Typed(input) = input else { return false };
    let Type::Reference(reference) = &*input.ty else { return false };
    reference.mutability.is_some()
        && last_segment(&reference.elem).is_some_and(|segment| segment.ident == "Turn")
}

/// The types in angle brackets after a name.
fn inside<'t>(ty: &'t Type, name: &str) -> Option<Vec<&'t Type>> {
    let segment = last_segment(ty).filter(|segment| segment.ident == name)?;
    Some(match &segment.arguments {
        PathArguments::AngleBracketed(inside) => inside
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    })
}

impl Parameter {
    fn read(input: &mut FnArg, at: usize, last: bool) -> Result<Self> {
        let FnArg::Typed(input) = input else {
            return Err(Error::new_spanned(input, "expected a parameter"));
        };
        let rest = attributes::take(&mut input.attrs, "rest").into_iter().next();
        let ident = match &*input.pat {
            Pat::Ident(pat) => pat.ident.clone(),
            // `_`: an implementation that has no use for it.
            _ => format_ident!("argument_{at}", span = Span::call_site()),
        };
        match &*input.ty {
            Type::Reference(reference) => {
                let owned = match last_segment(&reference.elem) {
                    Some(segment) if segment.ident == "str" => "`String`".to_owned(),
                    Some(segment) if segment.ident == "Turn" => {
                        return Err(Error::new_spanned(
                            reference,
                            "the turn comes first, as `turn: &mut Turn<'_>`",
                        ));
                    }
                    _ => format!("`{}`", reference.elem.to_token_stream()),
                };
                return Err(Error::new_spanned(
                    reference,
                    format!("an argument comes out of a message and is owned: take {owned}"),
                ));
            }
            Type::ImplTrait(ty) => {
                return Err(Error::new_spanned(
                    ty,
                    "an argument has one type, which can be passed in a message",
                ));
            }
            _ => {}
        }
        let name = names::plain(&ident).trim_start_matches('_').to_owned();
        let ty = match &rest {
            None => (*input.ty).clone(),
            Some(rest) if !last => {
                return Err(Error::new_spanned(rest, "nothing can come after the rest"));
            }
            Some(_) => match inside(&input.ty, "Vec").as_deref() {
                Some([element]) => (*element).clone(),
                _ => {
                    return Err(Error::new_spanned(&input.ty, "the rest is a `Vec<T>`"));
                }
            },
        };
        Ok(Self { ident, name, ty, rest: rest.is_some() })
    }
}

/// What a method answers with: at once, and once it has settled.
fn answer_types(krate: &TokenStream, output: &ReturnType, changes: bool) -> Result<(Type, Type)> {
    let ReturnType::Type(_, output) = output else {
        return Ok((parse_quote!(()), parse_quote!(())));
    };
    let mut answer = &**output;
    loop {
        if let Some(Some(ok)) = inside(answer, "Result").map(|inside| inside.first().copied()) {
            answer = ok;
        } else if let Some(inside) = inside(answer, "Become") {
            if changes && inside.first().is_some_and(|next| is_self(next)) {
                return Err(Error::new_spanned(
                    answer,
                    "a method with `&mut self` becomes what it makes of itself: take `&self`, \
                     or return the answer only",
                ));
            }
            match inside.get(1) {
                Some(value) => answer = value,
                None => return Ok((parse_quote!(()), parse_quote!(()))),
            }
        } else {
            break;
        }
    }
    if let Type::Reference(reference) = answer {
        if inside(&reference.elem, "str").is_some() {
            let text: Type = parse_quote!(::std::string::String);
            return Ok((text.clone(), text));
        }
        return Err(Error::new_spanned(reference, "an answer goes into a message and is owned"));
    }
    if let Type::ImplTrait(ty) = answer {
        return Err(Error::new_spanned(ty, "an answer has one type, which can be passed"));
    }
    if is_self(answer) {
        return Err(Error::new_spanned(answer, "callers do not know what `Self` is"));
    }
    let unknown = || parse_quote!(#krate::typed::__private::Value);
    let answer: Type = match last_segment(answer) {
        Some(segment) if segment.ident == "Reply" => unknown(),
        _ => answer.clone(),
    };
    let settled = match inside(&answer, "Answer") {
        Some(inside) => inside.first().map_or_else(unknown, |ty| (*ty).clone()),
        None if inside(&answer, "Promise").is_some() => unknown(),
        None => answer.clone(),
    };
    Ok((answer, settled))
}

fn is_self(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Self")
}

/// The name of a type, without where it is.
pub(crate) fn type_name(ty: &Type) -> Option<String> {
    last_segment(ty).map(|segment| names::plain(&segment.ident))
}

/// Where errors about a type are to be shown, with names seen as ours.
pub(crate) fn at(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}
