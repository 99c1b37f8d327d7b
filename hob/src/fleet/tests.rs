//! A boss and its machines on nodes of their own, with stores, in one process.

mod services;

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::{Memory, Store};
use ocapn::{Node, Ref, Sturdyref, Value, Vat};

use super::membership::Membership;
use super::{Boss, Fleet, Settings};
use crate::kinds::{self, Kind};
use crate::providers::FleetId;
use crate::testing::{shown, values};

/// A node with a store, as a process would have it.
struct Place {
    node: Node,
    vat: Vat,
    fleet: Fleet,
    store: Store,
}

impl Place {
    fn start(network: &LoopbackNetwork, name: &str, disk: &Memory) -> Self {
        let store = Store::open(disk.clone()).unwrap();
        let netlayer = network.netlayer(name).unwrap();
        let node = Node::builder().netlayer(netlayer).start_durable(&store).unwrap();
        let fleet = Fleet::new(node.clone(), Settings::default());
        let vat = node.open_vat("node", &kinds::environment(&fleet).unwrap()).unwrap();
        Self { node, vat, fleet, store }
    }

    async fn stop(self) {
        self.node.shutdown().await;
        self.vat.stop();
        self.store.close().unwrap();
    }

    fn boss(&self) -> Ref {
        let audit = self.vat.root_or_spawn("audit", || self.fleet.audit()).unwrap();
        let id = FleetId::random().unwrap();
        self.vat.root_or_spawn("boss", || Boss::new(self.fleet.clone(), &id, audit)).unwrap()
    }
}

struct World {
    network: LoopbackNetwork,
    disk: Memory,
    place: Place,
    boss: Ref,
}

/// A machine that has registered.
struct Machine {
    hob: Ref,
    place: Place,
    disk: Memory,
}

impl World {
    fn new() -> Self {
        let (network, disk) = (LoopbackNetwork::new(), Memory::default());
        let place = Place::start(&network, "boss", &disk);
        let boss = place.boss();
        Self { network, disk, place, boss }
    }

    async fn restart(self) -> Self {
        let Self { network, disk, place, .. } = self;
        place.stop().await;
        let place = Place::start(&network, "boss", &disk);
        let boss = place.boss();
        Self { network, disk, place, boss }
    }

    async fn boss(&self, args: &str) -> String {
        shown(self.boss.send(values(args)).await)
    }

    async fn enrolment(&self, name: &str) -> Sturdyref {
        self.boss.send(values(&format!("create-machine \"{name}\""))).await.unwrap();
        let enrolment = self.boss.send(values(&format!("token \"{name}\""))).await;
        match enrolment {
            Ok(Value::Sturdyref(sturdyref)) => *sturdyref,
            other => panic!("{other:?}"),
        }
    }

    async fn machine(&self, name: &str) -> Machine {
        let enrolment = self.enrolment(name).await;
        let disk = Memory::default();
        let place = Place::start(&self.network, name, &disk);
        let joined = Membership::register(&place.fleet, &place.vat, &enrolment).await.unwrap();
        drop(joined);
        let hob = Membership::client(&place.fleet, &place.vat).unwrap();
        // So that what the boss decides from now on goes to it.
        self.boss(&format!("reconnect \"{name}\"")).await;
        Machine { hob, place, disk }
    }

    async fn state(&self, name: &str) -> String {
        let shown = self.boss.send(values(&format!("show \"{name}\""))).await.unwrap();
        let Value::Struct(fields) = shown else { panic!("{shown:?}") };
        let state = fields.iter().find(|(name, _)| name == "state").unwrap();
        state.1.as_symbol().unwrap().to_owned()
    }

    async fn audit(&self) -> String {
        self.boss("events").await
    }
}

impl Machine {
    async fn hob(&self, args: &str) -> String {
        shown(self.hob.send(values(args)).await)
    }

    async fn offers(&self, name: &str, kind: Kind) -> Ref {
        let made = self.place.vat.run(move |turn| kind.spawn(turn, None)).await.unwrap();
        let args = vec![Value::symbol("register-binding"), name.into(), (&made).into()];
        self.hob.send(args).await.unwrap();
        made
    }

