//! What a vat remembers of its last turns: what caused what, across vats, and what its
//! actors were.

mod manual;
mod recorder;

use std::sync::{Arc, Mutex};

use manual::{Cell, NoisyIncrementer};
use recorder::Recorder;
use vat_runtime::{
    Args, Behaviour, Cause, Event, Fault, Limits, Manual, Ref, Reply, Trace, Turn, TurnId, Value,
    Vat, VatLog,
};

fn log(hand: &Manual, vat: &Vat) -> VatLog {
    let log = vat.log();
    hand.run_until_idle();
    log.wait().unwrap()
}

/// Asks another actor, and tells a third what it answered.
struct Asker {
    ask: Ref,
    tell: Ref,
}

impl Behaviour for Asker {
    fn receive(&self, turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        let tell = self.tell.clone();
        let answer = turn.send(&self.ask, vec![Value::symbol("ask")]);
        turn.on(answer, move |turn, outcome| {
            turn.send_only(&tell, vec![outcome.unwrap_or_default()]);
        });
        Ok(().into())
    }

    fn name(&self) -> &'static str {
        "asker"
    }
}

#[test]
fn a_turn_names_what_it_is_because_of_across_vats() {
    let hand = Manual::new();
    let [here, there] = ["here", "there"].map(|name| Vat::new(name, hand.clone()));
    let recorder = Recorder::default();
    let asker =
        here.spawn(Asker { ask: there.spawn(Cell(5.into())), tell: there.spawn(recorder.clone()) });
    hand.run_until_idle();
    asker.send_only(vec![Value::symbol("go"), 1.into()]);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), [Value::Undefined], "the cell took the symbol");

    let trace: Trace = [log(&hand, &here), log(&hand, &there)].into_iter().collect();
    let roots: Vec<_> = trace.roots().collect();
    let [root] = roots[..] else { panic!("{roots:?}") };
    assert_eq!((root.kind, root.method(), root.effects), ("asker", Some("go"), 2));
    assert_eq!(root.cause, Cause::Message { from: TurnId::OUTSIDE });
    assert_eq!(trace.vat_name(root.turn.vat), Some("here"));

    let asked = trace.caused_by(root.turn).find(|event| event.method() == Some("ask")).unwrap();
    assert_eq!(asked.cause, Cause::Message { from: root.turn });
    assert_eq!((trace.vat_name(asked.turn.vat), asked.changes), (Some("there"), 1));
    let handled = trace.caused_by(asked.turn).next().unwrap();
    assert_eq!(handled.cause, Cause::Settled { from: root.turn, by: asked.turn });
    let told = trace.caused_by(handled.turn).next().unwrap();
    assert_eq!(told.turn.vat, asked.turn.vat);

    let led: Vec<_> = trace.led_to(told.turn).iter().map(|event| event.turn).collect();
    assert_eq!(led, [root.turn, asked.turn, handled.turn]);
    let tree = trace.tree();
    let indents: Vec<_> = tree.lines().map(|line| line.len() - line.trim_start().len()).collect();
    assert_eq!(indents, [0, 2, 4, 6], "{tree}");
    assert_eq!(tree.lines().count(), trace.events().count());
}

#[test]
fn the_trace_is_written_as_json_lines() {
    let hand = Manual::new();
    let vat = Vat::new("a \"vat\"", hand.clone());
    let failing =
        vat.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> { Err("two\nlines".into()) });
    failing.send_only(vec![Value::symbol("try")]);
    let held = failing.clone();
    drop(vat.run(move |turn| {
        turn.send_only(&held, vec![]);
        Ok(())
    }));
    hand.run_until_idle();
    let trace: Trace = [log(&hand, &vat)].into_iter().collect();
    let mut written = Vec::new();
    trace.write_json_lines(&mut written).unwrap();
    let text = String::from_utf8(written).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let id = trace.events().next().unwrap().turn.vat;
    let kind = trace.events().next().unwrap().kind;
    assert_eq!(
        lines[0],
        format!(
            "{{\"vat\":{id},\"name\":\"a \\\"vat\\\"\",\"turn\":2,\"cause\":\"message\",\
             \"from\":null,\"actor\":0,\"kind\":\"{kind}\",\"method\":\"try\",\"effects\":0,\
             \"changes\":0,\"fault\":\"two\\nlines\"}}"
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "{{\"vat\":{id},\"name\":\"a \\\"vat\\\"\",\"turn\":3,\"cause\":\"errand\",\
             \"effects\":1,\"changes\":0}}"
        )
    );
    assert!(lines[2].contains(&format!("\"from\":{{\"vat\":{id},\"turn\":3}}")));
    assert_eq!(lines.len(), 3);
}

