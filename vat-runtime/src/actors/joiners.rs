//! Waiting for several at once: [`all_of`], [`race`] and [`any`] within a turn, and
//! the same of [`Promise`] outside.

use std::sync::{Arc, Mutex, PoisonError};

use captp::ErrorValue;

use crate::{Fault, Promise, Resolver, Turn, Value, promise};

/// The promise of the list of what all come to, in their order. It breaks as soon as
/// one of them breaks. What is not a promise has come to itself.
pub fn all_of<T: Into<Value>>(
    turn: &mut Turn<'_>,
    targets: impl IntoIterator<Item = T>,
) -> Promise {
    join(turn, Rule::All, targets)
}

/// The promise of what the first to settle comes to, be it broken. Of nothing, it
/// breaks.
pub fn race<T: Into<Value>>(turn: &mut Turn<'_>, targets: impl IntoIterator<Item = T>) -> Promise {
    join(turn, Rule::Race, targets)
}

/// The promise of what the first to be fulfilled comes to. It breaks when all have
/// broken, with an error whose one field is the list of their reasons.
pub fn any<T: Into<Value>>(turn: &mut Turn<'_>, targets: impl IntoIterator<Item = T>) -> Promise {
    join(turn, Rule::Any, targets)
}

impl Promise {
    /// [`all_of`], outside a turn: nobody's failing turn takes it back.
    pub fn all_of<T: Into<Value>>(targets: impl IntoIterator<Item = T>) -> Self {
        join_outside(Rule::All, targets)
    }

    /// [`race`], outside a turn.
    pub fn race<T: Into<Value>>(targets: impl IntoIterator<Item = T>) -> Self {
        join_outside(Rule::Race, targets)
    }

    /// [`any`], outside a turn.
    pub fn any<T: Into<Value>>(targets: impl IntoIterator<Item = T>) -> Self {
        join_outside(Rule::Any, targets)
    }
}

#[derive(Clone, Copy)]
enum Rule {
    All,
    Race,
    Any,
}

/// What is known so far.
struct Join {
    rule: Rule,
    state: Mutex<State>,
}

struct State {
    /// Until it is settled.
    answer: Option<Resolver>,
    /// Values for [`Rule::All`], reasons for [`Rule::Any`].
    known: Vec<Value>,
    missing: usize,
}

type Settlement = Option<(Resolver, Result<Value, Fault>)>;

impl Join {
    fn new(rule: Rule, number: usize) -> (Promise, Arc<Self>) {
        let (promise, answer) = promise();
        let known = match rule {
            Rule::All | Rule::Any => vec![Value::Undefined; number],
            Rule::Race => Vec::new(),
        };
        let state = Mutex::new(State { answer: Some(answer), known, missing: number });
        (promise, Arc::new(Self { rule, state }))
    }

    /// What comes of there being nothing to wait for.
    fn nothing(&self) -> Settlement {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match self.rule {
            Rule::All => Ok(Value::List(Vec::new())),
            Rule::Race | Rule::Any => Err("there is nothing to wait for".into()),
        };
        state.answer.take().map(|answer| (answer, outcome))
    }

    /// Notes what one of them has come to, and says what the whole has, if that is
    /// known now.
    fn note(&self, index: usize, outcome: Result<Value, Fault>) -> Settlement {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missing -= 1;
        let value = match (self.rule, outcome) {
            (Rule::Race, outcome)
            | (Rule::All, outcome @ Err(_))
            | (Rule::Any, outcome @ Ok(_)) => {
                state.known.clear();
                return state.answer.take().map(|answer| (answer, outcome));
            }
            (Rule::All, Ok(value)) => value,
            (Rule::Any, Err(fault)) => fault.into_value(),
        };
        if let Some(place) = state.known.get_mut(index) {
            *place = value;
        }
        if state.missing > 0 {
            return None;
        }
        let known = Value::List(std::mem::take(&mut state.known));
        let outcome = match self.rule {
            Rule::Any => Err(Fault::from(Value::Error(Box::new(ErrorValue {
                message: "all of them broke".into(),
                fields: vec![known],
                label: None,
            })))),
            Rule::All | Rule::Race => Ok(known),
        };
        state.answer.take().map(|answer| (answer, outcome))
    }
}

fn join<T: Into<Value>>(
    turn: &mut Turn<'_>,
    rule: Rule,
    targets: impl IntoIterator<Item = T>,
) -> Promise {
    let targets: Vec<Value> = targets.into_iter().map(Into::into).collect();
    let (promise, join) = Join::new(rule, targets.len());
    if targets.is_empty()
        && let Some((answer, outcome)) = join.nothing()
    {
        turn.resolve(answer, outcome);
    }
    for (index, target) in targets.into_iter().enumerate() {
        let join = join.clone();
        turn.on(target, move |turn, outcome| {
            if let Some((answer, outcome)) = join.note(index, outcome) {
                turn.resolve(answer, outcome);
            }
        });
    }
    promise
}

fn join_outside<T: Into<Value>>(rule: Rule, targets: impl IntoIterator<Item = T>) -> Promise {
    let targets: Vec<Value> = targets.into_iter().map(Into::into).collect();
    let (promise, join) = Join::new(rule, targets.len());
    let settle = |settlement: Settlement| {
        if let Some((answer, outcome)) = settlement {
            answer.resolve(outcome);
        }
    };
    if targets.is_empty() {
        settle(join.nothing());
    }
    for (index, target) in targets.into_iter().enumerate() {
        match target {
            Value::Ref(target) => {
                let join = join.clone();
                target.when_settled(move |outcome| settle(join.note(index, outcome)));
            }
            value => settle(join.note(index, Ok(value))),
        }
    }
    promise
}
