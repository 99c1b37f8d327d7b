//! Contents: in chunks, by their digests, and within limits.

use ocapn::Value;
use serde_json::json;

use super::kit::{Machine, file};
use crate::deploy::settings::Settings;
use crate::deploy::wire::Applied;
use crate::desired::machine::Digest;

fn apart(path: &str, content: &[u8]) -> serde_json::Value {
    let digest = Digest::of(content).to_string();
    json!({"files": {path: {"digest": digest, "size": content.len()}}})
}

#[tokio::test]
async fn what_the_machine_has_is_not_sent_again() {
    let machine = Machine::new().await;
    let (ann, bob) = (machine.workstation("ann").await, machine.workstation("bob").await);
    let (old, new): (&[u8], &[u8]) = (b"a content that is longer than a chunk", b"");
    let (deployment, summary) = ann.send(apart("/a", old), &[old]).await.unwrap();
    assert_eq!((summary.missing, summary.missing_bytes), (1, old.len() as u64));
    ann.order::<Applied>("apply", vec![deployment.id()]).await.unwrap();
    bob.confirm(&deployment).await.unwrap();
    let mut both = apart("/b", old);
    both["files"]["/c"] = apart("/c", new)["files"]["/c"].take();
    let (deployment, summary) = ann.send(both, &[new]).await.unwrap();
    assert_eq!((summary.entries, summary.missing, summary.missing_bytes), (2, 1, 0));
    ann.order::<Applied>("apply", vec![deployment.id()]).await.unwrap();
    assert_eq!(machine.files().len(), 2);
}

#[tokio::test]
async fn what_is_not_whole_is_not_applied() {
    let machine = Machine::new().await;
    let ann = machine.workstation("ann").await;
    let deployment = ann.begin().await.unwrap();
    let apply = || ann.order::<Applied>("apply", vec![deployment.id()]);
    assert!(apply().await.unwrap_err().contains("nothing has been sent"));
    deployment.state(apart("/a", b"abc")).await.unwrap();
    assert_eq!(apply().await.unwrap_err(), "1 contents are not here yet");
    deployment.content(b"abc").await.unwrap();
    apply().await.unwrap();
}

