//! A pushdown automaton: a stack of actors of which the top gets the messages.

use rpds::VectorSync;

use super::arguments::{Call, Portrait, whole};
use super::call_or_send;
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes a stack of states and a forwarder that passes every message to what is on top.
///
/// The stack understands `push reference`, `spawn-push maker args…` (pushes, and answers
/// with, what the maker answers when it is called with the top, or false, and the
/// arguments), `pop` (answers with what was on top), `top` and `empty?`. It holds up to
/// [`DEFAULT_ENTRIES`].
pub fn pushdown(turn: &mut Turn<'_>, initial: Option<Ref>) -> (Ref, Ref) {
    let stack = turn.spawn(Stack {
        states: initial.into_iter().map(Value::Ref).collect(),
        limit: DEFAULT_ENTRIES,
    });
    let forwarder = turn.spawn(Forwarder(stack.clone()));
    (stack, forwarder)
}

#[derive(Clone)]
pub(crate) struct Stack {
    /// References; the last is the top.
    states: VectorSync<Value>,
    limit: usize,
}

impl Stack {
    fn pushed(states: &VectorSync<Value>, limit: usize, state: Ref) -> Result<Self, Fault> {
        if states.len() >= limit {
            return Err(full(limit));
        }
        Ok(Self { states: states.push_back(state.into()), limit })
    }
}

impl Behaviour for Stack {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("stack", args)?;
        let empty = "the stack is empty";
        match call.name() {
            "push" => {
                let pushed = Self::pushed(&self.states, self.limit, call.only("reference")?);
                Ok(Reply::becomes(pushed.map_err(|fault| call.fault(fault))?))
            }
            "spawn-push" => {
                let maker: Ref = call.required("maker")?;
                let top = self.states.last().cloned().unwrap_or(Value::Bool(false));
                let args = std::iter::once(top).chain(call.rest()).collect();
                let made = call_or_send(turn, &maker, args)?;
                let Value::Ref(state) = &made else {
                    return Err("stack spawn-push: the maker made no reference".into());
                };
                // The maker may have pushed or popped.
                let now = turn.behaviour_as::<Self>(&turn.me());
                let states = now.as_ref().map_or(&self.states, |now| &now.states);
                Ok(Reply::become_with(Self::pushed(states, self.limit, state.clone())?, made))
            }
            "pop" => {
                call.end()?;
                let top = self.states.last().cloned().ok_or_else(|| call.fault(empty))?;
                let states = self.states.drop_last().ok_or_else(|| call.fault(empty))?;
                Ok(Reply::become_with(Self { states, limit: self.limit }, top))
            }
            "top" => {
                call.end()?;
                Ok(self.states.last().cloned().ok_or_else(|| call.fault(empty))?.into())
            }
            "empty?" => {
                call.end()?;
                Ok(self.states.is_empty().into())
            }
            _ => call.otherwise("push ref, spawn-push maker args…, pop, top, empty?"),
        }
    }
}

impl Durable for Stack {
    fn portray(&self) -> Value {
        let limit = std::iter::once((self.limit as u64).into());
        Value::List(limit.chain(self.states.iter().cloned()).collect())
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("stack", portrait)?;
        let limit = portrait.part("the limit")?;
        let states = portrait.rest::<Ref>().map(|state| state.map(Value::Ref));
        Ok(Self { states: states.collect::<Result<_, _>>()?, limit })
    }
}

pub(crate) struct Forwarder(Ref);

impl Behaviour for Forwarder {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let top = turn.call(&self.0, vec![Value::symbol("top")])?;
        let top: Ref = Call::plain("forwarder", vec![top]).only("top")?;
        call_or_send(turn, &top, args).map(Reply::value)
    }
}

impl Durable for Forwarder {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("forwarder", portrait).map(Self)
    }
}
