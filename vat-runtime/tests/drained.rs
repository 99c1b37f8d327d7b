//! When a settled promise leaves the route that has carried its messages: once the
//! last of these has been answered, and for no lesser reason.

mod fake_link;
mod recorder;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use captp::{AnswerPos, ImportPos, RemotePos};
use fake_link::{Asked, FakeLink, answer, delivered, import};
use recorder::{Recorder, numbers};
use vat_runtime::{Args, Fault, Link, Manual, Promise, Ref, Resolver, Value, Vat, promise};

/// A promise, answer 0 of a link, that an actor of this process may become.
struct Carried {
    link: FakeLink,
    hand: Arc<Manual>,
    recorder: Recorder,
    near: Ref,
    to: Promise,
    _vat: Vat,
}

impl Carried {
    fn new() -> Self {
        let (link, hand) = (FakeLink::new(1), Manual::new());
        let vat = Vat::new("test", hand.clone());
        let recorder = Recorder::default();
        let near = vat.spawn(recorder.clone());
        let to = link.object(3).send(vec![]);
        link.asked();
        Self { link, hand, recorder, near, to, _vat: vat }
    }

    /// Whether a message goes along the route; if so that is the last one there.
    fn goes_along(&self) -> bool {
        let before = self.recorder.heard().len();
        self.to.send_only(vec![9.into()]);
        self.hand.run_until_idle();
        let along = self.link.asked().contains(&delivered(answer(0), 9, None));
        assert_eq!(self.recorder.heard().len() - before, usize::from(!along));
        along
    }
}

#[test]
fn the_route_is_left_and_released_when_the_last_message_is_answered() {
    let at = Carried::new();
    at.to.send_only(vec![1.into()]);
    let question = at.to.send(vec![2.into()]);
    at.link.answer(0).fulfill(&at.near);
    at.link.asked();
    at.link.answer(1).fulfill(5);
    let released = vec![Asked::Release(answer(0), 0), Asked::Release(answer(1), 0)];
    let mut asked = at.link.asked();
    asked.sort_by_key(|asked| format!("{asked:?}"));
    assert_eq!(asked, released, "without waiting for another message");
    assert!(!at.goes_along());
    assert_eq!(question.wait(), Ok(5.into()));
    drop(at.to);
    assert_eq!(at.link.asked(), vec![], "released once");
}

#[test]
fn who_hears_of_the_answer_sends_straight_already() {
    let at = Carried::new();
    let question = at.to.send(vec![1.into()]);
    at.link.answer(0).fulfill(&at.near);
    let to = at.to.clone();
    question.when_settled(move |_| to.send_only(vec![2.into()]));
    at.link.asked();
    at.link.answer(1).fulfill(5);
    at.hand.run_until_idle();
    assert_eq!(at.recorder.heard(), numbers(2..3));
}

#[test]
fn a_route_drained_before_the_promise_settles_is_left_at_once() {
    let at = Carried::new();
    drop(at.to.send(vec![1.into()]));
    at.link.answer(1).fulfill(5);
    at.link.asked();
    at.link.answer(0).fulfill(&at.near);
    assert_eq!(at.link.asked(), vec![Asked::Release(answer(0), 0)]);
    assert!(!at.goes_along());
}

#[test]
fn each_message_along_the_route_has_to_arrive_too() {
    let at = Carried::new();
    drop(at.to.send(vec![1.into()]));
    at.to.send_only(vec![2.into()]);
    at.link.answer(0).fulfill(&at.near);
    at.link.answer(1).fulfill(5);
    assert!(at.goes_along(), "the second one may be on its way");
    drop(at.to.send(vec![3.into()]));
    drop(at.to.send(vec![4.into()]));
    at.link.answer(2).fulfill(5);
    drop(at.to.send(vec![5.into()]));
    at.link.answer(3).fulfill(5);
    at.link.asked();
    at.link.answer(4).fulfill(5);
    assert!(at.link.asked().contains(&Asked::Release(answer(0), 0)));
    assert!(!at.goes_along());
}

