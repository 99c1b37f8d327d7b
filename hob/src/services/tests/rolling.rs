//! Rolling restarts, services that flap, and storms of cuts.

use std::time::Duration;

use super::fleet::{ALL, Field, LETTERS};
use super::storm::Dice;
use super::wire::{PATIENCE, Wire};
use crate::services::process::Exit;
use crate::services::rolling::Rolled;
use crate::services::status::Phase;

fn roll(field: &Field, most: u64) -> ocapn::Answer<Rolled> {
    field.c.shepherd.roll("web-server-fleet", most, None)
}

/// How many run, in truth.
fn running(field: &Field) -> usize {
    field.servers.iter().filter(|server| server.phase("web-server") == Phase::Running).count()
}

#[test]
fn a_rolling_restart_never_has_more_down_than_it_may() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let count = 2 + usize::try_from(dice.roll(4)).unwrap();
        let most = 1 + dice.roll(3);
        let field = Field::with("", count, &ALL);
        field.start_all();
        for wire in &field.wires {
            wire.slow_down(Duration::from_millis(dice.roll(50)));
        }
        field.c.pass(100);
        let pids: Vec<_> =
            field.servers.iter().map(|server| server.status("web-server").pid).collect();
        let going = roll(&field, most);
        let least = count.saturating_sub(usize::try_from(most).unwrap());
        for _ in 0..2_000 {
            if field.c.get(going.clone()).is_ok() {
                break;
            }
            assert!(running(&field) >= least, "seed {seed}");
            field.c.pass(dice.roll(20));
            let server = &field.servers[usize::try_from(dice.roll(count as u64)).unwrap()];
            server.world.try_ready("web-server");
        }
        let rolled = field.c.get(going).unwrap();
        assert_eq!((rolled.done.len(), rolled.failed.len()), (count, 0), "seed {seed}");
        field.c.pass(1_000);
        for (server, before) in field.servers.iter().zip(pids) {
            assert_ne!(server.status("web-server").pid, before, "seed {seed}");
        }
    }
}

#[test]
fn a_rolling_restart_ends_at_the_first_failure() {
    let field = Field::with("", 3, &ALL);
    field.start_all();
    field.servers[1].world.take_away("web-server");
    let going = roll(&field, 1);
    field.c.hand.run_until_idle();
    assert_eq!(field.servers[0].phase("web-server"), Phase::Starting);
    let busy = field.c.get(roll(&field, 1)).unwrap_err();
    assert!(busy.contains("part of a restart that is going on"), "{busy}");
    field.all_ready();
    let rolled = field.c.get(going).unwrap();
    assert_eq!(rolled.done, ["web-server-a"]);
    assert_eq!(rolled.failed[0].0, "web-server-b");
    assert!(rolled.failed[0].1.contains("no such file"), "{rolled:?}");
    assert_eq!(rolled.left, ["web-server-d"]);
    assert_eq!(field.servers[2].phase("web-server"), Phase::Running);
    // The one that is down comes first when it is tried again.
    field.servers[1].world.put_back("web-server");
    let going = roll(&field, 1);
    field.c.hand.run_until_idle();
    assert_eq!(field.phases(0).1, Phase::Running);
    for _ in 0..3 {
        field.all_ready();
    }
    let done = field.c.get(going).unwrap().done;
    assert_eq!(done, ["web-server-b", "web-server-a", "web-server-d"]);
    assert!(field.c.get(field.c.shepherd.roll("web-server-fleet", 0, None)).is_err());
}

#[test]
fn a_machine_that_is_cut_counts_as_down() {
    let field = Field::with("", 3, &ALL);
    field.start_all();
    field.wires[2].cut();
    field.c.pass(0);
    let rolled = field.c.get(roll(&field, 1)).unwrap();
    assert_eq!((rolled.done.len(), rolled.left.len()), (0, 3));
    assert!(rolled.halted.unwrap().contains("web-server-d is not running, and no more than 1"));
    // With two that may be down there is one for the others to take turns with.
    let going = roll(&field, 2);
    field.c.hand.run_until_idle();
    assert_eq!((field.phases(0).1, field.phases(1).1), (Phase::Starting, Phase::Running));
    field.all_ready();
    field.all_ready();
    field.c.pass(u64::try_from(PATIENCE.as_millis()).unwrap());
    let rolled = field.c.get(going).unwrap();
    assert_eq!(rolled.done, ["web-server-a", "web-server-b"]);
    assert_eq!(rolled.failed[0].0, "web-server-d");
}

