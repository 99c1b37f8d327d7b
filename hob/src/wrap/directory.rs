//! The wrappers of a machine, by name: what makes them, and has them come up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value};

use super::{Address, Forward, LOG, PostgresService, PostgresSettings, SocketService, Wrap};
use crate::fleet::fields;
use crate::kinds::{Call, Name, unknown};

const METHODS: &str = "socket name address [connections], postgres name settings, \
                       forward name listen target, get name, list, remove name, start";

const KINDS: [&str; 3] = ["socket", "postgres", "forward"];

/// A machine's wrappers.
///
/// - `socket name address [connections]`: a [`SocketService`].
/// - `postgres name settings`: a [`PostgresService`]; the settings are a text in JSON.
/// - `forward name listen target`: a [`Forward`], started; where it listens.
/// - `get name`: the object itself.
/// - `list`: name and kind of each.
/// - `remove name`: takes back what it has granted or cuts what it forwards, and forgets
///   it. Whether it was there. If it breaks, it is there still, and may be removed again.
/// - `start`: for when a process begins: has forwards listen again, and databases put in
///   order. Answers at once; what goes wrong is logged.
///
/// A name that is taken is refused.
pub(crate) struct Wrappers {
    wrap: Wrap,
    entries: Arc<BTreeMap<String, Entry>>,
}

#[derive(Clone)]
struct Entry {
    kind: &'static str,
    object: Ref,
}

impl Wrappers {
    /// A machine without wrappers.
    pub(crate) fn new(wrap: &Wrap) -> Self {
        Self { wrap: wrap.clone(), entries: Arc::default() }
    }

    pub(super) fn portray(&self) -> Value {
        let entry = |(name, entry): (&String, &Entry)| {
            let value = vec![Value::symbol(entry.kind), (&entry.object).into()];
            (name.as_str().into(), Value::List(value))
        };
        Value::Struct(self.entries.iter().map(entry).collect())
    }

    pub(super) fn restore(wrap: Wrap, portrait: Value) -> Result<Self, RestoreError> {
        let wrong = || RestoreError::new("wrappers are kinds and objects, by name");
        let Value::Struct(entries) = portrait else { return Err(wrong()) };
        let entry = |value| match value {
            Value::List(parts) => match <[Value; 2]>::try_from(parts) {
                Ok([Value::Symbol(kind), Value::Ref(object)]) => {
                    let kind = KINDS.into_iter().find(|there| *there == kind)?;
                    Some(Entry { kind, object })
                }
                _ => None,
            },
            _ => None,
        };
        let entries = entries.into_iter();
        let entries = entries.map(|(name, value)| Some((name.to_string(), entry(value)?)));
        let entries = entries.collect::<Option<_>>().ok_or_else(wrong)?;
        Ok(Self { wrap, entries: Arc::new(entries) })
    }

    /// A name for something new.
    fn name(&self, call: &mut Call) -> Result<String, Fault> {
        let Name(name) = call.required("name")?;
        if name.is_empty() {
            return Err(call.fault("the name is empty"));
        }
        if let Some(there) = self.entries.get(&name) {
            return Err(call.fault(format_args!("{name:?} is there already, a {}", there.kind)));
        }
        Ok(name)
    }

    fn with(
        &self,
        name: String,
        kind: &'static str,
        object: &Ref,
        answer: impl Into<Value>,
    ) -> Reply {
        let mut entries = self.entries.clone();
        let entry = Entry { kind, object: object.clone() };
        Arc::make_mut(&mut entries).insert(name, entry);
        Reply::become_with(Self { wrap: self.wrap.clone(), entries }, answer)
    }

    fn socket(&self, turn: &mut Turn<'_>, mut call: Call) -> Result<Reply, Fault> {
        let name = self.name(&mut call)?;
        let address = address(&mut call, "address")?;
        let connections = match call.optional::<i64>("connections")? {
            None => SocketService::CONNECTIONS,
            Some(number) => usize::try_from(number)
                .map_err(|_| call.fault("connections are not less than none"))?,
        };
        call.end()?;
        let service = SocketService::spawn(turn, &self.wrap, address, connections)?;
        Ok(self.with(name, "socket", &service, &service))
    }

