//! A ticker: calls all that live by it, once a tick, as a game does.

use rpds::VectorSync;

use super::arguments::{Call, Portrait};
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a ticker.
///
/// - `to-tick maker`: calls the maker with a new *ticky* and adds what it answers, an
///   actor of this vat, to those that are ticked from the next tick on; answers with it.
/// - `tick args…`: calls each with the arguments, oldest first. One that fails is undone
///   and dies of it; the others tick on.
/// - `get-ticked`: those that were ticked last, and live.
/// - `foldr proc init [include-new?]`: calls the actor `proc` with each, oldest first,
///   and what it answered before, at first `init`; answers with the last answer. Those
///   that are new are there unless the last argument is false.
///
/// A ticky has `die` (it is not ticked any more), `dead?` and `to-tick maker`, as the
/// ticker's. A ticker ticks up to [`DEFAULT_ENTRIES`].
pub fn ticker(turn: &mut Turn<'_>) -> Ref {
    let arrivals = turn.spawn(Arrivals { new: VectorSync::new_sync(), limit: DEFAULT_ENTRIES });
    turn.spawn(Ticker { ticked: VectorSync::new_sync(), arrivals })
}

/// An actor that is ticked, and its ticky.
#[derive(Clone, PartialEq)]
struct Ticked {
    actor: Ref,
    ticky: Ref,
}

impl Ticked {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.actor).into(), (&self.ticky).into()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ticker", portrait)?;
        Ok(Self { actor: portrait.part("an actor")?, ticky: portrait.part("its ticky")? })
    }

    fn is_alive(&self, turn: &mut Turn<'_>) -> bool {
        turn.behaviour_as::<Ticky>(&self.ticky).is_some_and(|ticky| !ticky.dead)
    }
}

/// Calls the maker and notes what it has made.
fn to_tick(turn: &mut Turn<'_>, arrivals: &Ref, call: &mut Call) -> Result<Reply, Fault> {
    let maker: Ref = call.only("maker")?;
    let ticky = turn.spawn(Ticky { dead: false, arrivals: arrivals.clone() });
    let made = turn.call(&maker, vec![(&ticky).into()])?;
    let actor: Ref = Call::plain("ticker", vec![made]).only("what the maker made")?;
    if !turn.is_near(&actor) {
        return Err(call.fault("only actors of the ticker's vat can be ticked"));
    }
    turn.call(arrivals, vec![(&actor).into(), ticky.into()])?;
    Ok(actor.into())
}

/// What has been added since the last tick: apart, because it grows while a tick goes
/// on.
pub(crate) struct Arrivals {
    new: VectorSync<Ticked>,
    limit: usize,
}

impl Behaviour for Arrivals {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if args.is_empty() {
            return Ok(Reply::becomes(Self { new: VectorSync::new_sync(), limit: self.limit }));
        }
        let mut call = Call::plain("ticker", args);
        let arrived = Ticked { actor: call.required("actor")?, ticky: call.only("ticky")? };
        if self.new.len() >= self.limit {
            return Err(full(self.limit));
        }
        Ok(Reply::becomes(Self { new: self.new.push_back(arrived), limit: self.limit }))
    }
}

impl Durable for Arrivals {
    fn portray(&self) -> Value {
        let limit = std::iter::once((self.limit as u64).into());
        Value::List(limit.chain(self.new.iter().map(Ticked::portray)).collect())
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ticker", portrait)?;
        let limit = portrait.part("the limit")?;
        let new = portrait.rest().map(|ticked| Ticked::restore(ticked?));
        Ok(Self { new: new.collect::<Result<_, _>>()?, limit })
    }
}

/// The life of something that is ticked.
pub(crate) struct Ticky {
    dead: bool,
    arrivals: Ref,
}

