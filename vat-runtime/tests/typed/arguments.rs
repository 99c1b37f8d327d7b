//! Every shape of argument, from typed callers and from those by hand, and what is said
//! when they do not fit.

use vat_runtime::{Args, Passable, Ref, Value, interface, object};

use crate::vat;

/// What may be left out, by keyword.
#[derive(Passable, Clone, Debug, Default, PartialEq)]
#[passable(default)]
pub(crate) struct Options {
    pub(crate) loud: bool,
    pub(crate) times: u8,
}

#[interface]
trait Shapes {
    fn none(&self) -> String;
    fn one(&self, to: u8) -> String;
    fn text(&self, to: String) -> String;
    fn optional(&self, to: u8, note: Option<String>, mark: Option<u8>) -> String;
    fn rest(&self, to: u8, #[rest] notes: Vec<String>) -> String;
    fn only_rest(&self, #[rest] notes: Vec<u8>) -> String;
    fn keywords(&self, to: u8, options: Options) -> String;
    fn nested(&self, pairs: Vec<(String, u8)>) -> String;
    fn reference(&self, to: Ref) -> String;
    fn r#type(&self, r#in: u8) -> String;
    #[method(name = "Odd name!")]
    fn renamed(&self) -> String;
    #[method(skip)]
    fn own(&self) -> String {
        "not for messages".into()
    }
}

struct Shown;

#[object]
impl Shapes for Shown {
    fn none(&self) -> String {
        self.own().replace("not for messages", "none")
    }

    fn one(&self, to: u8) -> String {
        format!("one {to}")
    }

    fn text(&self, to: String) -> String {
        format!("text {to}")
    }

    fn optional(&self, to: u8, note: Option<String>, mark: Option<u8>) -> String {
        format!("optional {to} {note:?} {mark:?}")
    }

    fn rest(&self, to: u8, notes: Vec<String>) -> String {
        format!("rest {to} {notes:?}")
    }

    fn only_rest(&self, notes: Vec<u8>) -> String {
        format!("only-rest {notes:?}")
    }

    fn keywords(&self, to: u8, options: Options) -> String {
        format!("keywords {to} {} {}", options.loud, options.times)
    }

    fn nested(&self, pairs: Vec<(String, u8)>) -> String {
        format!("nested {pairs:?}")
    }

    fn reference(&self, _to: Ref) -> String {
        "reference".into()
    }

    fn r#type(&self, r#in: u8) -> String {
        format!("type {in}", in = r#in)
    }

    fn renamed(&self) -> String {
        "renamed".into()
    }
}

/// What the message comes to, by hand.
#[track_caller]
fn by_hand(args: Args) -> Result<Value, String> {
    let (hand, vat) = vat();
    let shown = ShapesRef::spawn_in(&vat, Shown);
    let answer = shown.untyped().send(args);
    hand.run_until_idle();
    answer.wait().map_err(|fault| fault.to_string())
}

fn message(method: &'static str, args: impl IntoIterator<Item = Value>) -> Args {
    std::iter::once(Value::symbol(method)).chain(args).collect()
}

#[track_caller]
fn fine(args: Args, answer: &str) {
    assert_eq!(by_hand(args), Ok(answer.into()));
}

#[track_caller]
fn fault(args: Args, says: &str) {
    assert_eq!(by_hand(args), Err(says.into()));
}

#[test]
fn messages_by_hand_reach_the_methods() {
    fine(message("none", []), "none");
    fine(message("one", [5.into()]), "one 5");
    fine(message("optional", [5.into()]), "optional 5 None None");
    fine(message("optional", [5.into(), "x".into()]), "optional 5 Some(\"x\") None");
    fine(message("optional", [5.into(), Value::Null, 6.into()]), "optional 5 None Some(6)");
    fine(message("rest", [5.into()]), "rest 5 []");
    fine(message("rest", [5.into(), "a".into(), "b".into()]), "rest 5 [\"a\", \"b\"]");
    fine(message("only-rest", [1.into(), 2.into()]), "only-rest [1, 2]");
    fine(message("keywords", [5.into()]), "keywords 5 false 0");
    let loud = Value::Struct(vec![("loud".into(), true.into())]);
    fine(message("keywords", [5.into(), loud]), "keywords 5 true 0");
    fine(message("keywords", [5.into(), Value::Undefined]), "keywords 5 false 0");
    fine(message("type", [5.into()]), "type 5");
    fine(message("Odd name!", []), "renamed");
}

#[test]
fn typed_callers_send_what_goes_by_hand() {
    let (hand, vat) = vat();
    let echo = vat.spawn(|_turn: &mut vat_runtime::Turn<'_>, args: Args| {
        Ok(vat_runtime::Reply::value(format!("{args:?}")))
    });
    let echo = ShapesRef::from_ref(echo);
    let same = [
        (echo.none(), message("none", [])),
        (echo.one(5), message("one", [5.into()])),
        (echo.text("x"), message("text", ["x".into()])),
        (echo.text(String::from("x")), message("text", ["x".into()])),
        (echo.optional(5, None, None), message("optional", [5.into()])),
        (
            echo.optional(5, None, Some(6)),
            message("optional", [5.into(), Value::Undefined, 6.into()]),
        ),
        (echo.rest(5, vec![]), message("rest", [5.into()])),
        (echo.rest(5, vec!["a".into()]), message("rest", [5.into(), "a".into()])),
        (
            echo.nested(vec![("a".into(), 1)]),
            message("nested", [Value::List(vec![Value::List(vec!["a".into(), 1.into()])])]),
        ),
        (echo.r#type(5), message("type", [5.into()])),
        (echo.renamed(), message("Odd name!", [])),
    ];
    hand.run_until_idle();
    for (answer, args) in same {
        assert_eq!(answer.wait(), Ok(format!("{args:?}")));
    }
}

#[test]
fn arguments_of_the_wrong_kind() {
    fault(message("one", ["x".into()]), {
        "argument \"to\" of method \"one\": expected an integer, found a string"
    });
    fault(message("one", [256.into()]), {
        "argument \"to\" of method \"one\": expected an integer from 0 to 255, found 256"
    });
    fault(message("text", [Value::symbol("x")]), {
        "argument \"to\" of method \"text\": expected a string, found a symbol"
    });
    fault(message("optional", [5.into(), 5.into()]), {
        "argument \"note\" of method \"optional\": expected a string, found an integer"
    });
    fault(message("rest", [5.into(), "a".into(), 6.into()]), {
        "argument \"notes\" 1 of method \"rest\": expected a string, found an integer"
    });
    fault(message("reference", [5.into()]), {
        "argument \"to\" of method \"reference\": expected a reference, found an integer"
    });
    fault(message("type", ["x".into()]), {
        "argument \"in\" of method \"type\": expected an integer, found a string"
    });
    let wrong = Value::List(vec![Value::List(vec!["a".into(), true.into()])]);
    fault(message("nested", [wrong]), {
        "element 1 of element 0 of argument \"pairs\" of method \"nested\": \
         expected an integer, found a boolean"
    });
    let wrong = Value::Struct(vec![("times".into(), "x".into())]);
    fault(message("keywords", [5.into(), wrong]), {
        "field \"times\" of argument \"options\" of method \"keywords\": \
         expected an integer, found a string"
    });
}

#[test]
fn too_many_and_too_few() {
    fault(message("none", [5.into()]), "method \"none\": expected no arguments, found 1");
    fault(message("one", []), "method \"one\": expected 1 argument, found 0");
    fault(message("one", [5.into(), 6.into()]), "method \"one\": expected 1 argument, found 2");
    fault(message("optional", []), "method \"optional\": expected 1 to 3 arguments, found 0");
    let many = [5.into(), Value::Null, Value::Null, 6.into()];
    fault(message("optional", many), "method \"optional\": expected 1 to 3 arguments, found 4");
    fault(message("rest", []), "method \"rest\": expected at least 1 argument, found 0");
    fault(message("keywords", []), "method \"keywords\": expected 1 to 2 arguments, found 0");
}

#[test]
fn methods_that_are_not_there() {
    let has = "Shapes has \"none\", \"one\", \"text\", \"optional\", \"rest\", \"only-rest\", \
               \"keywords\", \"nested\", \"reference\", \"type\", \"Odd name!\"";
    fault(message("nonesuch", []), &format!("no method \"nonesuch\": {has}"));
    fault(message("own", []), &format!("no method \"own\": {has}"));
    fault(vec![], &format!("the message names no method: {has}"));
    let says = format!("expected the name of a method, a symbol, found a string: {has}");
    fault(vec!["one".into()], &says);
}
