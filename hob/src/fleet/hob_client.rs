//! The hob-client presence: owns the names that programs on its machine find things
//! under, and what is granted of them to other machines.

use std::collections::BTreeMap;

use ocapn::{Answer, Fault, Passable, Ref, Sturdyref, Turn, Value, object};

use super::rules::Rules;
use super::{Fleet, LOG};
use crate::kinds::Name;

/// The methods that change nothing, of objects that do not say so themselves.
const READS: &[&str] = &[
    "describe", "get", "has?", "keys", "length", "list", "read", "ref", "size", "status", "value",
];

/// How many names and grants there are at most, of each.
const NAMES: usize = 10_000;

/// A machine's hob-client presence.
#[derive(Clone)]
pub(crate) struct HobClient {
    pub(crate) fleet: Fleet,
    pub(crate) names: Names,
}

/// What is stored of a hob-client presence.
#[derive(Clone, Default, Passable)]
#[passable(default)]
pub(crate) struct Names {
    #[passable(default)]
    bindings: BTreeMap<String, Bound>,
    #[passable(default)]
    grants: BTreeMap<String, Granted>,
}

/// What a name stands for.
#[derive(Clone, Debug, Passable)]
struct Bound {
    value: Value,
    /// The grant that it came by, if it came from another machine.
    id: Option<String>,
    /// Where it came from, `machine:name`.
    from: Option<String>,
    #[passable(default)]
    rules: Rules,
    /// The methods of it that change nothing, if it is not the usual ones.
    reads: Option<Vec<String>>,
    /// It makes something of its own for each grant: see [`HobClient::offer`].
    #[passable(default)]
    grants: bool,
}

/// What was granted.
#[derive(Clone, Debug, Passable)]
struct Granted {
    name: String,
    to: String,
    rules: Rules,
    grant: GrantRef,
    /// Takes it back.
    controller: Ref,
    /// What made something of its own for the grant.
    service: Option<Ref>,
}

/// A grant, for people.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct ShownGrant {
    id: String,
    name: String,
    to: String,
    rules: Rules,
    /// What is left of the rules: see the controller of an attenuation.
    left: Value,
}

/// A binding, for people.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct ShownBinding {
    pub(crate) name: String,
    /// What it is: an object here, an object elsewhere, a promise, a value.
    pub(crate) what: String,
    pub(crate) from: Option<String>,
    pub(crate) rules: Rules,
}

/// How something is offered.
#[derive(Clone, Debug, Default, Passable)]
#[passable(default)]
pub(crate) struct Offer {
    /// The methods that change nothing, which is what `read-only` leaves.
    pub(crate) reads: Option<Vec<String>>,
    /// It understands `grant id rules`, which gives what is granted, and `ungrant id`.
    #[passable(default)]
    pub(crate) grants: bool,
}

impl Bound {
    /// What it is, for people.
    fn what(&self) -> &'static str {
        if self.id.is_some() { "an object elsewhere" } else { what(&self.value) }
    }
}

impl HobClient {
    /// One without names.
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self { fleet, names: Names::default() }
    }

    fn bound(&self, name: &str) -> Result<&Bound, Fault> {
        let bound = self.names.bindings.get(name);
        bound.ok_or_else(|| super::not_found(format!("nothing is bound as {name:?}")))
    }

    fn set(&mut self, turn: &mut Turn<'_>, name: String, bound: Bound) -> Result<(), Fault> {
        if name.is_empty() {
            return Err("the name is empty".into());
        }
        if self.names.bindings.len() >= NAMES && !self.names.bindings.contains_key(&name) {
            return Err(format!("a machine has at most {NAMES} names").into());
        }
        tracing::info!(target: LOG, "bound {name} to {}", bound.what());
        if bound.id.is_none() {
            follow(turn, &name, &bound.value);
        }
        self.names.bindings.insert(name.clone(), bound);
        self.fleet.changed_after(turn, &name);
        Ok(())
    }

    /// What is granted: made by the service itself, or what is bound, by the rules.
    fn make(
        &self,
        turn: &mut Turn<'_>,
        id: &str,
        bound: &Bound,
        rules: &Rules,
    ) -> Result<(Ref, Ref), Fault> {
        let Value::Ref(target) = &bound.value else {
            return Err(format!("what is bound is no object, but {}", bound.what()).into());
        };
        let clock = &self.fleet.clock;
        if bound.grants {
            let read_only = super::fields([("rule", Value::symbol("read-only"))]);
            let own = if rules.is_read_only() { vec![read_only] } else { Vec::new() };
            let message = vec![Value::symbol("grant"), id.into(), Value::List(own)];
            let made = turn.send(target, message).into_ref();
            // The service sees to read-only itself, and to nothing else.
            return Ok(rules.without_read_only().over(made, &[], clock).spawn(turn));
        }
        let reads: Vec<&str> = match &bound.reads {
            Some(reads) => reads.iter().map(String::as_str).collect(),
            None => READS.to_vec(),
        };
        Ok(rules.over(target.clone(), &reads, clock).spawn(turn))
    }
}

