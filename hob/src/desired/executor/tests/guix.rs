//! Guix, with a script that stands in for it: Guix itself can't be had where these run.

use serde_json::json;

use super::*;
use crate::desired::machine::Generation;

fn wanted(sandbox: &Sandbox, manifest: &str) -> DesiredState {
    let profile = sandbox.path("hob");
    state(json!({"guix": {"profile": profile, "manifest": {"content": manifest}}}))
}

#[test]
fn a_profile_is_made_and_gone_back_to() {
    let sandbox = Sandbox::new();
    let mut guix = sandbox.guix();
    let (one, two) = (wanted(&sandbox, "one"), wanted(&sandbox, "two"));
    applied(&mut guix, &one);
    applied(&mut guix, &two);
    assert_eq!(sandbox.log(), ["make hob from one", "make hob from two"]);
    assert_eq!(fs::read_link(sandbox.path("hob")).unwrap(), Path::new("hob-2-link"));

    // Going back is a switch: nothing is made.
    let back = Generation { number: 1, state: one.clone() };
    let mut guix = sandbox.guix();
    guix.rollback(&back, &quiet).unwrap();
    assert_eq!(sandbox.log(), ["switch hob 1"]);
    assert_eq!(guix.diff(&one).unwrap(), []);

    // Unless Guix has collected what it would switch to.
    fs::remove_file(sandbox.path("hob-2-link")).unwrap();
    guix.rollback(&Generation { number: 2, state: two.clone() }, &quiet).unwrap();
    assert_eq!(sandbox.log(), ["switch hob 2", "make hob from two"]);

    // Somebody else switches it.
    fs::remove_file(sandbox.path("hob")).unwrap();
    symlink("hob-1-link", sandbox.path("hob")).unwrap();
    assert_eq!(drift(&guix, &two).len(), 1);
    applied(&mut guix, &two);
    sandbox.log();
    applied(&mut guix, &DesiredState::default());
    assert_eq!(sandbox.log(), ["switch hob 0"]);
}

#[test]
fn a_system_is_reconfigured() {
    let sandbox = Sandbox::new();
    sandbox.write("system-1-link", "");
    symlink("system-1-link", sandbox.path("system")).unwrap();
    let mut guix = sandbox.guix();
    let system = state(json!({"guix": {
        "profile": sandbox.path("hob"),
        "system": {"content": "(operating-system)"},
    }}));
    applied(&mut guix, &system);
    assert_eq!(sandbox.log(), ["make system from (operating-system)"]);
    applied(&mut guix, &DesiredState::default());
    assert_eq!(sandbox.log(), ["switch system 1"]);
}

#[test]
fn facts_are_the_channels_and_errors_are_guixs_own() {
    let sandbox = Sandbox::new();
    let mut guix = sandbox.guix();
    let facts = guix.facts().unwrap();
    assert_eq!(facts["guix.channels.guix"], "https://guix.example/guix.git 5ab3c4");
    let error = guix.apply(&wanted(&sandbox, "wrong"), &quiet).unwrap_err().to_string();
    assert!(error.ends_with("exit code 1: guix: error: wrong: unbound variable"), "{error}");
    let settings = GuixSettings { guix: sandbox.path("nowhere"), ..GuixSettings::default() };
    let absent = Guix::open(&sandbox.path("state"), settings).unwrap();
    assert_eq!(absent.facts().unwrap()["guix.channels"], "absent");
}