#[test]
fn answers_in_another_order_show_as_much() {
    let at = Carried::new();
    drop((at.to.send(vec![1.into()]), at.to.send(vec![2.into()])));
    at.link.answer(2).fulfill(5);
    at.link.answer(0).fulfill(&at.near);
    assert!(!at.goes_along(), "the first one was before the second");
    at.link.answer(1).fulfill(5);
    assert!(!at.goes_along());
}

#[test]
fn neither_a_break_nor_a_promise_is_evidence() {
    let (open, open_resolver) = promise();
    for outcome in [Err(Fault::from("disconnected")), Ok(Value::from(&open))] {
        let at = Carried::new();
        let question = at.to.send(vec![1.into()]);
        at.link.answer(0).fulfill(&at.near);
        at.link.answer(1).resolve(outcome);
        assert!(at.goes_along());
        drop(question);
    }
    let at = Carried::new();
    let question = at.to.send(vec![1.into()]);
    at.link.answer(1).fulfill(&open);
    open_resolver.fulfill(5);
    assert_eq!(question.wait(), Ok(5.into()));
    at.link.answer(0).fulfill(&at.near);
    assert!(at.goes_along(), "who made the promise is not known");
}

#[test]
fn a_promise_that_became_another_goes_on_to_it_once_drained() {
    let at = Carried::new();
    let (next, resolver) = promise();
    drop(at.to.send(vec![1.into()]));
    at.link.answer(0).fulfill(&next);
    assert!(at.goes_along());
    drop(at.to.send(vec![2.into()]));
    resolver.fulfill(&at.near);
    assert!(at.goes_along());
    drop(at.to.send(vec![3.into()]));
    at.link.answer(3).fulfill(5);
    assert!(!at.goes_along());
}

#[test]
fn a_listened_import_is_left_when_drained() {
    let (link, other) = (FakeLink::new(1), FakeLink::new(2));
    let to = link.promise(4);
    drop(to.send(vec![1.into()]));
    let settled = to.settling();
    link.listener(import(4)).fulfill(other.object(5));
    assert!(settled.wait().is_ok());
    assert_eq!(
        link.asked(),
        vec![delivered(import(4), 1, Some(0)), Asked::Listen(import(4))],
        "kept"
    );
    assert!(to.outcome().is_some());
    to.when_settled(drop);
    assert_eq!(link.asked(), vec![], "asked once");
    link.answer(0).fulfill(1);
    let released = vec![Asked::Release(import(4), 7), Asked::Release(answer(0), 0)];
    let mut asked = link.asked();
    asked.sort_by_key(|asked| format!("{asked:?}").replace("Import", "A"));
    assert_eq!(asked, released);
    to.send_only(vec![2.into()]);
    assert_eq!(other.asked(), vec![delivered(import(5), 2, None)]);
}

/// Two promises, each routed to a peer, that become each other.
#[test]
fn two_that_become_each_other_break_and_nothing_hangs() {
    let link = FakeLink::new(1);
    let object = link.object(3);
    let (one, two) = (object.send(vec![]), object.send(vec![]));
    one.send_only(vec![1.into()]);
    two.send_only(vec![2.into()]);
    link.asked();
    link.answer(0).fulfill(&two);
    link.answer(1).fulfill(&one);
    assert_eq!(link.asked(), vec![Asked::Release(answer(1), 0)], "the other one is kept");
    let fault = Err("the promise was resolved to itself".into());
    assert_eq!((one.wait(), two.wait()), (fault.clone(), fault.clone()));
    assert_eq!(two.send(vec![]).wait(), fault);
    // The peer, which has the earlier message, has to refuse it as well.
    let refused = one.send(vec![3.into()]);
    assert_eq!(link.asked(), vec![delivered(answer(0), 3, Some(2))]);
    link.answer(2).break_with("no");
    assert_eq!(refused.wait(), Err("no".into()));
    drop(one);
    let released = [Asked::Release(answer(2), 0), Asked::Release(answer(0), 0)];
    assert_eq!(link.asked(), released);
}