    async fn bound(&self, name: &str, args: &str) -> String {
        let found = self.hob.send(values(&format!("get-binding \"{name}\"")));
        shown(found.send(values(args)).await)
    }

    async fn restart(self, network: &LoopbackNetwork, name: &str) -> Self {
        let Self { place, disk, .. } = self;
        place.stop().await;
        let place = Place::start(network, name, &disk);
        assert!(Membership::known(&place.fleet, &place.vat).unwrap().is_some());
        let hob = Membership::client(&place.fleet, &place.vat).unwrap();
        Self { hob, place, disk }
    }
}

#[tokio::test]
async fn a_machine_is_pending_then_active() {
    let world = World::new();
    assert_eq!(world.boss("list-machines").await, "[]");
    assert_eq!(world.boss("create-machine \"db\"").await, "<'object>");
    assert_eq!(world.state("db").await, "pending");
    let server = world.boss.send(values("get-machine \"db\""));
    let list = server.send(values("list-bindings")).await;
    assert_eq!(shown(list), "broken: db is pending: it has not registered yet");
    let machine = world.machine("db").await;
    assert_eq!(world.state("db").await, "active");
    assert_eq!(shown(server.send(values("list-bindings")).await), "[]");
    assert_eq!(shown(server.send(values("register-binding \"x\" 5")).await), "<'void>");
    assert_eq!(machine.hob("get-binding \"x\"").await, "5");
    assert_eq!(shown(server.send(values("get-binding x")).await), "5");
    assert_eq!(shown(server.send(values("list-bindings")).await), "[\"x\"]");
    assert_eq!(
        shown(server.send(values("get-binding \"y\"")).await),
        "broken: nothing is bound as \"y\""
    );
}

#[tokio::test]
async fn an_enrolment_is_good_for_one_identity_and_nothing_else() {
    let world = World::new();
    let enrolment = world.enrolment("db").await;
    let machine = Place::start(&world.network, "db", &Memory::default());
    let facet = machine.node.resolve(&enrolment).await.unwrap();
    for wrong in ["list-bindings", "get-binding \"x\"", "register 5", "register"] {
        let answer = shown(facet.send(values(wrong)).await);
        assert!(answer.starts_with("broken: "), "{wrong}: {answer}");
    }
    // Somebody else's presence is not its to register.
    let thief = Place::start(&world.network, "thief", &Memory::default());
    let stolen = thief.node.resolve(&enrolment).await.unwrap();
    let own = Membership::client(&machine.fleet, &machine.vat).unwrap();
    let theirs = Membership::client(&thief.fleet, &thief.vat).unwrap();
    let register = |facet: &Ref, client: &Ref, sturdyref: &Sturdyref| {
        facet.send(vec![Value::symbol("register"), client.into(), sturdyref.clone().into()])
    };
    let own_sturdyref = machine.node.mint(&own).unwrap();
    let answer = shown(register(&stolen, &theirs, &own_sturdyref).await);
    assert!(answer.contains("thief tried enrolment"), "{answer}");
    // The machine itself, twice: it may not have heard the answer.
    let first = register(&facet, &own, &own_sturdyref).await;
    assert!(matches!(first, Ok(Value::Sturdyref(_))), "{first:?}");
    assert_eq!(register(&facet, &own, &own_sturdyref).await, first);
    // The thief, too late.
    let answer = register(&stolen, &theirs, &thief.node.mint(&theirs).unwrap()).await;
    let answer = shown(answer);
    assert!(answer.contains("which db has used already"), "{answer}");
    let audit = world.audit().await;
    assert_eq!(audit.matches("refused").count(), 2, "{audit}");
    assert_eq!(audit.matches("registered with enrolment").count(), 1, "{audit}");
}

