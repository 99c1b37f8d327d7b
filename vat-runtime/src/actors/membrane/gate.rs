//! What a membrane remembers: what stands for what, and who waits. Owns [`Gate`].

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use smol_str::SmolStr;

use crate::actors::arguments::{Call, Portrait};
use crate::actors::attenuate::Refusal;
use crate::actors::table::full;
use crate::{
    Args, Behaviour, Durable, Fault, Promise, Ref, Reply, RestoreError, Symbol, Turn, Value,
    WeakRef, promise,
};

use super::wrapper::Wrapper;

/// A side of a membrane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Inner,
    Outer,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Inner => Self::Outer,
            Self::Outer => Self::Inner,
        }
    }

    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Inner => "inner",
            Self::Outer => "outer",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Inner, Self::Outer].into_iter().find(|side| side.symbol() == name)
    }
}

/// The state of a membrane, known to its proxies and its revoker alone.
pub(crate) enum Gate {
    Open(Open),
    Revoked,
}

#[derive(Clone)]
pub(crate) struct Open {
    log: Option<Ref>,
    log_arguments: bool,
    limit: usize,
    /// What stands on the other side for what is on this one, by its address. For each
    /// proxy there is one entry from either side.
    links: HashTrieMapSync<(Side, usize), Link>,
    /// Links beyond which those of the dead are let go.
    sweep_at: usize,
    /// The resolvers of promises that have passed and not settled.
    waiting: RedBlackTreeMapSync<u64, Ref>,
    /// Numbers links and promises, so that a program does the same each time it runs.
    next: u64,
}

/// Neither keeps the other: a proxy keeps its target, and whoever uses it the proxy.
/// While the link is there no other reference gets their addresses.
#[derive(Clone)]
struct Link {
    number: u64,
    this: WeakRef,
    other: WeakRef,
}

impl Link {
    fn is_alive(&self) -> bool {
        self.this.upgrade().is_some() && self.other.upgrade().is_some()
    }
}

impl Gate {
    pub(super) fn new(log: Option<Ref>, log_arguments: bool, limit: usize) -> Self {
        Self::Open(Open {
            log,
            log_arguments,
            limit,
            links: HashTrieMapSync::new_sync(),
            sweep_at: Open::FIRST_SWEEP,
            waiting: RedBlackTreeMapSync::new_sync(),
            next: 0,
        })
    }

    pub(super) const fn is_logged(&self) -> bool {
        matches!(self, Self::Open(Open { log: Some(_), .. }))
    }
}

impl Open {
    const FIRST_SWEEP: usize = 64;

    /// The value as the other side is to see it.
    fn cross(&mut self, turn: &mut Turn<'_>, value: Value, from: Side) -> Result<Value, Fault> {
        if !holds_reference(&value) {
            return Ok(value);
        }
        map_references(value, &mut |reference| self.cross_reference(turn, reference, from))
    }

    fn cross_reference(
        &mut self,
        turn: &mut Turn<'_>,
        reference: Ref,
        from: Side,
    ) -> Result<Value, Fault> {
        match reference.outcome() {
            // Itself, if it is no promise: then it stays what it is.
            Some(Ok(Value::Ref(settled))) => self.replace(turn, settled, from),
            Some(Ok(data)) => self.cross(turn, data, from),
            Some(Err(fault)) => {
                let reason = self.cross(turn, fault.into_value(), from)?;
                Ok(Promise::settled(Err(reason.into())).into())
            }
            None => self.replace(turn, reference, from),
        }
    }

    /// What stands for the reference on the other side, perhaps from now on.
    fn replace(&mut self, turn: &mut Turn<'_>, reference: Ref, from: Side) -> Result<Value, Fault> {
        if let Some(link) = self.links.get(&(from, reference.address()))
            && link.this.upgrade().is_some_and(|this| this == reference)
            && let Some(other) = link.other.upgrade()
        {
            return Ok(other.into());
        }
        if let Some(target) = self.behind(turn, &reference, from) {
            return Ok(target.into());
        }
        self.make_room()?;
        let other = if reference.is_promise() {
            self.promise(turn, &reference, from)
        } else {
            let (gate, target) = (turn.me(), reference.clone());
            turn.spawn(Wrapper::Open { gate, target, side: from })
        };
        self.link(&reference, &other, from);
        Ok(other.into())
    }

    /// What a proxy of this membrane stands for, if it is one from the other side that
    /// there is no link of: its link went when it slept in a store with the membrane.
    fn behind(&mut self, turn: &mut Turn<'_>, reference: &Ref, from: Side) -> Option<Ref> {
        let wrapper = turn.behaviour_as::<Wrapper>(reference)?;
        let target = wrapper.target(&turn.me(), from.other())?;
        self.link(target, reference, from.other());
        Some(target.clone())
    }

