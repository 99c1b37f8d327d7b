//! Bindings that require a service, with a shepherd that is made up.

use std::collections::BTreeMap;

use ocapn::{Fault, IntoValue as _, Promise, Ref, Resolver, Turn, Value, object, promise};

use super::{Machine, Place, World};
use crate::fleet::membership::Membership;
use crate::kinds::Kind;
use crate::services::{Event, Phase, ShepherdRef, Status, WriterRef, not_found};
use crate::testing::{shown, values};

/// Services that are as the test says.
#[derive(Clone, Default)]
struct MadeUp {
    phases: BTreeMap<String, Phase>,
    watchers: Vec<WriterRef>,
    /// What those who start something wait for, if they are to wait.
    patience: Option<Promise>,
    /// Why nothing can be started.
    refusal: Option<String>,
}

impl MadeUp {
    fn status(&self, name: &str) -> Result<Status, Fault> {
        let state = self.phases.get(name).copied();
        let state = state.ok_or_else(|| not_found(&format!("service '{name}' is not there")))?;
        Ok(Status::new(name.to_owned(), state, 0))
    }
}

#[object]
impl MadeUp {
    #[method]
    fn watch(&mut self, watcher: WriterRef, _after: Option<u64>) -> u64 {
        self.watchers.push(watcher);
        0
    }

    #[method]
    fn statuses(&self) -> Result<Vec<Status>, Fault> {
        self.phases.keys().map(|name| self.status(name)).collect()
    }

    #[method]
    fn brief(&self, name: String) -> Result<Status, Fault> {
        self.status(&name)
    }

    #[method]
    fn start(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        _writer: Option<WriterRef>,
    ) -> Result<Value, Fault> {
        self.status(&name)?;
        if let Some(why) = &self.refusal {
            return Err(why.as_str().into());
        }
        let me = turn.me();
        let now = vec![Value::symbol("become"), name.into(), Phase::Running.into_value()];
        match self.patience.clone() {
            None => Ok(turn.send(&me, now).into()),
            Some(patience) => {
                let later =
                    turn.on_promise(patience, move |turn, _| Ok(turn.send(&me, now).into()));
                Ok(later.into())
            }
        }
    }

    /// A service is otherwise.
    #[method(name = "become")]
    fn turn_into(&mut self, turn: &mut Turn<'_>, name: String, phase: Phase) -> bool {
        self.phases.insert(name.clone(), phase);
        for watcher in &self.watchers {
            let state = phase.name().to_owned();
            let event = Event { number: 1, at: 0, service: name.clone(), state, detail: None };
            watcher.send_only(turn).happened(event);
        }
        true
    }

    /// Nothing can be started any more, for a reason; or it can again.
    #[method]
    fn refuse(&mut self, why: Option<String>) {
        self.refusal = why;
    }

    /// Answers its first argument.
    #[method]
    fn echo(&self, value: Value) -> Value {
        value
    }
}

/// Gives a machine a shepherd, with a service `pg` that is stopped.
async fn tend(place: &Place, made_up: MadeUp) -> Ref {
    let live = place.node.vat("live");
    let phases = BTreeMap::from([("pg".to_owned(), Phase::Stopped)]);
    let shepherd = live.spawn(MadeUp { phases, ..made_up });
    let typed = ShepherdRef::from_ref(shepherd.clone());
    place.fleet.tend(&typed, &shepherd, &live).await.unwrap();
    shepherd
}

/// Has a service be so, and waits until it is known.
async fn is(place: &Place, shepherd: &Ref, phase: Phase) {
    let message = vec![Value::symbol("become"), "pg".into(), phase.into_value()];
    shepherd.send(message).await.unwrap();
    while place.fleet.standing.all()["pg"] != phase.name() {
        tokio::task::yield_now().await;
    }
}

async fn two(world: &World, made_up: MadeUp) -> (Machine, Machine, Ref) {
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    let shepherd = tend(&db.place, made_up).await;
    db.offers("db", Kind::Kv).await;
    (db, app, shepherd)
}

const BIND: &str = "bind \"app\" \"db\" \"db\" \"db\" \"count(9)\" \"pg\"";

/// What the app's machine says of the binding.
async fn unavailable(app: &Machine, wanted: &str) {
    let wanted = format!("\"unavailable\": {wanted}");
    while !app.hob("bindings").await.contains(&wanted) {
        tokio::task::yield_now().await;
    }
}

