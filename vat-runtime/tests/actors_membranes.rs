//! Membranes: what is reached through one is behind it, in both directions, until it
//! is cut.

mod by_hand;
mod recorder;

use std::sync::{Arc, Mutex};

use by_hand::{ByHand, NOTHING, list, message};
use proptest::prelude::*;
use recorder::Recorder;
use vat_runtime::actors::{Cell, Membrane, Queue, Refusal, revocable};
use vat_runtime::{Args, Fault, Promise, Ref, Reply, Turn, Value, Vat, promise};

fn refused(outcome: Result<Value, Fault>) -> Option<Refusal> {
    Refusal::of(&outcome.expect_err("this is refused"))
}

fn reference(value: &Value) -> Ref {
    value.as_ref().cloned().unwrap_or_else(|| panic!("{value:?} is a reference"))
}

/// A queue inside, its proxy outside, and the revoker.
fn queue(test: &ByHand, membrane: Membrane) -> (Ref, Ref, Ref) {
    let queue = test.spawn(Queue::new());
    let inside = queue.clone();
    let (proxy, revoker) = test.turn(move |turn| Ok(membrane.around(turn, inside))).unwrap();
    (queue, proxy, revoker)
}

fn put(test: &ByHand, into: &Ref, value: impl Into<Value>) {
    assert_eq!(test.call(into, "enqueue", [value.into()]), NOTHING);
}

fn take(test: &ByHand, from: &Ref) -> Value {
    test.call(from, "dequeue", []).unwrap()
}

#[test]
fn what_comes_out_is_wrapped_and_what_goes_back_is_itself() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let cell = test.spawn(Cell::new(1));
    // Out: the same proxy each time, of the cell and not the cell.
    put(&test, &queue, &cell);
    put(&test, &queue, vec![Value::from(&cell)]);
    let out = take(&test, &proxy);
    assert_ne!(out, (&cell).into());
    assert_eq!(take(&test, &proxy), list([out.clone()]), "the same proxy, also within a list");
    assert_eq!(test.send(&reference(&out), vec![5.into()]), NOTHING);
    assert_eq!(test.send(&cell, vec![]), Ok(5.into()));
    // And in again: the cell.
    put(&test, &proxy, out.clone());
    assert_eq!(take(&test, &queue), (&cell).into());
    // What is of the outside is wrapped for the inside, and itself outside.
    let mine = test.spawn(Cell::new(2));
    put(&test, &proxy, &mine);
    put(&test, &proxy, &mine);
    put(&test, &proxy, &mine);
    let inside = take(&test, &queue);
    assert_ne!(inside, (&mine).into());
    assert_eq!(take(&test, &queue), inside);
    assert_eq!(test.send(&reference(&inside), vec![]), Ok(2.into()));
    assert_eq!(take(&test, &proxy), (&mine).into());
    // The proxy itself, sent in, is the queue.
    put(&test, &proxy, &proxy);
    assert_eq!(take(&test, &queue), (&queue).into());
}

#[test]
fn two_membranes_know_nothing_of_each_other() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let inside = queue.clone();
    let (other, _) = test.turn(move |turn| Ok(revocable(turn, inside))).unwrap();
    assert_ne!(proxy, other);
    put(&test, &proxy, &other);
    let wrapped = take(&test, &queue);
    assert_ne!(wrapped, (&queue).into());
    assert_ne!(wrapped, (&other).into());
}

#[test]
fn every_place_of_a_value_is_wrapped() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let cell = Value::from(test.spawn(Cell::new(1)));
    let in_all = |of: &Value| {
        vec![
            list([of.clone()]),
            Value::Set(vec![of.clone()]),
            Value::Struct(vec![("a".into(), 1.into()), ("b".into(), of.clone())]),
            Value::Map(vec![(of.clone(), 1.into()), (1.into(), of.clone())]),
            Value::Tagged(Box::new(captp::Tagged { tag: "t".into(), value: of.clone() })),
            Value::Record(Box::new(captp::Record { label: of.clone(), fields: vec![of.clone()] })),
            Value::Error(Box::new(captp::ErrorValue {
                message: "m".into(),
                fields: vec![of.clone()],
                label: None,
            })),
            Promise::settled(Ok(of.clone())).into(),
        ]
    };
    put(&test, &queue, cell.clone());
    let out = take(&test, &proxy);
    for (inside, outside) in in_all(&cell).into_iter().zip(in_all(&out)) {
        put(&test, &queue, inside.clone());
        let seen = take(&test, &proxy);
        match &outside {
            Value::Ref(_) => assert_eq!(seen, out),
            _ => assert_eq!(seen, outside, "{inside:?}"),
        }
        put(&test, &proxy, outside.clone());
        let seen = take(&test, &queue);
        match &inside {
            Value::Ref(_) => assert_eq!(seen, cell),
            _ => assert_eq!(seen, inside, "{outside:?}"),
        }
    }
}

