//! The programs of the tutorial in Guile Goblins' manual, written anew: the same results.
//! Each names the section that it is after.

mod manual;
mod recorder;

use std::sync::Arc;

use manual::{Cell, Greeter};
use recorder::Recorder;
use vat_runtime::{Actormap, Args, Behaviour, Fault, Manual, Ref, Reply, Turn, Value, Vat};

fn vats<const N: usize>(names: [&str; N]) -> (Arc<Manual>, [Vat; N]) {
    let hand = Manual::new();
    let vats = names.map(|name| Vat::new(name, hand.clone()));
    (hand, vats)
}

/// A simple greeter.
#[test]
fn alice_greets_alfred() {
    let (hand, [a_vat]) = vats(["a-vat"]);
    let greeting = a_vat.run(|turn| {
        let alice = turn.spawn(Greeter("Alice"));
        turn.call(&alice, vec!["Alfred".into()])
    });
    hand.run_until_idle();
    assert_eq!(greeting.wait(), Ok("Hello Alfred, my name is Alice!".into()));
}

/// State as updating behavior.
#[test]
fn a_chest_holds_a_sword_and_then_gold() {
    let (hand, [a_vat]) = vats(["a-vat"]);
    let found = a_vat.run(|turn| {
        let chest = turn.spawn(Cell("sword".into()));
        let first = turn.call(&chest, vec![])?;
        turn.call(&chest, vec!["gold".into()])?;
        Ok((first, turn.call(&chest, vec![])?))
    });
    hand.run_until_idle();
    assert_eq!(found.wait(), Ok(("sword".into(), "gold".into())));
}

/// `^cgreeter`: counts in a cell of its own; `broken` fails after it has counted.
struct CountingGreeter {
    name: &'static str,
    called: Ref,
    broken: bool,
}

impl CountingGreeter {
    fn spawn(turn: &mut Turn<'_>, name: &'static str, broken: bool) -> Ref {
        let called = turn.spawn(Cell(0.into()));
        turn.spawn(Self { name, called, broken })
    }
}

impl Behaviour for CountingGreeter {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let called = turn.call(&self.called, vec![])?.as_int().ok_or("not a count")?;
        match (args.first(), args.get(1)) {
            (Some(Value::Symbol(method)), None) if method == "get-times-called" => {
                Ok(called.into())
            }
            (Some(Value::Symbol(method)), Some(Value::String(whom))) if method == "greet" => {
                let called = called + 1;
                turn.call(&self.called, vec![called.into()])?;
                if self.broken {
                    return Err("Yikes".into());
                }
                Ok(format!("[{called}] Hello {whom}, my name is {}!", self.name).into())
            }
            _ => Err("no such method".into()),
        }
    }
}

fn greet(whom: &'static str) -> Args {
    vec![Value::symbol("greet"), whom.into()]
}

/// Objects which contain other objects: the count is an object that only the greeter has.
#[test]
fn a_greeter_has_a_counter_inside() {
    let (hand, [a_vat]) = vats(["a-vat"]);
    let said = a_vat.run(|turn| {
        let julius = CountingGreeter::spawn(turn, "Julius", false);
        let none = turn.call(&julius, vec![Value::symbol("get-times-called")])?;
        let first = turn.call(&julius, greet("Gaius"))?;
        let second = turn.call(&julius, greet("Brutus"))?;
        let count = turn.call(&julius, vec![Value::symbol("get-times-called")])?;
        Ok([none, first, second, count])
    });
    hand.run_until_idle();
    let expected: [Value; 4] = [
        0.into(),
        "[1] Hello Gaius, my name is Julius!".into(),
        "[2] Hello Brutus, my name is Julius!".into(),
        2.into(),
    ];
    assert_eq!(said.wait(), Ok(expected));
}

/// Asynchronous message passing.
#[test]
fn bob_hears_back_from_another_vat() {
    let (hand, [a_vat, b_vat]) = vats(["a-vat", "b-vat"]);
    let alice = a_vat.spawn(Greeter("Alice"));
    let heard = Recorder::default();
    let log = b_vat.spawn(heard.clone());
    let far = alice.clone();
    let called = b_vat.run(move |turn| turn.call(&far, vec!["Bob".into()]));
    drop(b_vat.run(move |turn| {
        let vow = turn.send(&alice, vec!["Bob".into()]);
        turn.when(vow).fulfilled_to(&log).listen();
        Ok(())
    }));
    hand.run_until_idle();
    assert_eq!(called.wait(), Err("cannot call what is not near: send to it".into()));
    assert_eq!(heard.heard(), ["Hello Bob, my name is Alice!".into()]);
}

/// The same: what is broken is caught, and finally is said in any case.
#[test]
fn a_broken_bot_is_caught() {
    let (hand, [a_vat, b_vat]) = vats(["a-vat", "b-vat"]);
    let broken = a_vat.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
        Err("Yikes, I broke!".into())
    });
    let heard = Recorder::default();
    let log = b_vat.spawn(heard.clone());
    drop(b_vat.run(move |turn| {
        let vow = turn.send(&broken, vec![]);
        let logs = [log.clone(), log.clone(), log];
        let [one, two, three] = logs;
        turn.when(vow)
            .fulfilled(move |turn, what| turn.call(&one, vec![what]))
            .broken(move |turn, fault| {
                turn.call(&two, vec![format!("Got an error: {fault}").into()])
            })
            .finally(move |turn| turn.call(&three, vec!["Whew, it's over!".into()]))
            .listen();
        Ok(())
    }));
    hand.run_until_idle();
    assert_eq!(heard.heard(), ["Got an error: Yikes, I broke!".into(), "Whew, it's over!".into()]);
}

