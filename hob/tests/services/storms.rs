//! A hundred services with real processes that are started, stopped and killed at random,
//! and the shepherd as well. `HOB_STORMS` says how many times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{Args, Fault, Node, Promise, Ref, Reply, Sturdyref, Turn, Value};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::pasture::Pasture;

const SERVICES: u64 = 100;

/// A small generator of numbers; its quality does not matter.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Each requires up to two that come before it; each tenth takes no notice of `SIGTERM`.
fn definitions(dice: &mut Dice) -> String {
    let mut text = String::new();
    for n in 0..SERVICES {
        let requires: Vec<_> =
            (0..dice.roll(3).min(n)).map(|_| format!("\"s{}\"", dice.roll(n))).collect();
        let deaf = if n % 10 == 3 { "trap '' TERM; " } else { "" };
        text.push_str(&format!(
            "[service.s{n}]\n\
             command = [\"/bin/sh\", \"-c\", \"{deaf}while :; do read _ <$0; done\", \"FIFO\"]\n\
             requires = [{}]\n\
             respawn = {{ limit = 1000, window = \"1h\", delay = \"1ms\" }}\n\
             grace = \"20ms\"\n\
             environment = {{ HOB_TEST_STORM = \"FIFO\" }}\n",
            requires.join(", ")
        ));
    }
    text
}

/// Somebody with the owner's capability who watches.
struct Watcher {
    runtime: Runtime,
    node: Node,
    shepherd: Ref,
    _directory: TempDir,
    /// Number, service and state of what has happened.
    events: Arc<Mutex<Vec<(i64, String, String)>>>,
}

fn field<'v, N: PartialEq<str>>(fields: &'v [(N, Value)], name: &str) -> &'v Value {
    &fields.iter().find(|(field, _)| *field == *name).expect("the field").1
}

fn text(value: &Value) -> String {
    value.as_str().or(value.as_symbol()).expect("text").to_owned()
}

impl Watcher {
    fn of(pasture: &Pasture) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = tempfile::Builder::new().prefix("hob-w-").tempdir_in("/tmp").unwrap();
        let sturdyref: Sturdyref = pasture.place.read("s/herd.cap").trim().parse().unwrap();
        let events = Arc::<Mutex<Vec<_>>>::default();
        let heard = events.clone();
        let (node, shepherd) = runtime.block_on(async {
            let unix = Unix::bind(directory.path().join("sock"), UnixOptions::default()).await;
            let node = Node::builder().netlayer(unix.unwrap()).start();
            let shepherd = node.resolve(&sturdyref).await.unwrap();
            let ear = node.vat("ear").spawn(move |_: &mut Turn<'_>, args: Args| {
                if let Some(Value::Struct(event)) = args.get(1) {
                    let Value::Int(number) = field(event, "number") else { panic!("a number") };
                    let (service, state) = (field(event, "service"), field(event, "state"));
                    heard.lock().unwrap().push((*number, text(service), text(state)));
                }
                Ok::<_, Fault>(Reply::value(Value::Undefined))
            });
            let watch = vec![Value::symbol("watch"), Value::from(&ear), 0.into()];
            shepherd.send(watch).await.unwrap();
            (node, shepherd)
        });
        Self { runtime, node, shepherd, _directory: directory, events }
    }

    fn ask(&self, method: &'static str, service: u64) -> Promise {
        self.shepherd.send(vec![Value::symbol(method), format!("s{service}").into()])
    }

    fn wait(&self, asked: &mut Vec<Promise>) {
        for promise in asked.drain(..) {
            // It may fail: what it requires was stopped meanwhile.
            let _done_or_not = self.runtime.block_on(promise.into_future());
        }
    }

    /// The states of the services, and the processes of those that run.
    fn states(&self) -> BTreeMap<String, (String, Option<i64>)> {
        let asked = self.shepherd.send(vec![Value::symbol("statuses")]);
        let Value::List(all) = self.runtime.block_on(asked.into_future()).unwrap() else {
            panic!("a list")
        };
        all.iter()
            .map(|status| {
                let Value::Struct(fields) = status else { panic!("a status") };
                let pid = fields.iter().find(|(name, _)| name == "pid");
                let pid = pid.and_then(|(_, pid)| pid.as_int());
                (text(field(fields, "name")), (text(field(fields, "state")), pid))
            })
            .collect()
    }

    /// What has been told so far: every change in order, and none left out. `found` if
    /// there was something before. Gives the last state of each service that has changed,
    /// and how many changes there were.
    fn told(&self, seed: u64, found: bool) -> (BTreeMap<String, String>, usize) {
        let events = self.events.lock().unwrap();
        let mut last = BTreeMap::new();
        for (index, (number, service, state)) in events.iter().enumerate() {
            assert_eq!(*number, index as i64 + 1, "seed {seed}: one is missing or doubled");
            // An alert, in a state that goes on.
            if state == "flapping" {
                continue;
            }
            let before = last.insert(service.clone(), state.clone());
            let fine = match (before.as_deref(), state.as_str()) {
                (None, _) if found => true,
                (None | Some("stopped" | "failed"), "starting")
                | (Some("starting"), "running" | "failed" | "stopping" | "stopped")
                | (Some("running"), "stopping" | "stopped" | "failed")
                | (Some("stopping" | "failed"), "stopped") => true,
                _ => false,
            };
            assert!(fine, "seed {seed}: {service} {before:?} -> {state}");
        }
        (last, events.len())
    }

    fn end(self) {
        self.runtime.block_on(self.node.shutdown());
    }
}

