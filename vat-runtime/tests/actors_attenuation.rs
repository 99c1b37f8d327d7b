//! References that give some of what others give.

mod by_hand;

use std::sync::Arc;
use std::time::Duration;

use by_hand::{ByHand, NOTHING, list};
use vat_runtime::actors::{Attenuation, Cell, Queue, Refusal, attenuate};
use vat_runtime::{Args, Clock, Fault, Identity, Ref, Reply, SimClock, Turn, Value, Vat, promise};

const SECOND: Duration = Duration::from_secs(1);

impl ByHand {
    fn attenuated(&self, attenuation: Attenuation) -> (Ref, Ref) {
        self.turn(move |turn| Ok(attenuation.spawn(turn))).unwrap()
    }
}

fn refused(outcome: Result<Value, Fault>) -> Option<Refusal> {
    Refusal::of(&outcome.expect_err("this is refused"))
}

#[test]
fn only_allowed_methods_pass() {
    let test = ByHand::default();
    let queue = test.spawn(Queue::new());
    let (proxy, _) = test.attenuated(attenuate(queue.clone()).methods(["enqueue", "length"]));
    assert_eq!(test.call(&proxy, "enqueue", [1.into()]), NOTHING);
    assert_eq!(test.call(&proxy, "length", []), Ok(1.into()));
    assert_eq!(refused(test.call(&proxy, "dequeue", [])), Some(Refusal::Method));
    assert_eq!(refused(test.send(&proxy, vec!["length".into()])), Some(Refusal::Method));
    assert_eq!(refused(test.send(&proxy, vec![])), Some(Refusal::Method));
    let fault = test.call(&queue, "nothing", []).unwrap_err();
    assert_eq!(Refusal::of(&fault), None, "another's fault is no refusal");
}

#[test]
fn so_many_uses_pass_be_they_failures() {
    let test = ByHand::default();
    let queue = test.spawn(Queue::new());
    let (proxy, controller) = test.attenuated(attenuate(queue.clone()).count(3));
    assert_eq!(test.call(&proxy, "enqueue", [1.into()]), NOTHING);
    assert!(test.call(&proxy, "nothing", []).is_err(), "this counts");
    // Also for who catches the fault within a turn.
    let caught = proxy.clone();
    let answer = test.turn(move |turn| turn.call(&caught, vec![Value::symbol("nothing")]));
    let Ok(Value::Ref(answer)) = answer else { panic!("a broken promise, not {answer:?}") };
    assert!(answer.wait().is_err());
    assert_eq!(refused(test.call(&proxy, "length", [])), Some(Refusal::UsedUp));
    assert_eq!(refused(test.call(&proxy, "length", [])), Some(Refusal::UsedUp));
    assert_eq!(test.call(&queue, "length", []), Ok(1.into()));
    let Ok(Value::List(rules)) = test.call(&controller, "rules", []) else { panic!() };
    assert_eq!(
        rules[0],
        fields([("rule", Value::symbol("count")), ("left", 0.into()), ("of", 3.into())])
    );
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(name, value)| (name.into(), value)).into())
}

#[test]
fn a_use_that_one_rule_refuses_uses_no_other_up() {
    let test = ByHand::default();
    let cell = test.spawn(Cell::new(1));
    let (proxy, _) = test.attenuated(attenuate(cell).count(1).methods(["get"]));
    for _ in 0..3 {
        assert_eq!(refused(test.call(&proxy, "set", [2.into()])), Some(Refusal::Method));
    }
    assert_eq!(test.call(&proxy, "get", []), Ok(1.into()));
    assert_eq!(refused(test.call(&proxy, "get", [])), Some(Refusal::UsedUp));
}

#[test]
fn a_rate_allows_a_burst_and_then_so_many_in_each_period() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    clock.advance(100 * SECOND);
    let cell = test.spawn(Cell::new(1));
    let (proxy, _) = test.attenuated(attenuate(cell.clone()).rate(3, 6 * SECOND, clock.clone()));
    let passing = || {
        let passed = (0..10).filter(|_| test.send(&proxy, vec![]).is_ok()).count();
        assert_eq!(refused(test.send(&proxy, vec![])), Some(Refusal::TooOften));
        passed
    };
    assert_eq!(passing(), 3);
    clock.advance(2 * SECOND - Duration::from_nanos(1));
    assert_eq!(passing(), 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(passing(), 1);
    clock.advance(4 * SECOND);
    assert_eq!(passing(), 2);
    clock.advance(1000 * SECOND);
    assert_eq!(passing(), 3, "what was not used is not saved up");
    let (never, _) = test.attenuated(attenuate(cell).rate(0, SECOND, clock));
    assert_eq!(refused(test.send(&never, vec![])), Some(Refusal::TooOften));
}