#[test]
fn a_promise_passes_as_a_promise_and_settles_to_what_is_wrapped() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let cell = test.spawn(Cell::new(1));
    put(&test, &queue, &cell);
    let direct = take(&test, &proxy);
    let (inside, resolver) = promise();
    put(&test, &queue, &inside);
    put(&test, &queue, &inside);
    // In a list, so that the answer does not wait for it.
    let held = test.spawn(Cell::new(list([Value::from(&inside)])));
    put(&test, &queue, &held);
    let answer = proxy.send(message("dequeue", []));
    let again = proxy.send(message("dequeue", []));
    test.hand.run_until_idle();
    assert!(answer.is_promise() && again.is_promise());
    let through = reference(&take(&test, &proxy));
    let Ok(Value::List(outside)) = test.send(&through, vec![]) else { panic!("a list") };
    let outside = reference(&outside[0]);
    assert!(outside.is_promise() && outside != *inside);
    let Ok(Value::List(same)) = test.send(&through, vec![]) else { panic!("a list") };
    assert_eq!(same[0], (&outside).into(), "the same promise each time");
    // Sent in again while it has not settled: the promise that it was.
    put(&test, &proxy, list([Value::from(&outside)]));
    assert_eq!(take(&test, &queue), list([Value::from(&inside)]));
    // Messages sent to it meanwhile arrive.
    let early = outside.send(vec![]);
    resolver.fulfill(cell);
    test.hand.run_until_idle();
    assert_eq!(early.wait(), Ok(1.into()));
    for settled in [answer.wait(), again.wait(), outside.wait()] {
        assert_eq!(settled, Ok(direct.clone()));
    }
}

#[test]
fn a_promise_that_breaks_breaks_on_the_other_side_with_what_is_wrapped() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let cell = test.spawn(Cell::new(1));
    put(&test, &queue, &cell);
    let out = take(&test, &proxy);
    let (inside, resolver) = promise();
    put(&test, &queue, &inside);
    put(&test, &queue, Promise::settled(Err(Value::from(&cell).into())));
    let later = proxy.send(message("dequeue", []));
    test.hand.run_until_idle();
    resolver.break_with(Value::from(&cell));
    test.hand.run_until_idle();
    assert_eq!(later.wait(), Err(out.clone().into()));
    assert_eq!(test.call(&proxy, "dequeue", []), Err(out.clone().into()), "broken before");
    // A fault of a call passes in the same way.
    let fails = test.spawn(move |_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
        Err(Value::from(&cell).into())
    });
    put(&test, &queue, fails);
    let fails = reference(&take(&test, &proxy));
    assert_eq!(test.send(&fails, vec![]), Err(out.clone().into()));
    assert_eq!(test.send(&reference(&out), vec![]), Ok(1.into()), "and is alive");
}

