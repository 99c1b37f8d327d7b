//! A boss and its machines on nodes of their own, in one process.

use ocapn::netlayers::LoopbackNetwork;
use ocapn::{Node, Ref, Sturdyref, Value, Vat};

use super::{Boss, Guestbook, HobClient};
use crate::kinds::Kind;
use crate::testing::{shown, values};

struct World {
    network: LoopbackNetwork,
    boss: Ref,
    _node: Node,
    _vat: Vat,
}

/// A machine that has registered.
struct Machine {
    hob: Ref,
    vat: Vat,
    _node: Node,
}

impl World {
    fn new() -> Self {
        let network = LoopbackNetwork::new();
        let node = node(&network, "boss");
        let vat = node.vat("boss");
        Self { network, boss: vat.spawn(Boss::new(node.clone())), _node: node, _vat: vat }
    }

    async fn boss(&self, args: &str) -> String {
        shown(self.boss.send(values(args)).await)
    }

    async fn enrolment(&self, name: &str) -> Sturdyref {
        self.boss.send(values(&format!("create-machine \"{name}\""))).await.unwrap();
        let enrolment = self.boss.send(values(&format!("enrolment \"{name}\""))).await;
        match enrolment {
            Ok(Value::Sturdyref(sturdyref)) => *sturdyref,
            other => panic!("{other:?}"),
        }
    }

    async fn machine(&self, name: &str) -> Machine {
        let enrolment = self.enrolment(name).await;
        let node = node(&self.network, name);
        let vat = node.vat("hob");
        let hob = vat.spawn(HobClient::default());
        let facet = node.resolve(&enrolment).await.unwrap();
        let registered = facet.send(vec![Value::symbol("register"), (&hob).into()]);
        assert_eq!(registered.await, Ok(Value::Undefined));
        Machine { hob, vat, _node: node }
    }
}

fn node(network: &LoopbackNetwork, name: &str) -> Node {
    let netlayer = network.netlayer(name).unwrap();
    Node::builder().netlayer(netlayer).start()
}

#[tokio::test]
async fn a_machine_is_pending_then_active() {
    let world = World::new();
    assert_eq!(world.boss("list-machines").await, "[]");
    assert_eq!(world.boss("create-machine \"db\"").await, "<'object>");
    assert_eq!(world.boss("list-machines").await, "[{\"name\": \"db\", \"state\": 'pending}]");
    let server = world.boss.send(values("get-machine \"db\""));
    let list = server.send(values("list-bindings")).await;
    assert_eq!(
        shown(list),
        "broken: hob-server list-bindings: db is pending: it has not registered yet"
    );
    let machine = world.machine("db").await;
    assert_eq!(
        world.boss("list-machines").await,
        "[{\"name\": \"db\", \"state\": 'active, \"identity\": \"db\"}]"
    );
    assert_eq!(shown(server.send(values("list-bindings")).await), "[]");
    assert_eq!(shown(server.send(values("register-binding \"x\" 5")).await), "<'void>");
    assert_eq!(shown(machine.hob.send(values("get-binding \"x\"")).await), "5");
    assert_eq!(shown(server.send(values("get-binding x")).await), "5");
    assert_eq!(shown(server.send(values("list-bindings")).await), "[\"x\"]");
    assert_eq!(
        shown(server.send(values("get-binding \"y\"")).await),
        "broken: hob-client get-binding: nothing is bound as \"y\""
    );
}

#[tokio::test]
async fn an_enrolment_is_good_for_one_registration_and_nothing_else() {
    let world = World::new();
    let enrolment = world.enrolment("db").await;
    let machine = node(&world.network, "machine");
    let facet = machine.resolve(&enrolment).await.unwrap();
    for wrong in ["list-bindings", "get-binding \"x\"", "register 5", "register"] {
        let answer = shown(facet.send(values(wrong)).await);
        assert!(answer.starts_with("broken: "), "{wrong}: {answer}");
    }
    let vat = machine.vat("hob");
    let client = vat.spawn(HobClient::default());
    let register = || facet.send(vec![Value::symbol("register"), (&client).into()]);
    assert_eq!(shown(register().await), "<'void>");
    assert_eq!(shown(register().await), "broken: this enrolment of db has been used");
    let server = world.boss.send(values("get-machine \"db\""));
    let again = server.send(vec![Value::symbol("register"), (&client).into()]);
    assert_eq!(shown(again.await), "broken: db has registered already");
    let error = machine.resolve(&enrolment).await.unwrap_err();
    assert!(matches!(error, ocapn::EnlivenError::NoSuchObject(_)), "{error}");
}

#[tokio::test]
async fn creating_a_machine_twice_gives_the_same_one() {
    let world = World::new();
    let one = world.enrolment("db").await;
    assert_eq!(world.enrolment("db").await, one);
    assert_eq!(
        world.boss("get-machine \"app\"").await,
        "broken: boss get-machine: there is no machine \"app\""
    );
    assert!(world.boss("create-machine \"\"").await.contains("empty"));
    assert!(world.boss("destroy-machine \"db\"").await.contains("no method destroy-machine"));
}

#[tokio::test]
async fn a_binding_goes_from_one_machine_to_another_before_it_is_known() {
    let world = World::new();
    let (db, app) = (world.machine("db").await, world.machine("app").await);
    let kv = db.vat.run(|turn| Kind::Kv.spawn(turn, None)).await.unwrap();
    let bind = |kv: &Ref| vec![Value::symbol("register-binding"), "db".into(), kv.into()];
    db.hob.send(bind(&kv)).await.unwrap();
    assert_eq!(world.boss("bind \"app\" \"db\" \"db\"").await, "<'void>");
    let guestbook = app.vat.spawn(Guestbook::new(app.hob.clone()));
    let answer = guestbook.send(values("sign \"hello\"")).await;
    assert_eq!(shown(answer), "\"hello\"");
    let found = app.hob.send(values("get-binding \"db\""));
    assert_eq!(shown(found.send(values("keys")).await), "[\"last-entry\"]");
    assert_eq!(shown(kv.send(values("get \"last-entry\"")).await), "\"hello\"");
    assert!(world.boss("bind \"app\" \"db\" \"web\"").await.contains("no machine"));
    // What is not bound is found out by whoever uses it.
    assert_eq!(world.boss("bind \"app\" \"db\" \"db\" \"cache\"").await, "<'void>");
    let answer = shown(guestbook.send(values("sign \"hello\"")).await);
    assert_eq!(answer, "broken: hob-client get-binding: nothing is bound as \"cache\"");
}
