//! The ways to call: at once, in a turn, without an answer, on a promise; and the ways
//! to change and to answer.

use vat_runtime::{
    Answer, Args, Become, Fault, Manual, Promise, Ref, Reply, Turn, TypedRef, Value, Vat,
    interface, object,
};

use crate::vat;

#[interface]
trait Counter {
    /// Counts.
    fn add(&mut self, by: i64) -> i64;
    /// Counts, or refuses.
    fn add_or_fail(&mut self, by: i64) -> Result<i64, Fault>;
    fn value(&self) -> i64;
    fn restart(&self) -> Become<Self>;
    fn retire(&mut self) -> Become<Retired, String>;
    fn later(&self) -> Answer<i64>;
    fn later_still(&self, turn: &mut Turn<'_>) -> Promise;
    fn clone_of(&self, turn: &mut Turn<'_>) -> CounterRef;
    fn me(&self, turn: &mut Turn<'_>) -> Ref;
    fn reply(&self) -> Reply;
    fn fails(&mut self, turn: &mut Turn<'_>, witness: CounterRef) -> Result<(), &'static str>;
}

#[derive(Clone)]
struct Count(i64);

struct Retired;

#[object]
impl Retired {
    #[method]
    fn value(&self) -> &'static str {
        "retired"
    }
}

#[object]
impl Counter for Count {
    fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }

    fn add_or_fail(&mut self, by: i64) -> Result<i64, Fault> {
        self.0 += by;
        if self.0 > 10 { Err("too many".into()) } else { Ok(self.0) }
    }

    fn value(&self) -> i64 {
        self.0
    }

    fn restart(&self) -> Become<Self> {
        Become::new(Self(0))
    }

    fn retire(&mut self) -> Become<Retired, String> {
        self.0 = 99;
        Become::new(Retired).and("bye".into())
    }

    fn later(&self) -> Answer<i64> {
        Answer::ready(self.0)
    }

    fn later_still(&self, turn: &mut Turn<'_>) -> Promise {
        let me = CounterRef::from_ref(turn.me());
        me.send(turn).value().into_promise()
    }

    fn clone_of(&self, turn: &mut Turn<'_>) -> CounterRef {
        CounterRef::spawn(turn, self.clone())
    }

    fn me(&self, turn: &mut Turn<'_>) -> Ref {
        turn.me()
    }

    fn reply(&self) -> Reply {
        Reply::become_with(Self(self.0 + 100), "by hand")
    }

    fn fails(&mut self, turn: &mut Turn<'_>, witness: CounterRef) -> Result<(), &'static str> {
        self.0 = 1000;
        witness.send_only(turn).add(1);
        Err("failed")
    }
}

fn counter(from: i64) -> (std::sync::Arc<Manual>, Vat, CounterRef) {
    let (hand, vat) = vat();
    let counter = CounterRef::spawn_in(&vat, Count(from));
    (hand, vat, counter)
}

#[track_caller]
fn after<T: vat_runtime::FromValue>(hand: &Manual, answer: &Answer<T>) -> Result<T, String> {
    hand.run_until_idle();
    answer.wait().map_err(|fault| fault.to_string())
}

#[test]
fn a_changed_copy_is_what_the_object_becomes_if_all_went_well() {
    let (hand, _vat, counter) = counter(5);
    assert_eq!(after(&hand, &counter.add(3)), Ok(8));
    assert_eq!(after(&hand, &counter.add_or_fail(3)), Err("too many".into()));
    assert_eq!(after(&hand, &counter.value()), Ok(8));
    assert_eq!(after(&hand, &counter.restart()), Ok(()));
    assert_eq!(after(&hand, &counter.value()), Ok(0));
}

#[test]
fn becoming_something_else_goes_before_the_changed_copy() {
    let (hand, _vat, counter) = counter(5);
    assert_eq!(after(&hand, &counter.retire()), Ok("bye".into()));
    let fault = after(&hand, &counter.value()).unwrap_err();
    assert_eq!(fault, "the answer: expected an integer, found a string");
    assert_eq!(after(&hand, &counter.add(1)).unwrap_err(), {
        "no method \"add\": Retired has \"value\""
    });
}

#[test]
fn answers_that_take_longer() {
    let (hand, _vat, counter) = counter(5);
    assert_eq!(after(&hand, &counter.later()), Ok(5));
    assert_eq!(after(&hand, &counter.later_still()), Ok(5.into()));
    let later = counter.later();
    let doubled = counter.value();
    assert_eq!(later.outcome(), None);
    hand.run_until_idle();
    assert_eq!((later.outcome(), doubled.outcome()), (Some(Ok(5)), Some(Ok(5))));
}

#[test]
fn a_reply_by_hand() {
    let (hand, _vat, counter) = counter(5);
    assert_eq!(after(&hand, &counter.reply()), Ok("by hand".into()));
    assert_eq!(after(&hand, &counter.value()), Ok(105));
}

#[test]
fn calls_on_what_a_call_will_give() {
    let (hand, _vat, counter) = counter(5);
    let copy = counter.clone_of().cap();
    copy.send_only_now().add(1);
    let copy_of_copy = copy.clone_of().cap();
    let there = copy_of_copy.add(1);
    assert_eq!(after(&hand, &there), Ok(7));
    assert_eq!(after(&hand, &copy.value()), Ok(6));
    assert_eq!(after(&hand, &counter.value()), Ok(5));
}

#[test]
fn in_a_turn_calls_see_what_was_called_and_sends_come_after() {
    let (hand, vat, counter) = counter(5);
    let outcome = vat.run(move |turn| {
        let sent = counter.send(turn).add(100);
        let called = counter.call(turn).add(1)?;
        counter.send_only(turn).add(1000);
        let direct: Answer<i64> = counter.call(turn).later()?;
        let me: Ref = counter.call(turn).me()?;
        let copy: CounterRef = counter.call(turn).clone_of()?;
        let copied = copy.call(turn).value()?;
        Ok((called, sent, direct, me == *counter.untyped(), copied, counter))
    });
    hand.run_until_idle();
    let (called, sent, direct, same, copied, counter) = outcome.wait().unwrap();
    assert_eq!((called, sent.wait(), direct.wait(), same, copied), (6, Ok(106), Ok(6), true, 6));
    assert_eq!(after(&hand, &counter.value()), Ok(1106));
}

#[test]
fn a_failed_turn_takes_back_what_it_changed_and_sent() {
    let (hand, vat, counter) = counter(5);
    let witness = CounterRef::spawn_in(&vat, Count(0));
    assert_eq!(after(&hand, &counter.fails(witness.clone())), Err("failed".into()));
    assert_eq!(after(&hand, &counter.value()), Ok(5));
    assert_eq!(after(&hand, &witness.value()), Ok(0));
    let (inner, other) = (counter.clone(), witness.clone());
    let outcome = vat.run(move |turn| {
        inner.call(turn).add(1)?;
        Ok(inner.call(turn).fails(other).map_err(|fault| fault.to_string()))
    });
    hand.run_until_idle();
    assert_eq!(outcome.wait(), Ok(Err("failed".into())));
    assert_eq!(after(&hand, &counter.value()), Ok(6), "only the failed call was undone");
    assert_eq!(after(&hand, &witness.value()), Ok(0));
}

#[test]
fn handlers_know_what_the_answer_is() {
    let (hand, vat, counter) = counter(5);
    let outcome = vat.run(move |turn| {
        let doubled = counter.send(turn).value().on_promise(turn, |_turn, value| Ok(value? * 2));
        let wrong: Answer<String> = Answer::from(counter.send(turn).value().into_promise());
        let wrong = wrong.on_promise(turn, |_turn, value| match value {
            Ok(text) => Ok(text),
            Err(fault) => Ok(fault.to_string()),
        });
        let also = counter.clone();
        counter.send(turn).value().on(turn, move |turn, value| {
            also.send_only(turn).add(value.unwrap_or(0));
        });
        Ok((doubled, wrong, counter))
    });
    hand.run_until_idle();
    let (doubled, wrong, counter) = outcome.wait().unwrap();
    assert_eq!(doubled.wait(), Ok(10));
    assert_eq!(wrong.wait().as_deref(), Ok("the answer: expected a string, found an integer"));
    assert_eq!(after(&hand, &counter.value()), Ok(10));
}

#[test]
fn pipelining_from_one_vat_to_another() {
    let (hand, near) = vat();
    let far = Vat::new("far", hand.clone());
    let counter = CounterRef::spawn_in(&far, Count(1));
    let from_near = near.run(move |turn| {
        let copy = counter.send(turn).clone_of().cap();
        copy.send_only(turn).add(10);
        Ok(copy.send(turn).clone_of().cap().send(turn).add(100))
    });
    hand.run_until_idle();
    assert_eq!(from_near.wait().unwrap().wait(), Ok(111));
}

#[test]
fn answers_are_futures_under_any_executor() {
    let thread = vat_runtime::OwnThread::start("typed").unwrap();
    let vat = Vat::new("test", thread);
    let counter = CounterRef::spawn_in(&vat, Count(5));
    let future = async { (counter.add(1).await, (&counter.value()).await) };
    assert_eq!(block_on(future), (Ok(6), Ok(6)));
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn references_are_values_and_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let (_hand, _vat, counter) = counter(5);
    shared(&counter);
    shared(&counter.later());
    let untyped: Value = counter.clone().into();
    assert_eq!(<CounterRef as vat_runtime::FromValue>::from_value(untyped), Ok(counter.clone()));
    let wrong = <CounterRef as vat_runtime::FromValue>::from_value(5.into()).unwrap_err();
    assert_eq!(wrong.to_string(), "expected a reference to Counter, found an integer");
    assert_eq!(<CounterRef as TypedRef>::from_ref(counter.untyped().clone()), counter);
    assert!(format!("{counter:?}").starts_with("CounterRef(Ref(actor"));
}

#[test]
fn the_trait_is_an_ordinary_one() {
    let mut count = Count(5);
    assert_eq!((Counter::add(&mut count, 1), count.value()), (6, 6));
}

/// Objects that are called without a method's name, as Goblins' procedures are.
mod applied {
    use super::{Args, Value, after, interface, object, vat};

    #[interface]
    trait Cell {
        /// The value, or a new one for it.
        #[method(apply)]
        fn exchange(&mut self, value: Option<Value>) -> Value;
        fn clear(&mut self);
    }

    #[derive(Clone)]
    struct Content(Value);

    #[object]
    impl Cell for Content {
        fn exchange(&mut self, value: Option<Value>) -> Value {
            match value {
                Some(value) => std::mem::replace(&mut self.0, value),
                None => self.0.clone(),
            }
        }

        fn clear(&mut self) {
            self.0 = Value::Undefined;
        }
    }

    #[test]
    fn a_message_without_a_name_goes_to_the_method_with_none() {
        let (hand, vat) = vat();
        let cell = CellRef::spawn_in(&vat, Content(1.into()));
        assert_eq!(after(&hand, &cell.exchange(Some(2.into()))), Ok(1.into()));
        assert_eq!(after(&hand, &cell.exchange(None)), Ok(2.into()));
        let by_hand: [(Args, Value); 3] = [
            (vec![], 2.into()),
            (vec!["x".into()], 2.into()),
            (vec![Value::symbol("y")], "x".into()),
        ];
        for (args, answer) in by_hand {
            let said = vat_runtime::Answer::<Value>::from(cell.untyped().send(args));
            assert_eq!(after(&hand, &said), Ok(answer));
        }
        assert_eq!(after(&hand, &cell.clear()), Ok(()));
        assert_eq!(after(&hand, &cell.exchange(None)), Ok(Value::Undefined));
    }
}

/// An object with more than one interface.
mod several {
    use super::{CounterRef, after, interface, object, vat};

    #[interface]
    trait Ask {
        fn ask(&self) -> String;
    }

    #[interface]
    trait Admin {
        fn close(&mut self);
    }

    #[derive(Clone)]
    struct Desk {
        open: bool,
    }

    #[object(also(Admin))]
    impl Ask for Desk {
        fn ask(&self) -> String {
            if self.open { "yes" } else { "closed" }.into()
        }
    }

    impl Admin for Desk {
        fn close(&mut self) {
            self.open = false;
        }
    }

    #[test]
    fn messages_for_each_of_them() {
        let (hand, vat) = vat();
        let desk = AskRef::spawn_in(&vat, Desk { open: true });
        assert_eq!(after(&hand, &desk.ask()), Ok("yes".into()));
        let admin = AdminRef::from_ref(desk.untyped().clone());
        assert_eq!(after(&hand, &admin.close()), Ok(()));
        assert_eq!(after(&hand, &desk.ask()), Ok("closed".into()));
        let neither = CounterRef::from_ref(desk.untyped().clone()).value();
        assert_eq!(after(&hand, &neither).unwrap_err(), {
            "no method \"value\": Ask and Admin has \"ask\", \"close\""
        });
    }
}