#[test]
fn revoking_cuts_everything_at_once_in_both_directions() {
    let test = ByHand::default();
    let (queue, proxy, revoker) = queue(&test, Membrane::new());
    let cell = test.spawn(Cell::new(1));
    let mine = test.spawn(Cell::new(2));
    put(&test, &queue, &cell);
    let out = reference(&take(&test, &proxy));
    put(&test, &proxy, &mine);
    let inside = reference(&take(&test, &queue));
    let (pending, resolver) = promise();
    put(&test, &queue, &pending);
    let answer = proxy.send(message("dequeue", []));
    test.hand.run_until_idle();
    assert_eq!(test.call(&revoker, "revoked?", []), Ok(false.into()));
    assert_eq!(test.send(&revoker, vec![]), NOTHING);
    assert_eq!(refused(answer.wait()), Some(Refusal::Revoked), "before it has settled");
    for cut in [&proxy, &out, &inside] {
        assert_eq!(refused(test.send(cut, vec![])), Some(Refusal::Revoked));
        assert_eq!(refused(test.call(cut, "length", [])), Some(Refusal::Revoked));
    }
    resolver.fulfill(cell.clone());
    test.hand.run_until_idle();
    assert_eq!(test.send(&cell, vec![]), Ok(1.into()), "what was behind is as it was");
    assert_eq!(test.call(&revoker, "revoked?", []), Ok(true.into()));
    assert_eq!(test.call(&revoker, "revoke", []), NOTHING);
    // What was behind is held by nobody in front.
    let before = test.vat.actor_count();
    drop((cell, queue, mine, pending));
    test.hand.run_until_idle();
    assert_eq!(test.vat.actor_count(), before - 3);
}

#[test]
fn the_inside_can_have_it_cut_while_it_is_called() {
    let test = ByHand::default();
    let revoker = Arc::new(Mutex::new(None::<Ref>));
    let own = revoker.clone();
    let suicidal = test.spawn(move |turn: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
        let revoker = own.lock().unwrap().clone().ok_or("no revoker")?;
        turn.call(&revoker, vec![])?;
        Ok("last words".into())
    });
    let (proxy, made) = test.turn(move |turn| Ok(revocable(turn, suicidal))).unwrap();
    *revoker.lock().unwrap() = Some(made.clone());
    let _last = test.send(&proxy, vec![]);
    assert_eq!(test.call(&made, "revoked?", []), Ok(true.into()), "it is not undone");
    assert_eq!(refused(test.send(&proxy, vec![])), Some(Refusal::Revoked));
}

#[test]
fn a_call_that_passes_nothing_still_knows_that_it_is_cut() {
    let test = ByHand::default();
    let other = Vat::new("other", test.hand.clone());
    let far = other.spawn(Cell::new(1));
    let (proxy, revoker) = test.turn(move |turn| Ok(revocable(turn, far))).unwrap();
    assert_eq!(test.send(&proxy, vec![]), Ok(1.into()), "what is far is sent to");
    assert_eq!(test.send(&revoker, vec![]), NOTHING);
    assert_eq!(refused(test.send(&proxy, vec![])), Some(Refusal::Revoked));
}

#[test]
fn what_a_failed_turn_wrapped_is_forgotten() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new());
    let cell = test.spawn(Cell::new(1));
    put(&test, &queue, &cell);
    let (escape, escaped) = std::sync::mpsc::channel();
    let through = proxy.clone();
    let failed = test.turn(move |turn| -> Result<(), Fault> {
        escape.send(turn.call(&through, message("dequeue", []))?).unwrap();
        Err("no".into())
    });
    assert!(failed.is_err());
    // A proxy that does not exist, but is held on to.
    let ghost = escaped.recv().unwrap();
    let real = take(&test, &proxy);
    assert_ne!(real, ghost);
    assert_eq!(test.send(&reference(&real), vec![]), Ok(1.into()));
    assert!(test.send(&reference(&ghost), vec![]).is_err());
}

#[test]
fn a_membrane_forgets_proxies_that_nobody_holds() {
    let test = ByHand::default();
    let (queue, proxy, revoker) = queue(&test, Membrane::new().limit(100));
    for number in 0..1000 {
        put(&test, &queue, test.spawn(Cell::new(number)));
        let out = take(&test, &proxy);
        assert_eq!(test.send(&reference(&out), vec![]), Ok(number.into()));
    }
    let Ok(Value::Struct(state)) = test.call(&revoker, "state", []) else { panic!() };
    let passed = state.iter().find(|(name, _)| name == "passed").unwrap();
    assert_eq!(passed.1, 1.into(), "the queue alone is left");
    assert!(test.vat.actor_count() < 10, "{} actors", test.vat.actor_count());
}

