//! Interfaces, objects and conversions by attribute.
//!
//! Use them by way of `vat_runtime` or `ocapn`, which have each under its own name:
//! what is generated names the crate that it came from, so one of them is enough.

mod attributes;
mod client;
mod dispatch;
mod durable;
mod fields;
mod interface;
mod model;
mod names;
mod object;
mod passable;
#[cfg(test)]
mod refusals;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;

/// The code, or the errors in its place, after what stays as it was written.
fn finish(result: syn::Result<Tokens>) -> TokenStream {
    result.unwrap_or_else(|error| error.into_compile_error()).into()
}

macro_rules! attribute {
    ($(#[$doc:meta])* $expand:ident: $runtime:ident, $ocapn:ident) => {
        $(#[$doc])*
        #[proc_macro_attribute]
        pub fn $runtime(arguments: TokenStream, item: TokenStream) -> TokenStream {
            finish($expand::expand(&quote!(::vat_runtime), arguments.into(), item.into()))
        }

        $(#[$doc])*
        #[proc_macro_attribute]
        pub fn $ocapn(arguments: TokenStream, item: TokenStream) -> TokenStream {
            finish($expand::expand(&quote!(::ocapn), arguments.into(), item.into()))
        }
    };
}

macro_rules! derive {
    ($(#[$doc:meta])* $expand:ident: $runtime:ident $runtime_fn:ident,
        $ocapn:ident $ocapn_fn:ident, $attribute:ident) => {
        $(#[$doc])*
        #[proc_macro_derive($runtime, attributes($attribute))]
        pub fn $runtime_fn(item: TokenStream) -> TokenStream {
            finish($expand::expand(&quote!(::vat_runtime), item.into()))
        }

        $(#[$doc])*
        #[proc_macro_derive($ocapn, attributes($attribute))]
        pub fn $ocapn_fn(item: TokenStream) -> TokenStream {
            finish($expand::expand(&quote!(::ocapn), item.into()))
        }
    };
}

attribute! {
    /// Makes a reference of its own type for the objects that implement a trait.
    ///
    /// For a trait `Lobby` there is a struct `LobbyRef`, as visible as the trait: a
    /// reference that is `Clone`, `Send`, `Sync` and can be passed in messages. It has
    /// a method for each of the trait's, which sends the message and gives an `Answer`,
    /// and these:
    ///
    /// | | |
    /// |---|---|
    /// | `call(turn)`, `send(turn)`, `send_only(turn)` | the same methods as a part of a turn |
    /// | `send_only_now()` | the same methods without an answer |
    /// | `spawn(turn, object)`, `spawn_in(&vat, object)` | make an actor, in a turn or outside |
    /// | `from_ref(reference)`, `untyped()` | from and to an untyped reference |
    /// | `DESCRIPTION` | what is known of the interface |
    ///
    /// It can be made of a `Ref` or `Promise` by `From`, too. A trait with type
    /// parameters makes a reference with the same.
    ///
    /// # Methods
    ///
    /// A method takes `&self` or `&mut self` and then, if it wants it, the turn as
    /// `turn: &mut Turn<'_>`. What follows are the arguments, in order; each can be
    /// passed in a message, and is owned. Callers do not give the turn.
    ///
    /// - `&self`: to change the actor, return `Become<Self, T>`.
    /// - `&mut self`: works on a clone, which the actor becomes if the method ends well.
    ///   The object has to be `Clone`.
    /// - `Option<T>` at the end may be left out, and so may a struct with
    ///   `#[derive(Passable)]` and `#[passable(default)]`, for arguments by keyword.
    /// - `#[rest] names: Vec<T>`, last, takes all further arguments.
    /// - `String` is `impl Into<String>` for callers.
    /// - It returns `T`, `Result<T, E>` where `E` makes a `Fault`, `Answer<T>` for what
    ///   takes longer than the turn, or `Become<Self, T>`; or nothing.
    ///
    /// # Attributes
    ///
    /// - `#[interface(rename_all = "camelCase")]`, or `"snake_case"`: how the methods' names
    ///   in messages are made of Rust's. Without, `say_hello` is `say-hello`, as Goblins
    ///   would have it; Endo's objects have `sayHello`.
    /// - `#[method(name = "...")]`: the name of a method in messages.
    /// - `#[method(apply)]`: messages to it have no name, only arguments. For objects
    ///   that are called as functions are; one for an interface, and every message that
    ///   names no other method goes to it.
    /// - `#[method(skip)]`: no method for messages at all.
    ///
    /// ```compile_fail
    /// #[vat_runtime::interface]
    /// trait Greeter {
    ///     fn greet(name: String); // error: a method of an interface takes `&self` or `&mut self`
    /// }
    /// ```
    interface: interface, ocapn_interface
}

attribute! {
    /// Takes messages apart for the methods of an `impl`.
    ///
    /// On `impl Lobby for Den`, where `Lobby` is a trait with `#[interface]`, it makes
    /// `Den` a `Behaviour`, for `LobbyRef::spawn` and `LobbyRef::spawn_in`. An object with more than one interface
    /// names the others where it implements the first:
    /// `#[object(also(Admin))] impl Lobby for Den`.
    ///
    /// On `impl Den` the object's methods are those that are marked with `#[method]`, by the
    /// rules for methods of an interface; others stay its own.
    /// `#[object(reference = pub DenRef)]` makes a typed reference of that name as well,
    /// and `rename_all` says how names in messages are made.
    ///
    /// The object answers to `describe`, unless it has a method of that name or says
    /// `#[object(describe = false)]`.
    object: object, ocapn_object
}

derive! {
    /// Conversions of a struct or an enum to a value of a message and back.
    ///
    /// | Rust | value |
    /// |---|---|
    /// | `struct Seat { nick: String }` | struct with the keys as they are: `{"nick": "ada"}` |
    /// | `struct Nick(String)` | as what is inside |
    /// | `struct Point(i64, i64)` | list |
    /// | `struct Here`, variant `InTheAir` | symbol `in-the-air` |
    /// | variant `Seat(u8)` | value tagged `seat` |
    /// | variants `Point(i64, i64)`, `Seat { nick: String }` | tagged list, tagged struct |
    ///
    /// Fields that are `None` are left out. Fields that are not known are ignored, so
    /// that a newer peer may send more.
    ///
    /// - `#[passable(rename = "...")]` on a field, a variant or a unit struct.
    /// - `#[passable(rename_all = "kebab-case")]`, or `"camelCase"`, for all fields.
    /// - `#[passable(default)]` on a field: its `Default` if it is not there. On a struct:
    ///   that of the struct, for each field and, as an argument, for the whole.
    /// - `#[passable(deny_unknown)]` on a struct: refuses fields that are not known.
    ///
    /// ```
    /// use vat_runtime::{FromValue, IntoValue, Passable, Value};
    ///
    /// #[derive(Passable, Debug, PartialEq)]
    /// struct Order {
    ///     tea: Tea,
    ///     #[passable(default)]
    ///     sugar: u8,
    /// }
    ///
    /// #[derive(Passable, Debug, PartialEq)]
    /// enum Tea {
    ///     Green,
    ///     Other(String),
    /// }
    ///
    /// let value = Value::Struct(vec![("tea".into(), Value::symbol("green"))]);
    /// assert_eq!(Order::from_value(value), Ok(Order { tea: Tea::Green, sugar: 0 }));
    ///
    /// let value = Value::Struct(vec![("tea".into(), Value::symbol("mud"))]);
    /// assert_eq!(
    ///     Order::from_value(value).unwrap_err().to_string(),
    ///     r#"field "tea": expected one of "green", "other", found the symbol "mud""#,
    /// );
    /// ```
    passable: Passable passable, OcapnPassable ocapn_passable, passable
}

derive! {
    /// Makes a behaviour durable whose fields can be passed in messages: its portrait is
    /// its fields, and it is restored from these.
    ///
    /// A struct with named fields has a struct for a portrait, one with a single
    /// unnamed field that field's value, other tuples a list. The fields are cloned.
    ///
    /// - `#[durable(version = 2)]` on the struct: the version of its portraits, else 1.
    /// - `#[durable(default)]` on a field: its `Default` if the portrait lacks it.
    /// - `#[durable(skip)]` on a field: is in no portrait, and restored as its `Default`.
    /// - `#[durable(rename = "...")]` on a field.
    ///
    /// A portrait with fields that the struct does not have is refused: what has been
    /// stored is not to be lost unseen.
    ///
    /// ```
    /// use vat_runtime::{Durable, object};
    ///
    /// #[derive(Durable, Clone)]
    /// #[durable(version = 2)]
    /// struct Counter {
    ///     count: u64,
    ///     #[durable(default)] // new in version 2
    ///     name: String,
    ///     #[durable(skip)]
    ///     asked: u64,
    /// }
    ///
    /// #[object]
    /// impl Counter {
    ///     #[method]
    ///     fn count(&mut self) -> u64 {
    ///         self.asked += 1;
    ///         self.count
    ///     }
    /// }
    ///
    /// let counter = Counter { count: 5, name: "tea".into(), asked: 7 };
    /// let restored = Counter::restore(counter.portray())?;
    /// assert_eq!((restored.count, restored.name.as_str(), restored.asked), (5, "tea", 0));
    /// # Ok::<(), vat_runtime::RestoreError>(())
    /// ```
    durable: Durable durable, OcapnDurable ocapn_durable, durable
}
