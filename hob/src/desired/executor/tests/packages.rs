//! Packages, with a script that stands in for apt.

use serde_json::json;

use super::*;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("available/hello", "");
    sandbox.write("available/sl", "");
    sandbox.write("installed/theirs", "");
    sandbox
}

#[test]
fn only_what_was_installed_here_is_removed() {
    let sandbox = sandbox();
    let mut packages = sandbox.packages();
    let wanted = state(json!({"packages": ["hello", "theirs", "sl"]}));
    assert_eq!(
        drift(&packages, &wanted),
        ["packages hello: absent instead of installed", "packages sl: absent instead of installed"]
    );
    applied(&mut packages, &wanted);
    assert_eq!(sandbox.log(), ["install hello sl"]);
    let mut packages = sandbox.packages();
    applied(&mut packages, &state(json!({"packages": ["sl"]})));
    assert_eq!(sandbox.log(), ["remove hello"]);
    applied(&mut packages, &DesiredState::default());
    assert_eq!(sandbox.log(), ["remove sl"]);
    assert!(sandbox.path("installed/theirs").exists());
}

#[test]
fn nothing_goes_with_what_is_removed() {
    let sandbox = sandbox();
    let mut packages = sandbox.packages();
    applied(&mut packages, &state(json!({"packages": ["hello"]})));
    sandbox.write("installed/friend", "hello\n");
    sandbox.log();
    let error = packages.apply(&DesiredState::default(), &quiet).unwrap_err().to_string();
    assert_eq!(
        error,
        "packages hello: can't be removed: friend would go too, which hob has not installed"
    );
    assert_eq!(sandbox.log(), Vec::<String>::new());
    assert!(sandbox.path("installed/hello").exists());
}

#[test]
fn lists_are_updated_when_something_is_not_found() {
    let sandbox = sandbox();
    sandbox.write("upstream/new", "");
    let mut packages = sandbox.packages();
    applied(&mut packages, &state(json!({"packages": ["new"]})));
    assert_eq!(sandbox.log(), ["install new", "update", "install new"]);
    let error = packages.apply(&state(json!({"packages": ["new", "nil"]})), &quiet).unwrap_err();
    assert_eq!(error.to_string(), "packages nil: exit code 100: E: Unable to locate package nil");
    // It was not installed, so there is nothing to remove.
    applied(&mut packages, &DesiredState::default());
    assert_eq!(sandbox.log().last().unwrap(), "remove new");
}

#[test]
fn what_dpkg_has_begun_is_finished_first() {
    let sandbox = sandbox();
    sandbox.write("half", "hello is half installed\n");
    applied(&mut sandbox.packages(), &state(json!({"packages": ["hello"]})));
    assert!(!sandbox.path("half").exists());
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
    let program = command::find("sh").unwrap();
    let timeout = std::time::Duration::from_millis(50);
    let args = vec!["-c", "sleep 1000 & sleep 1000"];
    let run = command::Run { program: &program, args, env: &[], timeout };
    let error = run.run().err().unwrap();
    assert!(error.ends_with("took longer than 0 s"), "{error}");
}