    /// Lets the dead go when there are many, and says whether there are too many others.
    fn make_room(&mut self) -> Result<(), Fault> {
        let used = self.links.size() + self.waiting.size();
        if used < self.sweep_at && self.links.size() < 2 * self.limit {
            return Ok(());
        }
        let dead: Vec<_> =
            self.links.iter().filter(|(_, link)| !link.is_alive()).map(|(key, _)| *key).collect();
        for key in dead {
            self.links.remove_mut(&key);
        }
        self.sweep_at = Self::FIRST_SWEEP.max(2 * self.links.size());
        if self.links.size() >= 2 * self.limit {
            return Err(full(self.limit));
        }
        Ok(())
    }

    fn link(&mut self, reference: &Ref, other: &Ref, from: Side) {
        let (this, that) = (reference.downgrade(), other.downgrade());
        let number = self.number();
        let back = Link { number, this: that.clone(), other: this.clone() };
        self.links.insert_mut((from, reference.address()), Link { number, this, other: that });
        self.links.insert_mut((from.other(), other.address()), back);
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The links from that side, oldest first.
    fn links(&self, from: Side) -> Vec<&Link> {
        let links = self.links.iter().filter(|((side, _), _)| *side == from);
        let mut links: Vec<_> = links.map(|(_, link)| link).collect();
        links.sort_unstable_by_key(|link| link.number);
        links
    }

    /// A promise on the other side of what one on this side comes to.
    fn promise(&mut self, turn: &mut Turn<'_>, reference: &Ref, from: Side) -> Ref {
        let (other, resolver) = promise();
        let number = self.number();
        self.waiting.insert_mut(number, resolver.into_ref());
        let gate = turn.me();
        turn.on(reference, move |turn, outcome| {
            let (verb, value) = match outcome {
                Ok(value) => ("fulfill", value),
                Err(fault) => ("break", fault.into_value()),
            };
            let settled = [
                Value::symbol("settled"),
                Value::symbol(from.symbol()),
                value,
                number.into(),
                Value::symbol(verb),
            ];
            // Fails only if the gate is gone, and the promise with it.
            let _gone = turn.call(&gate, settled.into());
        });
        other.into_ref()
    }

    /// A promise that passed has settled.
    fn settled(
        &mut self,
        turn: &mut Turn<'_>,
        from: Side,
        value: Value,
        number: u64,
        verb: SmolStr,
    ) {
        let Some(resolver) = self.waiting.get(&number).cloned() else { return };
        self.waiting.remove_mut(&number);
        let args = match self.cross(turn, value, from) {
            Ok(value) => vec![Value::Symbol(verb), value],
            Err(fault) => vec![Value::symbol("break"), fault.into_value()],
        };
        turn.send_only(&resolver, args);
    }

    fn note(&self, turn: &mut Turn<'_>, from: Side, args: &Value) {
        let (Some(log), Value::List(args)) = (&self.log, args) else { return };
        let direction = if from == Side::Outer { "in" } else { "out" };
        let method = args.first().filter(|first| first.as_symbol().is_some());
        let mut entry = vec![Value::symbol(direction), method.cloned().unwrap_or_default()];
        if self.log_arguments {
            let rest = args.get(usize::from(method.is_some())..).unwrap_or_default();
            entry.push(Value::List(rest.to_vec()));
        }
        turn.send_only(log, entry);
    }

    fn revoke(&self, turn: &mut Turn<'_>) {
        let gate = turn.me();
        let mut proxies = Vec::new();
        for link in self.links(Side::Inner) {
            let ends = [link.this.upgrade(), link.other.upgrade()].into_iter().flatten();
            proxies.extend(ends.filter(|proxy| {
                turn.behaviour_as::<Wrapper>(proxy).is_some_and(|wrapper| wrapper.is_of(&gate))
            }));
        }
        for proxy in proxies {
            // A proxy of this gate knows it and has no reason to fail.
            let _cut = turn.call(&proxy, vec![(&gate).into()]);
        }
        for (_, resolver) in &self.waiting {
            let revoked = vec![Value::symbol("break"), Refusal::revoked().into_value()];
            turn.send_only(resolver, revoked);
        }
    }

    fn state(&self) -> Value {
        let proxies = self.links.values().filter(|link| link.is_alive()).count() / 2;
        let fields: [(&str, Value); 5] = [
            ("revoked", false.into()),
            ("logged", self.log.is_some().into()),
            ("limit", (self.limit as u64).into()),
            ("passed", (proxies as u64).into()),
            ("unsettled", (self.waiting.size() as u64).into()),
        ];
        Value::Struct(fields.map(|(name, value)| (name.into(), value)).into())
    }
}

impl Behaviour for Gate {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("gate", args)?;
        let Self::Open(open) = self else {
            return match call.name() {
                "revoke" | "settled" => Ok(().into()),
                "revoked?" => Ok(true.into()),
                "state" => Ok(Value::Struct(vec![("revoked".into(), true.into())]).into()),
                _ => Err(Refusal::revoked()),
            };
        };
        match call.name() {
            "revoked?" => return Ok(false.into()),
            "state" => return Ok(open.state().into()),
            "revoke" => {
                open.revoke(turn);
                return Ok(Reply::becomes(Self::Revoked));
            }
            _ => {}
        }
        let side: Symbol = call.required("side")?;
        let from = Side::named(side.as_str()).ok_or_else(|| call.fault("there is no such side"))?;
        let value: Value = call.required("value")?;
        let mut next = open.clone();
        if call.name() == "settled" {
            let number = call.required("number")?;
            let verb: Symbol = call.only("verb")?;
            next.settled(turn, from, value, number, verb.0);
            return Ok(Reply::becomes(Self::Open(next)));
        }
        let is_call = call.name() == "call";
        call.end()?;
        let plain = !holds_reference(&value);
        let crossed = next.cross(turn, value, from)?;
        if is_call {
            next.note(turn, from, &crossed);
        }
        if plain {
            return Ok(crossed.into());
        }
        Ok(Reply::become_with(Self::Open(next), crossed))
    }
}

