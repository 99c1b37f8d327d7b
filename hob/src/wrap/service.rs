//! A socket as a capability.

use std::time::Duration;

use ocapn::actors::Kv;
use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Fault, Ref, Reply, Resolver, Turn, Value};

use super::granted::Granted;
use super::live::{Admission, REVOKED};
use super::socket::Address;
use super::stream::{self, Counts};
use super::{LOG, Wrap, after_turn, new_id, parts};
use crate::fleet::fields;
use crate::kinds::{Call, Name, unknown};

const METHODS: &str = "connect sink, grant id [rules], ungrant id, ungrant-all, describe";

/// How long a connection to the socket may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// A TCP or Unix socket that can be connected to.
///
/// - `connect sink`: a connection, see the parent module.
/// - `grant id [rules]`: an object with `connect` alone, whose connections `ungrant id`
///   cuts. It knows no rules. `ungrant-all` is for all of them.
/// - `describe`: where the socket is, and how many connections there are.
pub(crate) struct SocketService {
    wrap: Wrap,
    id: String,
    address: Address,
    /// How many connections there may be at a time.
    connections: usize,
    /// What is granted: a near [`Kv`], by id.
    ledger: Ref,
}

impl SocketService {
    /// How many connections a service has at a time, unless it is told otherwise.
    pub(crate) const CONNECTIONS: usize = 256;

    /// A service for the socket at that address. Whether somebody listens there shows
    /// when it is used.
    pub(crate) fn spawn(
        turn: &mut Turn<'_>,
        wrap: &Wrap,
        address: Address,
        connections: usize,
    ) -> Result<Ref, Fault> {
        let (id, ledger) = (new_id()?, turn.spawn(Kv::new()));
        Ok(turn.spawn(Self { wrap: wrap.clone(), id, address, connections, ledger }))
    }

    pub(super) fn portray(&self) -> Value {
        let connections = Value::from(self.connections as u64);
        let address = self.address.to_string();
        Value::List(vec![
            self.id.as_str().into(),
            address.into(),
            connections,
            (&self.ledger).into(),
        ])
    }

    pub(super) fn restore(wrap: Wrap, portrait: Value) -> Result<Self, RestoreError> {
        let [Value::String(id), Value::String(address), connections, Value::Ref(ledger)] =
            parts("socket", portrait)?
        else {
            return Err(RestoreError::new("a socket has an id, address, number and ledger"));
        };
        let connections = connections.as_int().and_then(|number| number.try_into().ok());
        let connections = connections.ok_or_else(|| RestoreError::new("a number is a number"))?;
        let address = address.parse().map_err(|error| RestoreError::new(format!("{error}")))?;
        Ok(Self { wrap, id: id.into(), address, connections, ledger })
    }

    fn connect(&self, turn: &mut Turn<'_>, sink: Ref, grant: Option<&str>) -> Result<Reply, Fault> {
        let admission = self.wrap.live(&self.id, self.connections).admit(grant)?;
        let (answer, resolver) = turn.promise();
        let (wrap, address) = (self.wrap.clone(), self.address.clone());
        after_turn(turn, move || {
            let runtime = wrap.0.runtime.clone();
            runtime.spawn(serve(wrap, address, sink, resolver, admission));
        });
        Ok(answer.into())
    }
}

/// One connection, from its making to its end.
async fn serve(
    wrap: Wrap,
    address: Address,
    far: Ref,
    connected: Resolver,
    mut admission: Admission,
) {
    let socket = tokio::select! {
        why = admission.cut() => return connected.break_with(why.to_string()),
        socket = tokio::time::timeout(CONNECT, address.connect()) => socket,
    };
    let mut socket = match socket {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            tracing::warn!(target: LOG, %error, "can't connect to {address}");
            return connected.break_with(format!("can't connect: {}", error.kind()));
        }
        Err(_) => {
            tracing::warn!(target: LOG, "{address} takes too long to connect to");
            return connected.break_with("can't connect: it takes too long");
        }
    };
    let (sink, inflow) = stream::sink(&wrap.0.vat, wrap.0.limits);
    connected.fulfill(sink);
    let counts = Counts::default();
    let cut = admission.cut();
    let outcome = stream::run(&mut socket, inflow, far, wrap.0.limits, &counts, cut).await;
    if let Err(broken) = outcome {
        tracing::debug!(target: LOG, %broken, "a connection to {address}");
        socket.abort();
    }
}

impl Behaviour for SocketService {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("socket", args)?;
        match method.as_str() {
            "connect" => {
                let sink: Ref = call.required("sink")?;
                call.end()?;
                self.connect(turn, sink, None)
            }
            "connect-as" => {
                let Name(id) = call.required("id")?;
                let sink: Ref = call.required("sink")?;
                call.end()?;
                let granted = vec![Value::symbol("get"), id.as_str().into()];
                turn.call(&self.ledger, granted).map_err(|_| REVOKED)?;
                self.connect(turn, sink, Some(&id))
            }
            "grant" => {
                let Name(id) = call.required("id")?;
                let rules: Option<Value> = call.optional("rules")?;
                if rules.is_some_and(|rules| rules != Value::List(Vec::new())) {
                    return Err(call.fault("a socket keeps no rules"));
                }
                call.end()?;
                let granted = vec![Value::symbol("set"), id.as_str().into(), true.into()];
                turn.call(&self.ledger, granted)?;
                let me = turn.me();
                Ok(turn.spawn(Granted::new(me, id)).into())
            }
            "ungrant" => {
                let Name(id) = call.required("id")?;
                call.end()?;
                turn.call(&self.ledger, vec![Value::symbol("delete"), id.as_str().into()])?;
                let live = self.wrap.live(&self.id, self.connections);
                after_turn(turn, move || live.cut(&id));
                Ok(Value::Undefined.into())
            }
            "ungrant-all" => {
                call.end()?;
                let ids = turn.call(&self.ledger, vec![Value::symbol("keys")])?;
                let Value::List(ids) = ids else { return Err("the ledger is lost".into()) };
                for id in ids {
                    turn.call(&self.ledger, vec![Value::symbol("delete"), id])?;
                }
                let live = self.wrap.live(&self.id, self.connections);
                after_turn(turn, move || live.cut_all());
                Ok(Value::Undefined.into())
            }
            "describe" => {
                call.end()?;
                let live = self.wrap.live(&self.id, self.connections);
                Ok(fields([
                    ("kind", "socket".into()),
                    ("address", self.address.to_string().into()),
                    ("open", (live.open() as u64).into()),
                    ("connections", (self.connections as u64).into()),
                ])
                .into())
            }
            _ => Err(unknown("socket", &method, METHODS)),
        }
    }
}
