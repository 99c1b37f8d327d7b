//! Objects by numbers that nobody guesses.

mod by_hand;

use by_hand::ByHand;
use bytes::Bytes;
use vat_runtime::Value;
use vat_runtime::actors::{Cell, nonce_registry};

fn bytes(number: &'static [u8]) -> Value {
    Value::Bytes(Bytes::from_static(number))
}

#[test]
fn an_object_is_found_by_its_number_and_by_no_other() {
    let test = ByHand::default();
    let (registry, locator) = test.turn(nonce_registry).unwrap();
    let (one, two) = (test.spawn(Cell::new(1)), test.spawn(Cell::new(2)));
    let number = test.call(&registry, "register", [(&one).into()]).unwrap();
    let again = test.call(&registry, "register", [(&one).into()]).unwrap();
    let Value::Bytes(secret) = &number else { panic!("a number is bytes") };
    assert_eq!(secret.len(), 32);
    assert_ne!(number, again, "a number is not kept, so it can't be told again");
    for finder in [&registry, &locator] {
        for number in [&number, &again] {
            assert_eq!(test.call(finder, "fetch", [number.clone()]), Ok((&one).into()));
        }
        let mut wrong = secret.to_vec();
        wrong[31] ^= 1;
        for wrong in [Bytes::from(wrong), secret.slice(..31), Bytes::new()] {
            let fault = test.fault(finder, "fetch", [Value::Bytes(wrong)]);
            assert_eq!(fault, "nonce-registry fetch: no object has this number");
        }
    }
    let given = bytes(b"given");
    let register = |object| test.call(&registry, "register", [object, given.clone()]);
    assert_eq!(register((&two).into()), Ok(given.clone()));
    assert_eq!(register((&two).into()), Ok(given.clone()));
    assert!(register((&one).into()).is_err(), "the number is taken");
    assert_eq!(test.call(&locator, "fetch", [given.clone()]), Ok((&two).into()));
    assert_eq!(test.call(&registry, "forget", [given.clone()]), Ok(true.into()));
    assert_eq!(test.call(&registry, "forget", [given.clone()]), Ok(false.into()));
    assert_eq!(test.call(&registry, "fetch", [given, 5.into()]), Ok(5.into()));
}

#[test]
fn a_locator_only_finds() {
    let test = ByHand::default();
    let (registry, locator) = test.turn(nonce_registry).unwrap();
    let object = test.spawn(Cell::new(1));
    let number = test.call(&registry, "register", [(&object).into()]).unwrap();
    assert!(test.call(&locator, "register", [(&object).into()]).is_err());
    assert!(test.call(&locator, "forget", [number.clone()]).is_err());
    assert_eq!(test.call(&locator, "fetch", [number]), Ok(object.into()));
}