impl Durable for Gate {
    fn portray(&self) -> Value {
        let Self::Open(open) = self else { return Value::List(Vec::new()) };
        let log = open.log.as_ref().map_or(Value::Undefined, Value::from);
        let mut parts = vec![(open.limit as u64).into(), log, open.log_arguments.into()];
        for link in open.links(Side::Inner) {
            let (Some(this), Some(other)) = (link.this.upgrade(), link.other.upgrade()) else {
                continue;
            };
            // Once for both ways; promises that have not settled break in any case.
            if !this.is_promise() && !other.is_promise() {
                parts.push(Value::List(vec![this.into(), other.into()]));
            }
        }
        Value::List(parts)
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        if matches!(&portrait, Value::List(parts) if parts.is_empty()) {
            return Ok(Self::Revoked);
        }
        let mut portrait = Portrait::new("gate", portrait)?;
        let limit = portrait.part("the limit")?;
        let log = portrait.part("the log")?;
        let log_arguments = portrait.part("whether arguments are logged")?;
        let Self::Open(mut open) = Self::new(log, log_arguments, limit) else {
            return Ok(Self::Revoked);
        };
        for pair in portrait.rest::<Value>() {
            let mut pair = Portrait::new("gate", pair?)?;
            let this: Ref = pair.part("what is inside")?;
            open.link(&this, &pair.part("what stands for it")?, Side::Inner);
        }
        Ok(Self::Open(open))
    }
}

/// Whether there is a reference anywhere in the value.
pub(super) fn holds_reference(value: &Value) -> bool {
    match value {
        Value::Ref(_) => true,
        Value::List(items) | Value::Set(items) => items.iter().any(holds_reference),
        Value::Struct(fields) => fields.iter().any(|(_, value)| holds_reference(value)),
        Value::Map(entries) => {
            entries.iter().any(|(key, value)| holds_reference(key) || holds_reference(value))
        }
        Value::Tagged(tagged) => holds_reference(&tagged.value),
        Value::Error(error) => error.fields.iter().any(holds_reference),
        Value::Record(record) => {
            holds_reference(&record.label) || record.fields.iter().any(holds_reference)
        }
        _ => false,
    }
}

/// The value with each reference in it replaced.
fn map_references(
    value: Value,
    replace: &mut dyn FnMut(Ref) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let mut all = |items: Vec<Value>| -> Result<Vec<Value>, Fault> {
        items.into_iter().map(|item| map_references(item, replace)).collect()
    };
    Ok(match value {
        Value::List(items) => Value::List(all(items)?),
        Value::Set(items) => Value::Set(all(items)?),
        Value::Struct(fields) => {
            let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            Value::Struct(names.into_iter().zip(all(values)?).collect())
        }
        Value::Map(entries) => {
            let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
            Value::Map(all(keys)?.into_iter().zip(all(values)?).collect())
        }
        Value::Tagged(mut tagged) => {
            tagged.value = map_references(tagged.value, replace)?;
            Value::Tagged(tagged)
        }
        Value::Error(mut error) => {
            error.fields = all(error.fields)?;
            Value::Error(error)
        }
        Value::Record(mut record) => {
            record.fields = all(record.fields)?;
            record.label = map_references(record.label, replace)?;
            Value::Record(record)
        }
        Value::Ref(reference) => replace(reference)?,
        other => other,
    })
}
