//! Services of several machines: Carol's, who has A and B besides her own.

use std::time::Duration;

use ocapn::Vat;
use ocapn::actors::attenuate;
use vat_runtime::{Manual, SimClock};

use super::parts::Ear;
use super::storm::Dice;
use super::wire::{PATIENCE, Wire};
use super::world::Pasture;
use crate::services::grants::Handle;
use crate::services::process::Exit;
use crate::services::status::Phase;
use crate::services::writer::WriterRef;

/// What A and B have.
const SERVERS: &str = "
    [service.networking]
    command = [\"network\"]
    [service.web-server]
    command = [\"web\"]
    requires = [\"networking\"]
    ready = { notify = true }
    [service.web-server.actions.rotate]
    signal = \"USR1\"
";

pub(super) const ALL: [&str; 11] = [
    "status", "statuses", "observe", "start", "stop", "restart", "enable", "disable", "follow",
    "doc", "rotate",
];

pub(super) const LETTERS: [&str; 5] = ["a", "b", "d", "e", "f"];

/// Carol's machine and those that she has.
pub(super) struct Field {
    pub(super) c: Pasture,
    pub(super) servers: Vec<Pasture>,
    pub(super) wires: Vec<Wire>,
}

impl Field {
    pub(super) fn new(definitions: &str) -> Self {
        Self::with(definitions, 2, &ALL)
    }

    /// With so many servers, of which she has a capability to these methods.
    pub(super) fn with(definitions: &str, count: usize, methods: &'static [&'static str]) -> Self {
        let (hand, clock) = (Manual::new(), SimClock::new());
        let mut servers = Vec::new();
        let mut wires = Vec::new();
        let mut text = definitions.to_owned();
        for letter in &LETTERS[..count] {
            let server = Pasture::beside(hand.clone(), clock.clone(), SERVERS, |_| {});
            let shepherd = server.shepherd.clone();
            let granted = server.vat.run(move |turn| {
                let only = Some("web-server".to_owned());
                let handle = turn.spawn(Handle { shepherd, only });
                Ok(attenuate(handle).methods(methods.iter().copied()).spawn(turn).0)
            });
            hand.run_until_idle();
            wires.push(Wire::new(granted.wait().unwrap(), clock.clone()));
            servers.push(server);
            text.push_str(&format!(
                "\n[service.web-server-{letter}]\nmachine = \"{}\"\n\
                 remote = \"ocapn://{letter}.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\n",
                letter.to_uppercase()
            ));
        }
        let names: Vec<_> =
            LETTERS[..count].iter().map(|letter| format!("\"web-server-{letter}\"")).collect();
        text.push_str(&format!("[service.web-server-fleet]\nrequires = [{}]\n", names.join(", ")));
        let ways = LETTERS.iter().zip(wires.clone());
        let c = Pasture::beside(hand, clock, &text, |world| {
            world.call("C");
            ways.for_each(|(letter, wire)| world.connect_machine(letter, wire));
        });
        c.hand.run_until_idle();
        Self { c, servers, wires }
    }

    pub(super) fn ear(&self) -> (Ear, WriterRef) {
        let ear = Ear::default();
        let vat: &Vat = &self.c.vat;
        (ear.clone(), WriterRef::spawn_in(vat, ear))
    }

    /// Those that wait to be ready are.
    pub(super) fn all_ready(&self) {
        for server in &self.servers {
            server.world.try_ready("web-server");
        }
        self.c.hand.run_until_idle();
    }

    pub(super) fn start_all(&self) {
        let going = self.c.shepherd.start("web-server-fleet", None);
        self.c.hand.run_until_idle();
        self.all_ready();
        self.c.get(going).unwrap();
    }

    /// What it says of a server, and what is so there.
    pub(super) fn phases(&self, index: usize) -> (Phase, Phase) {
        let name = format!("web-server-{}", LETTERS[index]);
        (self.c.phase(&name), self.servers[index].phase("web-server"))
    }

    pub(super) fn is_reachable(&self, service: &str) -> bool {
        self.c.status(service).remote.unwrap().reachable
    }

    pub(super) fn alerts(&self) -> usize {
        self.c.story().iter().filter(|event| event.ends_with(" flapping")).count()
    }
}

const SEVEN: [&str; 7] = [
    "A: Service networking has been started.",
    "B: Service networking has been started.",
    "A: Service web-server has been started.",
    "C: Service web-server-a has been started.",
    "B: Service web-server has been started.",
    "C: Service web-server-b has been started.",
    "C: Service web-server-fleet has been started.",
];

#[test]
fn the_seven_lines_of_the_source() {
    let field = Field::new("");
    let (ear, writer) = field.ear();
    let going = field.c.shepherd.start("web-server-fleet", Some(writer.clone()));
    field.c.hand.run_until_idle();
    // As they happen, and not only in the end.
    assert_eq!(ear.heard(), SEVEN[..2]);
    field.servers[0].world.get_ready("web-server");
    field.c.hand.run_until_idle();
    assert_eq!(ear.heard(), SEVEN[2..4]);
    field.servers[1].world.get_ready("web-server");
    assert_eq!(field.c.get(going), Ok(true));
    assert_eq!(ear.heard(), SEVEN[4..]);
    let again = field.c.shepherd.start("web-server-fleet", Some(writer));
    assert_eq!(field.c.get(again), Ok(false));
    assert_eq!(ear.heard(), ["C: Service web-server-fleet is already running."]);
}

#[test]
fn lines_come_after_what_they_are_due_to_however_slow_the_machines_are() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let field = Field::new("");
        for wire in &field.wires {
            wire.slow_down(Duration::from_millis(dice.roll(300)));
        }
        let (ear, writer) = field.ear();
        let going = field.c.shepherd.start("web-server-fleet", Some(writer));
        for _ in 0..10 {
            field.c.pass(dice.roll(200));
            let server = &field.servers[usize::try_from(dice.roll(2)).unwrap()];
            server.world.try_ready("web-server");
        }
        field.c.pass(1_000);
        field.all_ready();
        field.c.pass(2_000);
        assert_eq!(field.c.get(going), Ok(true), "seed {seed}");
        let heard = ear.heard();
        let at = |line: &str| heard.iter().position(|heard| heard == line).unwrap();
        assert_eq!(heard.len(), 7, "seed {seed}: {heard:?}");
        for (first, then) in [(0, 2), (2, 3), (3, 6), (1, 4), (4, 5), (5, 6)] {
            assert!(at(SEVEN[first]) < at(SEVEN[then]), "seed {seed}: {heard:?}");
        }
    }
}