#[tokio::test]
async fn creating_a_machine_twice_gives_the_same_one() {
    let world = World::new();
    world.enrolment("db").await;
    world.enrolment("db").await;
    assert_eq!(world.boss("get-machine \"app\"").await, "broken: there is no machine \"app\"");
    for bad in ["\"\"", "\"Db\"", "\"a_b\"", "\"-a\""] {
        let answer = world.boss(&format!("create-machine {bad}")).await;
        assert!(answer.contains("no machine's name"), "{bad}: {answer}");
    }
    let other = world.boss("create-machine \"db\" \"manual\" {\"size\": 5}").await;
    assert!(other.contains("is there already"), "{other}");
    let none = world.boss("create-machine \"x\" \"moon\"").await;
    assert!(none.contains("no provider \"moon\""), "{none}");
}

#[tokio::test]
async fn a_binding_goes_to_another_machine_and_the_boss_may_then_be_off() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    let kv = db.offers("db", Kind::Kv).await;
    assert_eq!(world.boss("bind \"app\" \"db\" \"db\"").await, "<'void>");
    assert_eq!(app.bound("db", "set a 1").await, "<'void>");
    assert_eq!(shown(kv.send(values("get a")).await), "1");
    world.place.stop().await;
    assert_eq!(app.bound("db", "get a").await, "1");
    // Both ends may be off and come back.
    let app = app.restart(&world.network, "app").await;
    assert_eq!(app.bound("db", "get a").await, "1");
    let _db = db.restart(&world.network, "db").await;
    assert_eq!(app.bound("db", "get a").await, "1");
}

#[tokio::test]
async fn rules_hold_where_the_object_lives_and_what_is_taken_back_is_gone() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    let kv = db.offers("db", Kind::Kv).await;
    kv.send(values("set a 1")).await.unwrap();
    let bind = "bind \"app\" \"db\" \"db\" \"db\" \"read-only | count(2)\"";
    assert_eq!(world.boss(bind).await, "<'void>");
    assert!(app.bound("db", "set a 2").await.starts_with("broken: "));
    assert_eq!(app.bound("db", "get a").await, "1");
    assert_eq!(app.bound("db", "get a").await, "1");
    let last = app.bound("db", "get a").await;
    assert!(last.contains("used up"), "{last}");
    // Other rules are another grant.
    let found = app.hob.send(values("get-binding \"db\"")).await.unwrap();
    assert_eq!(world.boss("bind \"app\" \"db\" \"db\"").await, "<'void>");
    assert_eq!(app.bound("db", "set a 2").await, "<'void>");
    let Value::Ref(former) = found else { panic!("{found:?}") };
    let answer = shown(former.send(values("get a")).await);
    assert!(answer.contains("revoked"), "{answer}");
    // And gone.
    let Value::Ref(held) = app.hob.send(values("get-binding \"db\"")).await.unwrap() else {
        panic!("no reference")
    };
    let revoked = world.boss("unbind \"app\" \"db\"").await;
    assert!(revoked.contains("app's db, which was db:db"), "{revoked}");
    while world.audit().await.matches("has been taken back").count() < 2 {
        tokio::task::yield_now().await;
    }
    let answer = shown(held.send(values("get a")).await);
    assert!(answer.contains("revoked"), "{answer}");
    assert_eq!(app.hob("list-bindings").await, "[]");
    assert_eq!(db.hob("grants").await, "[]");
}

#[tokio::test]
async fn a_boss_that_is_restarted_remembers() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    db.offers("db", Kind::Kv).await;
    world.boss("bind \"app\" \"db\" \"db\"").await;
    let before = (world.boss("list-machines").await, world.audit().await);
    let world = world.restart().await;
    assert_eq!((world.boss("list-machines").await, world.audit().await), before);
    let server = world.boss.send(values("get-machine \"app\""));
    assert_eq!(shown(server.send(values("list-bindings")).await), "[\"db\"]");
    // A machine that is restarted is found again by a boss that was never told.
    let app = app.restart(&world.network, "app").await;
    assert_eq!(shown(server.send(values("list-bindings")).await), "[\"db\"]");
    drop(app);
}

