//! What is said of code that the macros refuse.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use crate::{durable, interface, object, passable};

#[track_caller]
fn says(refused: Result<TokenStream>, message: &str) {
    assert_eq!(refused.expect_err("it was not refused").to_string(), message);
}

fn on_trait(body: &TokenStream) -> Result<TokenStream> {
    let item = quote!(trait Lobby { #body });
    interface::expand(&quote!(::vat_runtime), TokenStream::new(), item)
}

#[test]
fn traits_that_are_no_interface() {
    let wants_self = "a method of an object takes `&self` or `&mut self`";
    says(
        on_trait(&quote!(
            fn join(nick: String);
        )),
        wants_self,
    );
    says(
        on_trait(&quote!(
            fn join(self, nick: String);
        )),
        wants_self,
    );
    says(
        on_trait(&quote!(
            fn join(self: &Self, nick: String);
        )),
        wants_self,
    );
    says(
        on_trait(&quote!(
            type Seat;
        )),
        "an interface has methods only",
    );
    says(
        on_trait(&quote!(
            async fn join(&self);
        )),
        {
            "a method is one turn, which can't wait: return `Answer<T>` and give it \
         `turn.spawn_async(async move |here| ...)`"
        },
    );
    says(
        on_trait(&quote!(
            fn join<T>(&self, nick: T);
        )),
        {
            "a method of an object can't have parameters for types or lifetimes: which ones \
         they are does not go into a message"
        },
    );
    says(
        on_trait(&quote!(
            fn send(&self);
        )),
        {
            "a typed reference has a method `send` of its own: rename this one, and keep its name \
         in messages by `#[method(name = \"send\")]`"
        },
    );
    let generic = quote!(
        trait Lobby<'a> {}
    );
    let refused = interface::expand(&quote!(::vat_runtime), TokenStream::new(), generic);
    says(refused, "an interface has parameters for types only");
}

#[test]
fn parameters_that_do_not_fit_into_a_message() {
    says(
        on_trait(&quote!(
            fn join(&self, nick: &str);
        )),
        "an argument comes out of a message and is owned: take `String`",
    );
    says(
        on_trait(&quote!(
            fn join(&self, nick: &Nick);
        )),
        "an argument comes out of a message and is owned: take `Nick`",
    );
    says(
        on_trait(&quote!(
            fn join(&self, nick: String, turn: &mut Turn<'_>);
        )),
        "the turn comes first, as `turn: &mut Turn<'_>`",
    );
    says(
        on_trait(&quote!(
            fn join(&self, nick: impl Into<String>);
        )),
        "an argument has one type, which can be passed in a message",
    );
    says(
        on_trait(&quote!(
            fn join(&self, #[rest] nicks: Vec<String>, last: u8);
        )),
        "nothing can come after the rest",
    );
    says(
        on_trait(&quote!(
            fn join(&self, #[rest] nicks: String);
        )),
        "the rest is a `Vec<T>`",
    );
}

#[test]
fn answers_that_do_not_fit_into_a_message() {
    says(
        on_trait(&quote!(
            fn nick(&self) -> &Nick;
        )),
        "an answer goes into a message and is owned",
    );
    says(
        on_trait(&quote!(
            fn nick(&self) -> Result<impl Into<String>, Fault>;
        )),
        "an answer has one type, which can be passed",
    );
    says(
        on_trait(&quote!(
            fn copy(&self) -> Self;
        )),
        "callers do not know what `Self` is",
    );
    says(
        on_trait(&quote!(
            fn join(&mut self) -> Become<Self, u8>;
        )),
        {
            "a method with `&mut self` becomes what it makes of itself: take `&self`, or return \
         the answer only"
        },
    );
}

#[test]
fn names_that_clash_or_are_none() {
    says(
        on_trait(&quote!(
            #[method(name = "b")]
            fn a(&self);
            fn b(&self);
        )),
        "\"b\" is the name of `a` in messages already",
    );
    says(
        on_trait(&quote!(
            #[method(apply)]
            fn a(&self);
            #[method(apply)]
            fn b(&self);
        )),
        "messages without a name can go to one method only",
    );
    says(
        on_trait(&quote!(
            #[method(name = "")]
            fn a(&self);
        )),
        "a method's name can't be empty",
    );
    says(
        on_trait(&quote!(
            #[method(name = "b", apply)]
            fn a(&self);
        )),
        "messages do not name a method with `apply`: it has no other name either",
    );
    says(
        on_trait(&quote!(
            #[method(nane = "b")]
            fn a(&self);
        )),
        "expected `name = \"...\"`, `apply` or `skip`",
    );
}

#[test]
fn objects() {
    let expand = |arguments, item| object::expand(&quote!(::vat_runtime), arguments, item);
    let plain = quote!(impl Den { fn own(&self) {} });
    says(expand(TokenStream::new(), plain.clone()), {
        "an object without methods: mark those for messages with `#[method]`"
    });
    says(expand(quote!(also(Admin)), plain), {
        "`also` goes with the `impl` of an object's first interface"
    });
    let of_interface = quote!(impl Lobby for Den {});
    says(expand(quote!(reference = DenRef), of_interface.clone()), {
        "the interface has a reference of its own: `reference` is for an `impl` without"
    });
    says(expand(quote!(describes = false), of_interface), {
        "expected `also(...)`, `describe = false`, `reference = NameRef` or `rename_all = \"...\"`"
    });
}

#[test]
fn derives() {
    let passable = |item| passable::expand(&quote!(::vat_runtime), item);
    says(
        passable(quote!(
            enum Never {}
        )),
        "there is no value of an empty enum",
    );
    says(passable(quote!(union U { a: u8 })), "a union can't be passed");
    says(
        passable(quote!(
            enum E {
                A,
                #[passable(rename = "a")]
                B,
            }
        )),
        "another variant is \"a\"",
    );
    says(
        passable(quote!(
            struct S {
                a: u8,
                #[passable(rename = "a")]
                b: u8,
            }
        )),
        "another field has the key \"a\"",
    );
    says(
        passable(quote!(
            struct S {
                #[passable(skip)]
                a: u8,
            }
        )),
        "expected `default` or `rename = \"...\"`",
    );
    says(
        passable(quote!(
            struct S(#[passable(default)] u8, u8);
        )),
        "what is left out of a list can't be told from what is there: name the fields",
    );
    says(
        passable(quote!(
            #[passable(rename_all = "UPPER")]
            struct S {
                a: u8,
            }
        )),
        "expected \"kebab-case\", \"camelCase\" or \"snake_case\"",
    );
    let durable = |item| durable::expand(&quote!(::vat_runtime), item);
    says(
        durable(quote!(
            enum E {
                A,
            }
        )),
        "`Durable` can be derived for structs: implement it by hand for others",
    );
    says(
        durable(quote!(
            #[durable(versions = 2)]
            struct S;
        )),
        "expected `version = 2`",
    );
}
