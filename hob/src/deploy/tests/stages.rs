//! From one stage to the next, and what is refused at each.

use std::sync::mpsc;

use ocapn::Value;

use super::kit::{Machine, file};
use crate::deploy::lock;
use crate::deploy::wire::Applied;

#[tokio::test]
async fn it_is_applied_step_by_step_and_confirmed_over_another_session() {
    let machine = Machine::new().await;
    let ann = machine.workstation("ann").await;
    let state = serde_json::json!({"files": {
        "/a": {"content": "A"}, "/b": {"content": "B"}, "/c": {"content": "C"},
    }});
    let (deployment, _) = ann.send(state, &[]).await.unwrap();
    assert_eq!(ann.standing(&deployment).await.stage, "open");
    let plan: Vec<String> = deployment.upload("plan", vec![]).await.unwrap();
    assert_eq!(plan.len(), 3);
    assert!(machine.files().is_empty());
    let applied: Applied = ann.order("apply", vec![deployment.id()]).await.unwrap();
    assert_eq!(applied.changed, ["made /a", "made /b", "made /c"]);
    assert_eq!(applied.left_ms, 120_000);
    // All steps were told before the answer.
    assert_eq!(deployment.heard(), ["make /a", "make /b", "make /c"]);
    let standing = ann.standing(&deployment).await;
    assert_eq!((&*standing.stage, standing.left_ms), ("trial", Some(120_000)));
    let own = ann.confirm(&deployment).await.unwrap_err();
    assert!(own.contains("confirm it over another one"), "{own}");

    let again = machine.workstation("ann again").await;
    again.confirm(&deployment).await.unwrap();
    assert_eq!(again.standing(&deployment).await.stage, "confirmed");
    machine.pass(3600);
    assert_eq!(again.until_free().await.stage, "confirmed");
    assert_eq!(machine.files(), ["/a A", "/b B", "/c C"]);
}

#[tokio::test]
async fn who_does_not_confirm_in_time_has_done_nothing() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let first = ann.apply("one").await.unwrap();
    bob.confirm(&first).await.unwrap();
    let second = ann.apply("two").await.unwrap();
    assert_eq!(machine.files(), ["/motd two"]);
    machine.pass(119);
    assert_eq!(ann.standing(&second).await.stage, "trial");
    machine.pass(1);
    let standing = ann.until(&second, "rolled-back").await;
    assert_eq!(standing.why.as_deref(), Some("not confirmed within 2m"));
    assert_eq!(machine.files(), ["/motd one"]);
    assert_eq!(second.heard(), ["make /motd", "make /motd"]);
    assert!(bob.confirm(&second).await.is_err());
    assert_eq!(ann.standing(&first).await.stage, "confirmed");
}

#[tokio::test]
async fn nothing_is_done_twice() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let first = ann.apply("one").await.unwrap();
    let apply = || ann.order::<Value>("apply", vec![first.id()]);
    assert!(apply().await.unwrap_err().contains("has been applied already"));
    let late = first.chunk(&crate::desired::machine::Digest::of(b""), 0, b"").await;
    assert!(late.unwrap_err().contains("takes nothing any more"));
    bob.confirm(&first).await.unwrap();
    for order in ["apply", "cancel"] {
        let again = ann.order::<Value>(order, vec![first.id()]).await;
        assert!(again.unwrap_err().contains("no such deployment"), "{order}");
    }
    assert!(bob.confirm(&first).await.is_err());
    // What was for the first one is not for the second.
    let second = ann.apply("two").await.unwrap();
    assert!(bob.confirm(&first).await.is_err());
    assert!(first.state(file("x")).await.is_err());
    bob.confirm(&second).await.unwrap();
    assert_eq!(machine.files(), ["/motd two"]);
}

#[tokio::test]
async fn one_at_a_time_and_the_other_learns_whose_it_is() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let refused = async || bob.begin().await.err().unwrap();
    let (deployment, _) = ann.send(file("one"), &[]).await.unwrap();
    let what = "a deployment by ann is being sent, since 2025-09-05T19:40:00Z: one at a time";
    assert_eq!(refused().await, what);
    let (go, gate) = mpsc::channel();
    lock(&machine.made_up).gate = Some(gate);
    let applying = ann.order::<Applied>("apply", vec![deployment.id()]);
    let asking = async {
        bob.until(&deployment, "applying").await;
        assert!(refused().await.contains("by ann is being applied"));
        let cancelled = ann.order::<Value>("cancel", vec![deployment.id()]).await;
        assert!(cancelled.unwrap_err().contains("not now"));
        go.send(()).unwrap();
    };
    let (applied, ()) = tokio::join!(applying, asking);
    applied.unwrap();
    assert!(refused().await.contains("by ann waits for its confirmation"));
    bob.confirm(&deployment).await.unwrap();
    bob.begin().await.unwrap();
}