#[test]
fn the_log_has_the_last_turns_up_to_its_limit() {
    let hand = Manual::new();
    for (limit, expected) in [(3, vec![8, 9, 10]), (0, vec![])] {
        let vat = Vat::with_limits("vat", hand.clone(), Limits::default().log(limit));
        let counter = vat.spawn(NoisyIncrementer(0));
        for _ in 0..9 {
            counter.send_only(vec![]);
        }
        hand.run_until_idle();
        let turns: Vec<_> = log(&hand, &vat).events.iter().map(|event| event.turn.turn).collect();
        assert_eq!(turns, expected);
    }
}

#[test]
fn an_actor_can_be_asked_as_of_an_earlier_turn() {
    let hand = Manual::new();
    let vat = Vat::with_limits("vat", hand.clone(), Limits::default().history(4));
    let count = vat.spawn(NoisyIncrementer(0));
    let ask = |turn: u64, to: &Ref| {
        let vat_id = log(&hand, &vat).vat;
        let answer = vat.peek_at(TurnId { vat: vat_id, turn }, to, vec![]);
        hand.run_until_idle();
        answer.wait()
    };
    hand.run_until_idle();
    for _ in 0..3 {
        count.send_only(vec![]);
    }
    hand.run_until_idle();
    let number = |count: i64| Ok(Value::from(format!("My new count is: {count}")));
    // The answer is what one more would make.
    assert_eq!(ask(4, &count), number(4));
    assert_eq!(ask(2, &count), number(2));
    assert_eq!(ask(1, &count), number(1));
    assert_eq!(ask(0, &count), Err("the actor does not exist".into()));
    assert_eq!(ask(5, &count), Err("the vat does not remember that turn".into()));
    // Nothing has changed by looking.
    assert_eq!(ask(4, &count), number(4));
    count.send_only(vec![]);
    hand.run_until_idle();
    assert_eq!(ask(0, &count), Err("the vat does not remember that turn".into()));
    assert_eq!(ask(1, &count), number(1));
    assert_eq!(ask(5, &count), number(5));
    let elsewhere = Vat::new("other", hand.clone());
    let answer = elsewhere.peek_at(TurnId { vat: log(&hand, &vat).vat, turn: 1 }, &count, vec![]);
    assert!(answer.wait().is_err());
}

#[test]
fn what_is_remembered_is_kept_until_it_is_forgotten() {
    let hand = Manual::new();
    let vat = Vat::with_limits("vat", hand.clone(), Limits::default().history(2));
    let inner = vat.spawn(Cell(1.into()));
    let outer = vat.spawn(Cell((&inner).into()));
    let weak = inner.downgrade();
    drop(inner);
    hand.run_until_idle();
    let first = log(&hand, &vat).vat;
    outer.send_only(vec![Value::Null]);
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 2, "an earlier turn can still be asked");
    let before = vat.peek_at(TurnId { vat: first, turn: 2 }, &outer, vec![]);
    hand.run_until_idle();
    assert_eq!(before.wait(), Ok(weak.upgrade().unwrap().into()));
    outer.send_only(vec![1.into()]);
    outer.send_only(vec![2.into()]);
    hand.run_until_idle();
    assert!(weak.upgrade().is_none());
    assert_eq!(vat.actor_count(), 1);
}

#[test]
fn looking_back_sends_nothing_and_gives_nobody_what_is_gone() {
    let hand = Manual::new();
    let vat = Vat::with_limits("vat", hand.clone(), Limits::default().history(100));
    let recorder = Recorder::default();
    let log_of = vat.spawn(recorder.clone());
    let teller = vat.spawn(move |turn: &mut Turn<'_>, _: Args| {
        turn.send_only(&log_of, vec![1.into()]);
        Ok(Reply::value(()))
    });
    let secret = vat.spawn(Cell("secret".into()));
    hand.run_until_idle();
    let id = log(&hand, &vat).vat;
    drop(secret);
    hand.run_until_idle();
    // In the place of the secret.
    let stranger = vat.spawn(Cell("stranger".into()));
    let told = vat.peek_at(TurnId { vat: id, turn: 3 }, &teller, vec![]);
    let ghost = vat.peek_at(TurnId { vat: id, turn: 3 }, &stranger, vec![]);
    hand.run_until_idle();
    assert!(told.wait().is_ok());
    assert!(recorder.heard().is_empty());
    assert_eq!(ghost.wait(), Err("the actor does not exist".into()));
    let now = stranger.send(vec![]);
    hand.run_until_idle();
    assert_eq!(now.wait(), Ok("stranger".into()));
}

#[test]
fn a_turn_knows_its_name() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let names = Arc::new(Mutex::new(Vec::new()));
    let said = names.clone();
    drop(vat.run(move |turn| {
        said.lock().unwrap().push(turn.id());
        Ok(())
    }));
    hand.run_until_idle();
    let events: Vec<Event> = log(&hand, &vat).events;
    assert_eq!(*names.lock().unwrap(), [events[0].turn]);
}