#[test]
fn what_a_start_does_in_each_of_the_four_states() {
    let field = Field::with("", 1, &ALL);
    let a = &field.servers[0];
    let start = |field: &Field| field.c.shepherd.start("web-server-a", None);
    // Stopped: it is started there.
    assert_eq!(field.phases(0), (Phase::Stopped, Phase::Stopped));
    let first = start(&field);
    assert!(field.c.get(first.clone()).is_err());
    assert_eq!(field.phases(0), (Phase::Starting, Phase::Starting));
    // Starting: who starts it waits for the same, also for one that A has begun.
    let second = start(&field);
    assert!(field.c.get(second.clone()).is_err());
    field.all_ready();
    assert_eq!((field.c.get(first), field.c.get(second)), (Ok(true), Ok(true)));
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
    a.stop("web-server").unwrap();
    let theirs = a.shepherd.start("web-server", None);
    let ours = start(&field);
    assert!(field.c.get(ours.clone()).is_err());
    field.all_ready();
    assert_eq!((field.c.get(theirs), field.c.get(ours)), (Ok(true), Ok(true)));
    // Running: that is told.
    assert_eq!(field.c.get(start(&field)), Ok(false));
    // Stopping: it is started once it has stopped.
    a.world.be_stubborn("web-server");
    let stop = a.shepherd.stop("web-server", None);
    assert!(a.get(stop.clone()).is_err());
    assert_eq!(field.phases(0), (Phase::Stopping, Phase::Stopping));
    let ours = start(&field);
    assert!(field.c.get(ours.clone()).is_err());
    field.c.pass(5_000);
    assert_eq!(a.get(stop), Ok(true));
    field.all_ready();
    assert_eq!(field.c.get(ours), Ok(true));
    let story = field.c.story();
    let states: Vec<_> = story.iter().map(|of| of.trim_start_matches("web-server-a ")).collect();
    let expected = "stopped starting running stopping stopped starting running stopping stopped \
                    starting running";
    assert_eq!(states.join(" "), expected);
}

