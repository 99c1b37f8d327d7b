//! What attributes and documentation say, and the taking away of the former.

use syn::{Attribute, Error, Expr, ExprLit, Lit, LitStr, Meta, MetaNameValue, Result};

/// The attributes of this name, taken away.
pub(crate) fn take(attributes: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    let (taken, left) = std::mem::take(attributes)
        .into_iter()
        .partition(|attribute| attribute.path().is_ident(name));
    *attributes = left;
    taken
}

/// The documentation, as attributes.
pub(crate) fn docs(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).collect()
}

/// The first paragraph of the documentation, on one line.
pub(crate) fn summary(attributes: &[Attribute]) -> String {
    let mut summary = String::new();
    for attribute in docs(attributes) {
        let Meta::NameValue(MetaNameValue {
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) = &attribute.meta
        else {
            continue;
        };
        let text = text.value();
        let done = !summary.is_empty() && text.lines().any(|line| line.trim().is_empty());
        if done || (text.is_empty() && !summary.is_empty()) {
            break;
        }
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let space = if summary.is_empty() { "" } else { " " };
            summary.push_str(space);
            summary.push_str(line);
        }
    }
    summary
}

/// What `#[method(...)]` says.
#[derive(Default)]
pub(crate) struct MethodAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) apply: bool,
    pub(crate) skip: bool,
}

impl MethodAttributes {
    /// What is said, if anything; taken away.
    pub(crate) fn take(attributes: &mut Vec<Attribute>) -> Result<Option<Self>> {
        let mut found: Option<Self> = None;
        for attribute in take(attributes, "method") {
            let found = found.get_or_insert_default();
            if matches!(attribute.meta, Meta::Path(_)) {
                continue;
            }
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    found.name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("apply") {
                    found.apply = true;
                } else if meta.path.is_ident("skip") {
                    found.skip = true;
                } else {
                    return Err(meta.error("expected `name = \"...\"`, `apply` or `skip`"));
                }
                Ok(())
            })?;
        }
        match found.as_ref().and_then(|found| Some((found.name.as_ref()?, found.apply))) {
            Some((name, _)) if name.value().is_empty() => {
                Err(Error::new_spanned(name, "a method's name can't be empty"))
            }
            Some((name, true)) => Err(Error::new_spanned(
                name,
                "messages do not name a method with `apply`: it has no other name either",
            )),
            _ => Ok(found),
        }
    }
}
