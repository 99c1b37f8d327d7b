//! The admin object: what the owner of a node may do with it. Its sturdyref is in the
//! state directory's `admin.cap`; the command line holds no other power over a node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use ocapn::persist::{RestoreError, Store};
use ocapn::{
    Args, Behaviour, Fault, Proof, Ref, Reply, SessionInfo, Sturdyref, SwissDigest, Turn, Value,
};

use crate::commands::state::{Form, write};
use crate::fleet::{Fleet, fields};
use crate::kinds::{Call, Kind, Name, unknown};

const METHODS: &str = "export name kind [transport], object name, revoke name, exports, \
                       doctor, save form path, where, sessions";

/// A node's admin object.
///
/// - `export name kind [transport]`: makes an object of the kind, and a sturdyref for
///   it by the node's first netlayer or that of the transport. Asked again for the same
///   name and kind, the same sturdyref; after a restart one more for the same object.
/// - `object name`: the object itself.
/// - `revoke name`: takes the sturdyrefs back. Whether there were any.
/// - `exports`: the name and kind of each.
/// - `doctor`: in what state the node's store is, as text.
/// - `save form path`: writes what is durable to a new file, as a `copy` or as `text`.
/// - `where`: the node's locators.
/// - `sessions`: who the node is connected to, how much went each way, what waits on
///   either side, and how full the tables are.
pub(crate) struct Admin {
    fleet: Fleet,
    exports: Arc<BTreeMap<String, Export>>,
}

#[derive(Clone)]
struct Export {
    kind: Kind,
    object: Ref,
    /// Of all its sturdyrefs, also those of former processes: secrets are not stored.
    digests: Vec<SwissDigest>,
    /// Those of this process by transport; the empty one is the node's first.
    minted: BTreeMap<String, Sturdyref>,
}

impl Export {
    fn portray(&self) -> Value {
        let digests = self.digests.iter();
        let digests = digests.map(|digest| Value::Bytes(digest.as_bytes().to_vec().into()));
        let kind = Value::symbol(self.kind.name());
        Value::List(vec![kind, (&self.object).into(), Value::List(digests.collect())])
    }

    fn restore(portrait: Value) -> Option<Self> {
        let Value::List(fields) = portrait else { return None };
        let [Value::Symbol(kind), Value::Ref(object), Value::List(digests)] =
            <[Value; 3]>::try_from(fields).ok()?
        else {
            return None;
        };
        let digest = |digest| match digest {
            Value::Bytes(digest) => Some(SwissDigest::from_bytes((&*digest).try_into().ok()?)),
            _ => None,
        };
        let digests = digests.into_iter().map(digest).collect::<Option<_>>()?;
        Some(Self { kind: Kind::named(&kind)?, object, digests, minted: BTreeMap::new() })
    }
}

impl Admin {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self { fleet, exports: Arc::default() }
    }

    /// The exports by name. What an admin object does things with is not part of it.
    pub(crate) fn portray(&self) -> Value {
        let exports = self.exports.iter();
        Value::Struct(exports.map(|(name, export)| (name.into(), export.portray())).collect())
    }

    pub(crate) fn restore(fleet: Fleet, portrait: Value) -> Result<Self, RestoreError> {
        let no_export = || RestoreError::new("an admin object has exports, by name");
        let Value::Struct(exports) = portrait else { return Err(no_export()) };
        let exports = exports
            .into_iter()
            .map(|(name, export)| Some((name.as_str().to_owned(), Export::restore(export)?)));
        let exports = exports.collect::<Option<_>>().ok_or_else(no_export)?;
        Ok(Self { fleet, exports: Arc::new(exports) })
    }

    fn next(&self) -> Self {
        Self { fleet: self.fleet.clone(), exports: self.exports.clone() }
    }

    fn export(&self, turn: &mut Turn<'_>, mut call: Call) -> Result<Reply, Fault> {
        let Name(name) = call.required("name")?;
        let Name(kind) = call.required("kind")?;
        let transport = call.optional("transport")?;
        let transport = transport.map_or_else(String::new, |Name(transport)| transport);
        if name.is_empty() {
            return Err(call.fault("the name is empty"));
        }
        let kind = Kind::named(&kind)
            .ok_or_else(|| call.fault(format_args!("there is no kind {kind:?}")))?;
        let mut export = match self.exports.get(&name) {
            Some(export) if export.kind == kind => export.clone(),
            Some(export) => {
                let other = export.kind.name();
                return Err(call.fault(format_args!(
                    "{name:?} is exported already, as a kind of its own: {other}"
                )));
            }
            None => Export {
                kind,
                object: kind.spawn(turn, self.fleet.client())?,
                digests: Vec::new(),
                minted: BTreeMap::new(),
            },
        };
        call.end()?;
        if let Some(sturdyref) = export.minted.get(&transport) {
            return Ok(Value::from(sturdyref.clone()).into());
        }
        let minted = if transport.is_empty() {
            self.fleet.node.mint(&export.object)
        } else {
            self.fleet.node.mint_for(&export.object, &transport)
        };
        let sturdyref = minted.map_err(|error| error.to_string())?;
        tracing::info!("exported {name} ({}): {}", kind.name(), sturdyref.redacted());
        export.digests.push(SwissDigest::of(sturdyref.swiss.as_bytes()));
        export.minted.insert(transport, sturdyref.clone());
        let mut next = self.next();
        Arc::make_mut(&mut next.exports).insert(name, export);
        Ok(Reply::become_with(next, sturdyref))
    }

    /// Does something with the node's store on a thread of its own, since it takes time.
    fn aside<F>(&self, turn: &mut Turn<'_>, work: F) -> Value
    where
        F: FnOnce(&Store) -> anyhow::Result<Value> + Send + 'static,
    {
        let (promise, resolver) = turn.promise();
        let store = self.fleet.node.store().cloned();
        thread::spawn(move || {
            let done = store.context("the node has no store").and_then(|store| work(&store));
            resolver.resolve(done.map_err(|error| format!("{error:#}").into()));
        });
        promise.into()
    }

    fn revoke(&self, name: &str) -> Reply {
        let mut next = self.next();
        let Some(export) = Arc::make_mut(&mut next.exports).remove(name) else {
            return false.into();
        };
        for digest in &export.digests {
            self.fleet.node.revoke_digest(digest);
        }
        tracing::info!("revoked {name}");
        Reply::become_with(next, true)
    }
}