#[test]
fn its_state_follows_without_being_asked_for() {
    let field = Field::new("");
    field.start_all();
    let a = &field.servers[0];
    let before = field.wires[0].sent();
    field.c.pass(3_600_000);
    assert_eq!(field.wires[0].sent(), before, "it is not polled");
    a.end("web-server", Exit::Code(1));
    assert_eq!(field.phases(0), (Phase::Starting, Phase::Starting));
    field.c.pass(100);
    field.all_ready();
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
    let status = field.c.status("web-server-a");
    let theirs = a.status("web-server");
    assert_eq!((status.name.as_str(), status.pid), ("web-server-a", theirs.pid));
    assert_eq!((status.since, status.exit_code), (theirs.since, Some(1)));
    assert_eq!(status.remote.unwrap().machine, "A");
    // A service that ends with its machine's shepherd is not ours to end.
    field.c.get(field.c.shepherd.shut_down()).unwrap();
    assert_eq!(a.phase("web-server"), Phase::Running);
}

#[test]
fn orders_go_through_as_far_as_the_capability_goes() {
    let field = Field::with("", 1, &ALL);
    let (a, c) = (&field.servers[0], &field.c);
    field.start_all();
    assert_eq!(
        c.get(c.shepherd.action("web-server-a", "rotate", vec![])),
        Ok("Sent USR1 to web-server.".into())
    );
    c.get(c.shepherd.disable("web-server-a")).unwrap();
    assert!(!a.status("web-server").enabled);
    c.get(c.shepherd.enable("web-server-a")).unwrap();
    let (ear, writer) = field.ear();
    c.get(c.shepherd.follow("web-server-a", writer, 5)).unwrap();
    let said = a.world.say("web-server", "hello");
    let kept = a.vat.spawn_async(async move |_here| {
        said.await;
        Ok(())
    });
    a.get(kept).unwrap();
    assert_eq!(ear.heard(), ["hello"]);
    assert_eq!(c.status("web-server-a").messages.len(), 1);
    let pid = c.status("web-server-a").pid;
    let restart = c.shepherd.restart("web-server-a", None);
    c.hand.run_until_idle();
    field.all_ready();
    assert_eq!(c.get(restart), Ok(true));
    assert_ne!(c.status("web-server-a").pid, pid);
    assert_eq!(c.stop("web-server-a"), Ok(true));
    assert_eq!(field.phases(0), (Phase::Stopped, Phase::Stopped));
}

#[test]
fn what_the_capability_does_not_give_is_refused() {
    let field = Field::with("", 1, &["status", "statuses", "observe"]);
    let (a, c) = (&field.servers[0], &field.c);
    for answer in [c.shepherd.start("web-server-a", None), c.shepherd.restart("web-server-a", None)]
    {
        c.hand.run_until_idle();
        let fault = answer.outcome().unwrap().unwrap_err();
        assert!(crate::services::refusal::is_relayed(&fault), "{fault}");
        assert!(ocapn::actors::Refusal::of(&fault).is_some(), "{fault}");
        assert!(fault.to_string().contains("machine A refuses"), "{fault}");
    }
    // Somebody else starts it, and that is seen.
    let start = a.shepherd.start("web-server", None);
    c.hand.run_until_idle();
    field.all_ready();
    a.get(start).unwrap();
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
}

#[test]
fn without_leave_to_look_it_is_as_it_was_told() {
    let field = Field::with("", 1, &["start", "stop"]);
    let c = &field.c;
    let error = c.status("web-server-a").remote.unwrap().error.unwrap();
    assert!(error.contains("observe"), "{error}");
    field.start_all();
    assert_eq!(c.phase("web-server-a"), Phase::Running);
    assert_eq!(c.stop("web-server-a"), Ok(true));
    assert_eq!(field.phases(0), (Phase::Stopped, Phase::Stopped));
}