impl Behaviour for Ticky {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("ticky", args)?;
        match call.name() {
            "die" => {
                call.end()?;
                Ok(Reply::becomes(Self { dead: true, arrivals: self.arrivals.clone() }))
            }
            "dead?" => {
                call.end()?;
                Ok(self.dead.into())
            }
            "to-tick" => to_tick(turn, &self.arrivals, &mut call),
            _ => call.otherwise("die, dead?, to-tick maker"),
        }
    }
}

impl Durable for Ticky {
    fn portray(&self) -> Value {
        Value::List(vec![self.dead.into(), (&self.arrivals).into()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ticky", portrait)?;
        Ok(Self { dead: portrait.part("dead")?, arrivals: portrait.part("the ticker")? })
    }
}

pub(crate) struct Ticker {
    ticked: VectorSync<Ticked>,
    arrivals: Ref,
}

impl Ticker {
    /// All there are, and the arrivals no longer new.
    fn gather(&self, turn: &mut Turn<'_>) -> Result<VectorSync<Ticked>, Fault> {
        let mut all = self.ticked.clone();
        if let Some(arrivals) = turn.behaviour_as::<Arrivals>(&self.arrivals) {
            if all.len() + arrivals.new.len() > arrivals.limit {
                return Err(full(arrivals.limit));
            }
            arrivals.new.iter().for_each(|new| all.push_back_mut(new.clone()));
        }
        turn.call(&self.arrivals, vec![])?;
        Ok(all)
    }

    fn with(&self, ticked: VectorSync<Ticked>) -> Self {
        Self { ticked, arrivals: self.arrivals.clone() }
    }

    fn tick(&self, turn: &mut Turn<'_>, args: &Args) -> Result<Reply, Fault> {
        let mut left = VectorSync::new_sync();
        for ticked in &self.gather(turn)? {
            if !ticked.is_alive(turn) {
                continue;
            }
            if let Err(fault) = turn.call(&ticked.actor, args.clone()) {
                tracing::debug!(%fault, "what was ticked failed, and is dead");
                continue;
            }
            // One that has died just now is passed over from here on.
            left.push_back_mut(ticked.clone());
        }
        Ok(Reply::becomes(self.with(left)))
    }

    fn foldr(&self, turn: &mut Turn<'_>, call: &mut Call) -> Result<Reply, Fault> {
        let proc: Ref = call.required("proc")?;
        let mut folded: Value = call.required("init")?;
        let with_new = call.optional("include-new?")?.unwrap_or(true);
        call.end()?;
        let all = if with_new { self.gather(turn)? } else { self.ticked.clone() };
        let mut left = VectorSync::new_sync();
        for ticked in &all {
            if !ticked.is_alive(turn) {
                continue;
            }
            folded = turn.call(&proc, vec![(&ticked.actor).into(), folded])?;
            left.push_back_mut(ticked.clone());
        }
        Ok(Reply::become_with(self.with(left), folded))
    }
}

impl Behaviour for Ticker {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("ticker", args)?;
        match call.name() {
            "to-tick" => to_tick(turn, &self.arrivals, &mut call),
            "tick" => self.tick(turn, &call.rest()),
            "foldr" => self.foldr(turn, &mut call),
            "get-ticked" => {
                call.end()?;
                let alive = self.ticked.iter().filter(|ticked| ticked.is_alive(turn));
                Ok(Value::List(alive.map(|ticked| (&ticked.actor).into()).collect()).into())
            }
            _ => call
                .otherwise("to-tick maker, tick args…, get-ticked, foldr proc init [include-new?]"),
        }
    }
}

impl Durable for Ticker {
    fn portray(&self) -> Value {
        let arrivals = std::iter::once((&self.arrivals).into());
        Value::List(arrivals.chain(self.ticked.iter().map(Ticked::portray)).collect())
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ticker", portrait)?;
        let arrivals = portrait.part("the arrivals")?;
        let ticked = portrait.rest().map(|ticked| Ticked::restore(ticked?));
        Ok(Self { ticked: ticked.collect::<Result<_, _>>()?, arrivals })
    }
}
