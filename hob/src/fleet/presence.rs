//! What a hob-client presence does for its methods: it finds and makes what they are about.

use ocapn::actors::attenuate;
use ocapn::{Answer, Fault, Ref, Sturdyref, Turn, Value};

use super::LOG;
use super::gate::{Gate, Guarded, Vigil, Watched};
use super::grant::{Given, GrantRef};
use super::hob_client::{HobClient, HobClientRef, NAMES};
use super::names::{Bound, Service, follow};
use super::rules::Rules;
use super::standing::Requirement;
use crate::kinds::{Kind, Name};

impl HobClient {
    /// What is bound to a name.
    pub(super) fn bound(&self, name: &str) -> Result<&Bound, Fault> {
        let bound = self.names.bindings.get(name);
        bound.ok_or_else(|| super::not_found(format!("nothing is bound as {name:?}")))
    }

    /// Has a name stand for something.
    pub(super) fn set(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        bound: Bound,
    ) -> Result<(), Fault> {
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

    /// Makes what is to be offered. Gives whether it is a wrapper, of that name.
    pub(super) fn serve(
        &self,
        turn: &mut Turn<'_>,
        wrapper: &str,
        service: &Service,
    ) -> Result<(Value, bool), Fault> {
        let mut wrap = |kind, argument: String| {
            let make = vec![Value::symbol(kind), wrapper.into(), argument.into()];
            turn.call(self.fleet.wrappers()?, make)
        };
        Ok(match service {
            Service::Tcp(address) => (wrap("socket", format!("tcp:{address}"))?, true),
            Service::Unix(path) => (wrap("socket", format!("unix:{path}"))?, true),
            Service::Postgres(settings) => (wrap("postgres", settings.clone())?, true),
            Service::Kind(Name(kind)) => {
                let kind = Kind::named(kind).ok_or_else(|| format!("there is no kind {kind:?}"))?;
                (kind.spawn(turn, self.fleet.client())?.into(), false)
            }
            Service::Binding(Name(other)) => (self.bound(other)?.value.clone(), false),
        })
    }
}

impl HobClient {
    /// What is given of an object that requires a service, and what takes back the right
    /// to know how that is.
    pub(super) fn guarded(
        &self,
        turn: &mut Turn<'_>,
        id: &str,
        requirement: Requirement,
        object: Ref,
    ) -> (Given, Option<Ref>) {
        let fleet = self.fleet.clone();
        let watched = Watched { id: id.to_owned(), requirement: requirement.clone() };
        let vigil = turn.spawn(Vigil { fleet: fleet.clone(), kept: watched });
        let (vigil, controller) = attenuate(vigil).spawn(turn);
        let gate = turn.spawn(Gate { fleet, kept: Guarded { requirement, object } });
        (Given { object: gate, vigil: Some(vigil) }, Some(controller))
    }

    /// Takes what is granted together with a service.
    #[expect(clippy::too_many_arguments, reason = "all that was granted, and what it requires")]
    pub(super) fn accept_with(
        &self,
        turn: &mut Turn<'_>,
        id: String,
        name: String,
        grant: GrantRef,
        from: String,
        rules: Rules,
        requirement: Requirement,
    ) -> Answer<()> {
        let me = HobClientRef::from_ref(turn.me());
        let fleet = self.fleet.clone();
        let sturdyref: Answer<Sturdyref> = grant.send(turn).sturdyref();
        let vigil: Answer<Option<Sturdyref>> = grant.send(turn).vigil();
        let settled: Answer<Answer<()>> = sturdyref.on_promise(turn, move |turn, sturdyref| {
            let sturdyref = sturdyref?;
            Ok(vigil.on_promise(turn, move |turn, vigil| {
                let vigil = vigil?.map(|vigil| fleet.lasting(turn, vigil));
                let value = fleet.lasting(turn, sturdyref);
                me.call(turn).settle(id, name, value, from, rules, Some(requirement), vigil)
            }))
        });
        Answer::from_promise(settled.into_promise())
    }
}