#[test]
fn after_its_time_nothing_passes() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    let cell = test.spawn(Cell::new(1));
    let (proxy, _) = test.attenuated(attenuate(cell).expires(SECOND, clock.clone()));
    clock.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(test.send(&proxy, vec![]), Ok(1.into()));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(refused(test.send(&proxy, vec![])), Some(Refusal::Expired));
}

#[test]
fn what_is_revoked_passes_nothing_and_holds_nothing() {
    let test = ByHand::default();
    let cell = test.spawn(Cell::new(1));
    let (proxy, controller) = test.attenuated(attenuate(cell).methods(["get"]));
    assert_eq!(test.call(&controller, "revoked?", []), Ok(false.into()));
    let before = test.vat.actor_count();
    assert_eq!(test.call(&controller, "revoke", []), NOTHING);
    test.hand.run_until_idle();
    assert_eq!(test.vat.actor_count(), before - 1, "the target is let go");
    assert_eq!(refused(test.call(&proxy, "get", [])), Some(Refusal::Revoked));
    assert_eq!(refused(test.call(&proxy, "set", [1.into()])), Some(Refusal::Revoked));
    assert_eq!(test.call(&controller, "revoked?", []), Ok(true.into()));
    let revoked = fields([("rule", Value::symbol("revoked"))]);
    assert_eq!(test.call(&controller, "rules", []), Ok(list([revoked])));
    assert_eq!(test.call(&controller, "revoke", []), NOTHING);
    for method in ["rules", "revoke", "revoked?"] {
        assert!(test.call(&proxy, method, []).is_err(), "the proxy tells nothing");
    }
}

#[test]
fn the_controller_describes_the_whole_chain() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    clock.advance(SECOND);
    let cell = test.spawn(Cell::new(1));
    let inner = attenuate(cell).rate(5, SECOND, clock.clone());
    let (below, below_control) = test.attenuated(inner.expires(5 * SECOND, clock));
    let outer = attenuate(below.clone()).methods(["get"]).count(2).over(below_control.clone());
    let (proxy, controller) = test.attenuated(outer);
    assert_eq!(test.call(&proxy, "get", []), Ok(1.into()));
    let methods = list([Value::symbol("get")]);
    let expected = [
        fields([("rule", Value::symbol("methods")), ("methods", methods)]),
        fields([("rule", Value::symbol("count")), ("left", 1.into()), ("of", 2.into())]),
        fields([("rule", Value::symbol("rate")), ("burst", 5.into()), ("seconds", 1.0.into())]),
        fields([("rule", Value::symbol("expiry")), ("at", 5.0.into()), ("left", 4.0.into())]),
    ];
    assert_eq!(test.call(&controller, "rules", []), Ok(list(expected)));
    assert_eq!(test.call(&below_control, "revoke", []), NOTHING);
    assert_eq!(refused(test.call(&proxy, "get", [])), Some(Refusal::Revoked));
    assert_eq!(test.call(&controller, "revoked?", []), Ok(false.into()), "this one was not");
}

#[test]
fn what_is_far_is_counted_and_refused_too() {
    let test = ByHand::default();
    let other = Vat::new("other", test.hand.clone());
    let far = other.spawn(|_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        if args.is_empty() { Err("no".into()) } else { Ok(Value::List(args).into()) }
    });
    let (proxy, _) = test.attenuated(attenuate(far).count(2));
    assert_eq!(test.send(&proxy, vec![]), Err("no".into()));
    assert_eq!(test.send(&proxy, vec![1.into()]), Ok(list([1])));
    assert_eq!(refused(test.send(&proxy, vec![1.into()])), Some(Refusal::UsedUp));
}

#[test]
fn messages_through_a_proxy_keep_their_order_while_its_target_settles() {
    let test = ByHand::default();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = heard.clone();
    let target = test.spawn(move |_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        log.lock().unwrap().extend(args);
        Ok(().into())
    });
    let (later, resolver) = promise();
    let (proxy, _) = test.attenuated(attenuate(later.into_ref()).count(9));
    proxy.send_only(vec![1.into()]);
    test.hand.run_until_idle();
    // The first message is now in the vat's queue, behind the second.
    proxy.send_only(vec![2.into()]);
    resolver.fulfill(target);
    proxy.send_only(vec![3.into()]);
    test.hand.run_until_idle();
    assert_eq!(*heard.lock().unwrap(), [1, 2, 3].map(Value::from));
}

#[test]
fn a_proxy_is_not_its_target() {
    let (test, clock): (_, Arc<dyn Clock>) = (ByHand::default(), SimClock::new());
    let cell = test.spawn(Cell::new(1));
    let (proxy, _) = test.attenuated(attenuate(cell.clone()).expires(SECOND, clock));
    let key = |of: &Ref| match of.identity() {
        Identity::Local { key, .. } => key,
        other => panic!("{other:?}"),
    };
    assert_ne!(key(&proxy), key(&cell));
}