#[test]
fn so_many_pass_at_a_time_and_no_more() {
    let test = ByHand::default();
    let (queue, proxy, _) = queue(&test, Membrane::new().limit(3));
    for number in 0..4 {
        put(&test, &queue, test.spawn(Cell::new(number)));
    }
    let held = [take(&test, &proxy), take(&test, &proxy)];
    assert_eq!(test.fault(&proxy, "dequeue", []), "no room for more than 3");
    assert_eq!(test.call(&proxy, "length", []), Ok(1.into()), "the call was made, though");
    drop(held);
    test.hand.run_until_idle();
    assert!(reference(&take(&test, &proxy)).is_local());
}

#[test]
fn a_log_hears_of_every_message_and_not_of_what_is_in_it() {
    let test = ByHand::default();
    let heard = Log::default();
    let log = test.spawn(heard.clone());
    let (queue, proxy, _) = queue(&test, Membrane::new().log(log));
    put(&test, &proxy, "secret");
    assert!(test.call(&proxy, "nothing", [1.into()]).is_err());
    let mine = test.spawn(Recorder::default());
    put(&test, &proxy, &mine);
    assert_eq!(take(&test, &queue), "secret".into());
    let inside = reference(&take(&test, &queue));
    assert_eq!(test.send(&inside, vec![2.into()]), Ok(2.into()));
    let method = |direction, method| vec![Value::symbol(direction), Value::symbol(method)];
    let expected = [
        method("in", "enqueue"),
        method("in", "nothing"),
        method("in", "enqueue"),
        vec![Value::symbol("out"), Value::Undefined],
    ];
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Args>>>);

impl vat_runtime::Behaviour for Log {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        self.0.lock().unwrap().push(args);
        Ok(().into())
    }
}

#[test]
fn a_log_hears_of_arguments_if_it_is_to() {
    let test = ByHand::default();
    let heard = Log::default();
    let log = test.spawn(heard.clone());
    let (_queue, proxy, _) = queue(&test, Membrane::new().log(log).log_arguments());
    put(&test, &proxy, 1);
    assert!(test.send(&proxy, vec!["no method".into(), 2.into()]).is_err());
    let symbol = Value::symbol;
    let expected = [
        vec![symbol("in"), symbol("enqueue"), list([1])],
        vec![symbol("in"), Value::Undefined, list([Value::from("no method"), 2.into()])],
    ];
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, ..ProptestConfig::default() })]

    /// Whatever passes in whatever order, each object has one face on the other side, and
    /// is itself again when that comes back; and no face is left once it is cut.
    #[test]
    fn each_object_has_one_face_on_the_other_side(
        passes in prop::collection::vec((any::<bool>(), 0_usize..8, any::<bool>()), 1..40),
    ) {
        let test = ByHand::default();
        let (queue, proxy, revoker) = queue(&test, Membrane::new());
        // What each side knows: four objects of its own, then the other's faces.
        let own = |from| (from..from + 4).map(|number| test.spawn(Cell::new(number)));
        let own: [Vec<Ref>; 2] = [own(0).collect(), own(4).collect()];
        let mut faces: [Vec<Option<Ref>>; 2] = [vec![None; 4], vec![None; 4]];
        for (inwards, pick, nested) in passes {
            let (here, there) = if inwards { (1, 0) } else { (0, 1) };
            let passed = match pick {
                0..4 => own[here][pick].clone(),
                _ => match &faces[here][pick - 4] {
                    Some(face) => face.clone(),
                    None => continue,
                },
            };
            let value = Value::from(&passed);
            let value = if nested { list([value]) } else { value };
            let (into, from) = if inwards { (&proxy, &queue) } else { (&queue, &proxy) };
            put(&test, into, value);
            let seen = match take(&test, from) {
                Value::List(items) => reference(&items[0]),
                other => reference(&other),
            };
            if pick >= 4 {
                prop_assert_eq!(&seen, &own[there][pick - 4], "itself again");
            } else {
                let known = faces[there][pick].get_or_insert_with(|| seen.clone());
                prop_assert_eq!(&seen, known, "the same face");
                let number = i64::try_from(pick + 4 * here).unwrap();
                prop_assert_eq!(test.send(&seen, vec![]), Ok(number.into()));
            }
        }
        prop_assert!(test.send(&revoker, vec![]).is_ok());
        for face in faces.iter().flatten().flatten() {
            prop_assert_eq!(refused(test.send(face, vec![])), Some(Refusal::Revoked));
        }
    }
}