impl Behaviour for Admin {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("admin", args)?;
        match method.as_str() {
            "export" => self.export(turn, call),
            "object" => {
                let Name(name) = call.required("name")?;
                let export = self.exports.get(&name);
                let export = export
                    .ok_or_else(|| call.fault(format_args!("nothing is exported as {name:?}")))?;
                call.end()?;
                Ok(export.object.clone().into())
            }
            "revoke" => {
                let Name(name) = call.required("name")?;
                call.end()?;
                Ok(self.revoke(&name))
            }
            "exports" => {
                call.end()?;
                let entry = |(name, export): (&String, &Export)| {
                    fields([
                        ("name", name.as_str().into()),
                        ("kind", Value::symbol(export.kind.name())),
                    ])
                };
                Ok(Value::List(self.exports.iter().map(entry).collect()).into())
            }
            "doctor" => {
                call.end()?;
                Ok(self.aside(turn, |store| Ok(store.doctor()?.to_string().into())).into())
            }
            "save" => {
                let Name(form) = call.required("form")?;
                let Name(path) = call.required("path")?;
                call.end()?;
                let form = Form::named(&form).ok_or("a store is saved as copy or text")?;
                let save = move |store: &Store| {
                    write(&*store.view()?, form, Path::new(&path)).map(|()| Value::Undefined)
                };
                Ok(self.aside(turn, save).into())
            }
            "where" => {
                call.end()?;
                let locations = self.fleet.node.locations().into_iter();
                let uris = locations.map(|location| location.to_string().into());
                Ok(Value::List(uris.collect()).into())
            }
            "sessions" => {
                call.end()?;
                let sessions = self.fleet.node.sessions();
                Ok(Value::List(sessions.iter().map(describe).collect()).into())
            }
            _ => Err(unknown("admin", &method, METHODS)),
        }
    }
}

fn describe(session: &SessionInfo) -> Value {
    let (traffic, tables) = (&session.traffic, &session.tables);
    fields([
        ("number", session.number.into()),
        ("transport", session.peer.transport.as_str().into()),
        ("peer", session.peer.designator.as_str().into()),
        ("verified", (session.proof == Proof::Netlayer).into()),
        ("standing-in", (session.standing_in as u64).into()),
        ("messages-in", traffic.messages_in.into()),
        ("messages-out", traffic.messages_out.into()),
        ("bytes-in", traffic.bytes_in.into()),
        ("bytes-out", traffic.bytes_out.into()),
        ("queued-bytes", (session.queued_bytes as u64).into()),
        ("waiting-bytes", (session.waiting_bytes as u64).into()),
        ("parked-bytes", (session.parked_bytes as u64).into()),
        ("paced", session.paced.into()),
        ("exports", (tables.exports as u64).into()),
        ("imports", (tables.imports as u64).into()),
        ("questions", (tables.questions as u64).into()),
        ("answers", (tables.answers as u64).into()),
    ])
}
