//! `command`: the ten lines of shell of the documentation, and programs that misbehave.

use std::sync::Mutex;

use hob::providers::contract::{World as _, check, order};
use hob::providers::{FleetId, Instance, ProviderError, Target};

use crate::worlds::{Here, have};

const DOCUMENTATION: &str = include_str!("../../../docs/providers.md");

/// The script in the documentation.
fn documented() -> &'static str {
    let (_, rest) = DOCUMENTATION.split_once("```sh\n#!/bin/sh\n").unwrap();
    let script = rest.split("```").next().unwrap();
    let lines = script.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 15, "about ten lines");
    script
}

/// A provider whose program is that script.
fn with_script(script: &str, more: &str) -> Here {
    let mut here = Here::new("command", "");
    here.place.write("provider.sh", 0o755, &format!("#!/bin/sh\n{script}"));
    let program = here.place.path("provider.sh").display().to_string();
    here.set(&format!("command = ['{program}']\n{more}"));
    here
}

#[test]
fn the_documented_script_keeps_to_the_contract() {
    if have(&["setsid", "flock"], false) {
        check(&with_script(documented(), ""));
    }
}

fn create(script: &str, more: &str) -> (Result<Instance, ProviderError>, Vec<String>) {
    let here = with_script(script, more);
    let steps = Mutex::new(Vec::new());
    let order = order("machine", &FleetId::random().unwrap());
    let note = |step: &str| steps.lock().unwrap().push(step.to_owned());
    let outcome = here.another().create(&order, &note);
    (outcome, steps.into_inner().unwrap())
}

#[test]
fn what_a_program_is_told_and_tells() {
    let script = r#"
[ "$1" = create ] && [ -x "$HOB_PROGRAM" ] && [ -d "$HOB_PROVIDER_STATE" ]
document=$(cat)
echo '{"step": "allocate"}'
for wanted in '"name":"machine"' "\"key\":\"$HOB_KEY\"" "\"fleet\":\"$HOB_FLEET\"" '"spec":{}' \
    '"enrolment":"ocapn://'; do
    case $document in *"$wanted"*) ;; *) echo "no $wanted" >&2; exit 1 ;; esac
done
env | grep -q bm90LWEtc2VjcmV0 && exit 1
echo '{"step": "boot"}'
echo '{"id": "vm-7", "address": "vm-7.example"}'
"#;
    let (outcome, steps) = create(script, "");
    let instance = outcome.unwrap();
    assert_eq!((instance.id.as_str(), instance.address.as_deref()), ("vm-7", Some("vm-7.example")));
    assert_eq!(steps, ["allocate", "boot"]);
}

#[test]
fn how_it_fails() {
    // The script, more settings, whether it is temporary, what the error says.
    for (script, more, temporary, words) in [
        ("echo 'quota reached' >&2; exit 75", "", true, "create: quota reached (exit status: 75)"),
        ("seq 20 >&2; exit 1", "", false, "create: 16; 17; 18; 19; 20 (exit status: 1)"),
        ("exit 3", "", false, "no word of why"),
        ("exit 0", "", false, "printed no {\"id\": …}"),
        ("echo hello", "", false, "printed \"hello\": expected a JSON object on each line"),
        (
            "echo '{\"ip\": 5}'",
            "",
            false,
            "printed something else than a machine: unknown field `ip`",
        ),
        ("cat >&2; exit 1", "", false, "(the enrolment)"),
        ("yes '{\"step\": \"more\"}'", "", false, "printed more than 10000 lines"),
        ("head -c 70000 /dev/zero | tr '\\0' x", "", false, "a line of more than 65536 bytes"),
        ("sleep 1000", "timeout = '100ms'", true, "took more than 0.1 s"),
        ("exec >&- 2>&-; sleep 1000", "timeout = '100ms'", true, "took more than 0.1 s"),
        ("sleep 1000 & exit 1", "", false, "no word of why"),
    ] {
        let (outcome, _) = create(script, more);
        let error = outcome.unwrap_err();
        assert_eq!(error.temporary, temporary, "{script}: {error}");
        assert!(error.why.contains(words), "{script}: {error}");
        assert!(!error.why.contains("bm90LWEtc2VjcmV0"), "{script}: {error}");
    }
}

#[test]
fn who_answered_is_said_and_what_has_ended_is_started_again() {
    let (outcome, _) = create("echo 'another key' >&2; exit 76", "");
    let error = outcome.unwrap_err();
    assert!(error.identity_mismatch && !error.temporary, "{error}");
    for (script, expected) in [
        ("[ \"$1\" = revive ] && echo '{\"revived\": true}'", Ok(true)),
        (
            "[ \"$1\" = revive ] && grep -q '\"id\":\"vm-7\"' && echo '{\"step\": \"boot\"}'",
            Ok(false),
        ),
        ("exit 64", Ok(false)),
        ("exit 0", Ok(false)),
        ("echo 'no power' >&2; exit 1", Err("revive: no power")),
    ] {
        let here = with_script(script, "");
        let order = order("machine", &FleetId::random().unwrap());
        let target = Target { id: Some("vm-7".to_owned()), ..order.target() };
        match (here.another().revive(&target), expected) {
            (Ok(revived), Ok(expected)) => assert_eq!(revived, expected, "{script}"),
            (Err(error), Err(words)) => assert!(error.why.contains(words), "{script}: {error}"),
            (outcome, _) => panic!("{script}: {outcome:?}"),
        }
    }
}

#[test]
fn one_that_is_too_slow_ends_with_what_it_has_started() {
    let here = with_script(
        "mkfifo $0.fifo; sleep 1000 & echo $! >$0.child; read x <$0.fifo",
        "timeout = '300ms'",
    );
    let order = order("slow", &FleetId::random().unwrap());
    here.another().create(&order, &|_: &str| {}).unwrap_err();
    let child = here.place.read("provider.sh.child");
    // It is nobody's child now, and gone as soon as somebody has taken note of it.
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    while state().is_ok_and(|state| !state.contains(") Z ")) {
        std::thread::yield_now();
    }
}

#[test]
fn there_is_no_such_program() {
    let mut here = Here::new("command", "");
    here.set("command = ['/no/such/program']");
    let error = here.another().list(&FleetId::random().unwrap()).unwrap_err();
    assert!(!error.temporary && error.why.contains("/no/such/program"), "{error}");
}
