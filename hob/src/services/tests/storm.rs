//! A hundred services that are started, stopped and crash at random, under a simulated
//! clock: the same seed is the same run.

use std::collections::BTreeMap;

use super::world::Pasture;
use crate::services::process::Exit;
use crate::services::status::Phase;

/// A small generator of numbers; its quality does not matter.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const SERVICES: u64 = 100;

fn definitions(dice: &mut Dice) -> String {
    let mut text = String::new();
    for n in 0..SERVICES {
        text.push_str(&format!("[service.s{n}]\ncommand = [\"s{n}\"]\n"));
        let requires: Vec<_> = (0..dice.roll(3))
            .filter(|_| n > 0)
            .map(|_| format!("\"s{}\"", dice.roll(n.max(1))))
            .collect();
        text.push_str(&format!("requires = [{}]\n", requires.join(", ")));
        text.push_str(
            "respawn = { limit = 3, window = \"1s\", delay = \"10ms\" }\ngrace = \"1s\"\n",
        );
    }
    text
}

/// What may follow on a state.
fn may_follow(before: &str, after: &str) -> bool {
    matches!(
        (before, after),
        ("stopped" | "failed", "starting")
            | ("starting", "running" | "failed" | "stopping" | "stopped")
            | ("running", "stopping" | "stopped" | "failed")
            | ("stopping" | "failed", "stopped")
    )
}

fn storm(seed: u64) {
    let mut dice = Dice(seed);
    let pasture = Pasture::new(&definitions(&mut dice));
    let mut asked = Vec::new();
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = 0;
    let mut check = |pasture: &Pasture| {
        for event in pasture.get(pasture.shepherd.events(seen)).unwrap() {
            assert_eq!(event.number, seen + 1, "seed {seed}: an event is missing");
            seen = event.number;
            if event.state == "flapping" {
                continue;
            }
            let before = last.insert(event.service.clone(), event.state.clone());
            let before = before.unwrap_or_else(|| "stopped".to_owned());
            assert!(may_follow(&before, &event.state), "seed {seed}: {before} -> {event:?}");
        }
    };
    for n in 0..SERVICES / 10 {
        pasture.world.be_stubborn(&format!("s{}", n * 10));
    }
    for _ in 0..150 {
        let name = format!("s{}", dice.roll(SERVICES));
        match dice.roll(10) {
            0..3 => asked.push(pasture.shepherd.start(name, None)),
            3..5 => asked.push(pasture.shepherd.stop(name, None)),
            5 => asked.push(pasture.shepherd.restart(name, None)),
            6 => {
                pasture.world.end(&name, Exit::Signal(11));
            }
            7 => pasture.world.take_away(&name),
            8 => pasture.world.put_back(&name),
            _ => pasture.pass(dice.roll(200)),
        }
        if dice.roll(3) == 0 {
            pasture.hand.run_until_idle();
            check(&pasture);
        }
    }
    // When the storm is over everything comes to rest.
    pasture.pass(60_000);
    check(&pasture);
    for answer in &asked {
        assert!(answer.promise().outcome().is_some(), "seed {seed}: somebody still waits");
    }
    let statuses = pasture.get(pasture.shepherd.statuses()).unwrap();
    let mut running = Vec::new();
    for status in &statuses {
        assert!(
            !matches!(status.state, Phase::Starting | Phase::Stopping),
            "seed {seed}: {status:?}"
        );
        if status.state == Phase::Running {
            running.push(status.name.clone());
        }
    }
    running.sort();
    // No process without a service that runs, none twice.
    assert_eq!(pasture.world.running(), running, "seed {seed}");
    pasture.shepherd.shut_down().ignore();
    pasture.pass(60_000);
    check(&pasture);
    assert!(pasture.world.running().is_empty(), "seed {seed}");
    assert!(pasture.get(pasture.monitor.processes()).unwrap().is_empty(), "seed {seed}");
}

/// `HOB_STORMS` says how many; with `HOB_STORM` only that one.
#[test]
fn storms() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("HOB_STORM") {
        return storm(seed);
    }
    (0..number("HOB_STORMS").unwrap_or(10)).for_each(storm);
}