#[test]
fn a_service_that_flaps_is_told_of_once() {
    let text = "[service.x]\ncommand = [\"x\"]\nrespawn = { limit = 1000, delay = \"1ms\" }
                flapping = { changes = 4, window = \"1m\" }\n";
    let field = Field::new(text);
    let c = &field.c;
    c.start("x").unwrap();
    // As often as it may: down and up, twice.
    for _ in 0..2 {
        c.end("x", Exit::Code(1));
        c.pass(10);
    }
    assert_eq!((field.alerts(), c.status("x").flapping), (0, None));
    c.end("x", Exit::Code(1));
    c.pass(10);
    assert_eq!(field.alerts(), 1);
    assert!(c.status("x").flapping.is_some());
    for _ in 0..10 {
        c.end("x", Exit::Code(1));
        c.pass(10);
    }
    assert_eq!(field.alerts(), 1);
    c.pass(60_000);
    assert_eq!(c.status("x").flapping, None);
    for _ in 0..3 {
        c.end("x", Exit::Code(1));
        c.pass(10);
    }
    assert_eq!(field.alerts(), 2);
}

#[test]
fn one_of_another_machine_flaps_too_and_so_does_the_way_to_it() {
    let field = Field::new("");
    field.start_all();
    let (a, c) = (&field.servers[0], &field.c);
    for _ in 0..5 {
        a.stop("web-server").unwrap();
        let start = a.shepherd.start("web-server", None);
        c.hand.run_until_idle();
        field.all_ready();
        a.get(start).unwrap();
    }
    assert_eq!(field.alerts(), 1);
    assert!(c.status("web-server-a").flapping.is_some());
    for _ in 0..5 {
        field.wires[1].cut();
        c.pass(2_000);
        field.wires[1].heal();
        c.pass(2_000);
    }
    assert_eq!(field.alerts(), 2);
    assert!(c.status("web-server-b").flapping.is_some());
}

/// Whatever is cut and when: all who ask are answered, and what Carol sees in the end is
/// what is so.
#[test]
fn storms_of_cuts() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let field = Field::with("", 3, &ALL);
        let mut asked = Vec::new();
        for _ in 0..80 {
            let index = usize::try_from(dice.roll(3)).unwrap();
            let name = format!("web-server-{}", LETTERS[index]);
            let (server, wire) = (&field.servers[index], &field.wires[index]);
            match dice.roll(9) {
                0 => asked.push(field.c.shepherd.start(name, None)),
                1 => asked.push(field.c.shepherd.stop(name, None)),
                2 => asked.push(field.c.shepherd.start("web-server-fleet", None)),
                3 => asked.push(server.shepherd.start("web-server", None)),
                4 => asked.push(server.shepherd.stop("web-server", None)),
                5 => wire.cut(),
                6 => wire.heal(),
                7 => field.all_ready(),
                _ => field.c.pass(dice.roll(3_000)),
            }
        }
        field.wires.iter().for_each(Wire::heal);
        for _ in 0..20 {
            field.all_ready();
            field.c.pass(5_000);
        }
        for answer in asked {
            assert!(answer.promise().outcome().is_some(), "seed {seed}: never answered");
        }
        for (index, letter) in LETTERS.iter().enumerate().take(3) {
            let (seen, so) = field.phases(index);
            assert_eq!(seen, so, "seed {seed}");
            let name = format!("web-server-{letter}");
            assert!(field.is_reachable(&name), "seed {seed}");
            let brief = field.c.get(field.c.shepherd.brief(name)).unwrap();
            assert_eq!(brief.state, so, "seed {seed}");
        }
    }
}