/// The processes that have the mark in their environment.
fn marked(mark: &str) -> BTreeSet<i64> {
    let mark = format!("HOB_TEST_STORM={mark}");
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
    .collect()
}

fn kill(pids: impl Iterator<Item = i64>) {
    let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
    if !pids.is_empty() {
        // Some have ended by themselves meanwhile.
        let _some_gone = Command::new("kill").arg("-KILL").args(&pids).output().unwrap();
    }
}

/// Until all is still: nothing on its way, and a process for each that runs and no other.
fn settle(pasture: &Pasture, watcher: &Watcher, mark: &str, seed: u64) {
    let begun = Instant::now();
    loop {
        let states = watcher.states();
        let still = |(state, pid): &(String, Option<i64>)| match state.as_str() {
            "running" => pid.is_some(),
            "stopped" | "failed" => pid.is_none(),
            _ => false,
        };
        let pids: BTreeSet<i64> = states.values().filter_map(|(_, pid)| *pid).collect();
        let running = states.values().filter(|(state, _)| state == "running").count();
        let there = marked(mark);
        let moving: Vec<_> = states.iter().filter(|(_, state)| !still(state)).collect();
        if moving.is_empty() && pids.len() == running && pids == there {
            return;
        }
        let waited = begun.elapsed() < Duration::from_secs(30);
        let (left, gone) = (there.difference(&pids), pids.difference(&there));
        assert!(
            waited,
            "seed {seed}: on their way {moving:?}, left over {:?}, not there {:?}\n{}",
            left.collect::<Vec<_>>(),
            gone.collect::<Vec<_>>(),
            pasture.place.read("log")
        );
    }
}

/// Until what has been told is what is.
fn agree(watcher: &Watcher, seed: u64, found: bool) -> usize {
    let begun = Instant::now();
    loop {
        let (last, changes) = watcher.told(seed, found);
        let differs = watcher.states().into_iter().find(|(service, (state, _))| {
            last.get(service).map_or(!found && state != "stopped", |told| told != state)
        });
        let Some((service, state)) = differs else { return changes };
        let told = watcher.events.lock().unwrap().clone();
        let told: Vec<_> = told.iter().filter(|(_, name, _)| *name == service).collect();
        let waited = begun.elapsed() < Duration::from_secs(30);
        assert!(
            waited,
            "seed {seed}: {service} is {state:?} and was told to be {told:?} of {}",
            watcher.events.lock().unwrap().len()
        );
    }
}

fn storm(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut pasture = Pasture::new(&definitions(&mut dice));
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    let mut watcher = Watcher::of(&pasture);
    let mut asked = Vec::new();
    let mut found = false;
    let mut changes = 0;
    for round in 0..60 {
        match dice.roll(8) {
            0..3 => asked.push(watcher.ask("start", dice.roll(SERVICES))),
            3..5 => asked.push(watcher.ask("stop", dice.roll(SERVICES))),
            5 => asked.push(watcher.ask("restart", dice.roll(SERVICES))),
            6 => kill(marked(&mark).into_iter().filter(|_| dice.roll(10) == 0)),
            _ => watcher.wait(&mut asked),
        }
        if round == 40 && seed % 2 == 1 {
            // In the middle of everything.
            pasture.end("-KILL");
            for promise in asked.drain(..) {
                let _broken = watcher.runtime.block_on(promise.into_future());
            }
            changes += watcher.told(seed, false).1;
            watcher.end();
            pasture.start(&[]);
            watcher = Watcher::of(&pasture);
            found = true;
        }
    }
    watcher.wait(&mut asked);
    settle(&pasture, &watcher, &mark, seed);
    changes += agree(&watcher, seed, found);
    watcher.end();
    let id = pasture.child.as_ref().unwrap().id();
    pasture.until("all that ended was reaped", |_| crate::zombies(id).is_empty());
    pasture.end("-TERM");
    assert_eq!(marked(&mark), BTreeSet::new(), "seed {seed}");
    pasture.start(&["--leave-running"]);
    changes
}

/// Two are in the ordinary run; `HOB_STORMS` is for more, of which every other one has the
/// shepherd killed in the middle, and `HOB_STORM` for that one only.
#[test]
fn a_hundred_services_in_a_storm() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("HOB_STORM") {
        storm(seed);
        return;
    }
    let runs = number("HOB_STORMS").unwrap_or(2);
    let changes: usize = (0..runs).map(storm).sum();
    println!("{runs} storms, {changes} changes of state, each seen once and in order");
}
