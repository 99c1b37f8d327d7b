//! What a link is asked to do: messages go to promises at the peer at once, in
//! order, and a path that has carried messages is not shortened.

mod fake_link;
mod recorder;

use std::sync::{Arc, Mutex};

use captp::{AnswerPos, ImportPos, RemotePos};
use fake_link::{Asked, FakeLink, answer, delivered, import};
use recorder::Recorder;
use vat_runtime::{Args, Fault, Identity, Link, Manual, Ref, Resolver, Value, Vat, promise};

#[test]
fn messages_to_an_answer_leave_at_once() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    let first = object.send(vec![1.into()]);
    let second = first.send(vec![2.into()]);
    second.send_only(vec![3.into()]);
    assert_eq!(
        link.asked(),
        vec![
            delivered(import(3), 1, Some(0)),
            delivered(answer(0), 2, Some(1)),
            delivered(answer(1), 3, None),
        ]
    );
    let Identity::Remote { link: at, pos, promise: true, .. } = first.identity() else { panic!() };
    assert_eq!((at.key(), pos), (1, answer(0)));
    link.answer(0).fulfill(5);
    link.answer(1).break_with("no");
    assert_eq!(first.wait(), Ok(5.into()));
    assert_eq!(second.wait(), Err("no".into()));
}

#[test]
fn a_turn_pipelines_when_it_is_committed() {
    let link = FakeLink::new(1);
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let object = link.object(3);
    let (failing, sending) = (object.clone(), object.clone());
    drop(vat.run(move |turn| -> Result<(), Fault> {
        drop(turn.send(&failing, vec![0.into()]));
        Err("no".into())
    }));
    drop(vat.run(move |turn| {
        let first = turn.send(&sending, vec![1.into()]);
        let second = turn.send(&first, vec![2.into()]);
        turn.send_only(&sending, vec![3.into()]);
        turn.send_only(&second, vec![4.into()]);
        Ok(())
    }));
    hand.run_until_idle();
    assert_eq!(
        link.asked(),
        vec![
            delivered(import(3), 1, Some(0)),
            delivered(answer(0), 2, Some(1)),
            delivered(import(3), 3, None),
            delivered(answer(1), 4, None),
        ]
    );
}

#[test]
fn what_waited_in_a_local_promise_is_pipelined_when_it_becomes_remote() {
    let link = FakeLink::new(1);
    let (local, resolver) = promise();
    let first = local.send(vec![1.into()]);
    let second = first.send(vec![2.into()]);
    let third = second.send(vec![3.into()]);
    first.send_only(vec![4.into()]);
    resolver.fulfill(link.object(3));
    third.send_only(vec![5.into()]);
    assert_eq!(
        link.asked(),
        vec![
            delivered(import(3), 1, Some(0)),
            delivered(answer(0), 2, Some(1)),
            delivered(answer(0), 4, None),
            delivered(answer(1), 3, Some(2)),
            delivered(answer(2), 5, None),
        ]
    );
}

#[test]
fn a_remote_promise_is_listened_to_only_when_somebody_wants_to_know() {
    let link = FakeLink::new(1);
    let remote = link.promise(4);
    remote.send_only(vec![1.into()]);
    assert_eq!(link.asked(), vec![delivered(import(4), 1, None)]);
    let (one, two) = (remote.settling(), remote.settling());
    assert_eq!(link.asked(), vec![Asked::Listen(import(4))]);
    link.listener(import(4)).fulfill(9);
    assert_eq!((one.wait(), two.wait()), (Ok(9.into()), Ok(9.into())));
    assert_eq!(link.asked(), vec![Asked::Release(import(4), 7)]);
    drop(remote);
    assert_eq!(link.asked(), vec![], "released once");
}

#[test]
fn a_promise_that_carried_nothing_goes_straight_once_settled() {
    let (link, hand) = (FakeLink::new(1), Manual::new());
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let first = link.object(3).send(vec![1.into()]);
    assert_eq!(link.asked(), vec![delivered(import(3), 1, Some(0)), Asked::Release(import(3), 7)]);
    link.answer(0).fulfill(vat.spawn(recorder.clone()));
    assert_eq!(link.asked(), vec![Asked::Release(answer(0), 0)]);
    first.send_only(vec![2.into()]);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), vec![2.into()]);
    drop(first);
    assert_eq!(link.asked(), vec![]);
}

#[test]
fn a_promise_that_carried_messages_is_not_shortened_to_another_place() {
    let (link, other, hand) = (FakeLink::new(1), FakeLink::new(2), Manual::new());
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let object = link.object(3);
    let near = vat.spawn(recorder.clone());
    for (index, target) in [near, other.object(5), promise().0.into_ref()].iter().enumerate() {
        let pos = u64::try_from(index).unwrap();
        let carried = object.send(vec![]);
        carried.send_only(vec![1.into()]);
        let at = link.asked().len();
        assert_eq!(at, 2);
        link.answer(pos).fulfill(target);
        carried.send_only(vec![2.into()]);
        assert_eq!(link.asked(), vec![delivered(answer(pos), 2, None)], "and kept");
        drop(carried);
        assert_eq!(link.asked(), vec![Asked::Release(answer(pos), 0)]);
    }
    hand.run_until_idle();
    assert_eq!(recorder.heard(), vec![]);
    assert_eq!(other.asked(), vec![Asked::Release(import(5), 7)], "and no message");
}

