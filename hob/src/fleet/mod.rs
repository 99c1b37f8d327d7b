//! The fleet: a boss, and for each machine a pair of presences.
//!
//! A machine is one thing that is present in two places (the unum pattern): its
//! *hob-server presence* lives beside the boss and stands for the machine there, its
//! *hob-client presence* lives on the machine and owns the machine's bindings, the
//! names under which programs there find services.
//!
//! ```text
//!   boss's process                                  machine's process
//!   boss ── machines ── hob-server presence ──┐
//!             │                               ├─────> hob-client presence ── bindings
//!          machine's record ──────────────────┘          │          └─ grants
//!             ^        ^ register, once                   │
//!             │     enrolment <── sturdyref ── (enlivened by the machine)
//!             └─ desk <── reports, desired state ─────────┘
//! ```
//!
//! All of them are durable. What has to be done outside of the vats, such as having a
//! provider make a machine, is done by tasks that look at what is durable and do what is
//! missing ([`reconcile`]), so that a process may be killed at any moment.

mod agent;
mod audit;
mod boss;
mod dealings;
mod desk;
mod enrolment;
mod gate;
mod grant;
mod graph;
mod guestbook;
mod hob_client;
mod hob_server;
mod machine;
pub(crate) mod membership;
mod names;
mod presence;
pub(crate) mod reconcile;
mod record;
mod relay;
mod revival;
mod rules;
mod shown;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use audit::{Entry, Page};
pub(crate) use boss::{Boss, BossRef};
pub(crate) use guestbook::Guestbook;
pub(crate) use hob_client::{HobClient, ShownBinding};
pub(crate) use names::Service;
pub(crate) use record::{Binding, State};
pub(crate) use rules::Rules;
pub(crate) use shown::{Revoked, Shown, ShownToken};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocapn::actors::{UnixClock, after_turn};
use ocapn::persist::{Environment, EnvironmentError, StoreError};
use ocapn::{
    Behaviour, Clock, ErrorValue, Fault, FromValue, IntoValue, Lasting, LastingLimits, Node,
    Promise, Ref, Resolver, RestoreError, SessionInfo, Sturdyref, Turn, Value, Vat, promise,
};
use tokio::sync::Notify;

use audit::{Audit, Listeners, Segment};
use desk::Desk;
pub(crate) use desk::Report;
use enrolment::Enrolment;
use gate::{Gate, Vigil};
use grant::Grant;
use hob_server::HobServer;
use machine::Machine;
use names::Current;
use standing::{Standing, Tended};

use crate::wrap::{self, StreamLimits, Wrap, Wrappers};

/// The target of the log lines that tell what happens in the fleet.
pub(crate) const LOG: &str = "fleet";

/// The provider of machines that are there already and enrol by hand.
pub(crate) const MANUAL: &str = "manual";

/// How many may wait for a name to change.
const WATCHERS: usize = 1024;

/// What the boss is told when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Who makes machines if nobody is named.
    pub(crate) default_provider: String,
    /// The names of all providers.
    pub(crate) providers: Vec<String>,
    /// How long enrolments are good for.
    pub(crate) enrol_ttl: Duration,
    /// How often everything is looked at, if nothing happens.
    pub(crate) reconcile: Duration,
    /// How long a machine may say nothing until its provider is asked to start it again.
    pub(crate) revive_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_provider: MANUAL.to_owned(),
            providers: Vec::new(),
            enrol_ttl: Duration::from_secs(15 * 60),
            reconcile: Duration::from_secs(60),
            revive_after: Duration::from_secs(120),
        }
    }
}

/// What the actors of a fleet do things with. Belongs to the process, and is in no
/// portrait.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) node: Node,
    /// The time since 1970.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<Settings>,
    /// What wrappers of services do their work with.
    wrap: Wrap,
    /// What there is on this machine, if it is one.
    machine: Arc<OnceLock<Machinery>>,
    wake: Arc<Notify>,
    listeners: Listeners,
    watchers: Arc<Mutex<HashMap<String, Vec<Resolver>>>>,
    health: Arc<Mutex<BTreeMap<String, (u64, Report)>>>,
    /// Who sees to this machine's services, if somebody does, and how they are.
    tended: Arc<OnceLock<Tended>>,
    standing: Arc<Standing>,
    /// Where what ends with the process lives.
    live: Vat,
}

