//! The boss: knows the machines by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::actors::Cell;
use ocapn::{Args, Behaviour, Fault, Node, Ref, Reply, Sturdyref, SwissNum, Turn, Value};

use super::enrolment::Enrolment;
use super::hob_server::hob_server;
use super::{LOG, fields};
use crate::kinds::{Call, Name, unknown};

const METHODS: &str = "create-machine name, enrolment name, get-machine name, list-machines, \
                       bind machine name other-machine [other-name]";

/// The boss of a fleet.
///
/// - `create-machine name`: a machine's management reference, its hob-server presence,
///   pending until the machine registers. Idempotent by name.
/// - `enrolment name`: the sturdyref by which the machine may register. Secret, single
///   use, good for nothing else.
/// - `get-machine name`: the management reference again.
/// - `list-machines`: name, state and identity of each.
/// - `bind machine name other-machine [other-name]`: registers on the machine, under
///   the name, what the other machine has bound.
pub(crate) struct Boss {
    node: Node,
    machines: Arc<BTreeMap<String, Machine>>,
}

/// What the boss knows of a machine.
#[derive(Clone)]
struct Machine {
    /// The hob-server presence.
    server: Ref,
    /// A cell with the machine's state and identity, near.
    record: Ref,
    enrolment: Sturdyref,
}

impl Boss {
    /// A boss without machines, whose enrolments name the node by its first netlayer.
    pub(crate) fn new(node: Node) -> Self {
        Self { node, machines: Arc::default() }
    }

    fn machine(&self, call: &Call, name: &str) -> Result<&Machine, Fault> {
        let machine = self.machines.get(name);
        machine.ok_or_else(|| call.fault(format_args!("there is no machine {name:?}")))
    }

    fn create(&self, turn: &mut Turn<'_>, name: String) -> Result<Reply, Fault> {
        if let Some(machine) = self.machines.get(&name) {
            return Ok(machine.server.clone().into());
        }
        let server = turn.spawn_shared(hob_server(&name, None));
        let record = turn.spawn(Cell::new(fields([("state", Value::symbol("pending"))])));
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|_| "no randomness to be had")?;
        let swiss = SwissNum::from_entropy(entropy);
        let enrolment = turn.spawn(Enrolment {
            node: self.node.clone(),
            machine: name.clone(),
            server: server.clone(),
            record: record.clone(),
            swiss: swiss.clone(),
        });
        let minted = self.node.mint_with(&enrolment, swiss);
        let enrolment = minted.map_err(|error| error.to_string())?;
        tracing::info!(target: LOG, "spawned a hob-server presence for {name}: pending");
        tracing::info!(
            target: LOG,
            "minted its enrolment sturdyref, for one registration: {}",
            enrolment.redacted()
        );
        let machine = Machine { server: server.clone(), record, enrolment };
        let mut next = Self { node: self.node.clone(), machines: self.machines.clone() };
        Arc::make_mut(&mut next.machines).insert(name, machine);
        Ok(Reply::become_with(next, server))
    }

    fn list(&self, turn: &mut Turn<'_>) -> Result<Value, Fault> {
        let machine = |(name, machine): (&String, &Machine)| {
            let record = turn.call(&machine.record, vec![Value::symbol("get")])?;
            let Value::Struct(mut record) = record else {
                return Err(Fault::from("the boss has lost a machine's record"));
            };
            record.insert(0, ("name".into(), name.as_str().into()));
            Ok(Value::Struct(record))
        };
        let machines: Result<Vec<_>, _> = self.machines.iter().map(machine).collect();
        Ok(Value::List(machines?))
    }

    /// Passes the promise of one machine's binding on to another machine, without
    /// waiting for it.
    fn bind(&self, turn: &mut Turn<'_>, mut call: Call) -> Result<Value, Fault> {
        let Name(to) = call.required("machine")?;
        let Name(name) = call.required("name")?;
        let Name(from) = call.required("other-machine")?;
        let other = call.optional("other-name")?;
        let other = other.map_or_else(|| name.clone(), |Name(other)| other);
        let (source, target) = (self.machine(&call, &from)?, self.machine(&call, &to)?);
        call.end()?;
        let found =
            turn.send(&source.server, vec![Value::symbol("get-binding"), other.as_str().into()]);
        let registered = turn.send(
            &target.server,
            vec![Value::symbol("register-binding"), name.as_str().into(), found.into()],
        );
        tracing::info!(
            target: LOG,
            "asked {from} for its {other}, and registered the promise of it on {to} \
             as {name} in the same turn, before any answer"
        );
        Ok(registered.into())
    }
}

impl Behaviour for Boss {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("boss", args)?;
        match method.as_str() {
            "create-machine" => {
                let Name(name) = call.required("name")?;
                if name.is_empty() {
                    return Err(call.fault("the name is empty"));
                }
                call.end()?;
                self.create(turn, name)
            }
            "enrolment" => {
                let Name(name) = call.required("name")?;
                let enrolment = self.machine(&call, &name)?.enrolment.clone();
                call.end()?;
                Ok(Value::from(enrolment).into())
            }
            "get-machine" => {
                let Name(name) = call.required("name")?;
                let server = self.machine(&call, &name)?.server.clone();
                call.end()?;
                Ok(server.into())
            }
            "list-machines" => {
                call.end()?;
                Ok(self.list(turn)?.into())
            }
            "bind" => Ok(self.bind(turn, call)?.into()),
            _ => Err(unknown("boss", &method, METHODS)),
        }
    }
}
