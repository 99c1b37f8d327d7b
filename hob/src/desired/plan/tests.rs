//! Tests of plans: what they say, and that they lead to where the graph is.

mod random;

use super::*;
use crate::desired::graph::{Directory, Graph};
use crate::desired::limits::Limits;

fn graph(text: &str) -> Graph {
    Graph::parse(text, &Directory("/nowhere".into()), &Limits::default()).unwrap()
}

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

const SHOP: &str = r#"
[machines.db-machine]
provider = "ssh"
offers.db.postgres = { database = "shop" }
state.packages = ["postgresql"]
[machines.app]
offers.half.binding = "db"
[machines.edge]
[bindings]
app.db = "db-machine.db | read-only"
edge.db = "app.half"
"#;

/// The fleet after a plan for the graph.
fn made(graph: &Graph) -> Actual {
    let mut actual = Actual::default();
    let plan = plan(graph, &actual, &Options::default());
    plan.steps.iter().for_each(|step| actual.apply(&step.action));
    actual
}

fn lines(graph: &Graph, actual: &Actual) -> Vec<String> {
    let plan = plan(graph, actual, &Options::default());
    format!("{plan:#}").lines().map(str::to_owned).collect()
}

#[test]
fn from_nothing() {
    let graph = graph(SHOP);
    assert_eq!(
        lines(&graph, &Actual::default()),
        [
            "+ create     app            (is not there yet)",
            "+ create     db-machine     by ssh  (is not there yet)",
            "+ create     edge           (is not there yet)",
            "~ state      db-machine     (1 packages, files and services)",
            "+ offer      db-machine.db  postgres shop  (is not offered yet)",
            "+ bind       app.db         db-machine.db | read-only  (is not bound yet)",
            "+ offer      app.half       binding db  (is not offered yet)",
            "+ bind       edge.db        app.half  (is not bound yet)",
            "+3 create  +2 offer  +2 bind  ~1 state",
        ]
    );
    assert_eq!(lines(&graph, &made(&graph)), ["nothing to do"]);
}

#[test]
fn what_is_made_from_something_that_changes_is_bound_anew() {
    let actual = made(&graph(SHOP));
    let changed = graph(&SHOP.replace("| read-only", "| read-only | rate(10/s)"));
    assert_eq!(
        lines(&changed, &actual),
        [
            "~ attenuate  app.db   db-machine.db | read-only | rate(10/s)  (was under read-only)",
            "~ rebind     edge.db  app.half  (app.half is made anew)",
            "~1 attenuate  ~1 rebind",
        ]
    );
    let changed = graph(&SHOP.replace("\"shop\"", "\"mart\""));
    assert_eq!(
        lines(&changed, &actual),
        [
            "~ offer      db-machine.db  postgres mart  (was postgres shop)",
            "~ rebind     app.db         db-machine.db | read-only  (db-machine.db is made anew)",
            "~ rebind     edge.db        app.half  (app.half is made anew)",
            "~1 offer  ~2 rebind",
        ]
    );
}

#[test]
fn what_the_graph_made_and_no_longer_has_goes() {
    let actual = made(&graph(SHOP));
    let smaller = graph("[machines.app]\n[machines.edge]");
    assert_eq!(
        lines(&smaller, &actual),
        [
            "- revoke     edge.db        app.half  (is no longer in the graph)",
            "- revoke     app.db         db-machine.db  (is no longer in the graph)",
            "- withdraw   app.half       (is no longer in the graph)",
            "- withdraw   db-machine.db  (is no longer in the graph)",
            "! note       db-machine     is no longer in the graph: kept as it is; \
             --prune-machines destroys it",
            "-2 revoke  -2 withdraw",
        ]
    );
    let options = Options { prune_machines: true };
    let plan = plan(&smaller, &actual, &options);
    assert_eq!(plan.to_string(), "-2 revoke  -2 withdraw  -1 destroy");
    let last = plan.steps.last().unwrap();
    assert_eq!(last.action, Action::DestroyMachine { machine: "db-machine".parse().unwrap() });
}

