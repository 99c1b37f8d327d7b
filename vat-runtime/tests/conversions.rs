//! Rust's types to values of messages and back, and what is said when that fails.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;

use vat_runtime::{Fault, FromValue, IntoValue, Passable, Promise, Ref, Symbol, Value, promise};

#[track_caller]
fn there_and_back<T: Passable + Clone + PartialEq + Debug>(own: T, value: impl Into<Value>) {
    let value = value.into();
    assert_eq!(own.clone().into_value(), value);
    assert_eq!(T::from_value(value), Ok(own));
}

#[track_caller]
fn refused<T: FromValue + Debug>(value: impl Into<Value>, message: &str) {
    assert_eq!(T::from_value(value.into()).unwrap_err().to_string(), message);
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(values.into_iter().collect())
}

#[test]
fn integers_of_every_size_at_their_bounds() {
    macro_rules! bounds {
        ($($name:ty)*) => {$(
            for bound in [<$name>::MIN, <$name>::MAX] {
                let value = Value::from(num_bigint::BigInt::from(bound));
                there_and_back(bound, value);
            }
        )*};
    }
    bounds! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }
    there_and_back(num_bigint::BigInt::from(u128::MAX), num_bigint::BigInt::from(u128::MAX));
    there_and_back(num_bigint::BigInt::from(7), 7);
}

#[test]
fn integers_out_of_range() {
    refused::<u8>(256, "expected an integer from 0 to 255, found 256");
    refused::<u8>(-1, "expected an integer from 0 to 255, found -1");
    refused::<i8>(128, "expected an integer from -128 to 127, found 128");
    refused::<u64>(-1, "expected an integer from 0 to 18446744073709551615, found -1");
    refused::<i64>(
        u64::MAX,
        "expected an integer from -9223372036854775808 to 9223372036854775807, \
         found one that is out of range",
    );
    refused::<u32>("7", "expected an integer, found a string");
    refused::<u32>(7.0, "expected an integer, found a float");
    refused::<num_bigint::BigInt>(true, "expected an integer, found a boolean");
}

#[test]
fn floats() {
    there_and_back(1.5_f64, 1.5);
    there_and_back(0.25_f32, 0.25);
    assert_eq!(f64::from_value(3.into()), Ok(3.0));
    assert_eq!(f64::from_value((1_i64 << 53).into()), Ok(9_007_199_254_740_992.0));
    refused::<f64>((1_i64 << 53) + 1, "expected a float, found an integer");
    refused::<f64>("1.5", "expected a float, found a string");
}

#[test]
fn texts_symbols_and_bytes() {
    there_and_back(String::from("tea"), "tea");
    there_and_back(smol_str::SmolStr::new("tea"), "tea");
    there_and_back(Symbol::from("join"), Value::symbol("join"));
    there_and_back(bytes::Bytes::from_static(b"tea"), bytes::Bytes::from_static(b"tea"));
    assert_eq!("tea".into_value(), "tea".into());
    refused::<String>(Value::symbol("tea"), "expected a string, found a symbol");
    refused::<Symbol>("tea", "expected a symbol, found a string");
    refused::<bytes::Bytes>("tea", "expected a byte array, found a string");
    refused::<String>(bytes::Bytes::new(), "expected a string, found a byte array");
}

#[test]
fn booleans_nothing_and_what_is_optional() {
    there_and_back(true, true);
    there_and_back((), ());
    there_and_back(Some(5_u8), 5);
    there_and_back(None::<u8>, ());
    assert_eq!(Option::<u8>::from_value(Value::Null), Ok(None));
    assert_eq!(Option::<u8>::absent(), Some(None));
    assert_eq!(u8::absent(), None);
    refused::<Option<u8>>("x", "expected an integer, found a string");
    refused::<()>(1, "expected undefined, found an integer");
    refused::<bool>(Value::Null, "expected a boolean, found null");
}