#[tokio::test]
async fn nobody_else_s_and_nothing_else() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let deployment = ann.apply("one").await.unwrap();
    for order in ["stop", "expired", "recover", "step", "work", "began", "bcom", ""] {
        let refused = bob.order::<Value>(order, vec![0.into()]).await;
        assert!(refused.unwrap_err().contains("no order of a deploy agent"), "{order}");
    }
    for method in ["stop", "apply", "expired", "agent"] {
        assert!(deployment.upload::<Value>(method, vec![1.into()]).await.is_err(), "{method}");
    }
    // Who does not know its id can't do anything with it.
    for guess in ["", "1", "ann", &"0".repeat(32)] {
        for order in ["apply", "cancel"] {
            let refused = bob.order::<Value>(order, vec![guess.into()]).await;
            assert!(refused.unwrap_err().contains("no such deployment"));
        }
    }
    // A witness that is nobody's.
    let none = bob.order::<Value>("confirm", vec![deployment.id(), Value::Undefined]).await;
    assert!(none.is_err());
    assert_eq!(ann.standing(&deployment).await.stage, "trial");
    // What all are told has no id in it.
    let standing: crate::deploy::wire::Standing = bob.order("status", vec![]).await.unwrap();
    assert!(!format!("{standing:?}").contains(&deployment.begun.id), "{standing:?}");
    assert!(!machine.said().join("\n").contains(&deployment.begun.id));
}

#[tokio::test]
async fn what_fails_is_undone_and_what_can_t_be_is_tried_again() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let first = ann.apply("one").await.unwrap();
    bob.confirm(&first).await.unwrap();
    lock(&machine.made_up).fails = [Some("no room")].into();
    let why = ann.apply("two").await.err().unwrap();
    assert_eq!(why, "made-up /motd: no room; all is as it was before");
    assert_eq!(machine.files(), ["/motd one"]);

    let second = ann.apply("two").await.unwrap();
    lock(&machine.made_up).fails = [Some("no luck"), Some("none yet"), Some("nor now")].into();
    machine.pass(120);
    ann.until(&second, "going-back").await;
    // Meanwhile nobody takes its place.
    let mut trouble = Vec::new();
    for after in ["30s", "1m", "2m"] {
        while !trouble.iter().any(|line: &String| line.contains("it can't be undone")) {
            trouble.extend(machine.said());
            tokio::task::yield_now().await;
        }
        let last = trouble.drain(..).find(|line| line.contains("it can't be undone")).unwrap();
        assert!(last.contains(&format!("again in {after}: made-up /motd: no")), "{last}");
        assert!(bob.begin().await.err().unwrap().contains("is being undone"));
        assert_eq!(machine.files(), ["/motd two"]);
        let period: crate::services::text::Period = after.parse().unwrap();
        machine.pass(period.0.as_secs());
    }
    ann.until(&second, "rolled-back").await;
    assert_eq!(machine.files(), ["/motd one"]);
    bob.begin().await.unwrap();
}

#[tokio::test]
async fn who_falls_silent_is_not_waited_for() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    ann.begin().await.unwrap();
    machine.pass(59);
    assert!(bob.begin().await.is_err());
    machine.pass(1);
    bob.until_free().await;
    // Something came in between, which counts from then.
    let deployment = ann.begin().await.unwrap();
    machine.pass(40);
    deployment.state(file("x")).await.unwrap();
    machine.pass(40);
    assert_eq!(ann.standing(&deployment).await.stage, "open");
    machine.pass(20);
    bob.until_free().await;
    assert!(ann.order::<Value>("apply", vec![deployment.id()]).await.is_err());
    // Its session ends.
    ann.begin().await.unwrap();
    ann.node.shutdown().await;
    bob.until_free().await;
    bob.begin().await.unwrap();
    assert!(machine.files().is_empty());
}

#[tokio::test]
async fn stopping_the_agent_undoes_what_is_not_confirmed() {
    let mut machine = Machine::new().await;
    let ann = machine.workstation("ann").await;
    let deployment = ann.apply("one").await.unwrap();
    assert_eq!(machine.files(), ["/motd one"]);
    machine.agent.stop().await.unwrap();
    assert!(machine.files().is_empty());
    assert!(ann.begin().await.err().unwrap().contains("stopped"));
    machine.restart().await;
    let bob = machine.workstation("bob").await;
    let standing = bob.standing(&deployment).await;
    assert_eq!(
        (&*standing.stage, &*standing.why.unwrap()),
        ("rolled-back", "the agent is stopped")
    );
    // In the middle: it is undone once it has been applied.
    let (deployment, _) = bob.send(file("two"), &[]).await.unwrap();
    let (go, gate) = mpsc::channel();
    lock(&machine.made_up).gate = Some(gate);
    let applying = bob.order::<Applied>("apply", vec![deployment.id()]);
    let stopping = async {
        bob.until(&deployment, "applying").await;
        let stopped = machine.agent.stop();
        go.send(()).unwrap();
        stopped.await.unwrap();
    };
    let (_applied_or_not, ()) = tokio::join!(applying, stopping);
    assert!(machine.files().is_empty());
}