#[test]
fn what_was_made_by_hand_is_left_alone() {
    let shop = graph(SHOP);
    let mut actual = made(&shop);
    let by_hand = ActualBinding {
        from: place("db-machine.db"),
        rules: Rules::default(),
        requires: None,
        owned: false,
        stale: false,
    };
    actual.bindings.insert(place("edge.mine"), by_hand.clone());
    actual.bindings.insert(place("app.db"), by_hand);
    assert_eq!(
        lines(&shop, &actual),
        [
            "! problem    app.db  is bound by hand to db-machine.db: left alone; unbind it first",
            "nothing to do",
        ]
    );
    let none = graph("");
    let plan = plan(&none, &actual, &Options { prune_machines: true });
    // All but what the two hang on: edge, app, db-machine and what that offers.
    assert_eq!(plan.to_string(), "-1 revoke  -1 withdraw");
    let kept: Vec<&str> = plan.notes.iter().map(|note| &note.about[..]).collect();
    assert_eq!(kept, ["app", "db-machine", "db-machine.db", "edge"]);
    assert_eq!(
        plan.notes[1].what,
        "is no longer in the graph: kept, since app.db is bound by hand"
    );
}

#[test]
fn machines_that_failed_or_are_shut_off() {
    let shop = graph(SHOP);
    let mut actual = made(&shop);
    actual.machines.get_mut("edge").unwrap().phase = Phase::Failed("no quota".into());
    actual.machines.get_mut("db-machine").unwrap().drift = 2;
    assert_eq!(
        lines(&shop, &actual),
        [
            "+ create     edge        (could not be made: no quota)",
            "! note       db-machine  has drifted in 2 places; it repairs that itself",
            "+1 create",
        ]
    );
    let mut actual = made(&shop);
    actual.machines.get_mut("db-machine").unwrap().phase = Phase::Quarantined;
    actual.bindings.remove(&place("app.db"));
    assert_eq!(
        lines(&shop, &actual),
        [
            "! problem    app.db      is not bound as the graph says: db-machine is in quarantine",
            "! note       db-machine  is in quarantine: nothing is given to it or taken from it",
            "nothing to do",
        ]
        .map(
            |line| line.replace("! note       db-machine  is in", "! problem    db-machine  is in")
        )
    );
}

#[test]
fn what_is_existing_must_be_there() {
    let text = "[machines.old]\nexisting = true\noffers.db.existing = true\n[machines.app]\n\
                [bindings]\napp.db = \"old.db\"";
    let graph = graph(text);
    let mut actual = made(&graph);
    assert!(actual.bindings.is_empty());
    let plan_now = plan(&graph, &actual, &Options::default());
    assert!(plan_now.is_empty() && !plan_now.is_complete());
    let mut old = actual.machines["app"].clone();
    old.owned = false;
    old.offers.insert("db".parse().unwrap(), ActualOffer { offer: Offer::Existing, owned: false });
    actual.machines.insert("old".parse().unwrap(), old);
    let plan = plan(&graph, &actual, &Options::default());
    assert_eq!(plan.to_string(), "+1 bind");
    assert!(plan.is_complete());
}

#[test]
fn plans_as_json() {
    let plan = plan(&graph(SHOP), &Actual::default(), &Options::default());
    let json = plan.to_json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["complete"], true);
    assert_eq!(json["summary"], "+3 create  +2 offer  +2 bind  ~1 state");
    let step = |index: usize| json["steps"][index].to_string();
    assert_eq!(
        step(1),
        "{\"action\":\"create-machine\",\"machine\":\"db-machine\",\"provider\":\"ssh\",\
         \"spec\":{},\"why\":\"is not there yet\"}"
    );
    assert_eq!(
        step(5),
        "{\"action\":\"bind\",\"to\":\"app.db\",\"from\":\"db-machine.db\",\"rules\":\"read-only\",\
         \"why\":\"is not bound yet\"}"
    );
    let offer = "{\"postgres\":{\"database\":\"shop\"}}";
    assert!(step(4).contains(offer), "{}", step(4));
}
