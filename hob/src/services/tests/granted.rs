//! Grants under a clock that the test moves.

use std::time::Duration;

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{FromValue as _, Node, Ref, Value};

use super::world::{Pasture, context};
use crate::services::grants::{Grant, Grants, GrantsRef};
use crate::services::refusal;

/// A shepherd that makes grants.
struct Office {
    pasture: Pasture,
    grants: GrantsRef,
    node: Node,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        let pasture = Pasture::new(
            "[service.a]\ncommand = [\"a\"]\nprovides = [\"alias\"]\n\
             [service.a.actions.poke]\nsignal = \"CONT\"\n\
             [service.a.actions.reload]\nsignal = \"HUP\"\n\
             [service.b]\ncommand = [\"b\"]",
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let directory = crate::state::temporary("hob-g-", 20).unwrap();
        let node = runtime.block_on(async {
            let unix = Unix::bind(directory.path().join("sock"), UnixOptions::default()).await;
            Node::builder().netlayer(unix.unwrap()).start()
        });
        let context = context(&pasture.world, &pasture.clock, &pasture.vat);
        let grants = GrantsRef::spawn_in(&pasture.vat, Grants::new(context, node.clone()));
        pasture.get(grants.serve(pasture.shepherd.clone())).unwrap();
        pasture.start("a").unwrap();
        pasture.start("b").unwrap();
        pasture.world.done();
        Self { pasture, grants, node, runtime, _directory: directory }
    }

    fn grant(&self, actions: &[&str], seconds: Option<u64>) -> Result<Ref, String> {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>();
        let made = self.pasture.get(self.grants.grant("a", actions, None, seconds, None))?;
        let Value::Sturdyref(sturdyref) = made else { panic!("{made:?}") };
        Ok(self.runtime.block_on(self.node.resolve(&sturdyref)).unwrap())
    }

    /// Calls a method, and gives what it answers or why it is refused.
    fn call(&self, cap: &Ref, method: &'static str, args: &[&str]) -> Result<(), String> {
        let args = args.iter().map(|text| Value::from(*text));
        let args = std::iter::once(Value::symbol(method)).chain(args).collect();
        let answer = cap.send(args);
        self.pasture.hand.run_until_idle();
        let outcome = answer.outcome().expect("an answer");
        outcome.map(drop).map_err(|fault| {
            refusal::reason(&fault).map_or_else(|| fault.to_string(), str::to_owned)
        })
    }
}

#[test]
fn a_grant_expires_to_the_second() {
    let office = Office::new();
    let cap = office.grant(&["status"], Some(60)).unwrap();
    let pass = |millis: u64| office.pasture.clock.advance(Duration::from_millis(millis));
    assert_eq!(office.call(&cap, "statuses", &[]), Ok(()));
    pass(59_999);
    assert_eq!(office.call(&cap, "statuses", &[]), Ok(()));
    pass(1);
    let expired = Err("this capability has expired".to_owned());
    assert_eq!(office.call(&cap, "statuses", &[]), expired);
    pass(1_000_000_000);
    assert_eq!(office.call(&cap, "statuses", &[]), expired);
    // What it was not for is refused likewise, and nothing is told of it.
    let refused = office.call(&cap, "stop", &["a"]);
    assert_eq!(refused, Err("not permitted by this capability".to_owned()));
    let done = office.pasture.world.done();
    assert_eq!(done.iter().filter(|line| line.starts_with("refused id=1 ")).count(), 3, "{done:?}");
    // For ever is not the end of time.
    let cap = office.grant(&["status"], Some(u64::MAX)).unwrap();
    pass(1_000_000_000);
    assert_eq!(office.call(&cap, "statuses", &[]), Ok(()));
}

#[test]
fn what_is_revoked_is_refused_and_written_down() {
    let office = Office::new();
    let cap = office.grant(&["status", "poke"], None).unwrap();
    let other = office.grant(&["status"], None).unwrap();
    assert_eq!(office.call(&cap, "poke", &["alias"]), Ok(()));
    assert_eq!(office.pasture.get(office.grants.revoke(1)), Ok(true));
    assert_eq!(office.pasture.get(office.grants.revoke(1)), Ok(false));
    assert!(office.pasture.get(office.grants.revoke(7)).is_err());
    let revoked = "this capability has been revoked".to_owned();
    assert_eq!(office.call(&cap, "poke", &["a"]), Err(revoked.clone()));
    assert_eq!(office.call(&other, "statuses", &[]), Ok(()));
    let list = office.pasture.get(office.grants.list()).unwrap();
    let revoked_ones: Vec<_> = list.iter().filter(|grant| grant.revoked).collect();
    assert!(matches!(revoked_ones[..], [Grant { id: 1, .. }]));
    let done = office.pasture.world.done();
    assert!(done.contains(&"revoked id=1".to_owned()), "{done:?}");
    let refused = format!("refused id=1 method=poke service=a: {revoked}");
    assert!(done.contains(&refused), "{done:?}");
}

#[test]
fn a_service_may_have_an_action_that_the_shepherd_has_too() {
    let office = Office::new();
    let cap = office.grant(&["reload"], None).unwrap();
    assert_eq!(office.call(&cap, "reload", &["a"]), Ok(()));
    assert!(office.pasture.world.done().contains(&"HUP a".to_owned()));
    // That is the service's, and not the shepherd's.
    assert_eq!(office.call(&cap, "reload", &[]), Err("not permitted by this capability".into()));
    assert!(office.call(&cap, "reload", &["b"]).unwrap_err().contains("not permitted"));
}

#[test]
fn nothing_is_granted_that_a_service_does_not_do() {
    let office = Office::new();
    for action in
        ["grants", "spawn", "watch", "events", "describe", "action", "shut-down", "define"]
    {
        let refused = office.grant(&[action], None).unwrap_err();
        assert_eq!(refused, format!("service a has no action {action}"));
    }
    assert!(office.grant(&[], None).is_err());
    let portrait = Vec::<Grant>::from_value(ocapn::IntoValue::into_value(
        office.pasture.get(office.grants.list()).unwrap(),
    ));
    assert_eq!(portrait.unwrap(), []);
}
