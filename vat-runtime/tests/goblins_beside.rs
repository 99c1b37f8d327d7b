//! The same programs, run by Goblins (`goblins_beside.scm`) and here, say the same.
//!
//! Needs what the tests with living peers need: the scripts of
//! `../shared/interop/goblins` and a folder made by its `install.sh` in GOBLINS_PREFIX.

mod manual;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use manual::{Cell, NoisyIncrementer};
use vat_runtime::{Actormap, Args, Fault, Manual, Ref, Reply, Turn, Value, Vat};

/// The scripts, or a note that they can't be run.
fn scripts() -> Option<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/goblins");
    let missing = if !scripts.is_dir() {
        "no ../shared/interop/goblins beside the repository"
    } else if std::env::var_os("GOBLINS_PREFIX").is_none() {
        "GOBLINS_PREFIX does not name a folder made by ../shared/interop/goblins/install.sh"
    } else {
        return Some(scripts);
    };
    // Not by eprintln, which the test harness would keep to itself.
    let _said = writeln!(std::io::stderr(), "skipped: goblins_says_the_same: {missing}");
    None
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn say(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Int(int) => int.to_string(),
        other => format!("{other:?}"),
    }
}

fn in_an_actormap(lines: &Lines) {
    let am = Actormap::new();
    let first = am.spawn(NoisyIncrementer(0));
    let other = am.spawn(NoisyIncrementer(18));
    for (to, args) in [(&first, vec![]), (&first, vec![20.into()]), (&other, vec![42.into()])] {
        lines.say(text(&am.poke(to, args).unwrap()));
    }
    let cell = am.spawn(Cell(1.into()));
    let apart = am.turn(&cell, vec![5.into()]).unwrap().map;
    let read = |map: &Actormap| text(&map.peek(&cell, vec![]).unwrap());
    lines.say(format!("apart {} {}", read(&am), read(&apart)));
    am.peek(&cell, vec![6.into()]).unwrap();
    lines.say(format!("peeked {}", read(&am)));
    apart.merge().unwrap();
    lines.say(format!("merged {}", read(&am)));
    let double = |turn: &mut Turn<'_>| {
        let twice = turn.call(&cell, vec![])?.as_int().unwrap_or_default() * 2;
        turn.call(&cell, vec![twice.into()])?;
        Ok(text(&turn.call(&cell, vec![])?))
    };
    lines.say(format!("run {} {}", am.run(double).unwrap(), am.run(double).unwrap()));
    let committed = [(); 2].map(|()| am.run_and_commit(double).unwrap());
    lines.say(format!("run! {} {}", committed[0], committed[1]));
}

fn factory(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let (model, colour) = (text(&args[0]), text(&args[1]));
    let car = move |_: &mut Turn<'_>, _: Args| {
        Ok(Reply::value(format!("*Vroom!* You drive your {colour} Fork {model}!")))
    };
    Ok(turn.spawn(car).into())
}

fn broken(_turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
    Err("broken".into())
}

/// What is run in a turn, and where it says what it comes to.
type Program = Box<dyn FnOnce(&mut Turn<'_>, Lines) + Send>;

fn in_vats(lines: &Lines) {
    let hand = Manual::new();
    let [a_vat, b_vat] = ["a-vat", "b-vat"].map(|name| Vat::new(name, hand.clone()));
    let (factory, broken) = (a_vat.spawn(factory), a_vat.spawn(broken));
    let times = a_vat.spawn(Cell(0.into()));
    let held = times.clone();
    let counting = a_vat.spawn(move |turn: &mut Turn<'_>, _: Args| {
        let count = turn.call(&held, vec![])?.as_int().unwrap_or_default();
        turn.call(&held, vec![(count + 1).into()])?;
        Err::<Reply, _>("broken".into())
    });
    let run = |program: Program| {
        let lines = lines.clone();
        drop(b_vat.run(move |turn| {
            program(turn, lines);
            Ok(())
        }));
        hand.run_until_idle();
    };
    run(Box::new(move |turn, lines| {
        let car = turn.send(&factory, vec!["Explorist".into(), "blue".into()]);
        let noise = turn.send(&car, vec![Value::symbol("drive")]);
        let hear = move |_: &mut Turn<'_>, noise| {
            lines.say(format!("Heard: {}", text(&noise)));
            Ok(())
        };
        turn.when(noise).fulfilled(hear).listen();
    }));
    let faulty = broken.clone();
    run(Box::new(move |turn, lines| {
        let never: Ref = turn.send(&faulty, vec![]).into();
        let noise = turn.send(&never, vec![Value::symbol("drive")]);
        let say = |line: &'static str| {
            let lines = lines.clone();
            move || {
                lines.say(line);
                Ok(())
            }
        };
        let [good, bad, last] = ["fulfilled", "caught", "finally"].map(say);
        turn.when(noise)
            .fulfilled(move |_turn, _value| good())
            .broken(move |_turn, _fault| bad())
            .finally(move |_turn| last())
            .listen();
    }));
    run(Box::new(|turn, lines| {
        let twice = |_: &mut Turn<'_>, seven: Value| Ok(seven.as_int().unwrap_or_default() * 2);
        let doubled = turn.when(7).fulfilled(twice).promise();
        let say = move |_: &mut Turn<'_>, value| {
            lines.say(format!("fourteen is {}", text(&value)));
            Ok(())
        };
        turn.when(doubled).fulfilled(say).listen();
    }));
    run(Box::new(move |turn, lines| {
        let vow = turn.send(&broken, vec![]);
        let mended = turn.when(vow).broken(|_turn, _fault| Ok("mended")).promise();
        let say = move |_: &mut Turn<'_>, value| {
            lines.say(text(&value));
            Ok(())
        };
        turn.when(mended).fulfilled(say).listen();
    }));
    run(Box::new(|turn, lines| {
        let (vow, resolver) = turn.spawn_promise();
        let say = move |_: &mut Turn<'_>, value| {
            lines.say(format!("resolved to {}", text(&value)));
            Ok(())
        };
        turn.when(vow).fulfilled(say).listen();
        turn.call(&resolver, vec![Value::symbol("fulfill"), "something".into()]).unwrap();
    }));
    counting.send_only(vec![]);
    let count = times.send(vec![]);
    hand.run_until_idle();
    lines.say(format!("counted {}", text(&count.wait().unwrap())));
}

#[test]
fn goblins_says_the_same() {
    let lines = Lines::default();
    in_an_actormap(&lines);
    in_vats(&lines);
    let ours = lines.0.lock().unwrap().clone();
    assert_eq!(ours.len(), 15);

    let Some(scripts) = scripts() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goblins_beside.scm");
    let output = Command::new("sh").arg(scripts.join("guile.sh")).arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().collect::<Vec<_>>(), ours, "{complaints}");
}