#[tokio::test]
async fn what_is_not_what_it_is_said_to_be_is_refused() {
    let machine = Machine::new().await;
    let ann = machine.workstation("ann").await;
    let deployment = ann.begin().await.unwrap();
    deployment.state(apart("/a", b"the content")).await.unwrap();
    let digest = Digest::of(b"the content");
    let refused = async |digest: &Digest, offset, bytes: &[u8], why: &str| {
        let error = deployment.chunk(digest, offset, bytes).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(&Digest::of(b"another"), 0, b"another", "nobody asked for that").await;
    refused(&digest, 0, b"the kontent", "its digest is").await;
    refused(&digest, 4, b"content", "0 is the next").await;
    refused(&digest, 0, b"", "is empty").await;
    refused(&digest, 0, b"the content and more", "more than the 11 bytes").await;
    // After each of them it begins anew.
    assert_eq!(deployment.chunk(&digest, 0, b"the ").await.unwrap(), 4);
    refused(&digest, 0, b"the ", "4 is the next").await;
    deployment.content(b"the content").await.unwrap();
    // Sent once more it is there already.
    assert_eq!(deployment.chunk(&digest, 0, b"the ").await.unwrap(), 11);
    let bad = deployment.upload::<bool>("want", vec!["../../etc".into(), 1.into()]).await;
    assert!(bad.unwrap_err().contains("is no digest"));
    let absent = deployment.upload::<Value>("read", vec![Digest::of(b"x").to_string().into()]);
    assert!(absent.await.unwrap_err().contains("not here"));
    // What is there and is no state is no state.
    let args = vec![Value::from(digest.to_string()), 11.into()];
    assert!(!deployment.upload::<bool>("want", args.clone()).await.unwrap());
    assert!(deployment.upload::<Value>("read", vec![args[0].clone()]).await.is_err());
}

#[tokio::test]
async fn what_is_not_for_this_agent_is_refused() {
    let machine = Machine::with(json!({"parts": ["files"]})).await;
    let ann = machine.workstation("ann").await;
    let deployment = ann.begin().await.unwrap();
    for (state, why) in [
        (json!({"packages": ["nginx"]}), "packages: this agent deploys none"),
        (json!({"services": {"nginx": "running"}}), "services: this agent"),
        (json!({"guix": {"profile": "/p", "manifest": {"content": "()"}}}), "guix: this agent"),
        (json!({"forwards": {"db": "unix:/db"}}), "forwards: those are for machines"),
        (json!({"files": {"/../x": {"content": ""}}}), "absolute, and plain"),
        (json!({"files": {"/x": {"content": "", "mode": "4755"}}}), "no mode"),
        (json!({"file": {}}), "no such key"),
        (json!([]), "expected a machine's state"),
    ] {
        let error = deployment.state(state).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(ann.order::<Applied>("apply", vec![deployment.id()]).await.is_err());
}

#[tokio::test]
async fn limits_have_defaults_and_settings_and_are_kept() {
    let default = Settings::default();
    assert_eq!(default.entries, 20_000);
    assert_eq!((default.state_size.0, default.file_size.0), (8 << 20, 1 << 30));
    assert_eq!((default.total_size.0, default.chunk_size.0), (4 << 30, 1 << 20));
    assert_eq!((default.confirm_within.0.as_secs(), default.idle.0.as_secs()), (120, 60));
    assert_eq!((default.confirm_within_most.0.as_secs(), default.keep), (3600, 3));
    let machine = Machine::with(json!({
        "entries": 2, "state-size": "400", "file-size": "10", "total-size": "15",
        "chunk-size": "8", "confirm-within": "1s", "confirm-within-most": "2s",
    }))
    .await;
    let ann = machine.workstation("ann").await;
    for (within, good) in [(Some(0), false), (Some(2001), false), (Some(2000), true)] {
        assert_eq!(ann.begin_within(within).await.is_ok(), good);
    }
    ann.node.shutdown().await;
    let bob = machine.workstation("bob").await;
    bob.until_free().await;
    let deployment = bob.begin().await.unwrap();
    assert_eq!((deployment.begun.chunk, deployment.begun.within_ms), (8, 1000));
    let files = |sizes: &[u64]| {
        let file = |(index, size): (usize, &u64)| {
            let digest = Digest::of(&index.to_be_bytes()).to_string();
            (format!("/{index}"), json!({"digest": digest, "size": size}))
        };
        json!({"files": sizes.iter().enumerate().map(file).collect::<serde_json::Map<_, _>>()})
    };
    for (state, why) in [
        (files(&[10, 5]), None),
        (files(&[11]), Some("the limit for one file is 10 bytes")),
        (files(&[10, 6]), Some("the limit for all is 15 bytes")),
        (files(&[1, 1, 1]), Some("the limit is 2")),
        (file(&"x".repeat(400)), Some("the limit is 400 bytes")),
    ] {
        let outcome = deployment.state(state).await;
        match why {
            None => drop(outcome.unwrap()),
            Some(why) => assert!(outcome.clone().unwrap_err().contains(why), "{outcome:?}"),
        }
    }
    deployment.state(apart("/a", b"0123456789")).await.unwrap();
    let digest = Digest::of(b"0123456789");
    let error = deployment.chunk(&digest, 0, b"012345678").await.unwrap_err();
    assert!(error.contains("a chunk of 9 bytes: the limit is 8"), "{error}");
    assert_eq!(deployment.chunk(&digest, 0, b"01234567").await.unwrap(), 8);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (settings, why) in [
        (json!({"root": "srv"}), "root is not absolute"),
        (json!({"parts": ["all"]}), "unknown variant"),
        (json!({"confirm": "2m"}), "unknown field"),
        (json!({"confirm-within": "2h"}), "over confirm-within-most"),
        (json!({"idle": "0s"}), "idle is 0"),
        (json!({"keep": 0}), "keep is 0"),
        (json!({"chunk-size": 0}), "chunk-size is 0"),
    ] {
        let error = Settings::of(settings.as_object().unwrap()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
