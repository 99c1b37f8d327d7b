//! Interfaces with type parameters, and objects without an interface.

use vat_runtime::{Fault, Passable, Value, interface, object};

use crate::vat;

/// A place for one value.
#[interface]
trait Slot<T: Passable> {
    fn put(&mut self, value: T);
    fn take(&self) -> Result<T, Fault>;
}

#[derive(Clone)]
struct Kept<T>(Option<T>);

#[object]
impl<T: Passable + Clone + Send + Sync + 'static> Slot<T> for Kept<T> {
    fn put(&mut self, value: T) {
        self.0 = Some(value);
    }

    fn take(&self) -> Result<T, Fault> {
        self.0.clone().ok_or_else(|| "nothing there".into())
    }
}

#[test]
fn a_slot_for_each_type() {
    let (hand, vat) = vat();
    let slot = SlotRef::<u8>::spawn_in(&vat, Kept(None));
    let empty = slot.take();
    slot.put(7).ignore();
    let full = slot.take();
    let wrong = SlotRef::<String>::from_ref(slot.untyped().clone()).put("x".into());
    hand.run_until_idle();
    assert_eq!(empty.wait(), Err("nothing there".into()));
    assert_eq!(full.wait(), Ok(7));
    assert_eq!(wrong.wait().unwrap_err().to_string(), {
        "argument \"value\" of method \"put\": expected an integer, found a string"
    });
    let described = SlotRef::<Vec<u8>>::DESCRIPTION.describe().to_string();
    assert_eq!(described, {
        "Slot: A place for one value.\n  \
           put(value: list of integer) -> undefined\n  \
           take() -> list of integer\n"
    });
}

#[derive(Clone)]
struct Tally {
    count: u64,
}

/// Counts votes.
#[object(reference = TallyRef)]
impl Tally {
    const STEP: u64 = 1;

    fn own(&self) -> u64 {
        self.count
    }

    /// Votes.
    #[method]
    fn vote(&mut self) -> u64 {
        self.count += Self::STEP;
        self.own()
    }
}

#[test]
fn an_object_without_an_interface_has_the_methods_that_say_so() {
    let (hand, vat) = vat();
    let tally = TallyRef::spawn_in(&vat, Tally { count: 1 });
    let vote = tally.vote();
    let own = tally.untyped().send(vec![Value::symbol("own")]);
    hand.run_until_idle();
    assert_eq!(vote.wait(), Ok(2));
    assert_eq!(own.wait(), Err("no method \"own\": Tally has \"vote\"".into()));
    assert_eq!(TallyRef::DESCRIPTION.doc(), "Counts votes.");
}

#[interface(rename_all = "camelCase")]
trait Camels {
    fn say_hello(&self) -> String;
}

struct Humps;

#[object]
impl Camels for Humps {
    fn say_hello(&self) -> String {
        "hello".into()
    }
}

struct Snakes;

#[object(rename_all = "snake_case")]
impl Snakes {
    #[method]
    fn say_hello(&self) {}
}

#[test]
fn names_in_messages_as_others_have_them() {
    let (hand, vat) = vat();
    let camels = CamelsRef::spawn_in(&vat, Humps);
    let camels = [camels.say_hello().into_promise(), {
        camels.untyped().send(vec![Value::symbol("sayHello")])
    }];
    let snakes = vat.spawn(Snakes).send(vec![Value::symbol("say_hello")]);
    hand.run_until_idle();
    assert_eq!(camels.map(|camel| camel.wait()), [Ok("hello".into()), Ok("hello".into())]);
    assert_eq!(snakes.wait(), Ok(Value::Undefined));
}