#[object(reference = pub(crate) HobClientRef)]
impl HobClient {
    /// Binds something to a name.
    #[method]
    fn register_binding(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
        value: Value,
    ) -> Result<(), Fault> {
        self.offer(turn, name, value, Offer::default())
    }

    /// Binds something to a name, and says how it is to be granted to other machines.
    #[method]
    fn offer(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
        value: Value,
        offer: Offer,
    ) -> Result<(), Fault> {
        let Offer { reads, grants } = offer;
        let bound = Bound { value, id: None, from: None, rules: Rules::default(), reads, grants };
        self.set(turn, name.0, bound)
    }

    /// The names that are bound.
    #[method]
    fn list_bindings(&self) -> Vec<String> {
        self.names.bindings.keys().cloned().collect()
    }

    /// What is bound to a name.
    #[method]
    fn get_binding(&self, name: Name) -> Result<Value, Fault> {
        Ok(self.bound(&name.0)?.value.clone())
    }

    /// All that is bound, as structs.
    #[method]
    fn bindings(&self) -> Vec<ShownBinding> {
        let show = |(name, bound): (&String, &Bound)| ShownBinding {
            name: name.clone(),
            what: bound.what().to_owned(),
            from: bound.from.clone(),
            rules: bound.rules.clone(),
        };
        self.names.bindings.iter().map(show).collect()
    }

    /// Gives up a name; if an id is given, only if it came by that grant. Whether there
    /// was such a name.
    #[method]
    fn unbind(&mut self, turn: &mut Turn<'_>, name: Name, id: Option<String>) -> bool {
        let Name(name) = name;
        let there = self.names.bindings.get(&name);
        if there.is_none_or(|bound| id.is_some() && bound.id != id) {
            return false;
        }
        self.names.bindings.remove(&name);
        tracing::info!(target: LOG, "unbound {name}");
        self.fleet.changed_after(turn, &name);
        true
    }

    /// A promise that is fulfilled when something else is bound to the name, or nothing.
    #[method]
    fn watch(&self, name: Name) -> Result<Answer<()>, Fault> {
        Ok(self.fleet.when_changed(&name.0)?.into())
    }

