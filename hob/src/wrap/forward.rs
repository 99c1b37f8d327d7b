//! A port or socket on this machine that leads to a capability.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Fault, Ref, Reply, Resolver, Turn, Value};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::socket::{Address, Listener, Socket};
use super::stream::{self, Broken, Counts};
use super::{LOG, Wrap, after_turn, lock, new_id, parts};
use crate::fleet::fields;
use crate::kinds::{Call, unknown};

const METHODS: &str = "start, resume, stop, status";

/// How long `connect` may stay unanswered before the program is turned away.
const CONNECT: Duration = Duration::from_secs(30);

/// How long to wait before an address is tried again that could not be listened on; twice
/// as long each time.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// How long not to accept for if the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Listens on a port or socket, and connects whoever connects there by a capability.
///
/// - `start`: listens. The answer is the address, when it does so; it breaks if the address
///   can't be had, which is tried again all the same until `stop`.
/// - `resume`: `start`, unless it was stopped: for when a process begins.
/// - `stop`: listens no more, also after restarts, and cuts what there is.
/// - `status`: `name`, `listen`, `state` (`listening`, `waiting` for the address or
///   `stopped`), `address`, how many connections were `accepted`, are `open` or `failed`,
///   bytes `sent` and `received`, and `last-error`.
pub(crate) struct Forward {
    wrap: Wrap,
    id: String,
    name: String,
    listen: Address,
    target: Ref,
    connections: usize,
    stopped: bool,
}

impl Forward {
    /// How many connections there may be at a time, unless it is told otherwise. Further
    /// ones wait to be accepted.
    pub(crate) const CONNECTIONS: usize = 256;

    /// A forward to the object, which understands `connect`. It does nothing before
    /// `start`.
    pub(crate) fn new(
        wrap: &Wrap,
        name: &str,
        listen: Address,
        target: Ref,
        connections: usize,
    ) -> Result<Self, Fault> {
        let (wrap, id, name) = (wrap.clone(), new_id()?, name.to_owned());
        Ok(Self { wrap, id, name, listen, target, connections, stopped: true })
    }

    pub(super) fn portray(&self) -> Value {
        Value::List(vec![
            self.id.as_str().into(),
            self.name.as_str().into(),
            self.listen.to_string().into(),
            (&self.target).into(),
            (self.connections as u64).into(),
            self.stopped.into(),
        ])
    }

    pub(super) fn restore(wrap: Wrap, portrait: Value) -> Result<Self, RestoreError> {
        let [
            Value::String(id),
            Value::String(name),
            Value::String(listen),
            Value::Ref(target),
            connections,
            Value::Bool(stopped),
        ] = parts("forward", portrait)?
        else {
            return Err(RestoreError::new("a forward has an id, name, address and target"));
        };
        let connections = connections.as_int().and_then(|number| number.try_into().ok());
        let connections = connections.ok_or_else(|| RestoreError::new("a number is a number"))?;
        let listen = listen.parse().map_err(|error| RestoreError::new(format!("{error}")))?;
        let (id, name) = (id.into(), name.into());
        Ok(Self { wrap, id, name, listen, target, connections, stopped })
    }

    fn with(&self, stopped: bool) -> Self {
        Self {
            wrap: self.wrap.clone(),
            id: self.id.clone(),
            name: self.name.clone(),
            listen: self.listen.clone(),
            target: self.target.clone(),
            connections: self.connections,
            stopped,
        }
    }

    fn start(&self, turn: &mut Turn<'_>) -> Reply {
        let (answer, resolver) = turn.promise();
        let task = Task {
            wrap: self.wrap.clone(),
            name: self.name.clone(),
            listen: self.listen.clone(),
            target: self.target.clone(),
            connections: self.connections,
            listening: Arc::default(),
        };
        let id = self.id.clone();
        after_turn(turn, move || {
            let wrap = task.wrap.clone();
            let mut forwards = lock(&wrap.0.forwards);
            if let Some(there) = forwards.get(&id).cloned() {
                drop(forwards);
                return there.tell(resolver);
            }
            let listening = task.listening.clone();
            lock(&listening.state).waits.push(resolver);
            let handle = wrap.0.runtime.spawn(task.run());
            lock(&listening.state).task = Some(handle);
            forwards.insert(id, listening);
        });
        Reply::become_with(self.with(false), answer)
    }

    fn stop(&self, turn: &mut Turn<'_>) -> Reply {
        let (answer, resolver) = turn.promise();
        let (wrap, id) = (self.wrap.clone(), self.id.clone());
        after_turn(turn, move || {
            let there = lock(&wrap.0.forwards).remove(&id);
            wrap.0.runtime.spawn(async move {
                if let Some(there) = there {
                    there.end().await;
                }
                resolver.fulfill(());
            });
        });
        Reply::become_with(self.with(true), answer)
    }

    fn status(&self) -> Value {
        let there = lock(&self.wrap.0.forwards).get(&self.id).cloned();
        let there = there.unwrap_or_default();
        let state = lock(&there.state);
        let text = |text: Option<String>| text.map_or(Value::Undefined, Value::from);
        let name = match (&state.task, &state.address) {
            (None, _) => "stopped",
            (Some(_), Some(_)) => "listening",
            (Some(_), None) => "waiting",
        };
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed).into();
        fields([
            ("name", self.name.as_str().into()),
            ("listen", self.listen.to_string().into()),
            ("state", Value::symbol(name)),
            ("address", text(state.address.as_ref().map(ToString::to_string))),
            ("accepted", number(&there.accepted)),
            ("open", number(&there.open)),
            ("failed", number(&there.failed)),
            ("sent", number(&there.counts.sent)),
            ("received", number(&there.counts.received)),
            ("last-error", text(state.last_error.clone())),
        ])
    }
}