#[tokio::test]
async fn a_machine_that_is_made_anew_has_a_new_key_and_the_old_one_is_nobody() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    app.offers("notes", Kind::Kv).await;
    world.boss("bind \"db\" \"notes\" \"app\"").await;
    // Reinstalled: another identity, and nothing of what it knew.
    let enrolment = world.enrolment("db").await;
    let anew = Place::start(&world.network, "db-anew", &Memory::default());
    Membership::register(&anew.fleet, &anew.vat, &enrolment).await.unwrap();
    let audit = world.audit().await;
    assert!(audit.contains("re-keyed"), "{audit}");
    world.boss("reconnect \"db\"").await;
    let hob = Membership::client(&anew.fleet, &anew.vat).unwrap();
    while shown(hob.send(values("list-bindings")).await) != "[\"notes\"]" {
        world.boss("reconnect \"db\"").await;
    }
    // The machine that was has no desk any more.
    let Some(Value::Ref(desk)) = db.place.vat.root_value("desk").unwrap() else {
        panic!("no desk")
    };
    let answer = shown(desk.send(values("desired")).await);
    assert!(answer.starts_with("broken: "), "{answer}");
}

#[tokio::test]
async fn quarantine_takes_back_and_release_gives_anew() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    db.offers("db", Kind::Kv).await;
    world.boss("bind \"app\" \"db\" \"db\"").await;
    assert_eq!(app.bound("db", "keys").await, "[]");
    let answer = world.boss("quarantine \"app\" \"looks odd\"").await;
    assert!(answer.contains("app's db:db"), "{answer}");
    assert_eq!(world.state("app").await, "quarantined");
    while !world.audit().await.contains("has been taken back") {
        tokio::task::yield_now().await;
    }
    let cut = app.bound("db", "keys").await;
    assert!(cut.contains("revoked"), "{cut}");
    world.boss("release \"app\"").await;
    world.boss("reconnect \"app\"").await;
    while app.bound("db", "keys").await != "[]" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_taken_back_of_a_graph_stays_away_until_it_is_applied_again() {
    let world = World::new();
    let (_db, app) = (world.machine("db").await, world.machine("app").await);
    let graph = "[machines.db]\nexisting = true\noffers.db.kind = \"kv\"\n\
                 [machines.app]\nexisting = true\n[bindings]\napp.db = \"db.db\"\n";
    let directory = crate::desired::graph::Directory("/".into());
    let graph = crate::desired::graph::Graph::parse(graph, &directory, &Default::default());
    let graph = graph.unwrap().to_value();
    let apply = || world.boss.send(vec![Value::symbol("apply"), graph.clone()]);
    // What a boss's process does over and over.
    let bound = async |wanted: &str| {
        while app.hob("list-bindings").await != wanted {
            for again in ["follow-graph", "reconnect \"db\"", "reconnect \"app\""] {
                world.boss(again).await;
            }
        }
    };
    apply().await.unwrap();
    bound("[\"db\"]").await;
    while !world.audit().await.contains("is live") {
        tokio::task::yield_now().await;
    }
    world.boss("unbind \"app\" \"db\"").await;
    bound("[]").await;
    world.boss("follow-graph").await;
    world.boss("reconnect \"app\"").await;
    assert_eq!(
        shown(world.boss.send(values("get-machine \"app\"")).send(values("list-bindings")).await),
        "[]"
    );
    assert_eq!(world.audit().await.matches("is live").count(), 1);
    apply().await.unwrap();
    bound("[\"db\"]").await;
}

#[tokio::test]
async fn what_is_destroyed_of_a_graph_is_left_alone_while_it_goes() {
    let world = World::new();
    let directory = crate::desired::graph::Directory("/".into());
    let graph = "[machines.app]\nprovider = \"manual\"\n";
    let graph = crate::desired::graph::Graph::parse(graph, &directory, &Default::default());
    let graph = graph.unwrap().to_value();
    world.boss.send(vec![Value::symbol("apply"), graph]).await.unwrap();
    world.boss("destroy-machine \"app\"").await;
    let before = world.audit().await;
    assert_eq!(world.boss("follow-graph").await, "<'void>");
    assert_eq!((world.state("app").await.as_str(), world.audit().await), ("leaving", before));
}