/// The objects of a machine.
pub(crate) struct Machinery {
    /// Its hob-client presence.
    pub(crate) client: Ref,
    /// What makes its sockets and databases capabilities.
    pub(crate) wrappers: Ref,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    pub(crate) fn new(node: Node, settings: Settings) -> Self {
        Self {
            clock: UnixClock::new(node.clock()),
            wrap: Wrap::new(&node, StreamLimits::default()),
            live: node.vat("relays"),
            node,
            settings: Arc::new(settings),
            machine: Arc::default(),
            wake: Arc::default(),
            listeners: Listeners::default(),
            watchers: Arc::default(),
            health: Arc::default(),
            tended: Arc::default(),
            standing: Arc::default(),
        }
    }

    /// The hob-client presence of this machine, if it is one.
    pub(crate) fn client(&self) -> Option<&Ref> {
        self.machine.get().map(|machine| &machine.client)
    }

    /// The wrappers of this machine, if it is one.
    fn wrappers(&self) -> Result<&Ref, Fault> {
        let machine = self.machine.get();
        Ok(machine.map(|machine| &machine.wrappers).ok_or("this is no machine of a fleet")?)
    }

    /// Makes this a machine: with its objects, or those that it had before.
    ///
    /// # Errors
    ///
    /// If the vat has no store.
    pub(crate) fn machinery(&self, vat: &Vat) -> Result<&Machinery, StoreError> {
        if let Some(there) = self.machine.get() {
            return Ok(there);
        }
        let client = vat.root_or_spawn("hob", || HobClient::new(self.clone()))?;
        let wrappers = vat.root_or_spawn("wrappers", || Wrappers::new(&self.wrap))?;
        Ok(self.machine.get_or_init(|| Machinery { client, wrappers }))
    }

    /// Has the process's tasks look at what is to be done, once the turn holds.
    fn wake_after(&self, turn: &mut Turn<'_>) {
        let wake = self.wake.clone();
        after_turn(turn, move || wake.notify_one());
    }

    /// Lets go of what is outside: ports and sockets that programs use.
    pub(crate) async fn end(&self) {
        self.wrap.end().await;
    }

    /// Waits until there may be something to be done.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The audit log of a new boss.
    pub(crate) fn audit(&self) -> impl Behaviour + use<> {
        Audit { log: audit::Log::default(), listeners: self.listeners.clone() }
    }

    fn mint(&self, object: Ref) -> Result<Sturdyref, Fault> {
        self.node.mint(&object).map_err(|error| error.to_string().into())
    }

    fn mint_until(&self, object: Ref, expires: Moment) -> Result<Sturdyref, Fault> {
        let expires = UNIX_EPOCH + Duration::from_millis(expires.0);
        self.node.mint_until(&object, expires).map_err(|error| error.to_string().into())
    }

    /// An actor that stands for what the sturdyref names, and finds it again.
    fn lasting(&self, turn: &mut Turn<'_>, sturdyref: Sturdyref) -> Ref {
        turn.spawn(Lasting::new(&self.node, sturdyref))
    }

    /// The same, for what is to be kept in touch with whether or not it is used.
    fn kept_up(&self, turn: &mut Turn<'_>, sturdyref: Sturdyref) -> Ref {
        turn.spawn(Lasting::new(&self.node, sturdyref).keep_up())
    }

    fn seen(&self, machine: &str, at: Moment, report: Report) {
        lock(&self.health).insert(machine.to_owned(), (at.0, report));
    }

    fn health(&self, machine: &str) -> Option<(u64, Report)> {
        lock(&self.health).get(machine).cloned()
    }

    /// A service of a machine runs, whatever that has said last.
    fn runs(&self, machine: &str, service: &str) {
        if let Some((_, report)) = lock(&self.health).get_mut(machine) {
            report.services.insert(service.to_owned(), "running".to_owned());
        }
    }

    fn forget(&self, machine: &str) {
        lock(&self.health).remove(machine);
    }

    fn changed_after(&self, turn: &mut Turn<'_>, name: &str) {
        let (watchers, name) = (self.watchers.clone(), name.to_owned());
        after_turn(turn, move || {
            let waiting = lock(&watchers).remove(&name);
            for resolver in waiting.into_iter().flatten() {
                resolver.fulfill(Value::Undefined);
            }
        });
    }

    fn when_changed(&self, name: &str) -> Result<Promise, Fault> {
        let mut watchers = lock(&self.watchers);
        if watchers.values().map(Vec::len).sum::<usize>() >= WATCHERS {
            return Err("too many watch already".into());
        }
        let (promise, resolver) = promise();
        watchers.entry(name.to_owned()).or_default().push(resolver);
        Ok(promise)
    }