#[test]
fn a_machine_that_is_cut_is_seen_and_heals() {
    let field = Field::new("");
    let c = &field.c;
    field.start_all();
    let before = c.status("web-server-a");
    field.wires[0].cut();
    c.pass(0);
    let status = c.status("web-server-a");
    let remote = status.remote.clone().unwrap();
    assert!(!remote.reachable && remote.unreachable_since.is_some(), "{remote:?}");
    assert_eq!((status.state, status.since), (Phase::Running, before.since));
    assert!(field.is_reachable("web-server-b"));
    // To start it takes as long as it may, and says why it did not go.
    let start = c.shepherd.start("web-server-a", None);
    c.pass(u64::try_from(PATIENCE.as_millis()).unwrap());
    let why = c.get(start).unwrap_err();
    assert!(why.contains("machine A is unreachable"), "{why}");
    // What happens meanwhile is known afterwards.
    field.servers[0].stop("web-server").unwrap();
    c.pass(600_000);
    assert_eq!(
        c.status("web-server-a").remote.unwrap().unreachable_since,
        remote.unreachable_since
    );
    field.wires[0].heal();
    c.pass(1_000);
    assert!(field.is_reachable("web-server-a"));
    assert_eq!(field.phases(0), (Phase::Stopped, Phase::Stopped));
    field.start_all();
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
    let story: Vec<_> = c.story().into_iter().filter(|of| of.starts_with("web-server-a")).collect();
    let states: Vec<_> = story.iter().map(|of| of.trim_start_matches("web-server-a ")).collect();
    assert_eq!(states.join(" "), "stopped starting running unreachable stopped starting running");
}

#[test]
fn orders_on_their_way_when_a_machine_is_cut_come_to_an_end() {
    let field = Field::with("", 1, &ALL);
    let start = field.c.shepherd.start("web-server-a", None);
    field.c.hand.run_until_idle();
    assert_eq!(field.phases(0), (Phase::Starting, Phase::Starting));
    field.wires[0].cut();
    assert!(field.c.get(start.clone()).is_err());
    field.c.pass(u64::try_from(PATIENCE.as_millis()).unwrap());
    let why = field.c.get(start).unwrap_err();
    assert!(why.contains("machine A was cut off, and may have done it"), "{why}");
    // It did arrive.
    field.wires[0].heal();
    field.all_ready();
    field.c.pass(1_000);
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
}

#[test]
fn a_fleet_starts_what_is_missing_and_stops_all_that_it_stands_for() {
    let field = Field::new("[service.other]\nrequires = [\"web-server-b\"]\n");
    let c = &field.c;
    field.start_all();
    field.servers[0].stop("web-server").unwrap();
    let (ear, writer) = field.ear();
    let start = c.shepherd.start("web-server-fleet", Some(writer.clone()));
    c.hand.run_until_idle();
    field.all_ready();
    assert_eq!(c.get(start), Ok(true));
    let heard = ear.heard();
    let expected = [SEVEN[2], SEVEN[3], "C: Service web-server-fleet is complete."];
    assert_eq!(heard, expected);
    // One that something else requires goes on.
    c.start("other").unwrap();
    let stop = c.shepherd.stop("web-server-fleet", Some(writer));
    assert_eq!(c.get(stop), Ok(true));
    let heard = ear.heard();
    let expected = [
        "C: Service web-server-fleet has been stopped.",
        "C: Service web-server-b goes on: other requires it.",
        "C: Service web-server-a has been stopped.",
    ];
    assert_eq!(heard, expected);
    assert_eq!((field.phases(0).1, field.phases(1).1), (Phase::Stopped, Phase::Running));
    // With one member its fleet stops, and no other member.
    c.stop("other").unwrap();
    field.start_all();
    c.stop("web-server-a").unwrap();
    assert_eq!(c.phase("web-server-fleet"), Phase::Stopped);
    assert_eq!((field.phases(0).1, field.phases(1).1), (Phase::Stopped, Phase::Running));
}

#[test]
fn a_fleet_with_a_machine_that_is_cut_says_which() {
    let field = Field::new("");
    field.wires[1].cut();
    field.c.pass(0);
    let (ear, writer) = field.ear();
    let start = field.c.shepherd.start("web-server-fleet", Some(writer));
    field.c.hand.run_until_idle();
    field.all_ready();
    field.c.pass(u64::try_from(PATIENCE.as_millis()).unwrap());
    let why = field.c.get(start).unwrap_err();
    assert_eq!(why, "service web-server-fleet depends on web-server-b, which could not be started");
    let heard = ear.heard();
    assert!(heard[3].starts_with("C: Service web-server-b could not be started: machine B is"));
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
}