async fn available(app: &Machine) {
    while app.hob("bindings").await.contains("unavailable: db") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_requires_a_service_starts_it_and_can_be_used_while_it_runs() {
    let world = World::new();
    let (db, app, shepherd) = two(&world, MadeUp::default()).await;
    assert_eq!(world.boss(BIND).await, "<'void>");
    assert_eq!(db.place.fleet.standing.all()["pg"], "running");
    assert_eq!(app.bound("db", "set a 1").await, "<'void>");
    is(&db.place, &shepherd, Phase::Stopped).await;
    let why = "unavailable: db's pg is stopped";
    assert_eq!(app.bound("db", "get a").await, format!("broken: {why}"));
    unavailable(&app, &format!("\"{why}\"")).await;
    // Who has stopped it is not overruled by what is done again and again.
    world.boss("reconnect \"app\"").await;
    assert_eq!(world.boss(BIND).await, "<'void>");
    assert_eq!(db.place.fleet.standing.all()["pg"], "stopped");
    is(&db.place, &shepherd, Phase::Failed).await;
    unavailable(&app, "\"unavailable: db's pg has failed\"").await;
    is(&db.place, &shepherd, Phase::Running).await;
    assert_eq!(app.bound("db", "get a").await, "1");
    available(&app).await;
    // Both ends come back, and know what they need.
    let db = db.restart(&world.network, "db").await;
    let none = app.bound("db", "get a").await;
    assert_eq!(none, "broken: unavailable: db's pg is not there");
    let shepherd = tend(&db.place, MadeUp::default()).await;
    let app = app.restart(&world.network, "app").await;
    app.hob("attend-all").await;
    unavailable(&app, &format!("\"{why}\"")).await;
    is(&db.place, &shepherd, Phase::Running).await;
    available(&app).await;
    assert_eq!(app.bound("db", "get a").await, "1");
    // What is taken back is gone, whatever runs.
    world.boss("unbind \"app\" \"db\"").await;
    while db.hob("grants").await != "[]" {
        world.boss("reconnect \"db\"").await;
    }
}

#[tokio::test]
async fn a_service_that_can_not_be_started_is_said_to_be_why_and_is_tried_again() {
    let world = World::new();
    let (_db, app, shepherd) = two(&world, MadeUp::default()).await;
    shepherd.send(values("refuse \"service pg is disabled\"")).await.unwrap();
    let answer = world.boss(BIND).await;
    let why = "unavailable: db's pg could not be started: service pg is disabled";
    assert_eq!(answer, format!("broken: {why}"));
    assert!(world.boss("show \"app\"").await.contains(why));
    assert_eq!(app.hob("list-bindings").await, "[]");
    shepherd.send(values("refuse")).await.unwrap();
    while app.hob("list-bindings").await != "[\"db\"]" {
        world.boss("reconnect \"app\"").await;
    }
    assert_eq!(app.bound("db", "keys").await, "[]");
    let none = world.boss("bind \"app\" \"x\" \"db\" \"db\" \"\" \"mysql\"").await;
    assert!(none.contains("db's mysql could not be started"), "{none}");
}

#[tokio::test]
async fn what_is_taken_back_while_its_service_starts_is_never_given() {
    let world = World::new();
    let (patience, started): (Promise, Resolver) = promise();
    let (db, app, _) = two(&world, MadeUp { patience: Some(patience), ..MadeUp::default() }).await;
    let binding = world.boss.send(values(BIND));
    world.boss("unbind \"app\" \"db\"").await;
    while !world.audit().await.contains("has been taken back") {
        world.boss("reconnect \"db\"").await;
    }
    started.fulfill(true);
    let answer = shown(binding.await);
    assert!(answer.contains("it has been taken back"), "{answer}");
    assert_eq!(db.hob("grants").await, "[]");
    assert_eq!(app.hob("list-bindings").await, "[]");
}

#[tokio::test]
async fn the_boss_stands_between_an_operator_and_services() {
    let world = World::new();
    let server = world.boss.send(values("create-machine \"db\""));
    let pending = shown(server.send(values("services")).send(values("statuses")).await);
    assert_eq!(pending, "broken: db is pending: it has not registered yet");
    let db = world.machine("db").await;
    let services = server.send(values("services"));
    let none = shown(services.send(values("statuses")).await);
    assert_eq!(none, "broken: hob sees to no services here");
    let shepherd = tend(&db.place, MadeUp::default()).await;
    let status = shown(services.send(values("brief \"pg\"")).await);
    assert!(status.contains("'stopped"), "{status}");
    // What is passed is not what comes out, and does the same.
    let own = db.offers("own", Kind::Echo).await;
    let Value::Ref(echoed) =
        services.send(vec![Value::symbol("echo"), (&own).into()]).await.unwrap()
    else {
        panic!("no reference")
    };
    assert_ne!(echoed, own);
    assert_eq!(shown(echoed.send(values("1 2")).await), "[1 2]");
    drop(shepherd);
    // A machine that comes back is found again, by who has had its services before.
    let db = db.restart(&world.network, "db").await;
    tend(&db.place, MadeUp::default()).await;
    assert!(Membership::known(&db.place.fleet, &db.place.vat).unwrap().is_some());
    let status = shown(services.send(values("brief \"pg\"")).await);
    assert!(status.contains("'stopped"), "{status}");
    world.boss("quarantine \"db\"").await;
    let cut = shown(services.send(values("brief \"pg\"")).await);
    assert!(cut.starts_with("broken: db is pending"), "{cut}");
}