/// A session that can end.
#[derive(Default)]
struct Mortal {
    ended: Mutex<bool>,
    answers: Mutex<VecDeque<Resolver>>,
}

impl Link for Mortal {
    fn key(&self) -> u64 {
        11
    }

    fn deliver(&self, _: RemotePos, _: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let answer = answer?;
        if *self.ended.lock().unwrap() {
            answer.break_with("disconnected");
            return None;
        }
        let mut answers = self.answers.lock().unwrap();
        answers.push_back(answer);
        Some(AnswerPos(answers.len() as u64))
    }

    fn listen(&self, _: RemotePos, _: Resolver) {}

    fn release(&self, _: RemotePos, _: u32) {}
}

/// What was sent over a session before it ended may still arrive: nothing may overtake
/// it by going straight to the settlement, which is still there for those who ask.
#[test]
fn a_route_that_was_cut_before_it_was_drained_breaks_messages_for_ever() {
    let (link, other) = (Arc::new(Mortal::default()), FakeLink::new(2));
    let object = Ref::remote_object(link.clone(), ImportPos(1), 0);
    let to = object.send(vec![]);
    let on_the_way = to.send(vec![1.into()]);
    let settle = link.answers.lock().unwrap().pop_front().unwrap();
    settle.fulfill(other.object(5));
    *link.ended.lock().unwrap() = true;
    link.answers.lock().unwrap().pop_front().unwrap().break_with("disconnected");
    assert_eq!(on_the_way.wait(), Err("disconnected".into()));
    for _ in 0..3 {
        assert_eq!(to.send(vec![2.into()]).outcome(), Some(Err("disconnected".into())));
        to.send_only(vec![3.into()]);
    }
    assert_eq!(other.asked(), vec![]);
    let Ok(Value::Ref(target)) = to.wait() else { panic!() };
    target.send_only(vec![4.into()]);
    assert_eq!(other.asked(), vec![delivered(import(5), 4, None)]);
}

type Act = Box<dyn FnOnce() + Send>;

/// Does something while a message is being handed over, as another thread may.
#[derive(Default)]
struct Overlapping {
    left: Mutex<Args>,
    answers: Mutex<Vec<Resolver>>,
    /// What to do, and during which message.
    meanwhile: Mutex<Option<(i64, Act)>>,
    released: Mutex<Vec<RemotePos>>,
}

impl Overlapping {
    fn object(self: &Arc<Self>) -> Ref {
        Ref::remote_object(self.clone(), ImportPos(1), 0)
    }

    fn during(&self, message: i64, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((message, Box::new(act)));
    }

    fn left(&self) -> Args {
        self.left.lock().unwrap().clone()
    }

    fn last_answer(&self) -> Resolver {
        self.answers.lock().unwrap().pop().unwrap()
    }
}

impl Link for Overlapping {
    fn key(&self) -> u64 {
        12
    }

    fn deliver(&self, _: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let number = args[0].as_int().unwrap();
        let due = self.meanwhile.lock().unwrap().take_if(|(message, _)| *message == number);
        if let Some((_, act)) = due {
            act();
        }
        self.left.lock().unwrap().extend(args);
        let mut answers = self.answers.lock().unwrap();
        answers.push(answer?);
        Some(AnswerPos(number.unsigned_abs()))
    }

    fn listen(&self, _: RemotePos, _: Resolver) {}

    fn release(&self, pos: RemotePos, _: u32) {
        self.released.lock().unwrap().push(pos);
    }
}

