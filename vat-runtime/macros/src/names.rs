//! From Rust's names to those in messages.

use syn::ext::IdentExt as _;
use syn::{Error, Ident, LitStr, Result};

/// How names in messages are made of Rust's.
#[derive(Clone, Copy, Default)]
pub(crate) enum Rename {
    /// As they are.
    #[default]
    Keep,
    Kebab,
    Camel,
}

impl Rename {
    pub(crate) fn parse(name: &LitStr) -> Result<Self> {
        match name.value().as_str() {
            "kebab-case" => Ok(Self::Kebab),
            "camelCase" => Ok(Self::Camel),
            "snake_case" => Ok(Self::Keep),
            _ => Err(Error::new_spanned(
                name,
                "expected \"kebab-case\", \"camelCase\" or \"snake_case\"",
            )),
        }
    }

    pub(crate) fn apply(self, name: &str) -> String {
        match self {
            Self::Keep => name.to_owned(),
            Self::Kebab => kebab(name),
            Self::Camel => camel(name),
        }
    }
}

/// The identifier without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// `say_hello` and `SayHello` are both `say-hello`.
pub(crate) fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 2);
    let mut after_small = false;
    for letter in name.trim_matches('_').chars() {
        match letter {
            '_' => kebab.push('-'),
            letter if letter.is_uppercase() => {
                if after_small {
                    kebab.push('-');
                }
                kebab.extend(letter.to_lowercase());
            }
            letter => kebab.push(letter),
        }
        after_small = letter.is_lowercase() || letter.is_ascii_digit();
    }
    kebab
}

/// `say_hello` is `sayHello`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.trim_matches('_').chars() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            camel.extend(letter.to_uppercase());
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::{camel, kebab};

    #[test]
    fn names_in_kebab_case() {
        for (rust, wire) in [
            ("join", "join"),
            ("say_hello", "say-hello"),
            ("SayHello", "say-hello"),
            ("_quiet", "quiet"),
            ("Ipv4Address", "ipv4-address"),
            ("HTTP", "http"),
        ] {
            assert_eq!(kebab(rust), wire);
        }
    }

    #[test]
    fn names_in_camel_case() {
        assert_eq!(camel("say_hello_twice"), "sayHelloTwice");
        assert_eq!(camel("say"), "say");
    }
}