#[test]
fn lists_tuples_and_arrays() {
    there_and_back(vec![1_u8, 2], list([1.into(), 2.into()]));
    there_and_back([1_u8, 2], list([1.into(), 2.into()]));
    there_and_back((1_u8, String::from("x")), list([1.into(), "x".into()]));
    there_and_back(Box::new(1_u8), 1);
    refused::<Vec<u8>>(1, "expected a list of integer, found an integer");
    refused::<Vec<u8>>(list([1.into(), 256.into()]), {
        "element 1: expected an integer from 0 to 255, found 256"
    });
    refused::<[u8; 2]>(list([1.into()]), "expected a list of 2 elements, found one of 1");
    refused::<(u8, bool)>(list([1.into()]), "expected a list of 2 elements, found one of 1");
    refused::<(u8, bool)>(
        list([1.into(), 2.into()]),
        "element 1: expected a boolean, found an integer",
    );
    refused::<(u8, bool)>("x", "expected a list of integer and boolean, found a string");
    refused::<Vec<Vec<u8>>>(
        list([list([]), list([1.into(), "x".into()])]),
        "element 1 of element 1: expected an integer, found a string",
    );
}

#[test]
fn structs_as_maps_and_sets() {
    let fields = Value::Struct(vec![("a".into(), 1.into()), ("b".into(), 2.into())]);
    let pairs = || [("a".to_string(), 1_u8), ("b".to_string(), 2)];
    there_and_back(BTreeMap::from(pairs()), fields.clone());
    there_and_back(HashMap::from(pairs()), fields.clone());
    there_and_back(BTreeSet::from([1_u8, 2]), Value::Set(vec![1.into(), 2.into()]));
    there_and_back(HashSet::from([1_u8]), Value::Set(vec![1.into()]));
    refused::<BTreeMap<String, bool>>(fields, "field \"a\": expected a boolean, found an integer");
    refused::<HashMap<String, u8>>(list([]), "expected a struct of integer, found a list");
    refused::<BTreeSet<u8>>(list([]), "expected a set of integer, found a list");
}

#[test]
fn references_and_promises() {
    let (promise, resolver) = promise();
    let reference: Ref = promise.clone().into_ref();
    there_and_back(reference.clone(), &reference);
    there_and_back(promise.clone(), &promise);
    refused::<u8>(&promise, "expected an integer, found a promise");
    resolver.fulfill(7);
    assert_eq!(u8::from_value((&promise).into()), Ok(7), "settled: as good as its value");
    assert_eq!(Ref::from_value((&promise).into()), Ok(reference), "the same way as before");
    let broken = Promise::settled(Err("no".into()));
    refused::<u8>(&broken, "expected an integer, found a broken promise");
    refused::<Ref>(7, "expected a reference, found an integer");
    let at_once = Promise::from_value(7.into()).unwrap();
    assert_eq!(at_once.wait(), Ok(7.into()));
}

#[test]
fn faults_sturdyrefs_and_anything() {
    there_and_back(Fault::from("no"), Value::error("no"));
    refused::<Fault>("no", "expected an error, found a string");
    there_and_back(Value::symbol("x"), Value::symbol("x"));
    let uri = "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let sturdyref: captp::locator::Sturdyref = uri.parse().unwrap();
    there_and_back(sturdyref.clone(), sturdyref);
    refused::<captp::locator::Sturdyref>(uri, "expected a sturdyref, found a string");
}

#[test]
fn a_mismatch_says_what_and_where() {
    let wrong = u8::from_value("x".into()).unwrap_err().within("argument \"to\"");
    let wrong = wrong.within("method \"transfer\"");
    assert_eq!(wrong.path(), "argument \"to\" of method \"transfer\"");
    assert_eq!((wrong.expected(), wrong.found()), ("an integer", "a string"));
    assert_eq!(Fault::from(wrong).to_string(), {
        "argument \"to\" of method \"transfer\": expected an integer, found a string"
    });
}
