//! The admin object: what the owner of a node may do with it. Its sturdyref is in the
//! state directory's `admin.cap`; the command line holds no other power over a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::{Args, Behaviour, Fault, Node, Proof, Ref, Reply, SessionInfo, Sturdyref, Turn, Value};

use crate::fleet::fields;
use crate::kinds::{Call, Kind, Name, unknown};

const METHODS: &str =
    "export name kind [transport], object name, revoke name, exports, where, sessions";

/// A node's admin object.
///
/// - `export name kind [transport]`: makes an object of the kind, and a sturdyref for
///   it by the node's first netlayer or that of the transport. Asked again for the same
///   name and kind, the same sturdyref.
/// - `object name`: the object itself.
/// - `revoke name`: takes the sturdyrefs back. Whether there were any.
/// - `exports`: the name and kind of each.
/// - `where`: the node's locators.
/// - `sessions`: who the node is connected to, and how much went each way.
pub(crate) struct Admin {
    node: Node,
    /// The machine's hob-client presence, near, if this node is a machine's.
    bindings: Option<Ref>,
    exports: Arc<BTreeMap<String, Export>>,
}

#[derive(Clone)]
struct Export {
    kind: Kind,
    object: Ref,
    /// By transport; the empty one is the node's first.
    minted: BTreeMap<String, Sturdyref>,
}

impl Admin {
    pub(crate) fn new(node: Node, bindings: Option<Ref>) -> Self {
        Self { node, bindings, exports: Arc::default() }
    }

    fn next(&self) -> Self {
        Self {
            node: self.node.clone(),
            bindings: self.bindings.clone(),
            exports: self.exports.clone(),
        }
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
                object: kind.spawn(turn, self.bindings.as_ref())?,
                minted: BTreeMap::new(),
            },
        };
        call.end()?;
        if let Some(sturdyref) = export.minted.get(&transport) {
            return Ok(Value::from(sturdyref.clone()).into());
        }
        let minted = if transport.is_empty() {
            self.node.mint(&export.object)
        } else {
            self.node.mint_for(&export.object, &transport)
        };
        let sturdyref = minted.map_err(|error| error.to_string())?;
        tracing::info!("exported {name} ({}): {}", kind.name(), sturdyref.redacted());
        export.minted.insert(transport, sturdyref.clone());
        let mut next = self.next();
        Arc::make_mut(&mut next.exports).insert(name, export);
        Ok(Reply::become_with(next, sturdyref))
    }

    fn revoke(&self, name: &str) -> Reply {
        let mut next = self.next();
        let Some(export) = Arc::make_mut(&mut next.exports).remove(name) else {
            return false.into();
        };
        for sturdyref in export.minted.values() {
            self.node.revoke(&sturdyref.swiss);
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
            "where" => {
                call.end()?;
                let locations = self.node.locations().into_iter();
                let uris = locations.map(|location| location.to_string().into());
                Ok(Value::List(uris.collect()).into())
            }
            "sessions" => {
                call.end()?;
                let sessions = self.node.sessions();
                Ok(Value::List(sessions.iter().map(describe).collect()).into())
            }
            _ => Err(unknown("admin", &method, METHODS)),
        }
    }
}

fn describe(session: &SessionInfo) -> Value {
    let traffic = &session.traffic;
    fields([
        ("transport", session.peer.transport.as_str().into()),
        ("peer", session.peer.designator.as_str().into()),
        ("verified", (session.proof == Proof::Netlayer).into()),
        ("standing-in", (session.standing_in as u64).into()),
        ("messages-in", traffic.messages_in.into()),
        ("messages-out", traffic.messages_out.into()),
        ("bytes-in", traffic.bytes_in.into()),
        ("bytes-out", traffic.bytes_out.into()),
    ])
}
