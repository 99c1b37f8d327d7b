//! `#[derive(Durable)]`: portraits of structs, and restoring from them.

use vat_runtime::{Durable, Passable, Ref, Value, object, promise};

#[derive(Passable, Clone, Debug, PartialEq)]
struct Owner {
    name: String,
}

#[derive(Durable, Clone, Debug, PartialEq)]
#[durable(version = 2)]
struct Purse {
    balance: u64,
    mint: Ref,
    owner: Option<Owner>,
    #[durable(default)]
    notes: Vec<String>,
    #[durable(skip)]
    asked: usize,
}

#[object]
impl Purse {
    #[method]
    fn balance(&self) -> u64 {
        self.balance
    }
}

#[derive(Durable, Clone, Debug, PartialEq)]
struct Counter(i64);

#[derive(Durable, Clone, Debug, PartialEq)]
struct Pair(i64, String);

#[derive(Durable, Clone, Debug, PartialEq)]
struct Nothing;

macro_rules! behaviour {
    ($($name:ident)*) => {$(
        #[object]
        impl $name {
            #[method]
            fn ping(&self) {}
        }
    )*};
}

behaviour! { Counter Pair Nothing }

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(key, value)| (key.into(), value)).into())
}

#[test]
fn a_portrait_has_the_fields_and_restores_them() {
    let mint = promise().0.into_ref();
    let owner = Some(Owner { name: "ada".into() });
    let purse = Purse { balance: 5, mint: mint.clone(), owner, notes: vec![], asked: 7 };
    let portrait = fields([
        ("balance", 5.into()),
        ("mint", (&mint).into()),
        ("owner", fields([("name", "ada".into())])),
        ("notes", Value::List(vec![])),
    ]);
    assert_eq!(purse.portray(), portrait);
    assert_eq!(Purse::restore(portrait), Ok(Purse { asked: 0, ..purse }));
    assert_eq!((Purse::VERSION, Counter::VERSION), (2, 1));
    let least = fields([("balance", 5.into()), ("mint", (&mint).into())]);
    let least = Purse::restore(least).unwrap();
    assert_eq!((least.owner, least.notes), (None, vec![]));
}

#[test]
fn portraits_that_are_none_of_this_kind() {
    let says = |value: Value| Purse::restore(value).unwrap_err().to_string();
    let mint = || Value::from(promise().0);
    assert_eq!(says(fields([])), "field \"balance\": expected an integer, found nothing");
    assert_eq!(says(5.into()), "expected a struct Purse, found an integer");
    let wrong = fields([("balance", 5.into()), ("mint", 5.into())]);
    assert_eq!(says(wrong), "field \"mint\": expected a reference, found an integer");
    let more = fields([("balance", 5.into()), ("mint", mint()), ("asked", 7.into())]);
    assert_eq!(says(more), "expected no further fields, found the field \"asked\"");
}

#[test]
fn tuples_and_structs_without_fields() {
    assert_eq!(Counter(5).portray(), 5.into());
    assert_eq!(Counter::restore(5.into()), Ok(Counter(5)));
    let pair = Value::List(vec![5.into(), "x".into()]);
    assert_eq!(Pair(5, "x".into()).portray(), pair);
    assert_eq!(Pair::restore(pair), Ok(Pair(5, "x".into())));
    assert_eq!(Nothing.portray(), Value::Undefined);
    assert_eq!(Nothing::restore(Value::Undefined), Ok(Nothing));
    assert!(Nothing::restore(5.into()).is_err());
}