/// Transactions make errors survivable: the count has not gone up, and nothing was sent.
#[test]
fn horatio_breaks_and_has_counted_nothing() {
    let (hand, [a_vat]) = vats(["a-vat"]);
    let heard = Recorder::default();
    let log = a_vat.spawn(heard.clone());
    let made = a_vat.run(|turn| Ok(CountingGreeter::spawn(turn, "Horatio", true)));
    hand.run_until_idle();
    let horatio = made.wait().unwrap();
    let count = |horatio: &Ref| {
        let count = horatio.send(vec![Value::symbol("get-times-called")]);
        hand.run_until_idle();
        count.wait()
    };
    assert_eq!(count(&horatio), Ok(0.into()));
    let held = horatio.clone();
    let greeted = a_vat.run(move |turn| {
        turn.send_only(&log, vec!["before it broke".into()]);
        turn.call(&held, greet("Hamlet"))
    });
    hand.run_until_idle();
    assert_eq!(greeted.wait(), Err("Yikes".into()));
    assert_eq!(count(&horatio), Ok(0.into()));
    assert!(heard.heard().is_empty());
}

/// `^car-factory` of a company; the cars it makes can be driven.
struct CarFactory(&'static str);

impl Behaviour for CarFactory {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let text = |at: usize| args.get(at).and_then(Value::as_str).map(str::to_owned);
        let (model, colour) = text(0).zip(text(1)).ok_or("which model, which colour?")?;
        let company = self.0;
        let car = move |_turn: &mut Turn<'_>, args: Args| match args.first() {
            Some(Value::Symbol(method)) if method == "drive" => {
                Ok(Reply::value(format!("*Vroom!* You drive your {colour} {company} {model}!")))
            }
            _ => Err("no such method".into()),
        };
        Ok(turn.spawn(car).into())
    }
}

/// Promise pipelining: one goes to the car before the car is there.
#[test]
fn an_explorist_is_driven_off_the_line() {
    let (hand, [a_vat, b_vat]) = vats(["a-vat", "b-vat"]);
    let fork_motors = a_vat.spawn(CarFactory("Fork"));
    let heard = Recorder::default();
    let log = b_vat.spawn(heard.clone());
    let pending = b_vat.run(move |turn| {
        let car_vow = turn.send(&fork_motors, vec!["Explorist".into(), "blue".into()]);
        let noise_vow = turn.send(&car_vow, vec![Value::symbol("drive")]);
        turn.when(noise_vow)
            .fulfilled(move |turn, noise| {
                let text = format!("Heard: {}", noise.as_str().unwrap_or("nothing"));
                turn.call(&log, vec![text.into()])
            })
            .listen();
        Ok(car_vow.is_promise())
    });
    hand.run_until_idle();
    assert_eq!(pending.wait(), Ok(true));
    assert_eq!(heard.heard(), ["Heard: *Vroom!* You drive your blue Fork Explorist!".into()]);
}

/// A sprite of a game: moves by its speed, and is gone at the right edge.
struct Sprite {
    at: i64,
    speed: i64,
    edge: i64,
}

impl Behaviour for Sprite {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.first() {
            Some(Value::Symbol(method)) if method == "tick" => {
                let at = self.at + self.speed;
                Ok(Reply::become_with(Self { at, ..*self }, at < self.edge))
            }
            Some(Value::Symbol(method)) if method == "draw" => Ok(self.at.into()),
            _ => Err("no such method".into()),
        }
    }
}

/// `^ticker`: ticks every sprite that is on the stage, and lets go of those that are done.
struct Ticker(Vec<Ref>);

impl Behaviour for Ticker {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        if let Some(Value::Ref(newcomer)) = args.pop() {
            let sprites = self.0.iter().cloned().chain([newcomer]).collect();
            return Ok(Reply::becomes(Self(sprites)));
        }
        let mut left = Vec::new();
        for sprite in &self.0 {
            if turn.call(sprite, vec![Value::symbol("tick")])? == true.into() {
                left.push(sprite.clone());
            }
        }
        let count = left.len() as u64;
        Ok(Reply::become_with(Self(left), count))
    }
}

/// After Goblins' own games: a loop without a vat, of ticks and of frames drawn by
/// peeking, that can be wound back.
#[test]
fn a_game_is_wound_back_to_any_frame() {
    let am = Actormap::new();
    let ticker = am.spawn(Ticker(vec![]));
    let player = am.spawn(Sprite { at: 0, speed: 1, edge: 100 });
    am.poke(&ticker, vec![(&player).into()]).unwrap();
    for speed in [3, 5] {
        // Only the ticker holds the shots.
        let shot = am.spawn(Sprite { at: 0, speed, edge: 12 });
        am.poke(&ticker, vec![shot.into()]).unwrap();
    }
    let draw = || am.peek(&player, vec![Value::symbol("draw")]).unwrap();
    let (mut frames, mut stages, mut drawn) = (vec![], vec![], vec![]);
    for _ in 0..6 {
        frames.push(am.snapshot().unwrap());
        stages.push(am.poke(&ticker, vec![]).unwrap());
        drawn.push(draw());
    }
    assert_eq!(drawn, [1, 2, 3, 4, 5, 6].map(Value::from));
    assert_eq!(stages, [3, 3, 2, 1, 1, 1].map(Value::from));
    for (frame, snapshot) in frames.iter().enumerate().rev() {
        am.restore(snapshot).unwrap();
        assert_eq!(draw(), Value::from(frame as u64));
        assert_eq!(am.poke(&ticker, vec![]).unwrap(), stages[frame]);
    }
    // The shots go with the last frame that has them.
    am.restore(&frames[5]).unwrap();
    assert_eq!(am.len(), 4, "the frames hold them");
    drop(frames);
    assert_eq!(am.len(), 2);
}
