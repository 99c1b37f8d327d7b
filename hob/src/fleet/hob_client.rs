//! The hob-client presence: owns the names that programs on its machine find things
//! under, and what is granted of them to other machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ocapn::actors::timeout;
use ocapn::{Answer, Fault, Passable, Promise, Ref, Sturdyref, Turn, Value, object};

use super::gate::{VigilRef, unavailable};
use super::grant::{Given, Grant, GrantRef};
use super::names::{Bound, Current, Granted, Made, Offer, Service};
use super::rules::Rules;
use super::standing::Requirement;
use super::{Fleet, LOG};
use crate::kinds::Name;

/// The methods that change nothing, of objects that do not say so themselves.
const READS: &[&str] = &[
    "describe", "get", "has?", "keys", "length", "list", "read", "ref", "size", "status", "value",
];

/// How soon somebody is asked again how a service is, who has not answered.
const AGAIN: Duration = Duration::from_secs(1);

/// How many names and grants there are at most, of each.
pub(super) const NAMES: usize = 10_000;

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
    pub(super) bindings: BTreeMap<String, Bound>,
    #[passable(default)]
    grants: BTreeMap<String, Granted>,
    /// The ids of the grants that wait for a service to be started.
    #[passable(default)]
    waiting: BTreeSet<String>,
    /// Where names are reached by programs that speak no CapTP.
    #[passable(default)]
    forwards: BTreeMap<String, String>,
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
    /// The service that it requires.
    pub(crate) requires: Option<String>,
    /// Why it can't be used, if it can't for want of that.
    pub(crate) unavailable: Option<String>,
}

