//! `hob demo`, told and checked.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Done, Place, hob, skipped};

/// Plays the demo with its files in a directory that is then looked at.
fn play(place: &Place, words: &str) -> Done {
    let mut command = hob();
    command.env("TMPDIR", place.path("")).args(words.split(' '));
    command.output().unwrap().into()
}

/// What is said, in this order; what two processes say at once is said once here.
const STORY: &[&str] = &[
    "boss         runs as ",
    "boss         created db-machine: expected, to be made by manual: pending",
    "boss         enrolment db-machine: minted enrolment ",
    "demo         wrote it to db-machine.enrol.cap, mode 0600",
    "boss         created app-machine: expected, to be made by manual: pending",
    "demo         wrote it to app-machine.enrol.cap, mode 0600",
    "db-machine   enlivened the enrolment over tcp-tls: the boss is ",
    "db-machine   registered with the boss",
    "boss         refused db-machine: ",
    "demo         tried db-machine.enrol.cap again: refused",
    "app-machine  enlivened the enrolment over tcp-tls: the boss is ",
    "app-machine  registered with the boss",
    "boss         refused app-machine: ",
    "demo         tried app-machine.enrol.cap again: refused",
    "db-machine   bound db to an object here",
    "boss         asked db-machine to grant its db, and passed the promise of it on to app-machine",
    "app-machine  db-machine:db is granted for good by ",
    "app-machine  bound db to an object elsewhere",
    "app-machine  looked db up by its local name",
    "app-machine  wrote to db: last-entry = \"hello from app-machine\"",
    "app-machine  read from db: last-entry = \"hello from app-machine\"",
    "MACHINE      IDENTITY",
    "boss         ",
    "db-machine   ",
    "app-machine  ",
    "demo         all processes have ended, nothing is left behind",
];

fn assert_story(done: &Done) {
    let mut lines = done.out.lines();
    for wanted in STORY {
        let found = lines.any(|line| line.contains(wanted));
        assert!(found, "{wanted:?} is missing, or not in its place:\n{}", done.out);
    }
    for name in ["db-machine", "app-machine"] {
        let became = format!("registered {name}: registered with enrolment ");
        assert!(done.out.contains(&became), "{}", done.out);
        let row = done.out.lines().find(|line| line.starts_with(name));
        let row: Vec<_> = row.expect("a row").split_whitespace().collect();
        assert_eq!(row[3..5], ["active", "db"], "{row:?}");
        assert!(row[5..].iter().all(|count| count.parse::<u64>().unwrap() > 0), "{row:?}");
    }
    // Every sturdyref that is shown is cut short.
    for uri in done.out.split_whitespace().filter(|word| word.contains("/s/")) {
        assert!(uri.contains('…'), "{uri}");
    }
}

fn assert_nothing_left(place: &Place) {
    let left: Vec<_> = place.path("").read_dir().unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    // Every process of the demo has its state directory's path on its command line.
    let here = place.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(here), "{line}");
    }
}

#[test]
fn the_story() {
    let place = Place::new();
    let done = play(&place, "demo").with(0);
    assert_story(&done);
    assert!(done.out.contains(" at 127.0.0.1:"));
    assert_nothing_left(&place);
}

#[test]
fn a_long_tmpdir_is_no_obstacle() {
    let place = Place::new();
    let long = place.path(&"long".repeat(25));
    std::fs::create_dir(&long).unwrap();
    let demo = hob().env("TMPDIR", &long).arg("demo").output().unwrap();
    assert_story(&Done::from(demo).with(0));
}

#[test]
fn a_step_that_takes_too_long_is_named() {
    let place = Place::new();
    let done = play(&place, "demo --timeout 1ms").with(5);
    assert!(done.err.contains("the demo failed: "), "{}", done.err);
    assert!(done.err.contains("no answer within 0.001 s"), "{}", done.err);
    assert_nothing_left(&place);
}

/// Starts the demo, sends it a signal once it has said something that contains
/// `moment`, and checks that it ends as interrupted, or was faster than the signal.
fn cut_short(place: &Place, words: &str, moment: &str, signal: &str) {
    let mut command = hob();
    command.env("TMPDIR", place.path("")).args(words.split(' '));
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(moment) {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "never said {moment:?}");
    }
    let id = demo.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    out.read_to_string(&mut line).unwrap();
    let wanted = if line.contains("nothing is left behind") { 0 } else { 130 };
    assert_eq!(demo.wait().unwrap().code(), Some(wanted), "{moment} {signal}: {line}");
    assert_nothing_left(place);
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    for moment in ["1. A boss", "3. The machines come up", "5. The boss gives"] {
        for signal in ["-INT", "-TERM"] {
            cut_short(&Place::new(), "demo", moment, signal);
        }
    }
}

#[test]
fn the_story_in_network_namespaces() {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    let ip = Command::new("ip").arg("-V").output().is_ok();
    let place = Place::new();
    if !root || !ip {
        skipped("hob demo --netns needs root and iproute2");
        let done = play(&place, "demo --netns").with(1);
        assert!(done.err.contains("--netns needs"), "{}", done.err);
        return;
    }
    let before = namespaces();
    let done = play(&place, "demo --netns");
    let denied = ["not permitted", "Operation not supported"];
    if done.code == Some(1) && denied.iter().any(|why| done.err.contains(why)) {
        skipped(&format!("no network namespaces can be made here: {}", done.err));
        return;
    }
    let done = done.with(0);
    assert_story(&done);
    for address in ["10.77.0.1:", "10.77.0.2:", "10.77.0.3:"] {
        assert!(done.out.contains(address), "{}", done.out);
    }
    assert_nothing_left(&place);
    // Cut short, it cleans up as well.
    cut_short(&place, "demo --netns", "3. The machines come up", "-INT");
    play(&place, "demo --netns --timeout 1ms").with(5);
    assert_nothing_left(&place);
    assert_eq!(namespaces(), before);
}

/// The namespaces of demos that there are.
fn namespaces() -> Vec<std::ffi::OsString> {
    let names = Path::new("/run/netns").read_dir().into_iter().flatten();
    let names = names.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> =
        names.filter(|name| name.to_string_lossy().starts_with("hob-")).collect();
    names.sort();
    names
}
