//! The kinds of objects that a node can be told to export.

mod arguments;
mod counter;
mod echo;
mod greeter;

use clap::ValueEnum;
use ocapn::actors::{self, Cell, Kv};
use ocapn::persist::{Environment, EnvironmentError};
use ocapn::{Fault, Ref, Turn, Value};

use crate::admin::Admin;
use crate::fleet::{Fleet, Guestbook};

pub(crate) use arguments::{Call, Name, unknown};
use counter::Counter;
use echo::Echo;
use greeter::Greeter;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A number: `increment n`, where n may be left out, and `value`
    Counter,
    /// Answers with its arguments, as a list
    Echo,
    /// Called with a name, a string, it greets
    Greeter,
    /// Values by name: `set k v`, `get k`, `keys`, `delete k`
    Kv,
    /// One value: `get`, `set v`
    Cell,
    /// On a machine of a fleet, writes to whatever is bound there as `db`: `sign text`
    Guestbook,
}

impl Kind {
    /// The name on the command line and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Echo => "echo",
            Self::Greeter => "greeter",
            Self::Kv => "kv",
            Self::Cell => "cell",
            Self::Guestbook => "guestbook",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let kinds = Self::value_variants().iter().copied();
        kinds.into_iter().find(|kind| kind.name() == name)
    }

    /// A new object. `bindings` is the machine's namespace, if this is a machine.
    pub(crate) fn spawn(self, turn: &mut Turn<'_>, bindings: Option<&Ref>) -> Result<Ref, Fault> {
        Ok(match self {
            Self::Counter => turn.spawn(Counter::default()),
            Self::Echo => turn.spawn(Echo),
            Self::Greeter => turn.spawn(Greeter),
            Self::Kv => turn.spawn(Kv::default()),
            Self::Cell => turn.spawn(Cell::default()),
            Self::Guestbook => {
                let bindings =
                    bindings.ok_or("a guestbook lives on a machine of a fleet: see hob join")?;
                turn.spawn(Guestbook::new(bindings.clone()))
            }
        })
    }
}

/// What a node can keep across restarts, and under which names. Names are for ever.
pub(crate) fn environment(fleet: &Fleet) -> Result<Environment, EnvironmentError> {
    let mut kinds = Environment::new();
    kinds
        .kind::<Counter>("counter")?
        .kind_with("echo", 1, |_: &Echo| Value::Undefined, |_| Ok(Echo))?
        .kind_with("greeter", 1, |_: &Greeter| Value::Undefined, |_| Ok(Greeter))?;
    let own = fleet.clone();
    let restore = move |portrait| Admin::restore(own.clone(), portrait);
    kinds.kind_with("admin", 1, Admin::portray, restore)?;
    let mut environment = Environment::new();
    let actors = actors::environment(fleet.clock.clone())?;
    environment
        .extend("hob", &kinds)?
        .extend("fleet", &fleet.environment()?)?
        .extend("actors", &actors)?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{VatByHand, values};

    #[test]
    fn each_kind_says_what_it_does_and_what_is_wrong() {
        for (kind, script) in [
            (
                Kind::Counter,
                &[
                    ("increment 5", "5"),
                    ("increment", "6"),
                    ("increment -10", "-4"),
                    ("value", "-4"),
                    (
                        "increment \"x\"",
                        "broken: counter increment: n is an integer, and not a string",
                    ),
                    ("increment 1 2", "broken: counter increment: one argument too many"),
                    ("increment 9223372036854775807", "9223372036854775803"),
                    (
                        "increment 9223372036854775807",
                        "broken: counter increment: the count would not fit 64 bits",
                    ),
                    (
                        "decrement",
                        "broken: a counter has no method decrement; it has increment [n], value",
                    ),
                    (
                        "\"increment\"",
                        "broken: a counter expects a method, a symbol, first, and not a string",
                    ),
                    ("", "broken: a counter expects a method, a symbol, first, and not nothing"),
                    ("value", "9223372036854775803"),
                ][..],
            ),
            (Kind::Echo, &[("1 \"two\" three", "[1 \"two\" 'three]"), ("", "[]")]),
            (
                Kind::Greeter,
                &[
                    ("\"Alyssa\"", "\"Hello, Alyssa!\""),
                    ("42", "broken: greeter: name is a string, and not an integer"),
                    ("", "broken: greeter: name, a string, is missing"),
                ],
            ),
            (
                Kind::Kv,
                &[
                    ("get a", "broken: kv get: there is nothing under \"a\""),
                    ("set a 1", "<'void>"),
                    ("set \"b\" [2]", "<'void>"),
                    ("set a 3", "<'void>"),
                    ("get \"a\"", "3"),
                    ("keys", "[\"a\" \"b\"]"),
                    ("list", "[\"a\" \"b\"]"),
                    ("delete a", "true"),
                    ("delete a", "false"),
                    ("keys", "[\"b\"]"),
                    ("set 5 1", "broken: kv set: key: expected a name, found an integer"),
                    ("set a", "broken: kv set: value is missing"),
                ],
            ),
            (
                Kind::Cell,
                &[
                    ("get", "<'void>"),
                    ("set {\"a\": 1}", "<'void>"),
                    ("get", "{\"a\": 1}"),
                    ("get 1", "broken: cell get: one argument too many"),
                ],
            ),
            (Kind::Echo, &[("[[]]", "[[[]]]")]),
        ] {
            let hand = VatByHand::default();
            let object = hand.turn(move |turn| kind.spawn(turn, None)).unwrap();
            for (args, answer) in script {
                assert_eq!(hand.call(&object, values(args)), *answer, "{kind:?} {args}");
            }
        }
    }

    #[test]
    fn a_guestbook_needs_a_machine() {
        let hand = VatByHand::default();
        let error = hand.turn(|turn| Kind::Guestbook.spawn(turn, None));
        assert!(error.unwrap_err().to_string().contains("hob join"));
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::value_variants() {
            let name = kind.to_possible_value().unwrap();
            assert_eq!(name.get_name(), kind.name());
            assert_eq!(Kind::named(kind.name()), Some(*kind));
        }
        assert_eq!(Kind::named("boss"), None);
    }
}