/// The peer may stand in for another one, and take a shorter way to it for what comes
/// straight.
#[test]
fn the_same_link_is_no_exception() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    let carried = object.send(vec![]);
    carried.send_only(vec![1.into()]);
    link.asked();
    link.answer(0).fulfill(link.object(5));
    carried.send_only(vec![2.into()]);
    assert_eq!(link.asked(), vec![delivered(answer(0), 2, None)]);
    drop(carried);
    assert_eq!(link.asked(), vec![Asked::Release(answer(0), 0), Asked::Release(import(5), 7)]);
}

#[test]
fn plain_data_and_breaks_let_go_of_the_answer() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    for (pos, outcome) in [(0, Ok(Value::from(1))), (1, Err(Fault::from("no")))] {
        let carried = object.send(vec![]);
        carried.send_only(vec![1.into()]);
        link.asked();
        link.answer(pos).resolve(outcome);
        assert_eq!(link.asked(), vec![Asked::Release(answer(pos), 0)]);
        assert!(carried.send(vec![]).wait().is_err(), "nothing goes to the peer");
        drop(carried);
        assert_eq!(link.asked(), vec![]);
    }
}

#[test]
fn references_are_released_with_their_last_clone() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    let weak = object.downgrade();
    let clone = object.clone();
    drop(object);
    assert_eq!(link.asked(), vec![]);
    assert_eq!(weak.upgrade(), Some(clone.clone()));
    drop(clone);
    assert_eq!(link.asked(), vec![Asked::Release(import(3), 7)]);
    assert_eq!(weak.upgrade(), None);
    drop(link.promise(4));
    assert_eq!(link.asked(), vec![Asked::Release(import(4), 7)]);
}

#[test]
fn a_question_that_nobody_waits_for_is_released_when_it_is_answered() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    drop(object.send(vec![1.into()]));
    assert_eq!(link.asked(), vec![delivered(import(3), 1, Some(0))]);
    link.answer(0).fulfill(5);
    assert_eq!(link.asked(), vec![Asked::Release(answer(0), 0)]);
}

/// Settles an answer while a message to it is being handed over, as another thread
/// may.
struct Hasty {
    asked: Mutex<Vec<&'static str>>,
    answer: Mutex<Option<Resolver>>,
}

impl Link for Hasty {
    fn key(&self) -> u64 {
        9
    }

    fn deliver(&self, to: RemotePos, _: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        if let RemotePos::Answer(_) = to {
            self.answer.lock().unwrap().take().unwrap().fulfill(1);
            self.asked.lock().unwrap().push("delivered to the answer");
        }
        let mut kept = self.answer.lock().unwrap();
        *kept = answer;
        kept.as_ref().map(|_| AnswerPos(0))
    }

    fn listen(&self, _: RemotePos, _: Resolver) {}

    fn release(&self, pos: RemotePos, _: u32) {
        if let RemotePos::Answer(_) = pos {
            self.asked.lock().unwrap().push("released the answer");
        }
    }
}

#[test]
fn a_position_is_not_released_before_the_messages_to_it_have_left() {
    let link = Arc::new(Hasty { asked: Mutex::default(), answer: Mutex::default() });
    let object = Ref::remote_object(link.clone(), ImportPos(1), 0);
    let answer = object.send(vec![]);
    answer.send_only(vec![]);
    assert_eq!(answer.wait(), Ok(1.into()));
    let expected = ["delivered to the answer", "released the answer"];
    assert_eq!(*link.asked.lock().unwrap(), expected);
}

/// A link whose session is over: it breaks what it is asked to answer at once.
struct Dead;

impl Link for Dead {
    fn key(&self) -> u64 {
        10
    }

    fn deliver(&self, _: RemotePos, _: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        answer?.break_with("disconnected");
        None
    }

    fn listen(&self, _: RemotePos, resolver: Resolver) {
        resolver.break_with("disconnected");
    }

    fn release(&self, _: RemotePos, _: u32) {}
}

#[test]
fn a_dead_session_breaks_everything_sent_over_it() {
    let object = Ref::remote_object(Arc::new(Dead), ImportPos(1), 0);
    let first = object.send(vec![]);
    let second = first.send(vec![]);
    let listened = Ref::remote_promise(Arc::new(Dead), ImportPos(2), 0).settling();
    let (waiting, resolver) = promise();
    let third = waiting.send(vec![]);
    let fourth = third.send(vec![]);
    resolver.fulfill(object);
    for promise in [first, second, third, fourth] {
        assert_eq!(promise.wait(), Err("disconnected".into()));
    }
    assert_eq!(listened.wait(), Err("disconnected".into()));
}
