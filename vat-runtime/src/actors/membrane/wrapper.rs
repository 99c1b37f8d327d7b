//! A proxy of a membrane. Owns [`Wrapper`].

use crate::actors::arguments::{Call, Portrait};
use crate::actors::attenuate::Refusal;
use crate::actors::call_or_send;
use crate::actors::table::same;
use crate::{
    Args, Behaviour, Durable, Fault, Promise, Ref, Reply, RestoreError, Symbol, Turn, Value,
};

use super::gate::{Gate, Side, holds_reference};

/// What stands for something on the other side of a membrane.
pub(crate) enum Wrapper {
    Open {
        gate: Ref,
        target: Ref,
        /// Where the target is.
        side: Side,
    },
    /// The membrane has been revoked.
    Cut,
}

impl Wrapper {
    /// Whether it belongs to the membrane of that gate.
    pub(super) fn is_of(&self, of: &Ref) -> bool {
        matches!(self, Self::Open { gate, .. } if same(gate, of))
    }

    /// What it stands for, if it belongs to that membrane and the target is on that side.
    pub(super) fn target(&self, of: &Ref, on: Side) -> Option<&Ref> {
        match self {
            Self::Open { gate, target, side } if same(gate, of) && *side == on => Some(target),
            _ => None,
        }
    }
}

impl Behaviour for Wrapper {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let Self::Open { gate, target, side } = self else {
            return Err(Refusal::revoked());
        };
        // The gate is known to its proxies alone.
        if matches!(args.as_slice(), [Value::Ref(sender)] if same(sender, gate)) {
            return Ok(Reply::becomes(Self::Cut));
        }
        let cross = |turn: &mut Turn<'_>, how, from: Side, value| {
            turn.call(gate, vec![Value::symbol(how), Value::symbol(from.symbol()), value])
        };
        let args = cross(turn, "call", side.other(), Value::List(args))?;
        let args: Args = Call::plain("membrane", vec![args]).only("the arguments")?;
        let answer = match call_or_send(turn, target, args) {
            Ok(answer) => cross(turn, "cross", *side, answer),
            Err(fault) => {
                let logged = turn.behaviour_as::<Gate>(gate).is_some_and(|gate| gate.is_logged());
                if !logged && !holds_reference(fault.value()) {
                    return Err(fault);
                }
                let reason = cross(turn, "cross", *side, fault.into_value());
                reason.and_then(|reason| Err(reason.into()))
            }
        };
        // A failure from here on would undo what the target has done, which may be to
        // have this membrane revoked; and the log, and the proxies in the reason.
        Ok(answer.unwrap_or_else(|fault| Promise::settled(Err(fault)).into()).into())
    }
}

impl Durable for Wrapper {
    fn portray(&self) -> Value {
        Value::List(match self {
            Self::Open { gate, target, side } => {
                vec![gate.into(), target.into(), Value::symbol(side.symbol())]
            }
            Self::Cut => Vec::new(),
        })
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        if matches!(&portrait, Value::List(parts) if parts.is_empty()) {
            return Ok(Self::Cut);
        }
        let mut portrait = Portrait::new("wrapper", portrait)?;
        let gate = portrait.part("the gate")?;
        let target = portrait.part("the target")?;
        let side: Symbol = portrait.part("the side")?;
        let side = Side::named(side.as_str());
        Ok(Self::Open { gate, target, side: side.ok_or_else(|| RestoreError::new("no side"))? })
    }
}