#[test]
fn reloading_lets_go_of_what_goes_on_there() {
    let field = Field::with("", 1, &ALL);
    let c = &field.c;
    field.start_all();
    let uri = "ocapn://a.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let define = |text: &str| {
        c.world.define(text);
        c.get(c.shepherd.reload()).unwrap()
    };
    let reloaded =
        define(&format!("[service.web]\nremote = {{ cap = \"{uri}\", patience = \"1s\" }}"));
    assert_eq!((reloaded.added.as_slice(), reloaded.removed.len()), (&["web".to_owned()][..], 2));
    c.hand.run_until_idle();
    assert_eq!(field.servers[0].phase("web-server"), Phase::Running);
    assert_eq!(c.phase("web"), Phase::Running);
    // The same name for one that runs here, and back.
    let reloaded = define("[service.web]\ncommand = [\"x\"]");
    assert_eq!(reloaded.changed, ["web"]);
    assert_eq!(field.servers[0].phase("web-server"), Phase::Running);
    assert_eq!(c.start("web"), Ok(true));
    let reloaded = define(&format!("[service.web]\nremote = \"{uri}\""));
    assert_eq!(reloaded.changed, ["web"]);
    c.hand.run_until_idle();
    assert_eq!((c.phase("web"), c.world.running().len()), (Phase::Running, 0));
}

#[test]
fn those_who_wait_for_what_happens_are_not_too_many() {
    let field = Field::with("", 1, &ALL);
    let a = &field.servers[0];
    let seen = a.get(a.shepherd.observe("web-server", None, true)).unwrap();
    assert_eq!(seen.status.unwrap().state, Phase::Stopped);
    // With Carol's there are 64.
    let waiting: Vec<_> =
        (0..64).map(|_| a.shepherd.observe("web-server", Some(seen.mark), true)).collect();
    a.hand.run_until_idle();
    let done = waiting.iter().filter(|answer| answer.promise().outcome().is_some()).count();
    assert_eq!(done, 0);
    let last = a.shepherd.observe("web-server", Some(seen.mark), true);
    a.hand.run_until_idle();
    assert!(waiting[0].promise().outcome().is_some() && last.promise().outcome().is_none());
    // Carol is let in again after a while, and nobody is lost when something happens.
    let start = a.shepherd.start("web-server", None);
    a.hand.run_until_idle();
    field.all_ready();
    a.get(start).unwrap();
    field.c.pass(2_000);
    assert_eq!(field.phases(0), (Phase::Running, Phase::Running));
    assert!(a.get(last).unwrap().events[0].state == "starting");
    // One of another run knows nothing of this one.
    let (run, number) = seen.mark;
    let other = a.get(a.shepherd.observe("web-server", Some((run + 1, number)), true)).unwrap();
    assert!(other.events.is_empty() && other.status.is_some());
}

#[test]
fn a_remote_definition_says_nothing_but_where() {
    use crate::services::catalogue::Catalogue;
    let directory = tempfile::tempdir().unwrap();
    let uri = "ocapn://a.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let file = directory.path().join("x.toml");
    let cap = directory.path().join("web-a.cap");
    std::fs::write(&cap, format!("{uri}\n")).unwrap();
    let parse = |text: &str| Catalogue::parse(&file, text).map_err(|error| error.to_string());
    let error = parse("[service.a]\nremote = \"web-a.cap\"").unwrap_err();
    assert!(error.contains("lets others read this capability"), "{error}");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&cap, mode).unwrap();
    let text = "[service.a]\nremote = \"web-a.cap\"\nprovides = [\"b\"]
                [service.c]\nremote = { cap = \"web-a.cap\", service = \"x\", patience = \"2s\" }
                machine = \"M\"\nflapping = { changes = 3 }";
    let all = parse(text).unwrap().0;
    assert_eq!(all["a"].machine.as_deref(), Some("web-a"));
    assert_eq!(all["c"].machine.as_deref(), Some("M"));
    assert!(!format!("{all:?}").contains("AAECAwQFBgcI"), "the secret is not shown");
    for definition in all.values() {
        use crate::services::definition::Definition;
        assert_eq!(&Definition::from_text(&definition.to_text()).unwrap(), definition);
    }
    for (text, says) in [
        ("remote = \"none.cap\"", "none.cap: No such file"),
        ("remote = \"ocapn://nonsense\"", "not a capability"),
        ("remote = 5", "the file of a capability"),
        ("remote = \"web-a.cap\"\ncommand = [\"x\"]", "the rest is defined on that machine"),
        ("remote = \"web-a.cap\"\nrequires = [\"a\"]", "the rest is defined on that machine"),
        ("remote = \"web-a.cap\"\nmachine = \"a b\"", "\"a b\" is no name"),
        ("machine = \"A\"", "machine is for a service with remote"),
    ] {
        let error = parse(&format!("[service.a]\n{text}")).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}