    fn postgres(&self, turn: &mut Turn<'_>, mut call: Call) -> Result<Reply, Fault> {
        let name = self.name(&mut call)?;
        let settings: String = call.required("settings")?;
        let settings: PostgresSettings =
            serde_json::from_str(&settings).map_err(|error| call.fault(error))?;
        call.end()?;
        let service = PostgresService::spawn(turn, &self.wrap, settings)?;
        Ok(self.with(name, "postgres", &service, &service))
    }

    fn forward(&self, turn: &mut Turn<'_>, mut call: Call) -> Result<Reply, Fault> {
        let name = self.name(&mut call)?;
        let listen = address(&mut call, "listen")?;
        let target: Ref = call.required("target")?;
        call.end()?;
        let forward = Forward::new(&self.wrap, &name, listen, target, Forward::CONNECTIONS)?;
        let forward = turn.spawn(forward);
        let listens = turn.call(&forward, vec![Value::symbol("start")])?;
        Ok(self.with(name, "forward", &forward, listens))
    }

    /// Has it stop, and then forgets it.
    fn remove(&self, turn: &mut Turn<'_>, name: String) -> Result<Reply, Fault> {
        let Some(entry) = self.entries.get(&name) else { return Ok(false.into()) };
        let stop = if entry.kind == "forward" { "stop" } else { "ungrant-all" };
        let stopped = turn.call(&entry.object, vec![Value::symbol(stop)])?;
        let (me, object) = (turn.me(), entry.object.clone());
        let removed = turn.on_promise(stopped, move |turn, stopped| {
            stopped?;
            turn.call(&me, vec![Value::symbol("forget"), name.into(), object.into()])
        });
        Ok(Value::from(removed).into())
    }

    fn start(&self, turn: &mut Turn<'_>) {
        for (name, entry) in self.entries.iter() {
            let start = match entry.kind {
                "forward" => "resume",
                "postgres" => "start",
                _ => continue,
            };
            let started = turn.send(&entry.object, vec![Value::symbol(start)]);
            let name = name.clone();
            turn.on(started, move |_turn, outcome| {
                if let Err(fault) = outcome {
                    tracing::warn!(target: LOG, "{name} did not start: {fault}");
                }
            });
        }
    }
}

fn address(call: &mut Call, name: &str) -> Result<Address, Fault> {
    let address: String = call.required(name)?;
    address.parse().map_err(|error| call.fault(error))
}

impl Behaviour for Wrappers {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("wrappers", args)?;
        match method.as_str() {
            "socket" => self.socket(turn, call),
            "postgres" => self.postgres(turn, call),
            "forward" => self.forward(turn, call),
            "get" => {
                let Name(name) = call.required("name")?;
                let entry = self.entries.get(&name);
                let entry =
                    entry.ok_or_else(|| call.fault(format_args!("there is no {name:?}")))?;
                call.end()?;
                Ok(entry.object.clone().into())
            }
            "list" => {
                call.end()?;
                let entry = |(name, entry): (&String, &Entry)| {
                    fields([("name", name.as_str().into()), ("kind", Value::symbol(entry.kind))])
                };
                Ok(Value::List(self.entries.iter().map(entry).collect()).into())
            }
            "remove" => {
                let Name(name) = call.required("name")?;
                call.end()?;
                self.remove(turn, name)
            }
            // From `remove`, when nothing is left of it.
            "forget" => {
                let Name(name) = call.required("name")?;
                let object: Ref = call.required("object")?;
                call.end()?;
                if self.entries.get(&name).is_none_or(|entry| entry.object != object) {
                    return Ok(false.into());
                }
                let mut entries = self.entries.clone();
                Arc::make_mut(&mut entries).remove(&name);
                Ok(Reply::become_with(Self { wrap: self.wrap.clone(), entries }, true))
            }
            "start" => {
                call.end()?;
                self.start(turn);
                Ok(Value::Undefined.into())
            }
            _ => Err(unknown("wrappers", &method, METHODS)),
        }
    }
}