/// A second message is sent and answered before the first has left.
#[test]
fn an_answer_to_one_of_two_sent_at_the_same_time_is_no_evidence() {
    let (link, other) = (Arc::new(Overlapping::default()), FakeLink::new(2));
    let to = link.object().send(vec![0.into()]);
    let (at, second, settled) = (link.clone(), to.clone(), other.object(5));
    link.during(1, move || {
        drop(second.send(vec![2.into()]));
        let answer = at.last_answer();
        at.last_answer().fulfill(settled);
        answer.fulfill(());
        second.send_only(vec![3.into()]);
    });
    to.send_only(vec![1.into()]);
    // The answer is that of the second message, and the first left after it.
    assert_eq!(link.left(), [0, 2, 3, 1].map(Value::from));
    drop(to.send(vec![4.into()]));
    assert_eq!(link.left(), [0, 2, 3, 1, 4].map(Value::from));
    assert_eq!(other.asked(), vec![]);
    link.last_answer().fulfill(());
    to.send_only(vec![5.into()]);
    assert_eq!(other.asked(), vec![delivered(import(5), 5, None)]);
}

/// Now nothing is sent after the second message: its answer is all there is, and it
/// was in the air together with the first one.
#[test]
fn the_same_with_nothing_sent_afterwards() {
    let (link, other) = (Arc::new(Overlapping::default()), FakeLink::new(2));
    let to = link.object().send(vec![0.into()]);
    let (at, second, settled) = (link.clone(), to.clone(), other.object(5));
    link.during(1, move || {
        drop(second.send(vec![2.into()]));
        let answer = at.last_answer();
        at.last_answer().fulfill(settled);
        answer.fulfill(());
    });
    to.send_only(vec![1.into()]);
    to.send_only(vec![3.into()]);
    assert_eq!(link.left(), [0, 2, 1, 3].map(Value::from));
    assert_eq!(other.asked(), vec![]);
}

/// The answer, and with it the end of the route, comes while the very message is being
/// handed over.
#[test]
fn a_route_is_not_released_before_its_last_message_has_left() {
    let (link, other) = (Arc::new(Overlapping::default()), FakeLink::new(2));
    let to = link.object().send(vec![0.into()]);
    let (at, settled) = (link.clone(), other.object(5));
    let route = RemotePos::Answer(AnswerPos(0));
    link.during(1, move || {
        at.last_answer().fulfill(settled);
        assert!(!at.released.lock().unwrap().contains(&route));
    });
    drop(to.send(vec![1.into()]));
    assert!(!link.released.lock().unwrap().contains(&route));
    link.last_answer().fulfill(());
    assert!(link.released.lock().unwrap().contains(&route));
    drop(to);
    let released = link.released.lock().unwrap();
    assert_eq!(released.iter().filter(|pos| **pos == route).count(), 1);
}

/// The settlement, and another message, come from another thread while what waited is
/// being moved to the route.
#[test]
fn a_promise_settled_while_its_messages_move_is_kept_until_drained() {
    let (link, other) = (Arc::new(Overlapping::default()), FakeLink::new(2));
    let (local, local_resolver) = promise();
    let to = local.send(vec![0.into()]);
    to.send_only(vec![1.into()]);
    to.send_only(vec![2.into()]);
    let (at, late, settled) = (link.clone(), to.clone(), other.object(5));
    link.during(1, move || {
        let other_thread = std::thread::spawn(move || {
            at.last_answer().fulfill(settled);
            late.send_only(vec![3.into()]);
        });
        other_thread.join().unwrap();
    });
    local_resolver.fulfill(link.object());
    assert!(to.outcome().is_some());
    assert_eq!(link.left(), numbers(0..4));
    drop(to.send(vec![4.into()]));
    assert_eq!(link.left(), numbers(0..5));
    assert_eq!(other.asked(), vec![]);
    link.last_answer().fulfill(());
    to.send_only(vec![5.into()]);
    assert_eq!(other.asked(), vec![delivered(import(5), 5, None)]);
}