impl Behaviour for Forward {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, call) = Call::method("forward", args)?;
        match method.as_str() {
            "start" | "resume" | "stop" | "status" => call.end()?,
            _ => return Err(unknown("forward", &method, METHODS)),
        }
        Ok(match method.as_str() {
            "stop" => self.stop(turn),
            "status" => self.status().into(),
            "resume" if self.stopped => Value::Undefined.into(),
            _ => self.start(turn),
        })
    }
}

/// What is known of a forward that has been started in this process.
#[derive(Default)]
pub(super) struct Listening {
    state: Mutex<State>,
    accepted: AtomicU64,
    open: AtomicU64,
    failed: AtomicU64,
    counts: Counts,
}

#[derive(Default)]
struct State {
    task: Option<JoinHandle<()>>,
    /// Where it listens.
    address: Option<Address>,
    last_error: Option<String>,
    /// Who wants to know where it listens.
    waits: Vec<Resolver>,
}

impl Listening {
    /// Tells where it listens, or why it does not; as soon as that is known.
    fn tell(&self, resolver: Resolver) {
        let mut state = lock(&self.state);
        let outcome = match (&state.address, &state.last_error) {
            (Some(address), _) => Ok(address.to_string().into()),
            (None, Some(error)) => Err(error.as_str().into()),
            (None, None) => return state.waits.push(resolver),
        };
        drop(state);
        resolver.resolve(outcome);
    }

    /// It listens there, or can't for that reason.
    fn set(&self, outcome: Result<Address, String>) {
        let mut state = lock(&self.state);
        match outcome {
            Ok(address) => state.address = Some(address),
            Err(error) => state.last_error = Some(error),
        }
        let waits = std::mem::take(&mut state.waits);
        drop(state);
        waits.into_iter().for_each(|resolver| self.tell(resolver));
    }

    /// Cuts what there is, and frees the address.
    pub(super) async fn end(&self) {
        let task = lock(&self.state).task.take();
        if let Some(task) = task {
            task.abort();
            // It ends one way or the other.
            let _ended = task.await;
        }
    }

    fn fail(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        lock(&self.state).last_error = Some(why);
    }
}

/// What listens.
#[derive(Clone)]
struct Task {
    wrap: Wrap,
    name: String,
    listen: Address,
    target: Ref,
    connections: usize,
    listening: Arc<Listening>,
}

impl Task {
    async fn run(self) {
        let listener = self.bind().await;
        let room = Arc::new(Semaphore::new(self.connections.min(Semaphore::MAX_PERMITS)));
        // They end with this task.
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            // The semaphore is never closed.
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok(socket) => {
                    self.listening.accepted.fetch_add(1, Ordering::Relaxed);
                    let connection = self.clone().connection(socket);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(target: LOG, %error, "{} can't accept", self.name);
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
    }

    /// Listens, as soon as that can be done.
    async fn bind(&self) -> Listener {
        let mut again = AGAIN;
        loop {
            let listener = self.listen.listen().await;
            match listener.and_then(|listener| Ok((listener.address()?, listener))) {
                Ok((address, listener)) => {
                    tracing::info!(target: LOG, "{} listens on {address}", self.name);
                    self.listening.set(Ok(address));
                    return listener;
                }
                Err(error) => {
                    let why = format!("can't listen on {}: {error}", self.listen);
                    tracing::warn!(target: LOG, "{}: {why}", self.name);
                    self.listening.set(Err(why));
                }
            }
            tokio::time::sleep(again).await;
            again = (again * 2).min(AGAIN_AT_MOST);
        }
    }

    async fn connection(self, mut socket: Socket) {
        let open = Open::one_more(&self.listening.open);
        let (sink, inflow) = stream::sink(&self.wrap.0.vat, self.wrap.0.limits);
        let answer = self.target.send(vec![Value::symbol("connect"), sink.into()]);
        let connected = answer.settling();
        let refused = async {
            match tokio::time::timeout(CONNECT, connected).await {
                Ok(Ok(Value::Ref(_))) => std::future::pending().await,
                Ok(Ok(other)) => Broken::Refused(format!("connected to a {}", other.kind())),
                Ok(Err(fault)) => Broken::Refused(fault.to_string()),
                Err(_) => Broken::Cut("connect is not answered".to_owned()),
            }
        };
        let far = answer.clone().into_ref();
        let (limits, counts) = (self.wrap.0.limits, &self.listening.counts);
        let outcome = stream::run(&mut socket, inflow, far, limits, counts, refused).await;
        if let Err(broken) = outcome {
            let why = broken.to_string();
            tracing::warn!(target: LOG, "{}: {why}", self.name);
            self.listening.fail(why);
            if matches!(answer.outcome(), Some(Ok(_))) {
                socket.abort();
            }
        }
        drop(open);
    }
}

/// One connection that is open, until it is dropped.
struct Open<'o>(&'o AtomicU64);

impl<'o> Open<'o> {
    fn one_more(open: &'o AtomicU64) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
