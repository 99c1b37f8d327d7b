//! What objects say that they can do.

use vat_runtime::typed::{Description, describe};
use vat_runtime::{Fault, FromValue, Value, interface, object};

use crate::vat;

/// Answers questions, of which
/// there are many.
///
/// Not told: this paragraph.
#[interface]
trait Oracle {
    /// Answers a question.
    ///
    /// At length.
    fn ask(&self, question: String, patience: Option<u8>) -> Result<String, Fault>;
    fn ask_all(&self, #[rest] questions: Vec<String>) -> Vec<String>;
    fn other(&self) -> OracleRef;
}

struct Old;
struct Silent;
struct Own;

macro_rules! oracle {
    ($name:ident $(($($arguments:tt)*))?) => {
        #[object $(($($arguments)*))?]
        impl Oracle for $name {
            fn ask(&self, question: String, _patience: Option<u8>) -> Result<String, Fault> {
                Ok(question)
            }

            fn ask_all(&self, questions: Vec<String>) -> Vec<String> {
                questions
            }

            fn other(&self) -> OracleRef {
                OracleRef::from_ref(vat_runtime::promise().0.into_ref())
            }
        }
    };
}

oracle!(Old);
oracle!(Silent(describe = false));

#[object]
impl Own {
    #[method]
    fn describe(&self) -> u8 {
        7
    }
}

fn text(text: &str) -> Value {
    text.into()
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(key, value)| (key.into(), value)).into())
}

fn parameter(name: &str, of: &str, optional: bool, rest: bool) -> Value {
    fields([
        ("name", text(name)),
        ("type", text(of)),
        ("optional", optional.into()),
        ("rest", rest.into()),
    ])
}

fn method(name: &str, doc: &str, parameters: Vec<Value>, returns: &str) -> Value {
    fields([
        ("name", text(name)),
        ("doc", text(doc)),
        ("parameters", Value::List(parameters)),
        ("returns", text(returns)),
    ])
}

#[test]
fn a_description_on_the_wire() {
    let (hand, vat) = vat();
    let oracle = OracleRef::spawn_in(&vat, Old);
    let told = oracle.untyped().send(vec![Value::symbol("describe")]);
    hand.run_until_idle();
    let asked = vec![
        parameter("question", "string", false, false),
        parameter("patience", "integer", true, false),
    ];
    let expected = fields([
        ("name", text("Oracle")),
        ("doc", text("Answers questions, of which there are many.")),
        (
            "methods",
            Value::List(vec![
                method("ask", "Answers a question.", asked, "string"),
                method("ask-all", "", vec![parameter("questions", "string", false, true)], {
                    "list of string"
                }),
                method("other", "", vec![], "reference to Oracle"),
            ]),
        ),
    ]);
    assert_eq!(told.wait(), Ok(expected));
}

#[test]
fn for_people_and_for_tools() {
    let (hand, vat) = vat();
    let told = describe(OracleRef::spawn_in(&vat, Old).untyped());
    hand.run_until_idle();
    let told = told.wait().unwrap();
    assert_eq!(told, OracleRef::DESCRIPTION.describe());
    assert_eq!(told.to_string(), {
        "Oracle: Answers questions, of which there are many.\n  \
           ask(question: string, patience?: integer) -> string: Answers a question.\n  \
           ask-all(...questions: string) -> list of string\n  \
           other() -> reference to Oracle\n"
    });
    let ask = &OracleRef::DESCRIPTION.methods()[0];
    assert_eq!((ask.name(), ask.doc()), ("ask", "Answers a question."));
    assert!(ask.parameters()[1].is_optional() && !ask.parameters()[0].is_optional());
}

#[test]
fn what_is_missing_in_a_description_is_empty() {
    let partial = fields([("name", text("Foreign"))]);
    let description = Description::from_value(partial).unwrap();
    assert_eq!((description.name.as_str(), description.methods.len()), ("Foreign", 0));
}

#[test]
fn objects_that_describe_nothing_or_describe_something_else() {
    let (hand, vat) = vat();
    let silent = describe(OracleRef::spawn_in(&vat, Silent).untyped());
    let own = vat.spawn(Own).send(vec![Value::symbol("describe")]);
    let more =
        OracleRef::spawn_in(&vat, Old).untyped().send(vec![Value::symbol("describe"), 1.into()]);
    hand.run_until_idle();
    let none = "no method \"describe\": Oracle has \"ask\", \"ask-all\", \"other\"";
    assert_eq!(silent.wait(), Err(none.into()));
    assert_eq!(own.wait(), Ok(7.into()));
    assert_eq!(more.wait(), Err(none.into()));
}