    /// What of a fleet can be stored.
    pub(crate) fn environment(&self) -> Result<Environment, EnvironmentError> {
        let mut kinds = Environment::new();
        kinds.kind::<Segment>("audit-segment")?.kind::<HobServer>("hob-server")?;
        kinds.kind::<Guestbook>("guestbook")?.kind::<Current>("current-binding")?;
        Lasting::kind(&mut kinds, "lasting", &self.node, &LastingLimits::default())?;
        let fleet = || self.clone();
        keep(
            &mut kinds,
            "boss",
            |boss: &Boss| &boss.books,
            fleet(),
            |fleet, books| Boss { fleet, books },
        )?;
        keep(
            &mut kinds,
            "machine",
            |machine: &Machine| &machine.kept,
            fleet(),
            |fleet, kept| Machine { fleet, kept },
        )?;
        keep(
            &mut kinds,
            "enrolment",
            |enrolment: &Enrolment| &enrolment.kept,
            fleet(),
            |fleet, kept| Enrolment { fleet, kept },
        )?;
        keep(
            &mut kinds,
            "desk",
            |desk: &Desk| &desk.machine,
            fleet(),
            |fleet, machine| Desk { fleet, machine },
        )?;
        keep(
            &mut kinds,
            "audit",
            |audit: &Audit| &audit.log,
            fleet(),
            |fleet, log| Audit { log, listeners: fleet.listeners },
        )?;
        keep(
            &mut kinds,
            "hob-client",
            |client: &HobClient| &client.names,
            fleet(),
            |fleet, names| HobClient { fleet, names },
        )?;
        keep(
            &mut kinds,
            "grant",
            |grant: &Grant| &grant.kept,
            fleet(),
            |fleet, kept| Grant { fleet, kept },
        )?;
        keep(
            &mut kinds,
            "gate",
            |gate: &Gate| &gate.kept,
            fleet(),
            |fleet, kept| Gate { fleet, kept },
        )?;
        keep(
            &mut kinds,
            "vigil",
            |vigil: &Vigil| &vigil.kept,
            fleet(),
            |fleet, kept| Vigil { fleet, kept },
        )?;
        kinds.extend("wrap", &wrap::environment(&self.wrap)?)?;
        Ok(kinds)
    }
}

/// A kind that is stored as a part of it, and needs the fleet besides.
fn keep<B: Behaviour, K: IntoValue + FromValue + Clone + 'static>(
    kinds: &mut Environment,
    name: &str,
    kept: fn(&B) -> &K,
    fleet: Fleet,
    make: fn(Fleet, K) -> B,
) -> Result<(), EnvironmentError> {
    let portray = move |behaviour: &B| kept(behaviour).clone().into_value();
    let restore = move |portrait| {
        let kept = K::from_value(portrait).map_err(|wrong| RestoreError::new(wrong.to_string()))?;
        Ok(make(fleet.clone(), kept))
    };
    kinds.kind_with(name, 1, portray, restore)?;
    Ok(())
}

/// A time of day, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis() as u64)
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_millis() as u64))
    }

    pub(crate) const fn millis(self) -> u64 {
        self.0
    }
}

/// A fault that says that what was named is not there, in a form that programs can tell.
fn not_found(text: String) -> Fault {
    let fields = vec![Value::symbol("not-found")];
    Value::Error(Box::new(ErrorValue { message: text.into(), fields, label: None })).into()
}

/// An id that nobody guesses or has had before.
fn random_id() -> Result<String, Fault> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| "no randomness to be had")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A machine's spec as JSON: a struct, or text that is JSON already.
fn spec_json(spec: Option<Value>) -> Result<String, Fault> {
    let json = match spec {
        None | Some(Value::Undefined) => serde_json::Value::Object(serde_json::Map::new()),
        Some(Value::String(text)) => {
            serde_json::from_str(&text).map_err(|error| format!("the spec is no JSON: {error}"))?
        }
        Some(value) => crate::notation::json::to_json(&value, true),
    };
    if !json.is_object() {
        return Err("a spec is a struct".into());
    }
    Ok(json.to_string())
}

/// Enough of a designator to tell two peers apart.
pub(crate) fn short(designator: &str) -> String {
    let mut text: String = designator.chars().take(8).collect();
    if text.len() < designator.len() {
        text.push('…');
    }
    text
}

/// Who a peer is: its designator, if it has proven it, or on a netlayer for testing.
fn identity_of(session: Option<&SessionInfo>) -> Option<String> {
    let session = session.filter(|session| session.proof.is_good())?;
    Some(session.peer.designator.clone())
}

/// A struct from names and values.
pub(crate) fn fields<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Struct(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