    /// Grants another machine what is bound to a name, by rules. The same id gives the
    /// same grant.
    #[method]
    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        rules: Rules,
        to: String,
    ) -> Result<GrantRef, Fault> {
        if let Some(granted) = self.names.grants.get(&id) {
            return Ok(granted.grant.clone());
        }
        if self.names.grants.len() >= NAMES {
            return Err(format!("a machine grants at most {NAMES} times").into());
        }
        let Name(name) = name;
        let bound = self.bound(&name)?.clone();
        let (proxy, controller) = self.make(turn, &id, &bound, &rules)?;
        let grant = Grant { fleet: self.fleet.clone(), object: proxy };
        let grant = GrantRef::spawn(turn, grant);
        let service = match &bound.value {
            Value::Ref(service) if bound.grants => Some(service.clone()),
            _ => None,
        };
        let bar = if rules.is_empty() { "" } else { " | " };
        tracing::info!(target: LOG, "granted {name}{bar}{rules} to {to}: {id}");
        let granted = Granted { name, to, rules, grant: grant.clone(), controller, service };
        self.names.grants.insert(id, granted);
        Ok(grant)
    }

    /// Takes a grant back: nothing that was had by it works any more. The answer comes
    /// when that is so. Whether there was such a grant.
    #[method]
    fn ungrant(&mut self, turn: &mut Turn<'_>, id: String) -> Result<Answer<bool>, Fault> {
        let Some(granted) = self.names.grants.get(&id).cloned() else {
            return Ok(Answer::ready(false));
        };
        turn.call(&granted.controller, vec![Value::symbol("revoke")])?;
        tracing::info!(target: LOG, "took {} back from {}: {id}", granted.name, granted.to);
        let Some(service) = granted.service else {
            self.names.grants.remove(&id);
            return Ok(Answer::ready(true));
        };
        // It stays until what was made for it is gone too, so that it can be asked again.
        let gone = turn.send(&service, vec![Value::symbol("ungrant"), id.as_str().into()]);
        let me = HobClientRef::from_ref(turn.me());
        let done = turn.on_promise(gone, move |turn, outcome| {
            outcome?;
            me.call(turn).forget_grant(id)?;
            Ok(true.into())
        });
        Ok(done.into())
    }

    /// What was made for a grant is gone: for the presence itself.
    #[method]
    fn forget_grant(&mut self, id: String) {
        self.names.grants.remove(&id);
    }

    /// All that is granted, as structs.
    #[method]
    fn grants(&self, turn: &mut Turn<'_>) -> Result<Vec<ShownGrant>, Fault> {
        let mut shown = Vec::new();
        for (id, granted) in &self.names.grants {
            shown.push(ShownGrant {
                id: id.clone(),
                name: granted.name.clone(),
                to: granted.to.clone(),
                rules: granted.rules.clone(),
                left: turn.call(&granted.controller, vec![Value::symbol("rules")])?,
            });
        }
        Ok(shown)
    }

    /// Takes what another machine grants, and binds it to a name. The answer comes when
    /// it is bound. The grant's own machine is asked for what lasts, so that nobody in
    /// between has it, nor is needed any more.
    #[method]
    fn accept(
        &self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        grant: GrantRef,
        from: String,
        rules: Rules,
    ) -> Answer<()> {
        let Name(name) = name;
        if self.names.bindings.get(&name).is_some_and(|bound| bound.id.as_ref() == Some(&id)) {
            return Answer::ready(());
        }
        let me = HobClientRef::from_ref(turn.me());
        let fleet = self.fleet.clone();
        let sturdyref: Answer<Sturdyref> = grant.send(turn).sturdyref();
        sturdyref.on_promise(turn, move |turn, sturdyref| {
            let sturdyref = sturdyref?;
            let there = super::short(&sturdyref.peer.designator);
            tracing::info!(target: LOG, "{from} is granted for good by {there}, asked directly");
            let value = fleet.lasting(turn, sturdyref);
            me.call(turn).settle(id, name, value, from, rules)
        })
    }

    /// Binds what was granted: for the presence itself.
    #[method]
    fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: String,
        value: Ref,
        from: String,
        rules: Rules,
    ) -> Result<(), Fault> {
        let (id, from) = (Some(id), Some(from));
        let bound = Bound { value: value.into(), id, from, rules, reads: None, grants: false };
        self.set(turn, name, bound)
    }

    /// What this machine is to be like has changed: it asks.
    #[method]
    fn desired_changed(&self, turn: &mut Turn<'_>) {
        self.fleet.wake_after(turn);
    }
}

/// What a machine is given of another: good for having it once and for all.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) fleet: Fleet,
    pub(crate) object: Ref,
}

#[object(reference = pub(crate) GrantRef)]
impl Grant {
    /// The object.
    #[method]
    fn object(&self) -> Ref {
        self.object.clone()
    }

    /// A sturdyref for the object: for the machine that it is granted to.
    #[method]
    fn sturdyref(&self) -> Result<Sturdyref, Fault> {
        self.fleet.mint(self.object.clone())
    }
}

/// Asks what a promise comes to, now and not when it is first used: what its own peer
/// then hands over is reached without whoever passed the promise on.
fn follow(turn: &mut Turn<'_>, name: &str, value: &Value) {
    let Value::Ref(promise) = value else { return };
    if !promise.is_promise() {
        return;
    }
    let name = name.to_owned();
    turn.on(promise.clone(), move |_turn, outcome| match outcome {
        Ok(value) => {
            tracing::info!(target: LOG, "the promise bound as {name} has become {}", what(&value));
        }
        Err(fault) => tracing::warn!(target: LOG, "the promise bound as {name} broke: {fault}"),
    });
}

/// What a value is, for people.
fn what(value: &Value) -> &'static str {
    match value {
        Value::Ref(reference) if reference.is_promise() => "a promise",
        Value::Ref(reference) if reference.is_remote() => "an object elsewhere",
        Value::Ref(_) => "an object here",
        other => other.kind(),
    }
}