impl HobClient {
    /// One without names.
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self { fleet, names: Names::default() }
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
        let bound = Bound { reads, grants, ..Bound::plain(value) };
        self.set(turn, name.0, bound)
    }

    /// Offers something that this machine makes: see [`Service`]. The answer comes when
    /// it is bound. Asked again for the same, it is the same.
    #[method]
    fn offer_service(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
        service: Service,
    ) -> Result<(), Fault> {
        let Name(name) = name;
        let from = service.to_string();
        if let Some(there) = self.names.bindings.get(&name) {
            match &there.service {
                Some(made) if made.from == from => return Ok(()),
                Some(_) => self.withdraw(turn, Name(name.clone()))?.ignore(),
                None => return Err(format!("{name:?} is bound already, by hand").into()),
            }
        }
        // One that is on its way out has its name for a while.
        let wrapper = format!("{name} {}", super::random_id()?);
        let (value, wrapped) = self.serve(turn, &wrapper, &service)?;
        let made = Made { from, wrapper: wrapped.then_some(wrapper) };
        let bound = Bound { grants: wrapped, service: Some(made), ..Bound::plain(value) };
        self.set(turn, name, bound)
    }

    /// Offers no longer what this machine has made, and takes it back from all who were
    /// granted it. The answer comes when nothing is left of it. Whether it was there.
    #[method]
    fn withdraw(&mut self, turn: &mut Turn<'_>, name: Name) -> Result<Answer<bool>, Fault> {
        let Name(name) = name;
        let Some(bound) = self.names.bindings.get(&name) else { return Ok(Answer::ready(false)) };
        let Some(made) = bound.service.clone() else {
            return Err(format!("{name:?} was bound by hand: unbind it").into());
        };
        self.names.bindings.remove(&name);
        let grants = self.names.grants.iter().filter(|(_, granted)| granted.name == name);
        let grants: Vec<String> = grants.map(|(id, _)| id.clone()).collect();
        for id in grants {
            self.ungrant(turn, id)?.ignore();
        }
        self.fleet.changed_after(turn, &name);
        let Some(wrapper) = made.wrapper else { return Ok(Answer::ready(true)) };
        let wrappers = self.fleet.wrappers()?.clone();
        let removed = turn.send(&wrappers, vec![Value::symbol("remove"), wrapper.into()]);
        Ok(removed.into())
    }

    /// Has what is bound to a name, now or later, reached by programs that speak no CapTP:
    /// at `unix:PATH` or `tcp:127.0.0.1:PORT`. Gives where, when it is.
    #[method]
    fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
        listen: String,
    ) -> Result<Answer<Value>, Fault> {
        let Name(name) = name;
        if let Some(there) = self.names.forwards.get(&name) {
            return match *there == listen {
                true => Ok(Answer::ready(listen.into())),
                false => Err(format!("{name} is at {there} already").into()),
            };
        }
        let me = HobClientRef::from_ref(turn.me());
        let current = turn.spawn(Current { client: me.clone(), name: name.clone() });
        let forward = vec![
            Value::symbol("forward"),
            name.as_str().into(),
            listen.as_str().into(),
            current.into(),
        ];
        let listens = turn.call(self.fleet.wrappers()?, forward)?;
        self.names.forwards.insert(name.clone(), listen);
        let listens = turn.on_promise(listens, move |turn, listens| match listens {
            Ok(at) => Ok(at),
            Err(fault) => {
                me.send(turn).unforward(Name(name)).ignore();
                // The turn holds: only its answer is the fault.
                Ok(Promise::settled(Err(fault)).into())
            }
        });
        Ok(listens.into())
    }

    /// Ends a forward. Whether there was one, when it has ended.
    #[method]
    fn unforward(&mut self, turn: &mut Turn<'_>, name: Name) -> Result<Answer<bool>, Fault> {
        let Name(name) = name;
        if self.names.forwards.remove(&name).is_none() {
            return Ok(Answer::ready(false));
        }
        let wrappers = self.fleet.wrappers()?.clone();
        Ok(turn.send(&wrappers, vec![Value::symbol("remove"), name.into()]).into())
    }

    /// The names that are forwarded, each with where it is reached.
    #[method]
    fn forwards(&self) -> BTreeMap<String, String> {
        self.names.forwards.clone()
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
            requires: bound.requirement.as_ref().map(|of| of.service.clone()),
            unavailable: bound.unavailable.clone(),
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
    /// same grant. If a service is required, it is started, and the grant is good while it
    /// runs.
    #[method]
    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        rules: Rules,
        to: String,
        requirement: Option<Requirement>,
    ) -> Result<Answer<GrantRef>, Fault> {
        if let Some(granted) = self.names.grants.get(&id) {
            // It was started for that once: who has stopped it since meant it.
            let why = granted.requirement.as_ref().and_then(|of| self.fleet.unavailable(of));
            return match why {
                Some(why) => Err(unavailable(why)),
                None => Ok(Answer::ready(granted.grant.clone())),
            };
        }
        if self.names.grants.len() + self.names.waiting.len() >= NAMES {
            return Err(format!("a machine grants at most {NAMES} times").into());
        }
        let Some(requirement) = requirement else {
            return self.make_grant(turn, id, name, rules, to, None);
        };
        let started = self.fleet.started(turn, &requirement)?;
        self.names.waiting.insert(id.clone());
        let me = HobClientRef::from_ref(turn.me());
        let made: Answer<Value> = started.on_promise(turn, move |turn, started| {
            let why = started.err().map(|fault| format!("could not be started: {fault}"));
            // It may have been taken back in the meantime.
            let wanted = me.call(turn).wait_over(id.clone())?;
            // The turn holds: only its answer is the fault.
            let broken = |fault| Ok(Promise::settled(Err(fault)).into());
            match why {
                _ if !wanted => broken("it has been taken back".into()),
                Some(why) => broken(unavailable(requirement.unavailable(&why))),
                None => {
                    Ok(me.call(turn).make_grant(id, name, rules, to, Some(requirement))?.into())
                }
            }
        });
        Ok(Answer::from_promise(made.into_promise()))
    }

    /// A grant waits no longer, whatever has come of that: for the presence itself.
    /// Whether it is wanted still.
    #[method]
    fn wait_over(&mut self, id: String) -> bool {
        self.names.waiting.remove(&id)
    }

    /// Makes a grant: for the presence itself.
    #[method]
    fn make_grant(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        rules: Rules,
        to: String,
        requirement: Option<Requirement>,
    ) -> Result<Answer<GrantRef>, Fault> {
        if let Some(granted) = self.names.grants.get(&id) {
            return Ok(Answer::ready(granted.grant.clone()));
        }
        let bound = self.bound(&name.0)?;
        let Value::Ref(target) = &bound.value else {
            return Err(format!("what is bound is no object, but {}", bound.what()).into());
        };
        let target = target.clone();
        if !bound.grants {
            let grant = self.granted(turn, id, name, rules, to, target, None, requirement)?;
            return Ok(Answer::ready(grant));
        }
        // The service sees to read-only itself, and to nothing else. It is waited for, so
        // that what is stored of the grant is complete.
        let read_only = super::fields([("rule", Value::symbol("read-only"))]);
        let own = if rules.is_read_only() { vec![read_only] } else { Vec::new() };
        let message = vec![Value::symbol("grant"), id.as_str().into(), Value::List(own)];
        let made: Answer<Ref> = turn.send(&target, message).into();
        let me = HobClientRef::from_ref(turn.me());
        Ok(made.on_promise(turn, move |turn, made| {
            me.call(turn).granted(id, name, rules, to, made?, Some(target), requirement)
        }))
    }

    /// Grants an object: for the presence itself. `service` has made it for the grant.
    #[method]
    #[expect(clippy::too_many_arguments, reason = "all that a grant is made of, for itself")]
    fn granted(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        rules: Rules,
        to: String,
        object: Ref,
        service: Option<Ref>,
        requirement: Option<Requirement>,
    ) -> Result<GrantRef, Fault> {
        if let Some(granted) = self.names.grants.get(&id) {
            return Ok(granted.grant.clone());
        }
        let Name(name) = name;
        let reads = self.names.bindings.get(&name).and_then(|bound| bound.reads.as_ref());
        let reads: Vec<&str> = match reads {
            Some(reads) => reads.iter().map(String::as_str).collect(),
            None => READS.to_vec(),
        };
        let limits = if service.is_some() { rules.without_read_only() } else { rules.clone() };
        let (proxy, controller) = limits.over(object, &reads, &self.fleet.clock).spawn(turn);
        let (given, vigil) = match &requirement {
            Some(requirement) => self.guarded(turn, &id, requirement.clone(), proxy),
            None => (Given { object: proxy, vigil: None }, None),
        };
        let grant = GrantRef::spawn(turn, Grant { fleet: self.fleet.clone(), kept: given });
        let bar = if rules.is_empty() { "" } else { " | " };
        tracing::info!(target: LOG, "granted {name}{bar}{rules} to {to}: {id}");
        let granted = Granted {
            name,
            to,
            rules,
            grant: grant.clone(),
            controller,
            service,
            requirement,
            vigil,
        };
        self.names.grants.insert(id, granted);
        Ok(grant)
    }

    /// Takes a grant back: nothing that was had by it works any more. The answer comes
    /// when that is so. Whether there was such a grant.
    #[method]
    fn ungrant(&mut self, turn: &mut Turn<'_>, id: String) -> Result<Answer<bool>, Fault> {
        let Some(granted) = self.names.grants.get(&id).cloned() else {
            return Ok(Answer::ready(self.names.waiting.remove(&id)));
        };
        for controller in std::iter::once(&granted.controller).chain(&granted.vigil) {
            turn.call(controller, vec![Value::symbol("revoke")])?;
        }
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
    #[expect(clippy::too_many_arguments, reason = "all that was granted, and what it requires")]
    fn accept(
        &self,
        turn: &mut Turn<'_>,
        id: String,
        name: Name,
        grant: GrantRef,
        from: String,
        rules: Rules,
        requirement: Option<Requirement>,
    ) -> Answer<()> {
        let Name(name) = name;
        let there = self.names.bindings.get(&name);
        match (there.is_some_and(|bound| bound.id.as_ref() == Some(&id)), &requirement) {
            (true, None) => return Answer::ready(()),
            // The grant says whether it can be used.
            (true, Some(_)) => {
                return grant
                    .send(turn)
                    .object()
                    .on_promise(turn, |_turn, object| object.map(drop));
            }
            (false, _) => {}
        }
        if let Some(requirement) = requirement {
            return self.accept_with(turn, id, name, grant, from, rules, requirement);
        }
        let me = HobClientRef::from_ref(turn.me());
        let fleet = self.fleet.clone();
        let sturdyref: Answer<Sturdyref> = grant.send(turn).sturdyref();
        sturdyref.on_promise(turn, move |turn, sturdyref| {
            let sturdyref = sturdyref?;
            let there = super::short(&sturdyref.peer.designator);
            tracing::info!(target: LOG, "{from} is granted for good by {there}, asked directly");
            let value = fleet.lasting(turn, sturdyref);
            me.call(turn).settle(id, name, value, from, rules, None, None)
        })
    }

    /// Binds what was granted: for the presence itself.
    #[method]
    #[expect(clippy::too_many_arguments, reason = "all that a binding is made of, for itself")]
    fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        name: String,
        value: Ref,
        from: String,
        rules: Rules,
        requirement: Option<Requirement>,
        vigil: Option<Ref>,
    ) -> Result<(), Fault> {
        let (bound_id, from) = (Some(id.clone()), Some(from));
        let bound =
            Bound { id: bound_id, from, rules, requirement, vigil, ..Bound::plain(value.into()) };
        self.set(turn, name.clone(), bound)?;
        self.attend(turn, name, id);
        Ok(())
    }

    /// Has somebody tell when what is bound to a name can be used and when not, if it
    /// requires a service: for the presence itself.
    #[method]
    fn attend(&self, turn: &mut Turn<'_>, name: String, id: String) {
        let Some(bound) = self.names.bindings.get(&name) else { return };
        let Some(vigil) = bound.vigil.as_ref().filter(|_| bound.id.as_ref() == Some(&id)) else {
            return;
        };
        let known = bound.unavailable.clone();
        let now = VigilRef::from_ref(vigil.clone()).send(turn).wait(known);
        let (me, clock) = (HobClientRef::from_ref(turn.me()), self.fleet.clock.clone());
        now.on(turn, move |turn, now| match now {
            Ok(now) => me.send_only(turn).heard(name, id, now),
            // Its machine is away, or nothing is granted any more.
            Err(_) => {
                let later = timeout(turn, &clock, AGAIN);
                turn.on(later, move |turn, _over| me.send_only(turn).attend(name, id));
            }
        });
    }

    /// Has that told of all that is bound: for when the process begins.
    #[method]
    fn attend_all(&self, turn: &mut Turn<'_>) {
        for (name, bound) in &self.names.bindings {
            if let Some(id) = &bound.id {
                self.attend(turn, name.clone(), id.clone());
            }
        }
    }

    /// Whether what is bound to a name can be used now: for the presence itself.
    #[method]
    fn heard(&mut self, turn: &mut Turn<'_>, name: String, id: String, now: Option<String>) {
        let bound = self.names.bindings.get_mut(&name);
        let Some(bound) = bound.filter(|bound| bound.id.as_ref() == Some(&id)) else { return };
        if bound.unavailable != now {
            match &now {
                Some(why) => tracing::warn!(target: LOG, "{name} is {why}"),
                None => tracing::info!(target: LOG, "{name} is available again"),
            }
            bound.unavailable = now;
            self.fleet.changed_after(turn, &name);
        }
        self.attend(turn, name, id);
    }

    /// The services of this machine: all that can be done with them.
    #[method]
    fn services(&self) -> Result<Ref, Fault> {
        Ok(self.fleet.tended()?.front.clone())
    }

    /// What this machine is to be like has changed: it asks.
    #[method]
    fn desired_changed(&self, turn: &mut Turn<'_>) {
        self.fleet.wake_after(turn);
    }
}
